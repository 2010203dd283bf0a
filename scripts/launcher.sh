# shellcheck shell=bash
# Shared by launch.sh, launch_with_server.sh and evaluate.sh, which source it.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() { # usage SCRIPT: the comment at its top
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1" >&2
    exit 2
}

PYTHON=python
[[ -n "${VIRTUAL_ENV:-}" || ! -x "$ROOT/.venv/bin/python" ]] || PYTHON="$ROOT/.venv/bin/python"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

run_module() { # run_module MODULE ARGUMENT…: in place of this shell, so that signals reach the module itself
    exec "$PYTHON" -m "$@"
}

launch() { run_module trainers.launch "$@"; }
