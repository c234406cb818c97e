#!/usr/bin/env bash
# The paper's tables: trains and scores what is not there yet, then writes TABLES.md. Run with --help.
set -euo pipefail
printf -v original_command ' %q' "$0" "$@"
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh

scale=mini
corpus=
seeds="0 1"
ablation_seeds="0"
root=
dumpdir=
only_tables=false
dry_run=false
known="scale corpus seeds ablation_seeds root dumpdir only_tables dry_run"

usage() {
    cat <<'EOF'
usage: ./tables.sh [--option value] ... [-- OPTION OF run.sh ...]

Runs ./run.sh for the supernet, each individual model and each line of the ablation in conf/SCALE, in this order and seed by seed, each in
a folder of its own below --root. What is complete is skipped, so it can be stopped and started again, or run for some seeds on one
machine and for others on another that shares the file system.

options (default)
  --scale NAME               mini, mobile or paper: a folder in conf/ (mini)
  --corpus NAME              corpus of run.sh (mini for scale mini, otherwise librispeech)
  --seeds "0 1"              seeds of supernet and individual models (0 1)
  --ablation_seeds "0"       seeds of the ablation (0)
  --root DIR                 outputs (exp/tables_SCALE)
  --dumpdir DIR              data, shared by all runs (dump/CORPUS)
  --only_tables true         run nothing, write the tables of what is there (false)
  --dry_run true             print the commands (false)
EOF
}

fail() {
    echo "error: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --)
        shift
        break
        ;;
    --*)
        name=${1#--}
        [[ " $known " == *" $name "* ]] || fail "option '$1' is unknown, see ./tables.sh --help"
        [ $# -ge 2 ] || fail "option '$1' needs a value"
        printf -v "$name" '%s' "$2"
        shift 2
        ;;
    *) fail "argument '$1' is not an option, see ./tables.sh --help" ;;
    esac
done
[ -d "conf/$scale/individual" ] || fail "--scale '$scale': 'conf/$scale/individual' does not exist"
for switch in only_tables dry_run; do
    [[ ${!switch} == true || ${!switch} == false ]] || fail "--$switch '${!switch}' must be true or false"
done
for number in $seeds $ablation_seeds; do
    [[ $number =~ ^[0-9]+$ ]] || fail "--seeds: '$number' must be a whole number"
done
if [ "$scale" = mini ]; then : "${corpus:=mini}"; else : "${corpus:=librispeech}"; fi
: "${root:=exp/tables_$scale}" "${dumpdir:=dump/$corpus}"
test_sets="test-clean test-other"
[ "$corpus" != librispeech ] || test_sets="dev-clean dev-other $test_sets"
sizes=()
for file in "conf/$scale/individual"/*.yaml; do sizes+=("$(basename "$file" .yaml)"); done

# run SEED NAME SIZES ...: one recipe run.
run() {
    local seed=$1 name=$2
    shift 2
    local command=(./run.sh --corpus "$corpus" --asr_config "conf/$scale/$name.yaml" --expdir "$root/seed$seed/$name" --dumpdir "$dumpdir"
        --train_args "--seed $seed" --sizes "$*" --test_sets "$test_sets" "${options[@]}")
    if [ "$dry_run" = true ]; then
        printf '%q ' "${command[@]}"
        echo
    else
        echo "== seed $seed, $name"
        "${command[@]}"
    fi
}

options=("$@")
if [ "$only_tables" = false ]; then
    for seed in $seeds; do
        run "$seed" supernet "${sizes[@]}"
        for size in "${sizes[@]}"; do run "$seed" "individual/$size" "$size"; done
    done
    for seed in $ablation_seeds; do
        run "$seed" supernet "${sizes[@]}"
        for line in alpha kl dropout alone; do run "$seed" "ablation/$line" "${sizes[@]}"; done
    done
fi
# shellcheck disable=SC2086
[ "$dry_run" = true ] || python local/tables.py --conf "conf/$scale" --root "$root" --test_sets $test_sets --command "${original_command# }"
