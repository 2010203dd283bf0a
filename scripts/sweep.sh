#!/usr/bin/env bash
# Run a recipe once for each combination of values, one run after another, and compare them at the end:
#   scripts/sweep.sh V T RECIPE key=a,b,c key2=… [key=value …] [--output DIR] [--only I]
#   scripts/sweep.sh 4 4 configs/run/teacher_rcl.yaml efficiency_weight=0.5,1.0,2.0 seed=1,2
# V and T are those of launch_with_server.sh. The same command continues: finished runs are not repeated. --only I
# starts the run of that number, counted from 0, as the tasks of a Slurm array do: --only "$SLURM_ARRAY_TASK_ID".
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# >= 3)) || usage "$0"
numbers "$0" "$1" "$2"
run_module trainers.launch.sweep --servers "$1" --trainers "${@:2}"
