#!/usr/bin/env bash
# Installs the GPU stack in an environment of its own and checks, without a GPU, all that can be known of it there: every
# server command line of every recipe passes vLLM's parser, accelerate and DeepSpeed read their files, and vLLM's weight
# transfer is the one that we know. Takes 17 GB of disk and, with packages at local speed, some ten minutes.
#
#   bash scripts/gpu_stack_check.sh DIRECTORY    (of the environment, which is kept for the next time)
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"

[[ "${1:-}" != -h && "${1:-}" != --help ]] || { show_help "$0" && exit 0; }
(($# == 1)) || fail "gpu_stack_check.sh takes the directory of an environment." "For example: bash scripts/gpu_stack_check.sh /tmp/gpu-stack"
version="$(preferred_version)"
environment="$(realpath -m "$1")"
[[ -x "$environment/bin/python" ]] || "$(find_python "$version")" -m venv "$environment"
export VIRTUAL_ENV="$environment" PATH="$environment/bin:$PATH" HF_HUB_OFFLINE=1
install_stack "$version" gpu
cd "$ATLAS_ROOT"
exec python -m pytest -q -p no:cacheprovider tests/serving/test_vllm_parser.py tests/serving/test_cuda_engines.py \
    tests/serving/test_cuda_transports.py
