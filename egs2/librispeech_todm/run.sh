#!/usr/bin/env bash
# From a corpus to a table of model sizes with their word error rates. Run with --help.
set -euo pipefail
printf -v original_command ' %q' "$0" "$@"
original_command=${original_command# }
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh
. ./cmd.sh
. ./db.sh

# Options; --name value sets one. An empty value is filled in from --corpus below.
stage=1
stop_stage=12
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
sizes=
num_sizes=5
num_candidates=6
average=8
train_args=
redo=false
streaming=false
full_libri=true
download=false
complete=
speed_perturb_factors=
feats_type=raw
num_nodes=1
dry_run=false
gpu=a100
utilisation=

usage() {
    cat <<'EOF'
usage: ./run.sh [--option value] ...

stages
   1  data          mini: make the synthetic corpus; librispeech: read it; custom: check --data_dir
   2  formatting    mono audio at the configured rate, unusable utterances left out and listed; features, if they are dumped
   3  bpe           sentencepiece model and token list
   4  statistics    lengths and global mean and variance of the features
   5  training      the supernet
   6  averaging     mean of the last checkpoints
   7  sizes         subnets between min and max, searched for on the development set; front.html shows them
   8  extraction    each size as a stand-alone ESPnet model directory
   9  decoding      each size on each test set
  10  scoring       word and character error rates
  11  results       RESULTS.md, results.json, pareto.png
  12  export        each size for sherpa-onnx, float and int8; bytes, speed and memory join the results

relative paths are relative to the folder of this script

options (default)
  --stage N --stop_stage M   first and last stage (1, 12)
  --corpus NAME              mini, custom or librispeech (mini)
  --data_dir DIR             custom: folder that holds a Kaldi directory for each set
  --full_libri false         librispeech: train on the 100 hours of train-clean-100, not on all 960 (true)
  --download true            librispeech: download what is not there into the folder that db.sh names, checked and resumable (false)
  --complete false           librispeech: take a cut-down corpus, too (true)
  --speed_perturb_factors "..."   the training set at each speed (librispeech "0.9 1.0 1.1", otherwise 1.0)
  --feats_type NAME          what training reads: raw (audio) or fbank (features dumped in stage 2, for fast disks and slow CPUs) (raw)
  --train_set --valid_set --test_sets   names of the sets; quote several test sets
  --nj N                     processes for data and decoding (number of cores)
  --ngpu N --num_nodes N     GPUs of a node for training, nodes (0, 1); how jobs reach them is set in cmd.sh
  --dry_run true             print what training would cost on such GPUs, and do nothing (false)
  --gpu NAME --utilisation N kind of GPU for --dry_run: a100, h100, ...; share of its matrix rate that training reaches
                             (a100; that of a step measured here, which takes minutes)
  --nbpe N                   sentencepiece units (mini 32, custom 100, librispeech 500)
  --asr_config FILE          training configuration (conf/train_mini.yaml, librispeech: conf/paper/supernet.yaml)
  --inference_config FILE    decoding configuration (conf/decode.yaml)
  --train_args "..."         further options of espnet-todm train
  --average N                checkpoints averaged (8)
  --sizes "NAME ..."         sizes of LAYERSxWIDTH, as 12x384 for 12 layers with 384 feed-forward channels, in place of chosen ones
  --num_sizes N --num_candidates N   sizes, and subnets decoded for each (5, 6)
  --expdir DIR --dumpdir DIR outputs (exp/CORPUS, dump/CORPUS)
  --streaming true           sizes of forward direction, decoded in chunks (false)
  --redo true                do stages again though their outputs are complete (false)
EOF
}

known="stage stop_stage corpus data_dir nj ngpu nbpe asr_config inference_config expdir dumpdir train_set valid_set test_sets
 sizes num_sizes num_candidates average train_args streaming redo
 full_libri download complete speed_perturb_factors feats_type num_nodes dry_run gpu utilisation"
. local/parse_options.sh

case $corpus in
mini)
    : "${nbpe:=32}" "${asr_config:=conf/train_mini.yaml}"
    : "${train_set:=train-clean-mini}" "${valid_set:=dev-mini}" "${test_sets:=test-clean test-other}"
    ;;
custom)
    : "${nbpe:=100}" "${asr_config:=conf/train_mini.yaml}" "${train_set:=train}" "${valid_set:=valid}" "${test_sets:=test}"
    [ -n "$data_dir" ] || fail "--corpus custom needs --data_dir, a folder that holds a Kaldi directory for each set"
    ;;
librispeech)
    : "${nbpe:=500}" "${asr_config:=conf/paper/supernet.yaml}"
    # dev-clean and dev-other are tables' columns, too; the model is chosen on dev-clean alone.
    : "${valid_set:=dev-clean}" "${test_sets:=dev-clean dev-other test-clean test-other}"
    : "${speed_perturb_factors:=0.9 1.0 1.1}" "${complete:=true}"
    if [ "$full_libri" = true ]; then : "${train_set:=train-960}"; else : "${train_set:=train-clean-100}"; fi
    ;;
*) fail "--corpus '$corpus' is not one of mini, custom, librispeech" ;;
esac
: "${expdir:=exp/$corpus}" "${dumpdir:=dump/$corpus}" "${speed_perturb_factors:=1.0}" "${complete:=false}"
need_switches streaming redo full_libri download complete dry_run
[ -z "$data_dir" ] || [ "$corpus" = custom ] || fail "--data_dir '$data_dir' must come with --corpus custom, not '$corpus'"
[ "$download" = false ] || [ "$corpus" = librispeech ] || fail "--download '$download' must come with --corpus librispeech, not '$corpus'"
for number in num_nodes stage stop_stage nj nbpe num_sizes num_candidates average; do
    [[ ${!number} =~ ^[1-9][0-9]*$ ]] || fail "--$number '${!number}' must be a positive number"
done
[ "$num_sizes" -ge 2 ] || fail "--num_sizes '$num_sizes' must be at least 2, the largest and the smallest model"
[ "$stage" -le "$stop_stage" ] || fail "--stage '$stage' must not be after --stop_stage '$stop_stage'"
[ "$num_nodes" -eq 1 ] || [ "$cmd_backend" = slurm ] || [ "$dry_run" = true ] ||
    fail "--num_nodes '$num_nodes' needs cmd_backend slurm in cmd.sh (with ssh, train_hosts names the nodes)"
[[ $ngpu =~ ^[0-9]+$ ]] || fail "--ngpu '$ngpu' must be a number of GPUs"
[[ $feats_type =~ ^(raw|fbank)$ ]] || fail "--feats_type '$feats_type' is not one of raw, fbank"
for file in "$asr_config" "$inference_config"; do
    [ -f "$file" ] || fail "configuration '$file' does not exist"
done
command -v espnet-todm >/dev/null || fail "espnet-todm is not installed: run 'make venv' at the top of the project"

# shellcheck disable=SC2086
all_sets=$(printf '%s\n' $train_set $valid_set $test_sets | awk '!seen[$0]++' | paste -sd ' ')
checksum() { { cat "$@" 2>/dev/null || true; } | cksum | cut -d" " -f1; }
# Keys of ESPnet that change how training is run and reported, not what comes out of it.
harmless="num_workers log_interval log_level keep_nbest_models num_att_plot use_tensorboard use_matplotlib create_graph_in_tensorboard
 use_wandb wandb_project wandb_id wandb_entity wandb_name"
# shellcheck disable=SC2206
checked=(--config "$asr_config" --sizes $sizes --speeds $speed_perturb_factors --harmless $harmless)
if [ "$dry_run" = false ]; then
    mkdir -p "$expdir"
    # One run at a time in a folder. The processes of a stage inherit the lock, so that those of a run that was killed keep it as long as
    # they live; those of a run that was stopped may take a moment to end.
    exec {lock}>>"$expdir/.run.lock"
    flock --wait 2 "$lock" || fail "--expdir '$expdir': a run is at work there ($(<"$expdir/.run.lock")), must end first"
    echo "process $$ on $HOSTNAME" >"$expdir/.run.lock"
    checked+=(--out "$expdir/.config.yaml")
    # Decoding comes last, and its configuration takes seconds to check: once.
    inference_sum=$(checksum "$inference_config")
    if [ "$stage" -le 9 ] && [ "$stop_stage" -ge 9 ] && [ "$(cat "$expdir/.inference_config.checked" 2>/dev/null)" != "$inference_sum" ]; then
        checked+=(--inference_config "$inference_config")
    fi
fi
configured=$(python -m espnet_plugin.recipe.configured "${checked[@]}")
[[ ${checked[*]} != *--inference_config* ]] || echo "$inference_sum" >"$expdir/.inference_config.checked"
given_config=$asr_config
# The configuration in one piece; what the model was trained with is kept as train.yaml.
asr_config=$expdir/.config.yaml
[ "$dry_run" = true ] || [ -e "$expdir/supernet" ] || cp "$asr_config" "$expdir/train.yaml"
read -r fs forward shaping_sum config_sum feature_sum frontend_sum <<<"$configured"
[ "$streaming" = false ] || [ "$forward" = True ] ||
    fail "--streaming 'true': encoder_conf.search_space.directions in '$given_config' must name 'forward' (or bidirectional be false)"
# Runs that differ in length or seed share statistics, too.
stats_args=$(sed -E 's/--(seed|max_epoch|num_iters_per_epoch)[ =]+[^ ]+ *//g' <<<"$train_args")
datadir=$dumpdir/data
rawdir=$dumpdir/raw
featsdir=$dumpdir/$feats_type
sourcedir=$datadir
[ "$corpus" != custom ] || sourcedir=$data_dir
bpedir=$dumpdir/token_list/bpe_unigram$nbpe
statsdir=$dumpdir/stats/$train_set-bpe$nbpe-$(cksum <<<"$feature_sum $stats_args" | cut -d" " -f1)
superdir=$expdir/supernet
averaged=$superdir/averaged.pth
logdir=$expdir/log

group=
stop() {
    [ -z "$group" ] || kill -TERM -- "-$group" 2>/dev/null || true
    exit "$1"
}
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM

# run_stage NUMBER TITLE OUTPUT INPUTS COMMAND ...: runs a stage that is asked for and not complete.
# A marker beside OUTPUT is written after the command has ended well and records INPUTS, what the stage depends on; a stage without it,
# or with other inputs, is done (again).
run_stage() {
    local number=$1 title=$2 output=$3 inputs=$4 recorded=
    local name=${title%% *} marker
    marker=${output%/*}/.${output##*/}.$name.done
    shift 4
    [ "$number" -ge "$stage" ] && [ "$number" -le "$stop_stage" ] || return 0
    [ ! -f "$marker" ] || recorded=$(<"$marker")
    if [ "$redo" = false ] && [ -e "$output" ] && [ "$recorded" = "$inputs" ]; then
        echo "stage $number, $title: complete, skipped (--redo true does it again)"
        return 0
    fi
    echo "stage $number, $title"
    rm -f "$marker"
    local began=$SECONDS status=0
    # A process group of its own, which a stopped recipe takes along; not behind '||', so that the first command that fails ends the stage.
    set -m
    (set -e; "$@") &
    group=$!
    echo "process group $group on $HOSTNAME" >"$expdir/.run.lock"
    set +m
    wait "$group" || status=$?
    group=
    [ $status -eq 0 ] || exit $status
    printf '%s\n' "$inputs" >"$marker.tmp"
    mv "$marker.tmp" "$marker"
    echo "stage $number, $title: done in $((SECONDS - began)) s"
}

# What a formatted set holds. Not wav.scp: its paths change when a folder is moved.
set_sum() { checksum "$rawdir/$1"/{text,utt2num_samples}; }

make_mini() {
    local made_by
    made_by=$(checksum ../../espnet_plugin/recipe/mini/*.py)
    if [ "$redo" = true ] || [ "$(cat downloads/mini/.done 2>/dev/null)" != "$made_by" ]; then
        rm -rf downloads/mini
        python -m espnet_plugin.recipe.mini.corpus --out downloads/mini --nj "$nj"
        echo "$made_by" >downloads/mini/.done
    fi
}

stage_data() {
    mkdir -p "$datadir"
    case $corpus in
    mini)
        make_mini
        read_librispeech downloads/mini/LibriSpeech
        ;;
    librispeech)
        if [ "$download" = true ]; then
            # shellcheck disable=SC2046
            python -m espnet_plugin.recipe.librispeech.download --out "$LIBRISPEECH" --url "$LIBRISPEECH_URL" --parts $(librispeech_sets | sed 's/[^ ]*=//g; s/+/ /g')
        fi
        [ -d "$LIBRISPEECH/LibriSpeech" ] ||
            fail "LIBRISPEECH in db.sh: '$LIBRISPEECH/LibriSpeech' does not exist, --download true fetches it"
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

# The sets in the form of recipe.librispeech.prepare: train-960 is a sum of parts.
librispeech_sets() { echo "${all_sets/#train-960/train-960=train-clean-100+train-clean-360+train-other-500}"; }

read_librispeech() {
    local options=()
    [ "$complete" = false ] || options+=(--complete)
    # shellcheck disable=SC2046
    "$train_cmd" "$logdir/data.log" python -m espnet_plugin.recipe.librispeech.prepare --corpus "$1" --sets $(librispeech_sets) --out "$datadir" \
        --nj "$nj" "${options[@]}"
    grep ' utterances, ' "$logdir/data.log"
}

# stage_format SET
stage_format() {
    # shellcheck disable=SC2046
    python -m espnet_plugin.recipe.format_data --data "$sourcedir/$1" --out "$rawdir/$1" --fs "$fs" --nj "$nj" --speeds $(speeds_of "$1")
}

# stage_features SET
stage_features() {
    python -m espnet_plugin.recipe.dump_features --config "$asr_config" --data "$rawdir/$1" --out "$featsdir/$1" --nj "$nj"
}

# Only the training set is perturbed.
speeds_of() { if [ "$1" = "$train_set" ]; then echo "$speed_perturb_factors"; else echo 1.0; fi; }

stage_bpe() {
    python -m espnet_plugin.recipe.tokenizer --text "$rawdir/$train_set/text" --nbpe "$nbpe" --out "$bpedir"
}

# task_options raw|fbank: sets `options`.
task_options() {
    # shellcheck disable=SC2206
    options=(--config "$asr_config" --token_type bpe --token_list "$bpedir/tokens.txt" --bpemodel "$bpedir/bpe.model" --ngpu "$ngpu")
    local phase set
    for phase in train valid; do
        set=$train_set
        [ $phase = train ] || set=$valid_set
        if [ "$1" = raw ]; then
            options+=("--${phase}_data_path_and_name_and_type" "$rawdir/$set/wav.scp,speech,sound")
        else
            options+=("--${phase}_data_path_and_name_and_type" "$featsdir/$set/feats.scp,speech,kaldi_ark")
        fi
        options+=("--${phase}_data_path_and_name_and_type" "$rawdir/$set/text,text,text")
    done
}

# Of audio, whatever training reads: lengths in samples make the same batches for both.
stage_stats() {
    local options
    task_options raw
    rm -rf "$statsdir.new"
    # shellcheck disable=SC2086
    "$train_cmd" "$logdir/stats.log" espnet-todm train "${options[@]}" --collect_stats true --output_dir "$statsdir.new" --ngpu 0 $stats_args
    rm -rf "$statsdir"
    mv "$statsdir.new" "$statsdir"
}

# launch LOG COMMAND ...: training on one GPU or none here, on several, on several nodes, or on hosts, through ESPnet's launcher.
launch() {
    local log=$1 where=(--cmd "$train_cmd" --num_nodes "$num_nodes")
    shift
    if [ -z "$train_hosts" ] && [ "$num_nodes" -eq 1 ] && [ "$ngpu" -le 1 ]; then
        if [ "$cmd_backend" = slurm ]; then exec "$train_cmd" --gpu "$ngpu" "$log" "$@"; else exec "$train_cmd" "$log" "$@"; fi
    fi
    [ -z "$train_hosts" ] || where=(--host "$train_hosts")
    python -m espnet2.bin.launch "${where[@]}" --ngpu "$ngpu" --log "$log" --init_file_prefix "$superdir/.dist_init_" -- "$@" \
        >"$logdir/launch.log" 2>&1 && return
    local reason
    reason=$(grep -h -E '^error:' "$log" | tail -n 1)
    printf '%s\n' "${reason:-error: a worker failed} (log: $log)" >&2
    return 1
}

# train_options: sets `options`.
train_options() {
    local phase
    task_options "$feats_type"
    options+=(--normalize global_mvn --normalize_conf "stats_file=$statsdir/train/feats_stats.npz")
    for phase in train valid; do
        options+=("--${phase}_shape_file" "$statsdir/$phase/speech_shape" "--${phase}_shape_file" "$statsdir/$phase/text_shape")
    done
}

has_weights() { compgen -G "$1/*.pth" >/dev/null; }
# What the model in a folder was trained with.
inputs_of() { cat "$1/.inputs" 2>/dev/null || true; }

# Puts a folder for training with other inputs in the place of $superdir: one that was put aside when they changed, or a new one.
# Weights are never deleted.
change_supernet() {
    local folder back='' aside=$superdir.old number=1 status=0
    for folder in "$superdir".old*; do
        if [ "$redo" = false ] && has_weights "$folder" && [ "$(inputs_of "$folder")" = "$train_inputs" ]; then back=$folder; fi
    done
    if has_weights "$superdir"; then
        if [ -z "$back" ]; then
            # Options that training would refuse must not cost what is there.
            # shellcheck disable=SC2086
            "$train_cmd" "$logdir/check.log" espnet-todm train "${options[@]}" --output_dir "$superdir.check" $train_args \
                --ngpu 0 --dry_run true || status=$?
            rm -rf "$superdir.check"
            [ $status -eq 0 ] || return $status
        fi
        while [ -e "$aside" ]; do aside=$superdir.old.$((++number)); done
        mv "$superdir" "$aside"
        echo "what was trained before with other inputs is kept in $aside"
    fi
    rm -rf "$superdir"
    if [ -n "$back" ]; then
        mv "$back" "$superdir"
        echo "going on with what was trained with these inputs, from $back"
    else
        mkdir -p "$superdir"
        printf '%s\n' "$train_inputs" >"$superdir/.inputs"
        echo "beginning anew"
    fi
}

stage_train() {
    local options
    [ -f "$statsdir/train/feats_stats.npz" ] || fail "'$statsdir/train/feats_stats.npz' does not exist, run stage 4 with the same options first"
    train_options
    if [ "$redo" = true ] || [ "$(inputs_of "$superdir")" != "$train_inputs" ]; then
        change_supernet
    else
        echo "resuming from the last finished epoch, if there is one"
    fi
    cp "$asr_config" "$expdir/train.yaml"
    asr_config=$expdir/train.yaml
    train_options
    # Beside the model, where our programs look first: it can be used from any folder, and moved.
    cp "$statsdir/train/feats_stats.npz" "$bpedir/bpe.model" "$superdir"
    # The log goes to a file; its lines on epochs are shown as they come.
    local log=$logdir/train.log pid
    rm -f "$log"
    # shellcheck disable=SC2086
    launch "$log" espnet-todm train "${options[@]}" --output_dir "$superdir" --resume true $train_args &
    pid=$!
    { tail --pid="$pid" -n +1 -F "$log" 2>/dev/null | sed -u -n -E '
        s/.*INFO: ([0-9]+\/[0-9]+)epoch started[. ]*/  epoch \1 /p
        s/.*epoch results: .*\[valid\].*loss_max=([0-9.]+).*wer_max=([0-9.]+).*loss_min=([0-9.]+).*wer_min=([0-9.]+).*/    valid: loss max \1 min \3, WER max \2 min \4/p
        t
        s/.*epoch results: .*\[valid\].*loss_max=([0-9.]+).*wer_max=([0-9.]+).*/    valid: loss \1, WER \2/p'; } {lock}>&- || true # tail's status tells that the log was not there at first
    wait "$pid"
}

stage_average() {
    "$train_cmd" "$logdir/average.log" espnet-todm average --dir "$superdir" --last "$average" --out "$averaged"
}

stage_sizes() {
    if [ -n "$sizes" ]; then
        # shellcheck disable=SC2086
        "$train_cmd" "$logdir/sizes.log" python -m espnet_plugin.recipe.named_sizes --train_config "$superdir/config.yaml" --model_file "$averaged" \
            --sizes $sizes --out "$expdir/sizes.json"
        return
    fi
    local options=(--num_sizes "$num_sizes" --num_candidates "$num_candidates" --nj "$nj" --out "$expdir/sizes.json")
    [ "$streaming" = false ] || options+=(--direction forward)
    espnet-todm choose --train_config "$superdir/config.yaml" --model_file "$averaged" --data "$rawdir/$valid_set" \
        "${options[@]}" 2> >(grep -v -i 'flash attention' >&2)
    espnet-todm page --expdir "$expdir"
}

# size_names: sets `names`. Not in the list of a 'for', which would hide that it fails.
size_names() { names=$(python -m espnet_plugin.recipe.size_names "$expdir/sizes.json"); }

stage_extract() {
    local names folder
    size_names
    [ "$redo" = false ] || rm -f "$expdir"/.sizes.{decoding,export}.done # done again, too, even if this is cut short
    # Each size takes its place when it is complete, after all have been checked: one that is refused costs nothing that is there.
    "$train_cmd" "$logdir/extract.log" espnet-todm extract --train_config "$superdir/config.yaml" --model_file "$averaged" \
        --sizes "$expdir/sizes.json" --out "$expdir/sizes"
    rm -f "$expdir"/.sizes.{decoding,export}.done
    for folder in "$expdir"/sizes/*; do
        [[ " $names " == *" ${folder##*/} "* ]] || rm -rf "$folder"
    done
    grep ' parameters, ' "$logdir/extract.log"
}

stage_decode() {
    local names name set models=() data=()
    size_names
    for name in $names; do models+=("$expdir/sizes/$name"); done
    for set in $test_sets; do data+=("$rawdir/$set"); done
    local options=(--data "${data[@]}" --config "$inference_config" --streaming "$streaming")
    if [ "$cmd_backend" = slurm ]; then
        # shellcheck disable=SC2016
        OMP_NUM_THREADS=1 "$decode_cmd" "JOB=1:${#models[@]}" "$logdir/decode.JOB.log" \
            bash -c 'count=$1; espnet-todm decode --model_dir "${@:1+JOB:1}" "${@:2+count}"' decode "${#models[@]}" "${models[@]}" "${options[@]}"
    else
        OMP_NUM_THREADS=1 "$decode_cmd" "$logdir/decode.log" espnet-todm decode --model_dir "${models[@]}" "${options[@]}" --nj "$nj"
    fi
}

stage_score() {
    local names name set
    size_names
    for name in $names; do
        for set in $test_sets; do
            python -m espnet_plugin.recipe.score --ref "$rawdir/$set/text" --hyp "$expdir/sizes/$name/decode/$set/text" --out "$expdir/sizes/$name/score/$set"
        done
    done
}

stage_results() {
    # shellcheck disable=SC2086
    python -m espnet_plugin.recipe.results --expdir "$expdir" --test_sets $test_sets --command "$original_command"
    [ ! -f "$expdir/search.json" ] || espnet-todm page --expdir "$expdir" # anew, with the word error rates on test sets
}

stage_export() {
    local names name models=()
    size_names
    for name in $names; do models+=("$expdir/sizes/$name"); done
    OMP_NUM_THREADS=1 "$decode_cmd" "$logdir/export.log" python -m espnet_plugin.recipe.device --model_dir "${models[@]}" \
        --data "$rawdir/${test_sets%% *}" --streaming "$streaming"
    stage_results
}

data_inputs=$corpus
case $corpus in
mini) data_inputs+=" $(checksum ../../espnet_plugin/recipe/mini/*.py)" ;;
librispeech) data_inputs+=" $LIBRISPEECH" ;;
custom) data_inputs+=" $data_dir" ;;
esac
if [ "$dry_run" = true ]; then
    individual=()
    for file in "$(dirname "$given_config")"/individual/*.yaml; do [ ! -f "$file" ] || individual+=("$file"); done
    stats_or_hours=(--hours 960.9)
    [ "$full_libri" = true ] || stats_or_hours=(--hours 100.6)
    if [ -f "$statsdir/train/speech_shape" ]; then
        stats_or_hours=(--stats "$statsdir")
    elif [ "$corpus" != librispeech ]; then
        fail "--dry_run: corpus '$corpus' is as long as stage 4 finds, run --stop_stage 4 first"
    fi
    exec espnet-todm plan --config "$given_config" --individual "${individual[@]}" --vocabulary "$nbpe" "${stats_or_hours[@]}" \
        --speeds "$speed_perturb_factors" --gpu "$gpu" --num_gpus $((num_nodes * (ngpu > 0 ? ngpu : 1))) ${utilisation:+--utilisation "$utilisation"}
fi
mkdir -p "$logdir"
run_stage 1 data "$datadir" "$data_inputs $all_sets" stage_data
for set in $all_sets; do
    format_inputs="$data_inputs $fs $(speeds_of "$set") $(checksum "$sourcedir/$set"/{wav.scp,segments,text,utt2spk})"
    run_stage 2 "formatting $set" "$rawdir/$set" "$format_inputs" stage_format "$set"
done
if [ "$feats_type" = fbank ]; then
    for set in "$train_set" "$valid_set"; do
        run_stage 2 "features $set" "$featsdir/$set" "$frontend_sum $(set_sum "$set")" stage_features "$set"
    done
fi
run_stage 3 bpe "$bpedir" "$nbpe $(set_sum "$train_set")" stage_bpe
stats_inputs="$fs $nbpe $(set_sum "$train_set") $(set_sum "$valid_set") $(checksum "$bpedir/bpe.model")"
run_stage 4 statistics "$statsdir" "$stats_inputs" stage_stats
# The supernet depends on no test set: another one must not train it again.
trained_on="$fs $nbpe $(set_sum "$train_set") $(set_sum "$valid_set") $(checksum "$bpedir/bpe.model")"
harmless_args=$(tr -s ' \n' '|' <<<"$harmless")
train_inputs="$trained_on $shaping_sum $(sed -E "s/--(${harmless_args%|})[ =]+[^ ]+ *//g; s/ +$//" <<<"$train_args")"
whole_inputs="$trained_on $config_sum $train_args"
if [ "$corpus" = mini ]; then
    train_inputs+=" $data_inputs"
    whole_inputs+=" $data_inputs"
fi
# Models once recorded all keys.
[ "$(inputs_of "$superdir")" != "$whole_inputs" ] || train_inputs=$whole_inputs
run_stage 5 training "$superdir" "$train_inputs" stage_train
run_stage 6 averaging "$averaged" "$(inputs_of "$superdir") $average" stage_average
model_inputs="$(checksum "$averaged") ${sizes:-$num_sizes $num_candidates} $streaming"
run_stage 7 sizes "$expdir/sizes.json" "$model_inputs $(set_sum "$valid_set")" stage_sizes
model_inputs+=" $(checksum "$expdir/sizes.json")"
run_stage 8 extraction "$expdir/sizes" "$model_inputs" stage_extract
for set in $test_sets; do model_inputs+=" $set $(set_sum "$set")"; done
run_stage 9 decoding "$expdir/sizes" "$model_inputs $(checksum "$inference_config")" stage_decode
score_inputs="$model_inputs $(checksum "$expdir"/sizes/*/decode/*/text)"
run_stage 10 scoring "$expdir/sizes" "$score_inputs" stage_score
result_inputs="$score_inputs $(checksum "$expdir"/sizes/*/score/*/score.json)"
run_stage 11 results "$expdir/RESULTS.md" "$result_inputs" stage_results
run_stage 12 export "$expdir/sizes" "$result_inputs" stage_export
