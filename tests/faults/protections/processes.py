"""Protections against processes that hang or outlive their run, against proxies, and of money."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_GUARD = "trainers/serving/processes/die_with_parent.py"
_STARTING = "launch/test_process.py::test_a_request_is_not_lost_while_a_command_starts"
_API_TEST = "faults/test_api_student.py::test_survivors_are_those_of_a_calm_day"

PROCESSES = (
    Protection(
        "hangs: processes that are stopped are looked for",
        "trainers/serving/processes/health_watch.py",
        "if (stopped := stopped_process(server.pid)) is None and",
        "if (stopped := None) is None and",
        "faults/test_hung_servers.py::test_a_frozen_process_is_named_and_one_that_goes_on_is_well_again",
    ),
    Protection(
        "hangs: they are looked for again after a question without answer",
        "trainers/serving/processes/health_watch.py",
        "    stopped = stopped or stopped_process(server.pid)\n",
        "",
        "faults/test_hung_servers.py::test_a_process_that_is_stopped_while_its_server_is_asked_is_named",
    ),
    Protection(
        "hangs: a short pause is none",
        "trainers/serving/processes/health_watch.py",
        "elif idle_s >= self._hung_after_s:",
        "else:",
        "faults/test_hung_servers.py::test_a_short_pause_is_no_hang",
    ),
    Protection(
        "orphans: the guard ends what it guards with its starter",
        _GUARD,
        "    _starter_is_gone.set()\n    _end_descendants()\n",
        "    _starter_is_gone.set()\n",
        "launch/test_run.py::test_a_killed_launcher_leaves_no_trainer",
    ),
    Protection(
        "orphans: a command that is being started hears requests to end",
        _GUARD,
        "    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)\n",
        "    for number in _REQUESTS:\n        signal.signal(number, signal.SIG_IGN)\n",
        f"{_STARTING}[SIGINT-command]",
    ),
    Protection(
        "orphans: the guard passes on what it hears while it starts a command",
        _GUARD,
        "        child.send_signal(number)\n",
        "        pass\n",
        f"{_STARTING}[SIGTERM-guard]",
    ),
    Protection(
        "orphans: ranks that outlast their agent's request are killed soon",
        "trainers/launch/supervise/accelerate_agent.py",
        "close(self, death_sig, min(timeout, RANKS_GRACE_S))",
        "close(self, death_sig, timeout)",
        "launch/test_process.py::test_accelerate_ends_soon_and_as_its_first_failed_rank_did",
    ),
    Protection(
        "orphans: the launcher takes in those of a killed guard",
        "trainers/serving/processes/orphans.py",
        "orphans = [process for process in psutil.Process().children(recursive=True) if _belongs(process, temporary)]",
        "orphans: list[psutil.Process] = []",
        "faults/test_killed_processes.py::test_a_killed_guard_leaves_no_rank",
    ),
    Protection(
        "temporary files: those of a killed launcher",
        _GUARD,
        '        shutil.rmtree(os.environ.get("ATLAS_TEMPORARY", ""), ignore_errors=True)\n',
        "        pass\n",
        "faults/test_temporary_files.py::test_a_launcher_that_is_killed_leaves_no_directory",
    ),
    Protection(
        "temporary files: those of a run that ended",
        "trainers/output/temporary.py",
        "        shutil.rmtree(directory, ignore_errors=True)\n",
        "",
        "faults/test_temporary_files.py::test_a_run_has_a_directory_of_its_own_that_is_gone_afterwards",
    ),
    Protection(
        "network: no proxy before this machine's own APIs",
        "trainers/generation/api/model.py",
        "trust_env=not here",
        "trust_env=True",
        "faults/test_network.py::test_an_api_of_this_machine_is_asked_directly",
    ),
    Protection(
        "money: what a request may cost is put aside first",
        "trainers/generation/api/usage.py",
        "return self.cap is None or self._usage.cost_usd + self._reserved + cost <= self.cap",
        "return self.cap is None or self._usage.cost_usd < self.cap",
        f"{_API_TEST}[0-spending cap]",
    ),
    Protection(
        "money: an answer that never came is charged",
        "trainers/generation/api/model.py",
        "                self.account.settle_unanswered(reserved)\n",
        "                self.account.settle_refused(reserved)\n",
        f"{_API_TEST}[0-timeout]",
    ),
    Protection(
        "hangs: a stopped process of a training is killed",
        "trainers/launch/supervise/stopped_processes.py",
        "            psutil.Process(found).kill()\n",
        "            pass\n",
        "launch/test_stopped_processes.py::test_a_stopped_rank_is_named_and_killed",
    ),
    Protection(
        "hangs: a training is looked at while it is waited for",
        "trainers/launch/supervise/process.py",
        "                self._stopped.end()\n",
        "                pass\n",
        "faults/test_killed_processes.py::test_a_stopped_process_is_named_and_then_as_killed",
    ),
)
