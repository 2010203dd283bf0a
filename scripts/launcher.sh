# shellcheck shell=bash
# Shared by launch.sh and launch_with_server.sh, which source it.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() { # usage SCRIPT: the comment at its top
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1" >&2
    exit 2
}

launch() { # in place of this shell, so that signals reach the launcher itself
    local python=python
    [[ -n "${VIRTUAL_ENV:-}" || ! -x "$ROOT/.venv/bin/python" ]] || python="$ROOT/.venv/bin/python"
    export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
    exec "$python" -m trainers.launch "$@"
}
