#!/usr/bin/env bash
# run_local.sh [--gpu N] LOGFILE COMMAND ...: run a command here and log it: command, time, output, exit status. GPUs need no job here.
# On failure the last line of the log, which says why, goes to stderr.
set -u
while [[ ${1-} == --gpu || ${1-} == --num_threads || ${1-} == --num_nodes ]]; do shift 2; done
log=$1
shift
mkdir -p "$(dirname "$log")"
{
    printf '# %q' "$1"
    printf ' %q' "${@:2}"
    printf '\n# started %s\n' "$(date -u +%FT%TZ)"
} >"$log"
"$@" >>"$log" 2>&1
status=$?
printf '# ended %s, exit status %d\n' "$(date -u +%FT%TZ)" "$status" >>"$log"
if [ "$status" -ne 0 ]; then
    reason=$(grep -E '^error:' "$log" | tail -n 1)
    printf '%s\n' "${reason:-error: $(grep -v '^#' "$log" | tail -n 1)} (log: $log)" >&2
fi
exit "$status"
