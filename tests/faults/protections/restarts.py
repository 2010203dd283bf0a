"""Protections of a run whose servers end and are started anew."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_GROUP, _TEST = "trainers/serving/processes/server_group.py", "serving/test_restarts.py"
_POOL, _WAITING = "trainers/generation/vllm/endpoint_pool.py", "generation/test_returning.py"
_TEACHER = "grpo/test_restarted_teacher.py"

RESTARTS = (
    Protection(
        "restarts: a server that ended is started anew",
        _GROUP,
        "if self._up and server.restarts < self._max_restarts:",
        "if False:",
        f"{_TEST}::test_a_server_is_restarted_as_it_was_until_it_may_no_more",
    ),
    Protection(
        "restarts: their number has a limit",
        _GROUP,
        "if self._up and server.restarts < self._max_restarts:",
        "if self._up:",
        f"{_TEST}::test_one_that_cannot_start_again_is_given_up",
    ),
    Protection(
        "restarts: the deadline of a start",
        _GROUP,
        "elif server.age_s > self._start_timeout_s:",
        "elif False:",
        f"{_TEST}::test_one_that_is_never_ready_again_is_given_up",
    ),
    Protection(
        "restarts: one after the other on a GPU",
        _GROUP,
        "            if not any(set(each.spec.gpus) & set(server.spec.gpus) for each in starting):",
        "            if True:",
        f"{_TEST}::test_servers_of_one_gpu_are_restarted_one_after_the_other",
    ),
    Protection(
        "restarts: a server that hangs is ended",
        _GROUP,
        "hung = self._health.hung(but=unwatched) if self._health is not None else None",
        "hung = None",
        f"{_TEST}::test_a_server_that_hangs_is_restarted",
    ),
    Protection(
        "restarts: the state of servers is written",
        _GROUP,
        "        server.state = state\n        self._write_records()\n",
        "        server.state = state\n",
        f"{_TEST}::test_a_server_is_restarted_as_it_was_until_it_may_no_more",
    ),
    Protection(
        "restarts: each start has a name",
        _GROUP,
        "INSTANCE_VARIABLE: secrets.token_hex(8), ",
        'INSTANCE_VARIABLE: "start", ',
        f"{_TEST}::test_a_server_is_restarted_as_it_was_until_it_may_no_more",
    ),
    Protection(
        "restarts: what is meant for another start is refused",
        "trainers/serving/instances.py",
        "if meant != self._instance:",
        "if False:",
        "serving/test_instances.py::test_a_request_for_another_start_does_not_reach_the_engine",
    ),
    Protection(
        "restarts: requests wait",
        _POOL,
        "if not is_retryable(error.cause) or not await self._came_back(started):",
        "if True:",
        f"{_WAITING}::test_requests_wait_for_a_server_that_comes_back",
    ),
    Protection(
        "restarts: requests do not wait for what is gone",
        "trainers/serving/server_records.py",
        'return record is not None and record.state in ("starting", "up", "restarting")',
        "return record is not None",
        f"{_WAITING}::test_nobody_waits_for_a_server_that_was_given_up",
    ),
    Protection(
        "restarts: requests do not wait for what is well",
        "trainers/generation/vllm/returning.py",
        " or await self._any_well(session, up)",
        "",
        f"{_WAITING}::test_what_a_server_that_is_well_refuses_is_not_waited_for",
    ),
    Protection(
        "restarts: a request names the start that it is meant for",
        "trainers/generation/vllm/endpoint.py",
        "meant = {INSTANCE: self.instance} if self.instance is not None else {}",
        "meant: dict[str, str] = {}",
        f"{_WAITING}::test_a_start_with_other_weights_is_not_asked",
    ),
    Protection(
        "restarts: an update names the start that it is meant for",
        "trainers/serving/weights/control_calls.py",
        "meant = {INSTANCE: self.instances[base_url]} if base_url in self.instances else None",
        "meant = None",
        "serving/test_control_calls.py::"
        "test_an_update_does_not_reach_a_server_that_was_started_anew_and_meeting_it_again_mends_that",
    ),
    Protection(
        "restarts: an update that meets one is repeated",
        "trainers/models/served_teacher.py",
        "if not shared_out(lambda: [self._restarted(failure)] * self.accelerator.num_processes):",
        "if True:",
        f"{_TEACHER}::test_servers_started_anew_in_the_middle_of_an_update_are_met_again_and_sent_all",
    ),
    Protection(
        "restarts: a rollout that meets one is repeated",
        "trainers/grpo/rollout_trainer.py",
        "            except ServersRestarted as error:\n",
        "            except ZeroDivisionError as error:\n",
        f"{_TEACHER}::test_the_same_rollout_is_made_once_the_servers_have_the_weights",
    ),
    Protection(
        "restarts: a rollout ahead that meets one is given up",
        "trainers/grpo/overlap.py",
        "        except ServersRestarted as error:\n",
        "        except ZeroDivisionError as error:\n",
        f"{_TEACHER}::test_a_rollout_that_ran_ahead_is_given_up_and_made_after_the_weights",
    ),
)
