#!/usr/bin/env bash
# slurm.pl [--gpu N] [--num_threads N] [--num_nodes N] [JOB=1:M] LOGFILE COMMAND ...: run a command as a Slurm job and wait for it.
# JOB=1:M makes an array of M jobs; the word JOB in LOGFILE and COMMAND stands for the number of the job.
# Options of sbatch come from SLURM_OPTIONS and, for jobs with GPUs, SLURM_GPU_OPTIONS. On failure the last line of the log, which says
# why, goes to stderr. (ESPnet's launcher knows Slurm by the name slurm.pl, Kaldi's script with these options; this one is bash.)
set -euo pipefail
gpu=0 threads=1 nodes=1 jobs=
while [[ ${1-} == --* || ${1-} == JOB=* ]]; do
    case $1 in
    --gpu) gpu=$2 ;;
    --num_threads) threads=$2 ;;
    --num_nodes) nodes=$2 ;;
    JOB=1:*)
        jobs=${1#JOB=1:}
        shift
        continue
        ;;
    *)
        echo "error: slurm.pl: option '$1' is not one of --gpu, --num_threads, --num_nodes, JOB=1:M" >&2
        exit 1
        ;;
    esac
    shift 2
done
log=$1
shift
mkdir -p "$(dirname "$log")"
script=$(mktemp "$(dirname "$log")/.$(basename "$log").XXXXXX.sh")
id=$script.id
trap 'rm -f "$script" "$id"' EXIT
{
    echo '#!/usr/bin/env bash'
    printf 'cd %q || exit 1\n' "$PWD"
    for word in "$@"; do
        quoted=$(printf '%q' "$word")
        [ -z "$jobs" ] || quoted=${quoted//JOB/\"\$SLURM_ARRAY_TASK_ID\"}
        printf '%s ' "$quoted"
    done
    echo
} >"$script"

options=(--wait --parsable --export=ALL --job-name "$(basename "${log%.log}")" --nodes "$nodes" --ntasks-per-node 1 --cpus-per-task "$threads")
if [ "$gpu" -gt 0 ]; then
    # shellcheck disable=SC2206
    options+=(--gpus-per-node "$gpu" ${SLURM_GPU_OPTIONS:-})
fi
if [ -n "$jobs" ]; then
    options+=(--array "1-$jobs" --output "${log//JOB/%a}")
else
    options+=(--output "$log")
fi
# Who stops this program stops the job: --wait does not end it.
stop() {
    [ ! -s "$id" ] || scancel "$(head -n 1 "$id" | cut -d ';' -f 1)" || true
    exit "$1"
}
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM
status=0
# shellcheck disable=SC2086
stdbuf -oL sbatch "${options[@]}" ${SLURM_OPTIONS:-} "$script" >"$id" &
wait $! || status=$?
if [ "$status" -ne 0 ]; then
    logs=("$log")
    [ -z "$jobs" ] || mapfile -t logs < <(seq 1 "$jobs" | while read -r n; do echo "${log//JOB/$n}"; done)
    reason=$(cat "${logs[@]}" 2>/dev/null | grep -E '^error:' | tail -n 1) || true
    printf '%s\n' "${reason:-error: the job failed with status $status} (log: $log)" >&2
fi
exit "$status"
