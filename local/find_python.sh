#!/usr/bin/env bash
# Print a Python 3.12 or 3.13 that runs. Candidates are tried, since a name on PATH may be a shim that fails.
set -u
candidates() {
    [ -n "${PYTHON:-}" ] && echo "$PYTHON"
    printf '%s\n' python3.12 python3.13 python3 python
    local root
    for root in "${PYENV_ROOT:-}" "$(pyenv root 2>/dev/null)" "$HOME/.pyenv"; do
        [ -n "$root" ] && ls -d "$root"/versions/3.12.*/bin/python "$root"/versions/3.13.*/bin/python 2>/dev/null
    done
    uv python find 3.12 2>/dev/null
    uv python find 3.13 2>/dev/null
}
while read -r candidate; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done < <(candidates)
echo "error: no Python 3.12 or 3.13 with venv found; install one (for example 'uv python install 3.12' or 'pyenv install 3.12') or set PYTHON=/path/to/python" >&2
exit 1
