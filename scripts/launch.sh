#!/usr/bin/env bash
# Train on T GPUs (or T CPU processes) without model servers:
#   scripts/launch.sh T RECIPE [key=value …] [zero1 | zero2 | offload] [--dry-run [--assume-gpus N]] [--hosts A,B,…]
#   scripts/launch.sh 8 configs/run/teacher_sft.yaml output_dir=results/pre_rl_model
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# >= 2)) || usage "$0"
numbers "$0" "$1"
launch --servers 0 --trainers "$@"
