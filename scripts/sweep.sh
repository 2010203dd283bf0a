#!/usr/bin/env bash
# Run a recipe once for each combination of values, one run after another, and compare them at the end:
#   scripts/sweep.sh V T RECIPE key=a,b,c key2=… [key=value …] [--output DIR] [--only I] [--slurm=OPTIONS]
#   scripts/sweep.sh 4 4 configs/run/teacher_rcl.yaml efficiency_weight=0.5,1.0,2.0 seed=1,2
# or search for good values with Optuna, also between the ends of an interval:
#   scripts/sweep.sh 4 4 RECIPE 'learning_rate=tag(log,interval(1e-7,1e-5))' --trials 20 --maximize taught
# V and T are those of launch_with_server.sh. The same command continues: finished runs are not repeated. --only I
# starts the run of that number, counted from 0. --slurm submits all runs as an array of Slurm, with these options of
# sbatch: --slurm='--gres=gpu:8 --time=12:00:00'.
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# >= 3)) || usage "$0"
numbers "$0" "$1" "$2"
run_module trainers.launch.sweep --servers "$1" --trainers "${@:2}"
