"""`python -m tests.mutation.wrong_figures`: put a mistake into a figure, one at a time, and see its test fail.

    python -m tests.mutation.wrong_figures --output docs/benchmarks/data
    python -m tests.mutation.wrong_figures --only leak

Mistakes that nothing noticed once, or that a reader would never see. They are made as `tests.faults.switched_off`
switches protections off.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scripts.benchmarks.tools.measure import Report
from tests.faults.protections import Protection
from tests.faults.switched_off import switch_off

_METRICS, _METRIC = "trainers/teaching/metrics.py", "teaching/test_worked_example.py::test_metric"
_MEASURES, _MEASURE = (
    "trainers/evaluation/measures/quantities.py",
    "evaluation/test_worked_example.py::test_measure_taught",
)
_TRAINER, _TRAINER_TEST = "trainers/grpo/rollout_trainer.py", "grpo/test_rollout_trainer.py"
_IDLE = f"{_TRAINER_TEST}::test_the_trainer_is_idle_while_it_waits_and_while_it_sends_weights"
_OVERLAP, _OVERLAP_TEST = "trainers/grpo/overlap.py", "grpo/test_overlap.py"
_USAGE = "trainers/generation/api/usage.py"
_BILL = "generation/test_api_usage.py::test_the_bill_is_written_every_few_seconds_while_requests_are_answered"
_CURVES, _CURVES_TEST = "trainers/plotting/training.py", "plotting/test_plotting.py"
_RESULTS = "trainers/plotting/results.py"

MISTAKES = (
    # --- metrics of training
    Protection(
        "training: leak rate inverted",
        _METRICS,
        '"leak_rate": _mean(lesson.leaked ',
        '"leak_rate": _mean(not lesson.leaked ',
        f"{_METRIC}[leak_rate]",
    ),
    Protection(
        "training: truncation of taught solutions inverted",
        _METRICS,
        "_mean(solution.truncated for solution in taught)",
        "_mean(not solution.truncated for solution in taught)",
        f"{_METRIC}[truncated_rate/taught]",
    ),
    Protection(
        "training: sign of the gain",
        _METRICS,
        '"accuracy_gain": _mean(t - b ',
        '"accuracy_gain": _mean(b - t ',
        f"{_METRIC}[accuracy_gain]",
    ),
    Protection(
        "training: no deviation of lengths",
        _METRICS,
        "len(lengths) * pstdev(lengths)",
        "0 * pstdev(lengths)",
        f"{_METRIC}[teaching_length_std]",
    ),
    Protection(
        "training: efficiency multiplied",
        _METRICS,
        "Mean(100 * sum(lesson.reward or 0.0 for lesson in scored), tokens)",
        "Mean(100 * sum(lesson.reward or 0.0 for lesson in scored) * tokens, 1)",
        f"{_METRIC}[token_efficiency]",
    ),
    Protection(
        "training: malformed teachings in the mean length",
        _METRICS,
        "[lesson.teaching_length for lesson in sampled if lesson.teaching is not None]",
        "[lesson.teaching_length for lesson in sampled]",
        f"{_METRIC}[teaching_length_mean]",
    ),
    # --- rows of an evaluation
    Protection(
        "evaluation: leak rate inverted",
        _MEASURES,
        "of(lambda lesson: lesson.leaked)",
        "of(lambda lesson: not lesson.leaked)",
        f"{_MEASURE}[leak_rate]",
    ),
    Protection(
        "evaluation: suspected leaks are the leaks",
        _MEASURES,
        "of(lambda lesson: lesson.suspected_leak)",
        "of(lambda lesson: lesson.leaked)",
        f"{_MEASURE}[suspected_leak_rate]",
    ),
    Protection(
        "evaluation: complete without an answer",
        _MEASURES,
        "return solution.answered and not solution.truncated",
        "return not solution.truncated",
        "evaluation/test_worked_example.py::test_an_answer_that_is_missing_is_no_completion",
    ),
    Protection(
        "evaluation: solution tokens doubled",
        _MEASURES,
        "of(lambda lesson: lesson.taught.tokens if",
        "of(lambda lesson: 2 * lesson.taught.tokens if",
        f"{_MEASURE}[solution_tokens]",
    ),
    # --- times
    Protection("times: waiting less sending", _TRAINER, "waited + sync}", "waited - sync}", _IDLE),
    Protection("times: sending with the wrong sign", _TRAINER, '"time/sync_s": sync,', '"time/sync_s": -sync,', _IDLE),
    Protection(
        "times: seconds of an update with the wrong sign",
        "trainers/models/served_teacher.py",
        "self.seconds = time.perf_counter() - start",
        "self.seconds = start - time.perf_counter()",
        "grpo/test_restarted_teacher.py::test_an_update_takes_the_seconds_between_its_beginning_and_its_confirmation",
    ),
    Protection(
        "times: a rollout that is joined is not waited for",
        _OVERLAP,
        "        self._pending = None\n        self.waited += time",
        "        self._pending = None\n        self.waited -= time",
        f"{_OVERLAP_TEST}::test_the_trainer_waits_for_what_it_stands_still_for[True-expected1]",
    ),
    # --- state
    Protection(
        "state: which sequences share an optimizer step",
        "trainers/grpo/trl/unpadded_trainer.py",
        "return min(self.args.gradient_accumulation_steps",
        "return max(self.args.gradient_accumulation_steps",
        f"{_TRAINER_TEST}::test_sequences_that_chance_puts_into_one_optimizer_step_stay_in_it",
    ),
    Protection(
        "state: micro-batches of another layout",
        "trainers/grpo/checkpoint_files.py",
        'saved is not None and saved["layout"] == dict(layout)',
        "saved is not None",
        f"{_TRAINER_TEST}::test_micro_batches_of_another_layout_are_not_taken",
    ),
    Protection(
        "state: a failed rollout ahead is run again in silence",
        _OVERLAP,
        "        if failure is not None:\n            raise failure\n",
        "",
        f"{_OVERLAP_TEST}::test_a_failed_rollout_is_raised_once_and_is_not_run_in_silence",
    ),
    Protection(
        "state: the API's bill is written at the end only",
        _USAGE,
        "        if time.monotonic() - self._saved_at > _SAVE_INTERVAL_S:\n            self.save()\n",
        "",
        _BILL,
    ),
    Protection(
        "state: a sampler of sums",
        "trainers/grpo/curriculum/question_order.py",
        "self.order.per_rollout * self.num_generations * self.batches",
        "self.order.per_rollout * (self.num_generations + self.batches)",
        f"{_OVERLAP_TEST}::test_the_sampler_repeats_questions_for_groups_and_rollouts_for_micro_batches",
    ),
    # --- data that are refused
    Protection(
        "data: overlong_prompts=error refuses what all fits",
        "custom_data/tables/overlong.py",
        "if not count or (overlong_prompts",
        "if (overlong_prompts",
        "builders/test_data.py::test_rows_that_all_fit_pass_where_none_may_be_dropped",
    ),
    Protection(
        "data: columns of question and solution refused",
        "custom_data/rows/columns.py",
        'chosen["question"] in (chosen.get(name) for name in _ANSWERS)',
        "any(name in chosen for name in _ANSWERS)",
        "builders/test_data.py::test_the_columns_of_questions_and_solutions_are_named_in_sft",
    ),
    # --- promises
    Protection(
        "promises: eight attempts of a request",
        "trainers/generation/api/model.py",
        "RetryPolicy(attempts=8,",
        "RetryPolicy(attempts=7,",
        "generation/test_api_model.py::test_a_request_is_made_eight_times_after_growing_delays",
    ),
    Protection(
        "promises: nohup",
        "trainers/launch/supervise/interruption.py",
        "    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]\n",
        "    heard = list(SIGNALS)\n",
        "launch/test_preemption.py::test_what_nohup_ignores_stays_ignored",
    ),
    Protection(
        "promises: requests at a time",
        "trainers/service/app.py",
        "if self._running >= self._limits.max_concurrent_requests:",
        "if False:",
        "service/test_service.py::test_more_requests_than_allowed_are_sent_away",
    ),
    # --- pictures
    Protection(
        "pictures: dots of the learning curves",
        _CURVES,
        '        axis.plot(steps, values, "o"',
        '        axis.plot([], [], "o"',
        f"{_CURVES_TEST}::test_learning_curves_draw_what_was_logged",
    ),
    Protection(
        "pictures: lines of the learning curves",
        _CURVES,
        "        axis.plot(steps, smooth(steps, values),",
        "        axis.plot([], [],",
        f"{_CURVES_TEST}::test_learning_curves_draw_what_was_logged",
    ),
    Protection(
        "pictures: the band of the students",
        _CURVES,
        "    axis.fill_between(steps, low, high, color=curve.colour, alpha=BAND, linewidth=0)\n",
        "",
        f"{_CURVES_TEST}::test_curves_of_a_pool_have_bands_from_the_least_student_to_the_greatest",
    ),
    Protection(
        "pictures: the band of the seeds",
        _CURVES,
        "        axis.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0)\n",
        "        pass\n",
        f"{_CURVES_TEST}::test_several_seeds_are_lines_their_smoothed_mean_and_a_band",
    ),
    Protection(
        "pictures: bars of accuracy",
        _RESULTS,
        "        axis.barh(position, estimate.mean, height=0.58, color=colours[name], alpha=0.85, linewidth=0)\n",
        "",
        f"{_CURVES_TEST}::test_bars_of_accuracy_have_their_intervals_and_the_student_alone_a_line",
    ),
    Protection(
        "pictures: bars of tokens",
        _RESULTS,
        "    axis.barh(position, estimate.mean, height=0.36, color=colour, alpha=0.85, linewidth=0)\n",
        "",
        f"{_CURVES_TEST}::test_bars_of_tokens_are_those_of_solution_and_guidance",
    ),
    Protection(
        "pictures: intervals",
        _RESULTS,
        "    axis.plot(*((ends, across) if horizontal else (across, ends)),",
        "    axis.plot([], [],",
        f"{_CURVES_TEST}::test_gains_by_part_are_points_and_intervals",
    ),
    Protection(
        "pictures: dots of differences",
        _RESULTS,
        '        axis.plot(100 * estimate.mean, position, "o", color=colour, markersize=8)\n',
        "",
        f"{_CURVES_TEST}::test_differences_are_points_coloured_by_what_can_be_told",
    ),
    Protection(
        "pictures: mean lengths",
        _RESULTS,
        '    axis.plot(mean.mean, position, "D",',
        '    axis.plot([], [], "D",',
        f"{_CURVES_TEST}::test_lengths_are_drawn_beside_their_means_on_the_side_of_the_student",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the mistakes; return 0 if each was noticed by its test."""
    report = Report("wrong-figures", "mistakes in figures", "each is noticed", columns=("mistake", "its test"))
    return switch_off(MISTAKES, report, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
