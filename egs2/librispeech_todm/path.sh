# Sourced by run.sh: the environment, and how many threads a process may use.
TODM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -x "$TODM_ROOT/.venv/bin/python" ]; then
    export PATH="$TODM_ROOT/.venv/bin:$PATH"
fi
export LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
# One training process uses all cores; stages with --nj processes set one thread each.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)}
