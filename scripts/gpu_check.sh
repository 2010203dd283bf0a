#!/usr/bin/env bash
# Checks a machine with one or more GPUs in some minutes and without a hub: servers by the recipes' own command lines,
# weight updates and their proof, trainer steps under every stage, memory against the planner's estimates, a killed server.
#
#   bash scripts/gpu_check.sh [options]
#
#   --minutes N     time for everything (default 10); what no longer fits is left out and said so
#   --patience X    X times the deadline of each check, for a machine that others use too (default 1)
#   --size SIZE     random models of Qwen3's shapes: 0.6b (default), 8b (80 GB cards), tiny (default with --cpu)
#   --only A,B      only these checks; --list names them
#   --output DIR    models, logs, table and JSON (default results/gpu_check)
#   --cpu           the same on a machine without GPU, as far as it makes sense there
#   --prepare DIR   on a machine with network: fetch the GPU stack's wheels into DIR, and check nothing
#   --wheels DIR    on the machine with the GPU: install from such a directory first
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"

prepare="" wheels="" cpu="" arguments=()
while (($# > 0)); do
    case "$1" in
        --prepare | --wheels | --minutes | --patience | --size | --only | --output)
            (($# > 1)) || fail "$1 needs a value." "bash scripts/gpu_check.sh --help shows what each option takes."
            case "$1" in
                --prepare) prepare="$(realpath -m "$2")" ;;
                --wheels) wheels="$(realpath "$2")" ;;
                *) arguments+=("$1" "$2") ;;
            esac
            shift
            ;;
        --cpu) cpu=yes arguments+=("$1") ;;
        --list) arguments+=("$1") ;;
        -h | --help) show_help "$0" && exit 0 ;;
        *) fail "$1 is not an option of gpu_check.sh." "bash scripts/gpu_check.sh --help lists them." ;;
    esac
    shift
done

prepare_wheels() { # prepare_wheels VERSION DIRECTORY: the locked GPU stack, each file checked against its hash
    local python
    python="$(find_python "$1")" || fail "Python $1 was not found." "Install it, then run this again."
    mkdir -p "$2"
    (cd "$ATLAS_ROOT" && "$python" -m pip download --no-deps --require-hashes --dest "$2" \
        -r requirements/uv.txt -r "requirements/gpu-py${1/./}.txt")
    printf 'The wheels are in %s; bring it along, and there: bash scripts/gpu_check.sh --wheels %s\n' "$2" "$2"
}

if [[ -n "$prepare" ]]; then
    prepare_wheels "$(preferred_version)" "$prepare"
    exit 0
fi
if [[ -n "$wheels" ]]; then
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels" UV_OFFLINE=1
fi
if [[ -n "$cpu" ]]; then
    export CUDA_VISIBLE_DEVICES=""
elif ! nvidia-smi -L 2> /dev/null | grep -q '^GPU '; then
    echo "no GPU: nvidia-smi lists none on this machine; add --cpu for what can be checked without one" >&2
    exit 1
fi
install_what_is_missing
export HF_HUB_OFFLINE=1 CUDA_DEVICE_ORDER=PCI_BUS_ID PYTHONPATH="$ATLAS_ROOT${PYTHONPATH:+:$PYTHONPATH}"
cd "$ATLAS_ROOT"
exec "$ATLAS_VENV/bin/python" -m scripts.gpu_check "${arguments[@]}"
