"""`python -m tests.faults.switched_off`: switch each protection off, one at a time, and see its test fail.

    python -m tests.faults.switched_off --output docs/benchmarks/data
    python -m tests.faults.switched_off --only lock

For each it copies the repository, takes a piece of the copy's source away, and runs the test there that would find out.
A protection whose test passes all the same is one that nothing holds in place.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.tools.measure import RESULTS, Report
from trainers.paths import ROOT
from trainers.terminal.log_lines import log_to_standard_error

LONGEST_S = 600.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protection:
    """A protection, how it is switched off, and the test that fails then.

    Args:
        name: what is protected, in words.
        file: path of its source in the repository.
        old: the piece of the source that does it, which stands there once.
        new: what stands there instead.
        test: the test, as pytest names it, within `tests`.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


_LOCK, _LOCK_TEST = "trainers/output/lock.py", "faults/test_output_lock.py"
_CHECKPOINTS, _CHECKPOINTS_TEST = "trainers/output/checkpoints.py", "faults/test_checkpoints.py"
_WHATEVER = f"{_CHECKPOINTS_TEST}::test_whatever_happens_to_the_newest_the_one_before_is_used_and_that_is_told"
_ASKS = f"{_LOCK_TEST}::test_every_way_to_start_a_run_asks_for_the_lock"
_API_TEST = "faults/test_api_student.py::test_survivors_are_those_of_a_calm_day"

PROTECTIONS = (
    Protection(
        "lock: its record",
        _LOCK,
        "                    _write(file, mine)\n",
        "",
        f"{_LOCK_TEST}::test_the_second_launch_is_refused_at_once_with_pid_and_host",
    ),
    Protection(
        "lock: the launcher asks for it",
        "trainers/launch/__main__.py",
        "with locked(composition.config.output.output_dir):",
        "if True:",
        f"{_ASKS}[launcher]",
    ),
    Protection(
        "lock: `train.py` asks for it",
        "train.py",
        "with locked(composition.config.output.output_dir) if is_first_rank() else nullcontext():",
        "with nullcontext():",
        f"{_ASKS}[train]",
    ),
    Protection(
        "lock: the sweep asks for it",
        "trainers/launch/sweep/__main__.py",
        "with locked(output) if options.only is None else nullcontext():",
        "with nullcontext():",
        f"{_ASKS}[sweep]",
    ),
    Protection(
        "lock: the process of a dead holder is looked at",
        _LOCK,
        "return _start_of(holder.pid) != holder.started",
        "return False",
        f"{_LOCK_TEST}::test_a_launch_that_was_killed_holds_nothing",
    ),
    Protection(
        "lock: the time at which a process started",
        _LOCK,
        "return _start_of(holder.pid) != holder.started",
        "return _start_of(holder.pid) is None",
        f"{_LOCK_TEST}::test_a_holder_is_judged_by_its_process_or_by_its_silence",
    ),
    Protection(
        "lock: one decision at a time",
        _LOCK,
        "        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        f"{_LOCK_TEST}::test_no_two_launches_decide_at_the_same_time",
    ),
    Protection(
        "lock: what a killed launch left running is waited for",
        _LOCK,
        "left = [] if holder is None else _left_of(holder)",
        "left: list[int] = []",
        f"{_LOCK_TEST}::test_what_a_killed_launch_left_running_is_waited_for",
    ),
    Protection(
        "lock: heartbeat",
        _LOCK,
        "            os.utime(path)\n",
        "            pass\n",
        f"{_LOCK_TEST}::test_a_lock_is_touched_and_one_that_was_taken_over_ends_its_holder",
    ),
    Protection(
        "lock: a holder whose lock was overwritten ends itself",
        _LOCK,
        "            os.kill(os.getpid(), signal.SIGTERM)\n",
        "",
        f"{_LOCK_TEST}::test_a_lock_is_touched_and_one_that_was_taken_over_ends_its_holder",
    ),
    Protection(
        "checkpoints: the mark of one that is being written",
        _CHECKPOINTS,
        "if (checkpoint / UNFINISHED).exists():",
        "if False:",
        f"{_CHECKPOINTS_TEST}::test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace",
    ),
    Protection(
        "checkpoints: hashes of the manifest",
        _CHECKPOINTS,
        "same = _digest(checkpoint / name) == digest",
        "same = True",
        _WHATEVER,
    ),
    Protection(
        "checkpoints: the one that is replaced is kept meanwhile",
        _CHECKPOINTS,
        "        checkpoint.rename(replaced)\n    checkpoint.mkdir",
        "        shutil.rmtree(checkpoint)\n    checkpoint.mkdir",
        f"{_CHECKPOINTS_TEST}::test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace",
    ),
    Protection(
        "checkpoints: what was replaced is put back after a kill",
        _CHECKPOINTS,
        "        else:\n            abandon(checkpoint)\n",
        "        else:\n            pass\n",
        f"{_CHECKPOINTS_TEST}::test_a_save_that_was_cut_off_gives_way_to_what_it_was_to_replace",
    ),
    Protection(
        "checkpoints: one that does not fit is taken away",
        "trainers/training/whole_checkpoints.py",
        "                abandon(checkpoint)\n",
        "                pass\n",
        "faults/test_saving.py::test_a_full_disk_costs_a_checkpoint_and_not_the_one_before_nor_the_training",
    ),
    Protection(
        "records: a torn finished.json is not the end",
        "trainers/configuration/resume/decision.py",
        "return isinstance(json.loads((output_dir / FINISHED).read_bytes()), dict)",
        "return (output_dir / FINISHED).exists()",
        f"{_CHECKPOINTS_TEST}::test_an_empty_record_of_the_end_is_no_end",
    ),
    Protection(
        "records: a torn last line is cut off",
        "trainers/jsonl.py",
        "            file.truncate(whole)\n",
        "",
        "faults/test_records.py::test_a_line_cut_anywhere_costs_that_line_alone",
    ),
    Protection(
        "records: half a row that a full disk took is taken back",
        "trainers/jsonl.py",
        "                file.truncate(size)\n",
        "                pass\n",
        "faults/test_records.py::test_a_full_disk_costs_no_row_of_metrics_and_is_told",
    ),
    Protection(
        "records: the copier of output outlives a full disk",
        "trainers/launch/supervise/log_copy.py",
        "            self._tell(error)\n        else:\n",
        "            raise\n        else:\n",
        "faults/test_files.py::test_the_thread_that_copies_output_outlives_a_full_disk",
    ),
    Protection(
        "hangs: processes that are stopped are looked for",
        "trainers/serving/processes/health_watch.py",
        "stopped = stopped_process(server.pid)",
        "stopped = None",
        "faults/test_hung_servers.py::test_a_frozen_process_is_named_and_one_that_goes_on_is_well_again",
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
        "trainers/serving/processes/die_with_parent.py",
        "    _starter_is_gone.set()\n    _end_descendants()\n",
        "    _starter_is_gone.set()\n",
        "launch/test_run.py::test_a_killed_launcher_leaves_no_trainer",
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
        "trainers/serving/processes/die_with_parent.py",
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
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Switch them off; return 0 if each was missed by its test."""
    report = Report("switched-off", "protections switched off", "each is missed", columns=("switched off", "its test"))
    return switch_off(PROTECTIONS, report, __doc__, arguments)


def switch_off(
    protections: Sequence[Protection], report: Report, description: str | None, arguments: Sequence[str] | None
) -> int:
    """Switch off those that the arguments choose, and finish the report; return 0 if each was missed by its test."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="protections with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="tests run at once")
    parser.add_argument("--output", type=Path, default=RESULTS, help="directory of the record")
    options = parser.parse_args(arguments)
    log_to_standard_error()
    chosen = [protection for protection in protections if options.only in protection.name]

    def tried(protection: Protection) -> tuple[str, str]:
        with copied() as copy:
            found = outcome(protection, copy)
        logger.info("%s: %s", protection.name, found)
        return protection.name, found

    with ThreadPoolExecutor(options.jobs) as workers:
        report.rows += workers.map(tried, chosen)
    failed = sum(found == "failed" for _, found in report.rows)
    report.finish(f"{failed} of {len(report.rows)} tests failed", options.output)
    return int(failed < len(report.rows))


@contextmanager
def copied() -> Iterator[Path]:
    """Copy what git knows of the repository, and what is new in it, to a directory that is gone afterwards."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="switched-off-") as directory:
        for name in filter(None, names):
            if (ROOT / name).is_file():
                target = Path(directory) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)
        yield Path(directory)


def outcome(protection: Protection, copy: Path) -> str:
    """Return how the test of a protection ends in a copy of the repository without it: `failed`, as it should."""
    path = copy / protection.file
    source = path.read_text(encoding="utf-8")
    path.write_text(without(protection, source), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--repeats", "1", f"tests/{protection.test}"]
    # Bytecode is found again by size and time of the source, which two versions may share.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return "failed"
    finally:
        path.write_text(source, encoding="utf-8")
    # 1: tests were run, and some failed; anything else, such as a test that is not there, finds nothing out.
    return {0: "passed", 1: "failed"}.get(done.returncode, f"could not be run ({done.returncode})")


def without(protection: Protection, source: str) -> str:
    """Return a source without a protection.

    Raises:
        ValueError: when the piece that does it does not stand there once.
    """
    if source.count(protection.old) != 1:
        raise ValueError(f"{protection.file} has {source.count(protection.old)} times: {protection.old!r}")
    return source.replace(protection.old, protection.new)


if __name__ == "__main__":
    sys.exit(main())
