#!/usr/bin/env bash
# Measure the student alone and with each teacher, on questions of your choice, or compare finished evaluations:
#   scripts/evaluate.sh RECIPE [key=value …] [--servers V] [--dry-run]
#   scripts/evaluate.sh configs/run/evaluate.yaml teacher=results/teacher_rcl num_rollouts=32
#   scripts/evaluate.sh --compare DIR DIR … [--reference ARM] [--output DIR]
# Servers are started on all GPUs, or on V of them; with --servers 0 those at vllm_host and vllm_port are used, which
# already run. An evaluation that was interrupted goes on where it stopped.
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
(($# > 0)) || usage "$0"

if [[ "$1" == --compare ]]; then
    run_module trainers.evaluation.comparison "${@:2}"
fi

servers="" gpus="" words=()
while (($# > 0)); do
    case "$1" in
        --servers | --assume-gpus)
            (($# > 1)) || usage "$0"
            if [[ "$1" == --servers ]]; then
                servers="$2"
            else
                gpus="$2" words+=("$1" "$2")
            fi
            shift
            ;;
        *) words+=("$1") ;;
    esac
    shift
done
gpus="${gpus:-$("$PYTHON" -c 'from trainers.configuration.devices.machine import detect; print(len(detect().gpus))')}"
# Without a GPU one slot holds all servers.
launch --servers "${servers:-$((gpus > 0 ? gpus : 1))}" --trainers 0 "${words[@]}"
