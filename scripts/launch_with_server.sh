#!/usr/bin/env bash
# Serve the models on V GPUs, and train on the next T; T = 0 evaluates:
#   scripts/launch_with_server.sh V T RECIPE [key=value …] [zero1 | zero2 | offload] [--dry-run [--assume-gpus N]] [--hosts A,B,…]
#   scripts/launch_with_server.sh 4 4 configs/run/teacher_rcl.yaml
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# >= 3)) || usage "$0"
numbers "$0" "$1" "$2"
launch --servers "$1" --trainers "${@:2}"
