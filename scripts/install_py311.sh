#!/usr/bin/env bash
# Installs ATLAS for Python 3.11 from its lock: the GPU stack, or with --cpu the stack for a machine without GPU.
#
#   bash scripts/install_py311.sh [--cpu]
#
# Uses the active virtual environment, else makes .venv. A second run installs nothing.
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"

install_main 3.11 "$@"
