#!/usr/bin/env bash
# From a corpus to a table of model sizes with their word error rates. Run with --help.
# The stages are methods in espnet_plugin/recipe/stages.py, the options are in espnet_plugin/recipe/options.py, a corpus is a file in
# local/corpora. What path.sh, cmd.sh and db.sh set is passed on in the environment.
set -euo pipefail
called=$0
cd "$(dirname "${BASH_SOURCE[0]}")"
set -a
. ./path.sh
. ./cmd.sh
. ./db.sh
set +a
command -v espnet-todm >/dev/null || {
    echo "error: espnet-todm is not installed: run 'make venv' at the top of the project" >&2
    exit 1
}
exec python -m espnet_plugin.recipe.run "$called" "$@"
