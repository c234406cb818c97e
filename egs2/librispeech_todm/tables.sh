#!/usr/bin/env bash
# The paper's tables: trains and scores what is not there yet, then writes TABLES.md. Run with --help.
# The plan of the runs is in espnet_plugin/recipe/experiments.py, the tables are made in espnet_plugin/recipe/tables.py.
set -euo pipefail
called=$0
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh
command -v espnet-todm >/dev/null || {
    echo "error: espnet-todm is not installed: run 'make venv' at the top of the project" >&2
    exit 1
}
exec python -m espnet_plugin.recipe.experiments "$called" "$@"
