"""Core modules, where a silent change would be believed, and the fast tests that have to notice one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CoreModule:
    """A module that is mutated.

    Args:
        source: path of its file in the repository.
        tests: the files that hold it in place, within `tests`.
    """

    source: str
    tests: tuple[str, ...]


_WORKED = ("teaching/test_worked_example.py", "evaluation/test_worked_example.py")
_WORDING = ("teaching/test_leak_spelling.py", "teaching/test_leakage.py")
_STEP_END = "grpo/test_step_end.py"
_SUMMARY = ("evaluation/test_summary.py", *_WORKED)

CORE = (
    CoreModule("trainers/teaching/metrics.py", ("teaching/test_metrics.py", *_WORKED)),
    CoreModule("trainers/teaching/reward.py", ("teaching/test_reward.py", *_WORKED)),
    CoreModule("trainers/teaching/leakage.py", ("teaching/test_leakage.py",)),
    CoreModule("trainers/teaching/leaks/choices.py", ("teaching/test_leakage.py",)),
    CoreModule("trainers/teaching/leaks/expressions.py", _WORDING),
    CoreModule("trainers/teaching/leaks/numerals.py", _WORDING),
    CoreModule("trainers/teaching/leaks/spelling.py", _WORDING),
    CoreModule("trainers/teaching/leaks/blind_check.py", ("teaching/test_blind_check.py",)),
    CoreModule("trainers/teaching/protocol.py", ("teaching/test_protocol.py", "teaching/test_blind_check.py")),
    CoreModule("trainers/teaching/parts/replies.py", ("teaching/test_replies.py",)),
    CoreModule("trainers/teaching/parts/outcomes.py", ("teaching/test_outcomes.py",)),
    CoreModule("trainers/teaching/student_pool.py", ("teaching/test_student_pool.py",)),
    CoreModule("trainers/teaching/prompts.py", ("teaching/test_prompts.py", "teaching/test_protocol.py")),
    CoreModule("trainers/teaching/lengths.py", ("teaching/test_lengths.py",)),
    CoreModule("trainers/confidence_intervals.py", ("evaluation/test_confidence_intervals.py",)),
    CoreModule("trainers/evaluation/measures/quantities.py", ("evaluation/test_quantities.py", *_SUMMARY)),
    CoreModule("trainers/evaluation/measures/breakdowns.py", ("evaluation/test_breakdowns.py", *_SUMMARY)),
    CoreModule("trainers/evaluation/measures/summary.py", (*_SUMMARY, "evaluation/test_several_students.py")),
    CoreModule("trainers/evaluation/measures/results.py", ("evaluation/test_results.py",)),
    CoreModule("trainers/evaluation/measures/judge_figures.py", ("evaluation/test_judge_agreement.py",)),
    CoreModule("trainers/evaluation/reports/student_matrix.py", ("evaluation/test_student_matrix.py",)),
    CoreModule("trainers/evaluation/comparison.py", ("evaluation/test_comparison.py",)),
    CoreModule(
        "trainers/evaluation/reports/results_table.py",
        ("evaluation/test_results_table.py", "evaluation/test_summary.py"),
    ),
    CoreModule("trainers/evaluation/periodic.py", ("evaluation/test_periodic.py", "evaluation/test_figures_agree.py")),
    CoreModule("trainers/grpo/step_metrics.py", (_STEP_END,)),
    CoreModule("trainers/grpo/stop_reasons.py", (_STEP_END, "grpo/test_rollout_costs.py")),
    CoreModule("trainers/grpo/lesson_batches.py", ("grpo/test_lesson_batches.py",)),
    CoreModule("trainers/grpo/alarms/history.py", ("grpo/test_trends.py",)),
    CoreModule("trainers/grpo/alarms/trends.py", ("grpo/test_trends.py",)),
    CoreModule("trainers/grpo/distillation/mentor.py", ("grpo/test_mentor.py",)),
    CoreModule("trainers/grpo/overlap.py", ("grpo/test_overlap.py", "grpo/test_restarted_teacher.py")),
    CoreModule("trainers/grpo/rollout_costs.py", ("grpo/test_rollout_costs.py", "grpo/test_rollouts.py")),
    CoreModule("trainers/grpo/curriculum/question_order.py", ("grpo/test_question_records.py", "grpo/test_overlap.py")),
    CoreModule("trainers/grpo/curriculum/question_records.py", ("grpo/test_question_records.py",)),
    CoreModule("trainers/grpo/curriculum/rollout_plan.py", ("grpo/test_question_records.py",)),
    CoreModule("trainers/grpo/unpadded/balanced_sizes.py", ("grpo/test_micro_batches.py",)),
    CoreModule("trainers/grpo/unpadded/micro_batches.py", ("grpo/test_micro_batches.py",)),
    CoreModule("trainers/grpo/unpadded/pooled_metrics.py", ("grpo/test_pooled_metrics.py",)),
    CoreModule("trainers/generation/retries.py", ("generation/test_retries.py",)),
    CoreModule("trainers/generation/api/usage.py", ("generation/test_api_usage.py",)),
    CoreModule("trainers/generation/api/rate_limits.py", ("generation/test_api_rate_limits.py",)),
    CoreModule("trainers/generation/vllm/admission.py", ("generation/test_admission.py",)),
    CoreModule("trainers/teaching/verifiers/accepted_answers.py", ("teaching/test_accepted_answers.py",)),
    CoreModule("trainers/teaching/verifiers/code/system_calls.py", ("teaching/test_sandbox_escapes.py",)),
    CoreModule("trainers/teaching/verifiers/code/row_tests.py", ("teaching/test_row_tests.py",)),
    CoreModule("trainers/launch/estimates/steps_and_tokens.py", ("launch/test_steps_and_tokens.py",)),
    CoreModule("trainers/configuration/schedule/batches.py", ("configuration/test_batches.py",)),
    CoreModule("trainers/jsonl.py", ("test_jsonl.py", "faults/test_records.py")),
)
