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
sizes=
ablation="alpha kl dropout alone"
train_args=
test_sets="dev-clean dev-other test-clean test-other"
root=
dumpdir=
only_tables=false
dry_run=false
known="scale corpus seeds ablation_seeds sizes ablation train_args test_sets root dumpdir only_tables dry_run"

usage() {
    cat <<'EOF'
usage: ./tables.sh [--option value] ... [-- OPTION OF run.sh ...]

Runs ./run.sh for the supernet, each individual model and each line of the ablation in conf/SCALE, in this order and seed by seed, each in
a folder of its own below --root; corpus, tokens and statistics are made once. What is complete is skipped, what was stopped goes on. Started
several times, also on machines that share the file system, it leaves to each other what another one is at.

options (default)
  --scale NAME               mini, mobile or paper: a folder in conf/ (mini)
  --corpus NAME              corpus of run.sh (mini for scale mini, otherwise librispeech)
  --seeds "0 1"              seeds of supernet and individual models (0 1)
  --sizes "NAME ..."         sizes of conf/SCALE/individual (all)
  --ablation "LINE ..."      lines of conf/SCALE/ablation ("alpha kl dropout alone"); "" for none
  --ablation_seeds "0"       seeds of the ablation (0)
  --train_args "..."         options of espnet-todm train for every run alike, as "--max_epoch 4" for fewer updates
  --test_sets "NAME ..."     sets to decode ("dev-clean dev-other test-clean test-other")
  --root DIR                 outputs (exp/tables_SCALE)
  --dumpdir DIR              data, shared by all runs (dump/CORPUS)
  --only_tables true         run nothing, write the tables of what is there (false)
  --dry_run true             print the commands (false)
EOF
}

takes_rest=true
. local/parse_options.sh
[ -d "conf/$scale/individual" ] || fail "--scale '$scale': 'conf/$scale/individual' does not exist"
need_switches only_tables dry_run
for number in $seeds $ablation_seeds; do
    [[ $number =~ ^[0-9]+$ ]] || fail "--seeds: '$number' must be a whole number"
done
: "${sizes:=$(basename -s .yaml -a "conf/$scale/individual"/*.yaml | paste -sd ' ')}"
for name in $sizes; do
    [ -f "conf/$scale/individual/$name.yaml" ] || fail "--sizes: 'conf/$scale/individual/$name.yaml' does not exist"
done
for name in $ablation; do
    [ -f "conf/$scale/ablation/$name.yaml" ] || fail "--ablation: 'conf/$scale/ablation/$name.yaml' does not exist"
done
if [ "$scale" = mini ]; then : "${corpus:=mini}"; else : "${corpus:=librispeech}"; fi
: "${root:=exp/tables_$scale}" "${dumpdir:=dump/$corpus}"
options=("$@")

# run SEED NAME "SIZES": one recipe run; left out while another tables.sh is at it.
run() {
    local folder=$root/seed$1/$2 lock
    local command=(./run.sh --corpus "$corpus" --asr_config "conf/$scale/$2.yaml" --expdir "$folder" --dumpdir "$dumpdir"
        --train_args "--seed $1${train_args:+ $train_args}" --sizes "$3" --test_sets "$test_sets" --stop_stage 11 "${options[@]}")
    if [ "$dry_run" = true ]; then
        printf '%q ' "${command[@]}"
        echo
        return
    fi
    mkdir -p "$folder"
    exec {lock}>"$folder/.lock"
    if flock --nonblock "$lock"; then
        echo "== seed $1, $2"
        "${command[@]}"
    else
        echo "== seed $1, $2: another tables.sh is at it"
    fi
    exec {lock}>&-
}

if [ "$only_tables" = false ]; then
    if [ "$dry_run" = false ]; then
        # Data, tokens and statistics, before anything runs side by side.
        mkdir -p "$dumpdir" "$root"
        exec {data}>"$dumpdir/.lock"
        flock --nonblock "$data" || { echo "== waiting for another tables.sh to make the data" && flock "$data"; }
        echo "== data"
        ./run.sh --corpus "$corpus" --asr_config "conf/$scale/supernet.yaml" --expdir "$root/data" --dumpdir "$dumpdir" \
            --train_args "$train_args" --test_sets "$test_sets" --stop_stage 4 "${options[@]}"
        exec {data}>&-
    fi
    for seed in $seeds; do
        run "$seed" supernet "$sizes"
        for size in $sizes; do run "$seed" "individual/$size" "$size"; done
    done
    [ -z "$ablation" ] || for seed in $ablation_seeds; do
        run "$seed" supernet "$sizes"
        for line in $ablation; do run "$seed" "ablation/$line" "$sizes"; done
    done
fi
[ "$dry_run" = false ] || exit 0
[ -d "$root" ] || fail "--root: '$root' does not exist"
# shellcheck disable=SC2086
flock "$root" python -m espnet_plugin.recipe.tables --conf "conf/$scale" --root "$root" --sizes $sizes --test_sets $test_sets \
    --command "${original_command# }"
