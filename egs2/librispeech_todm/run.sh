#!/usr/bin/env bash
# From a corpus to a table of model sizes with their word error rates. Run with --help.
set -euo pipefail
original_command="$0 $*"
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh
. ./cmd.sh
. ./db.sh

# Options; --name value sets one. An empty value is filled in from --corpus below.
stage=1
stop_stage=11
corpus=mini
data_dir=
nj=$(nproc)
ngpu=0
nbpe=
asr_config=
inference_config=conf/decode.yaml
expdir=
dumpdir=
train_set=
valid_set=
test_sets=
num_sizes=5
num_candidates=6
average=5
train_args=
redo=false

usage() {
    cat <<'EOF'
usage: ./run.sh [--option value] ...

stages
   1  data          mini: make the synthetic corpus; librispeech: read it; custom: check --data_dir
   2  formatting    mono audio at the configured rate, unusable utterances left out and listed
   3  bpe           sentencepiece model and token list
   4  statistics    lengths and global mean and variance of the features
   5  training      the supernet
   6  averaging     mean of the last checkpoints
   7  sizes         subnets between min and max, chosen on the development set
   8  extraction    each size as a stand-alone ESPnet model directory
   9  decoding      each size on each test set
  10  scoring       word and character error rates
  11  results       RESULTS.md, results.json, pareto.png

options (default)
  --stage N --stop_stage M   first and last stage (1, 11)
  --corpus NAME              mini, custom or librispeech (mini)
  --data_dir DIR             custom: folder that holds a Kaldi directory for each set
  --train_set --valid_set --test_sets   names of the sets; quote several test sets
  --nj N                     processes for data and decoding (number of cores)
  --ngpu N                   GPUs for training (0)
  --nbpe N                   sentencepiece units (mini 100, custom 100, librispeech 500)
  --asr_config FILE          training configuration (conf/train_mini.yaml)
  --inference_config FILE    decoding configuration (conf/decode.yaml)
  --train_args "..."         further options of espnet-todm train
  --average N                checkpoints averaged (5)
  --num_sizes N --num_candidates N   sizes, and subnets tried for each (5, 6)
  --expdir DIR --dumpdir DIR outputs (exp/CORPUS, dump/CORPUS)
  --redo true                do stages again though their outputs are complete (false)
EOF
}

fail() {
    echo "error: $*" >&2
    exit 1
}

known="stage stop_stage corpus data_dir nj ngpu nbpe asr_config inference_config expdir dumpdir train_set valid_set test_sets
 num_sizes num_candidates average train_args redo"
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --*)
        name=${1#--}
        [[ " ${known//$'\n'/} " == *" $name "* ]] || fail "option '$1' is unknown, see ./run.sh --help"
        [ $# -ge 2 ] || fail "option '$1' needs a value"
        printf -v "$name" '%s' "$2"
        shift 2
        ;;
    *) fail "argument '$1' is not an option, see ./run.sh --help" ;;
    esac
done

case $corpus in
mini)
    : "${nbpe:=100}" "${asr_config:=conf/train_mini.yaml}"
    : "${train_set:=train-clean-mini}" "${valid_set:=dev-clean}" "${test_sets:=test-clean test-other}"
    ;;
custom)
    : "${nbpe:=100}" "${asr_config:=conf/train_mini.yaml}" "${train_set:=train}" "${valid_set:=valid}" "${test_sets:=test}"
    [ -n "$data_dir" ] || fail "--corpus custom needs --data_dir, a folder that holds a Kaldi directory for each set"
    ;;
librispeech)
    : "${nbpe:=500}" "${asr_config:=conf/train_mini.yaml}"
    : "${train_set:=train-clean-100}" "${valid_set:=dev-clean}" "${test_sets:=test-clean test-other}"
    ;;
*) fail "--corpus '$corpus' is not one of mini, custom, librispeech" ;;
esac
: "${expdir:=exp/$corpus}" "${dumpdir:=dump/$corpus}"
for number in stage stop_stage nj nbpe num_sizes num_candidates average; do
    [[ ${!number} =~ ^[1-9][0-9]*$ ]] || fail "--$number '${!number}' must be a positive number"
done
[[ $ngpu =~ ^[0-9]+$ ]] || fail "--ngpu '$ngpu' must be a number of GPUs"
[[ $redo == true || $redo == false ]] || fail "--redo '$redo' must be true or false"
for file in "$asr_config" "$inference_config"; do
    [ -f "$file" ] || fail "configuration '$file' does not exist"
done
command -v espnet-todm >/dev/null || fail "espnet-todm is not installed: run 'make venv' at the top of the project"

all_sets="$train_set $valid_set $test_sets"
datadir=$dumpdir/data
rawdir=$dumpdir/raw
bpedir=$dumpdir/token_list/bpe_unigram$nbpe
statsdir=$expdir/stats
superdir=$expdir/supernet
averaged=$superdir/averaged.pth
logdir=$expdir/log
mkdir -p "$logdir"

# run_stage NUMBER TITLE MARKER INPUTS COMMAND: runs a stage that is asked for and not complete.
# MARKER is written after the command has ended well and records INPUTS, what the stage depends on; a stage without it, or with other
# inputs, is done (again).
run_stage() {
    local number=$1 title=$2 marker=$3 inputs=$4 command=$5 recorded=
    [ "$number" -ge "$stage" ] && [ "$number" -le "$stop_stage" ] || return 0
    [ ! -f "$marker" ] || recorded=$(<"$marker")
    if [ "$redo" = false ] && [ "$recorded" = "$inputs" ]; then
        echo "stage $number, $title: complete, skipped (--redo true does it again)"
        return 0
    fi
    echo "stage $number, $title"
    rm -f "$marker"
    local began=$SECONDS
    # In a subshell of its own, not behind '||', so that the first command that fails ends the stage.
    set +e
    (set -e; "$command")
    local status=$?
    set -e
    [ $status -eq 0 ] || exit $status
    mkdir -p "$(dirname "$marker")"
    printf '%s\n' "$inputs" >"$marker.tmp"
    mv "$marker.tmp" "$marker"
    echo "stage $number, $title: done in $((SECONDS - began)) s"
}

checksum() { { cat "$@" 2>/dev/null || true; } | cksum | cut -d" " -f1; }

stage_data() {
    case $corpus in
    mini)
        [ -d downloads/mini/LibriSpeech ] || python local/mini_corpus.py --out downloads/mini --nj "$nj"
        read_librispeech downloads/mini/LibriSpeech
        ;;
    librispeech)
        [ -d "$LIBRISPEECH/LibriSpeech" ] || fail "LIBRISPEECH in db.sh: '$LIBRISPEECH/LibriSpeech' does not exist"
        read_librispeech "$LIBRISPEECH/LibriSpeech"
        ;;
    custom)
        for set in $all_sets; do
            for file in wav.scp text; do
                [ -f "$data_dir/$set/$file" ] || fail "--data_dir: '$data_dir/$set/$file' does not exist"
            done
        done
        ;;
    esac
}

read_librispeech() {
    # shellcheck disable=SC2086
    "$train_cmd" "$logdir/data.log" python local/prepare_librispeech.py --corpus "$1" --sets $all_sets --out "$datadir" --nj "$nj"
    grep ' utterances, ' "$logdir/data.log"
}

stage_format() {
    local source=$datadir
    [ "$corpus" != custom ] || source=$data_dir
    for set in $all_sets; do
        python local/format_data.py --data "$source/$set" --out "$rawdir/$set" --nj "$nj"
    done
}

stage_bpe() {
    python local/tokenizer.py --text "$rawdir/$train_set/text" --nbpe "$nbpe" --out "$bpedir"
}

task_options() {
    # shellcheck disable=SC2206
    options=(--config "$asr_config" --token_type bpe --token_list "$bpedir/tokens.txt" --bpemodel "$bpedir/bpe.model" --ngpu "$ngpu")
    local phase set
    for phase in train valid; do
        set=$train_set
        [ $phase = train ] || set=$valid_set
        options+=(--${phase}_data_path_and_name_and_type "$rawdir/$set/wav.scp,speech,sound")
        options+=(--${phase}_data_path_and_name_and_type "$rawdir/$set/text,text,text")
    done
}

stage_stats() {
    local options
    task_options
    rm -rf "$statsdir"
    # shellcheck disable=SC2086
    "$train_cmd" "$logdir/stats.log" espnet-todm train "${options[@]}" --collect_stats true --output_dir "$statsdir" --ngpu 0 $train_args
}

stage_train() {
    local options phase
    task_options
    options+=(--normalize global_mvn --normalize_conf "stats_file=$statsdir/train/feats_stats.npz")
    for phase in train valid; do
        options+=(--${phase}_shape_file "$statsdir/$phase/speech_shape" --${phase}_shape_file "$statsdir/$phase/text_shape")
    done
    if [ "$(cat "$superdir/.inputs" 2>/dev/null)" != "$train_inputs" ] || [ "$redo" = true ]; then
        rm -rf "$superdir"
        mkdir -p "$superdir"
        printf '%s\n' "$train_inputs" >"$superdir/.inputs"
    else
        echo "resuming from the last finished epoch, if there is one"
    fi
    # The log goes to a file; its lines on epochs are shown as they come.
    local log=$logdir/train.log pid
    rm -f "$log"
    # shellcheck disable=SC2086
    "$train_cmd" "$log" espnet-todm train "${options[@]}" --output_dir "$superdir" --resume true $train_args &
    pid=$!
    trap 'kill -TERM $pid $(pgrep -P $pid) 2>/dev/null; exit 130' INT TERM
    tail --pid="$pid" -n +1 -F "$log" 2>/dev/null | sed -u -n -E '
        s/.*INFO: ([0-9]+\/[0-9]+)epoch started[. ]*/  epoch \1 /p
        s/.*epoch results: .*\[valid\].*loss_max=([0-9.]+).*wer_max=([0-9.]+).*loss_min=([0-9.]+).*wer_min=([0-9.]+).*/    valid: loss max \1 min \3, WER max \2 min \4/p
        t
        s/.*epoch results: .*\[valid\].*loss_max=([0-9.]+).*wer_max=([0-9.]+).*/    valid: loss \1, WER \2/p' || true # tail's status tells that the log was not there at first
    wait "$pid"
}

stage_average() {
    "$train_cmd" "$logdir/average.log" espnet-todm average --dir "$superdir" --last "$average" --out "$averaged"
}

stage_sizes() {
    espnet-todm choose --train_config "$superdir/config.yaml" --model_file "$averaged" --data "$rawdir/$valid_set" \
        --num_sizes "$num_sizes" --num_candidates "$num_candidates" --out "$expdir/sizes.json" 2> >(grep -v -i 'flash attention' >&2)
}

size_names() { python -c 'import json, sys; print(*(s["name"] for s in json.load(open(sys.argv[1]))["sizes"]))' "$expdir/sizes.json"; }

stage_extract() {
    rm -rf "$expdir/sizes"
    "$train_cmd" "$logdir/extract.log" espnet-todm extract --train_config "$superdir/config.yaml" --model_file "$averaged" \
        --sizes "$expdir/sizes.json" --out "$expdir/sizes"
    grep ' parameters, ' "$logdir/extract.log"
}

stage_decode() {
    local name set models=() data=()
    for name in $(size_names); do models+=("$expdir/sizes/$name"); done
    for set in $test_sets; do data+=("$rawdir/$set"); done
    OMP_NUM_THREADS=1 "$decode_cmd" "$logdir/decode.log" espnet-todm decode --model_dir "${models[@]}" --data "${data[@]}" \
        --config "$inference_config" --nj "$nj"
}

stage_score() {
    local name set
    for name in $(size_names); do
        for set in $test_sets; do
            python local/score.py --ref "$rawdir/$set/text" --hyp "$expdir/sizes/$name/decode/$set/text" --out "$expdir/sizes/$name/score/$set"
        done
    done
}

stage_results() {
    # shellcheck disable=SC2086
    python local/results.py --expdir "$expdir" --test_sets $test_sets --command "$original_command"
}

config_sum=$(checksum "$asr_config")
data_inputs="$corpus $data_dir $all_sets"
if [ "$corpus" = custom ]; then # so that edited data is formatted again
    for set in $all_sets; do data_inputs+=" $(checksum "$data_dir/$set"/{wav.scp,segments,text})"; done
fi
bpe_inputs="$data_inputs $nbpe"
train_inputs="$bpe_inputs $config_sum $train_args $ngpu"
sizes_inputs="$train_inputs $average $num_sizes $num_candidates"
decode_inputs="$sizes_inputs $(checksum "$inference_config")"
run_stage 1 data "$dumpdir/.data.done" "$data_inputs" stage_data
run_stage 2 formatting "$rawdir/.done" "$data_inputs" stage_format
run_stage 3 bpe "$bpedir/.done" "$bpe_inputs" stage_bpe
run_stage 4 statistics "$statsdir/.done" "$bpe_inputs $config_sum" stage_stats
run_stage 5 training "$superdir/.done" "$train_inputs" stage_train
run_stage 6 averaging "$superdir/.averaged" "$train_inputs $average" stage_average
run_stage 7 sizes "$expdir/.sizes.done" "$sizes_inputs" stage_sizes
run_stage 8 extraction "$expdir/.extract.done" "$sizes_inputs" stage_extract
run_stage 9 decoding "$expdir/.decode.done" "$decode_inputs" stage_decode
run_stage 10 scoring "$expdir/.score.done" "$decode_inputs" stage_score
run_stage 11 results "$expdir/.results.done" "$decode_inputs" stage_results
