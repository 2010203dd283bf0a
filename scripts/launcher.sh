# shellcheck shell=bash
# Shared by launch.sh, launch_with_server.sh, evaluate.sh and others, which source it.
set -euo pipefail
ROOT="$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/.." && pwd)"

described() { # described SCRIPT: the comment at its top
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"
}

usage() { # usage SCRIPT: refuses a call, with how it is done
    described "$1" >&2
    exit 2
}

# Whoever sources this has the same arguments.
case "${1:-}" in -h | --help) described "$0" && exit 0 ;; esac

numbers() { # numbers SCRIPT WORD…: refuses what is no number of GPUs, and shows how the script is called
    local script="$1" word
    shift
    for word in "$@"; do
        [[ "$word" =~ ^[0-9]+$ ]] || {
            printf "error: '%s' is not a number of GPUs, which come first:\n\n" "$word" >&2
            usage "$script"
        }
    done
}

PYTHON=python
[[ -n "${VIRTUAL_ENV:-}" || ! -x "$ROOT/.venv/bin/python" ]] || PYTHON="$ROOT/.venv/bin/python"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

run_module() { # run_module MODULE ARGUMENT…: in place of this shell, so that signals reach the module itself
    exec "$PYTHON" -m "$@"
}

launch() { run_module trainers.launch "$@"; }
