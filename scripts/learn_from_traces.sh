#!/usr/bin/env bash
# From a directory of traces (docs/guides/traces.md) to a teacher that has learned from them, evaluated beside the old one:
#   scripts/learn_from_traces.sh DIR [options] [key=value …] [--training key=value …] [--evaluation key=value …]
#   scripts/learn_from_traces.sh traces --teacher results/teacher_rcl --training trace_approved=true --evaluation verifier=judge …
# It runs launch.sh (with --grpo launch_with_server.sh) and evaluate.sh, and shows their commands. Held-out conversations
# are in neither training. Words before --training and --evaluation are for both stages. The same command continues.
#   --teacher OLD      the teacher in use, from which training starts (default Arc-Intelligence/ATLAS-8B-Thinking)
#   --grpo             learn by GRPO on the questions, instead of SFT on the teachings
#   --output OUT       where teacher and evaluation go (default results/from_traces)
#   --servers V        GPUs with model servers, --trainers T: GPUs that train (default: all, with --grpo half of them each)
#   --dry-run [--assume-gpus N]   shows what would be started, and starts nothing
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/launcher.sh"
case "${1:-}" in "" | -*) usage "$0" ;; esac

traces="$1" old=Arc-Intelligence/ATLAS-8B-Thinking output=results/from_traces method=sft gpus="" servers="" trainers=""
plan=() both=() training=() evaluation=() stage=both
shift
while (($# > 0)); do
    case "$1" in
        --teacher | --output | --servers | --trainers | --assume-gpus)
            (($# > 1)) || usage "$0"
            case "$1" in
                --teacher) old="$2" ;;
                --output) output="$2" ;;
                --servers) servers="$2" ;;
                --trainers) trainers="$2" ;;
                --assume-gpus) gpus="$2" ;;
            esac
            shift
            ;;
        --grpo) method=grpo ;;
        --dry-run) plan=(--dry-run) ;;
        --training | --evaluation) stage="${1#--}" ;;
        -*) usage "$0" ;;
        *)
            case "$stage" in
                both) both+=("$1") ;;
                training) training+=("$1") ;;
                evaluation) evaluation+=("$1") ;;
            esac
            ;;
    esac
    shift
done
numbers "$0" "${servers:-0}" "${trainers:-0}" "${gpus:-0}"
[[ -e "$traces" ]] || {
    printf 'error: %s: there are no traces. Record some with scripts/serve.sh --record DIR\n' "$traces" >&2
    exit 2
}
assumed=()
[[ -z "$gpus" ]] || assumed=(--assume-gpus "$gpus")
gpus="${gpus:-$("$PYTHON" -c 'from trainers.configuration.devices.machine import detect; print(len(detect().gpus))')}"
all=$((gpus > 0 ? gpus : 1)) half=$((gpus > 1 ? gpus / 2 : 1))
here="$(dirname "$(realpath "${BASH_SOURCE[0]}")")"

data=(data=traces "dataset_id_or_path=$traces")
if [[ "$method" == grpo ]]; then
    train=("$here/launch_with_server.sh" "${servers:-$half}" "${trainers:-$half}" configs/run/teacher_rcl.yaml)
else
    train=("$here/launch.sh" "${trainers:-$all}" configs/run/teacher_sft.yaml)
fi
train+=("${data[@]}" "model_name_or_path=$old" "output_dir=$output/teacher" "${both[@]}" "${training[@]}")
evaluate() { # evaluate TEACHERS NAMES [options]: of the old teacher, and the new one where there is one
    run "$here/evaluate.sh" configs/run/evaluate.yaml "${data[@]}" dataset_split=heldout "teacher=$1" "teacher_names=$2" \
        "output_dir=$output/evaluation" "${both[@]}" "${evaluation[@]}" --servers "${servers:-$all}" "${@:3}"
}
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

if ((${#plan[@]})); then
    run "${train[@]}" "${plan[@]}" "${assumed[@]}"
    evaluate "[$old]" '[old]' "${plan[@]}" "${assumed[@]}"
    printf '\nThe evaluation is planned with the old teacher alone: the new one, %s, is not there yet.\n' "$output/teacher"
    exit 0
fi
# A mistake in the second stage is told before hours of the first.
check="$(evaluate "[$old]" '[old]' --dry-run "${assumed[@]}" 2>&1)" || {
    printf '%s\n' "$check" >&2
    exit 2
}
run "${train[@]}"
evaluate "[$old,$output/teacher]" '[old,new]'
printf '\nThe old teacher and the new one: %s\n' "$output/evaluation/summary.md"
