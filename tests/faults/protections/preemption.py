"""Protections of a run that has to make room for another."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_SIGNALS, _TEST = "trainers/launch/supervise/interruption.py", "launch/test_preemption.py"
_ROOM = "trainers/launch/supervise/preemption.py"
_SCRIPT, _BATCH = "scripts/slurm/requeue.sh", "launch/test_slurm_scripts.py"

PREEMPTION = (
    Protection(
        "preemption: TERM and USR1 are noted while a trainer runs",
        "trainers/launch/running.py",
        "noting = deferring() if isinstance(plan.config, TrainingExperiment) else nullcontext(Request())",
        "noting = nullcontext(Request())",
        f"{_TEST}::test_a_run_that_makes_room_at_any_moment_ends_as_the_undisturbed_one",
    ),
    Protection(
        "preemption: servers that end by the signal are not restarted",
        "trainers/launch/running.py",
        "            if not request.made:\n                # Slurm",
        "            if True:\n                # Slurm",
        f"{_TEST}::test_servers_that_end_by_the_signal_are_not_restarted_and_a_rollout_is_given_up",
    ),
    Protection(
        "preemption: a trainer that loads is not waited for",
        "trainers/launch/running.py",
        "    if plan.file(LOADING).exists():\n        logger.warning(",
        "    if False:\n        logger.warning(",
        f"{_TEST}::test_a_trainer_that_has_trained_nothing_is_not_waited_for",
    ),
    Protection(
        "preemption: one whose first step began is waited for",
        "trainers/training/stopping.py",
        "            has_loaded()\n",
        "            pass\n",
        "training/test_stopping.py::test_a_launcher_hears_when_the_first_step_begins_and_not_before",
    ),
    Protection(
        "preemption: a second TERM insists",
        _SIGNALS,
        "return now - self.urgent_since > ONE_REQUEST_S",
        "return False",
        f"{_TEST}::test_what_term_means_depends_on_what_was_heard",
    ),
    Protection(
        "preemption: several TERM within two seconds are one",
        _SIGNALS,
        "return now - self.urgent_since > ONE_REQUEST_S",
        "return now > self.urgent_since",
        f"{_TEST}::test_what_term_means_depends_on_what_was_heard",
    ),
    Protection(
        "preemption: status 75 for what has nothing to save",
        _SIGNALS,
        "PREEMPTED if number in MAKE_ROOM and not insisted else 128 + number",
        "128 + number",
        f"{_TEST}::test_a_launch_that_has_nothing_to_save_ends_at_once_and_continues",
    ),
    Protection(
        "preemption: a step has the grace, and no more",
        _ROOM,
        "if short > grace_s:",
        "if short > 20 * grace_s:",
        f"{_TEST}::test_a_step_that_takes_longer_than_the_grace_costs_itself_alone",
    ),
    Protection(
        "preemption: a rollout is given up in time",
        _ROOM,
        "if (ended or short > ROLLOUT_SHARE * grace_s) and not gives_up.exists():",
        "if False:",
        f"{_TEST}::test_a_rollout_is_given_up_when_time_is_short_or_servers_end",
    ),
    Protection(
        "preemption: nothing is learned from a rollout that its dying servers cut",
        "trainers/grpo/abandonment.py",
        "if rollout.failures and (self._stopping() or asked_to_end(self._output_dir)):",
        "if False:",
        "grpo/test_abandonment.py::test_a_rollout_that_is_not_whole_when_the_run_is_to_stop_is_given_up",
    ),
    Protection(
        "preemption: a trainer hears a signal before its launcher tells of it",
        "trainers/grpo/abandonment.py",
        "return request_heard() or any(",
        "return any(",
        "grpo/test_abandonment.py::"
        "test_a_trainer_gives_up_what_failed_after_a_signal_that_its_launcher_has_not_told_of",
    ),
    Protection(
        "preemption: a weight update does not wait for servers that nobody starts again",
        "trainers/teacher_grpo.py",
        "not asked_to_end(config.output.output_dir) and records.comes_back(url)",
        "records.comes_back(url)",
        "grpo/test_connecting.py::"
        "test_weight_updates_have_the_deadline_of_requests_and_wait_for_servers_that_come_back",
    ),
    Protection(
        "preemption: a weight update does not wait for servers that do not answer while they end",
        "trainers/serving/weights/control_calls.py",
        "if not done and self.ending():",
        "if False:",
        "serving/test_control_calls.py::test_a_run_that_ends_does_not_wait_for_servers_that_do_not_answer",
    ),
    Protection(
        "preemption: what servers fail at while a run is to end is saved, and no failure",
        "trainers/grpo/trainer.py",
        "not isinstance(error, RolloutGivenUp) and not self._asked_to_end()",
        "not isinstance(error, RolloutGivenUp)",
        "grpo/test_abandonment.py::test_what_servers_fail_at_while_the_run_is_to_end_is_no_failure",
    ),
    Protection(
        "preemption: no row is made of an evaluation that dying servers cut",
        "trainers/grpo/rollout_trainer.py",
        "if rollout.failures and asked_to_end(self.args.output_dir):",
        "if False:",
        "grpo/test_abandonment.py::test_an_evaluation_that_dying_servers_cut_is_not_recorded",
    ),
    Protection(
        "preemption: nothing is saved into what another launch has",
        _ROOM,
        "if is_lost(output_dir):",
        "if False:",
        f"{_TEST}::test_a_launch_that_lost_its_directory_to_another_does_not_save_there",
    ),
    Protection(
        "preemption: ranks outlast TERM and USR1",
        _SIGNALS,
        "        signal.signal(number, lambda *_: note_request())\n",
        "        pass\n",
        f"{_TEST}::test_a_signal_to_every_process_of_a_job_leaves_time_to_save",
    ),
    Protection(
        "preemption: a job that was queued again waits for the lock",
        "trainers/output/lock.py",
        "elif holder.place != mine.place and time.monotonic() < patience:",
        "elif False:",
        "faults/test_output_lock.py::test_a_job_that_was_queued_again_waits_for_the_lock_of_a_lost_node",
    ),
    Protection(
        "preemption: only what was warned is queued again",
        _SCRIPT,
        'if [[ -n "$warned" ]] && ((status == MADE_ROOM)); then',
        "if ((status == MADE_ROOM)); then",
        f"{_BATCH}::test_a_job_that_slurm_ends_is_left_to_slurm",
    ),
    Protection(
        "preemption: the batch script waits for the launch's own status",
        _SCRIPT,
        '        [[ -n "$heard" ]] && kill -0 "$launch" 2> /dev/null || ended=1\n    done\n'
        '    if [[ -n "$heard" ]]; then\n        wait "$launch"\n        status=$?\n    fi\n',
        "        ended=1\n    done\n",
        f"{_BATCH}::test_the_status_of_a_launch_is_never_that_of_the_signal",
    ),
    Protection(
        "preemption: the batch script passes USR1 on",
        _SCRIPT,
        "trap 'heard=1 warned=1; kill -USR1 \"$launch\" 2> /dev/null' USR1",
        "trap 'heard=1 warned=1' USR1",
        f"{_BATCH}::test_a_job_that_was_warned_is_queued_again",
    ),
)
