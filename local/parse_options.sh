# Sourced by a recipe script after `known` (names of its options), `usage` and the defaults: --name value sets a variable.
# With takes_rest=true, what follows -- stays in "$@".
fail() {
    echo "error: $*" >&2
    exit 1
}

# need_switches NAME ...: each must be true or false.
need_switches() {
    local switch
    for switch in "$@"; do
        [[ ${!switch} == true || ${!switch} == false ]] || fail "--$switch '${!switch}' must be true or false"
    done
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --*)
        if [ "$1${takes_rest:-}" = --true ]; then
            shift
            break
        fi
        name=${1#--}
        [[ " ${known//$'\n'/} " == *" $name "* ]] || fail "option '$1' is unknown, see ./${0##*/} --help"
        [ $# -ge 2 ] || fail "option '$1' needs a value"
        printf -v "$name" '%s' "$2"
        shift 2
        ;;
    *) fail "argument '$1' is not an option, see ./${0##*/} --help" ;;
    esac
done
