"""Tasks of the package `verifiers` as questions, and their rewards as a verifier.

That package cannot be installed beside ATLAS's locks. Where the variable ATLAS_VERIFIERS_PYTHON names a Python that has
it, the bridge runs there; all else is tried with a stand-in that answers as the bridge does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from custom_data.tasksets import process
from custom_data.tasksets.__main__ import main
from custom_data.tasksets.process import TasksetFailure, TasksetProcess
from custom_data.tasksets.verifier import TasksetVerifier
from trainers.builders.protocol import make_verifier
from trainers.concurrency.calls import close
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.problems import ConfigurationError
from trainers.serving.run_token import RUN_TOKEN
from trainers.teaching.lesson import Grade, Question

REAL = os.environ.get("ATLAS_VERIFIERS_PYTHON")
STAND_IN = """
import json, sys, time
settings = json.loads(sys.argv[2])
if sys.argv[1] != "sums":
    print(json.dumps({"refused": "ModuleNotFoundError: no such taskset"}), flush=True)
    sys.exit(2)
print(json.dumps({"tasks": settings.get("size", 3)}), flush=True)
kept = []
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"id": asked["id"]}
    said = asked.get("solution")
    if said is None:
        answer["question"] = f"Be brief.\\n\\nWhat is {asked['task']} + 1?"
    elif said == "die":
        sys.exit(1)
    elif "crash" in said:
        answer["failure"] = "TaskError: cannot read that"
    else:
        answer["reward"] = 0.75 * (str(asked["task"] + 1) in said) + 0.25 * (len(said) < 20)
    if said == "wait":
        kept.append(answer)
        continue
    for each in [answer, *kept]:
        print(json.dumps(each), flush=True)
    kept.clear()
"""


@pytest.fixture(params=["stand-in", "real"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A Python in which the taskset `sums` can be asked."""
    if request.param == "stand-in":
        bridge = tmp_path / "bridge.py"
        bridge.write_text(STAND_IN, encoding="utf-8")
        monkeypatch.setattr(process, "BRIDGE", bridge)
        return sys.executable
    if REAL is None:
        pytest.skip("ATLAS_VERIFIERS_PYTHON names no Python that has the package verifiers")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return REAL


def question(task: object) -> Question:
    return Question(0, "?", None, {"task": task})


def test_tasks_become_rows(python: str, tmp_path: Path) -> None:
    rows = tmp_path / "new" / "rows.jsonl"
    where = ["--python", python, "--taskset", "sums", "--settings", '{"size": 2}', "--output", str(rows)]
    assert main(where) == 0
    assert [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()] == [
        {"question": "Be brief.\n\nWhat is 0 + 1?", "task": 0},
        {"question": "Be brief.\n\nWhat is 1 + 1?", "task": 1},
    ]


def test_rewards_become_verdicts(python: str) -> None:
    verifier = TasksetVerifier("sums", python)
    try:
        right, wrong = (
            verifier.verify("It is 2.", question(1)),
            verifier.verify("It is 7, and I say it at length.", question(1)),
        )
        assert (right.outcome, right.grade) == ("correct", Grade(1.0))
        assert (wrong.outcome, wrong.grade) == ("wrong", Grade(0.0))
        assert verifier.verify("It is 7.", question(1)).grade == Grade(0.25)
        # What fails is nobody's wrong answer.
        failed = verifier.verify("crash", question(1))
        assert (failed.outcome, failed.cause) == ("unscorable", "taskset_failed")
        for unknown in (None, "1", 3, -1):
            assert verifier.verify("It is 2.", question(unknown)).cause == "no_task"
        assert verifier.verify("2", question(1)).correct
    finally:
        verifier.close()
    assert verifier.verify("2", question(1)).cause == "taskset_failed"


def test_a_reward_beyond_its_bounds_is_left_out_and_bounds_are_the_users(python: str) -> None:
    narrow, wide = (
        TasksetVerifier("sums", python, highest=0.5),
        TasksetVerifier("sums", python, lowest=-1, pass_score=0.8),
    )
    try:
        assert narrow.verify("2", question(1)).cause == "reward_beyond_bounds"
        assert narrow.verify("7", question(1)).grade == Grade(0.5)
        found = wide.verify("7", question(1))
        assert (found.outcome, found.grade) == ("wrong", Grade(0.625))
    finally:
        narrow.close()
        wide.close()
    with pytest.raises(ValueError, match="highest=0: expected more than lowest=0"):
        TasksetVerifier("sums", python, highest=0)


def test_a_run_names_it_as_any_verifier_of_a_users_own(python: str) -> None:
    named = f"verifier_args={{taskset: sums, python: {python}}}"
    command = ["evaluate", "verifier=custom_data.tasksets.verifier.TasksetVerifier", named, "student_model=a/b"]
    config = compose(command, Machine(()), servers=1).config
    assert isinstance(config, StudentExperiment)
    verifier = make_verifier(config)

    async def judged() -> list[bool | None]:
        try:
            return [(await verifier.verify(said, question(1))).correct for said in ("2", "I would say that it is 7.")]
        finally:
            await close(verifier)

    assert asyncio.run(judged()) == [True, False]


@pytest.mark.parametrize(("taskset", "settings"), [("absent", {}), ("sums", {"boxed": True})])
def test_what_cannot_be_asked_is_refused(python: str, taskset: str, settings: dict[str, bool], tmp_path: Path) -> None:
    if settings and python != REAL:
        pytest.skip("only the package itself knows what a task needs")
    with pytest.raises(ConfigurationError, match=r"no such taskset|not found|needs a container") as caught:
        TasksetProcess(python, taskset, settings)
    assert caught.value.problems[0].given == f"taskset={taskset} python={python}"
    where = ["--python", python, "--taskset", taskset, "--settings", json.dumps(settings)]
    assert main([*where, "--output", str(tmp_path / "rows.jsonl")]) == 2
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_python_that_is_not_there_or_lacks_the_package_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be run"):
        TasksetProcess("/no/such/python", "sums")
    with pytest.raises(ConfigurationError, match="No module named 'verifiers'"):
        TasksetProcess(sys.executable, "sums")


def test_the_token_of_a_runs_servers_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = tmp_path / "bridge.py"
    bridge.write_text("import json, os\nprint(json.dumps({'refused': ' '.join(os.environ)}), flush=True)\n")
    monkeypatch.setattr(process, "BRIDGE", bridge)
    monkeypatch.setenv(RUN_TOKEN, "secret")
    monkeypatch.setenv("JUDGE_KEY", "key")
    with pytest.raises(ConfigurationError) as caught:
        TasksetProcess(sys.executable, "sums")
    told = caught.value.problems[0].expected.split()
    assert "JUDGE_KEY" in told
    assert RUN_TOKEN not in told


@pytest.mark.parametrize("python", ["stand-in"], indirect=True)
def test_answers_find_who_asked_in_whatever_order_they_come(python: str) -> None:
    asked, found = TasksetProcess(python, "sums"), list[float]()
    waiting = threading.Thread(target=lambda: found.append(asked.reward(0, "wait")))
    try:
        waiting.start()
        while not found:
            assert asked.reward(1, "2") == 1.0
        waiting.join(5)
        assert found == [0.25]
    finally:
        asked.close()


@pytest.mark.parametrize("python", ["stand-in"], indirect=True)
def test_a_process_that_dies_fails_those_who_wait_and_those_who_ask_later(python: str) -> None:
    asked = TasksetProcess(python, "sums")
    for _ in range(2):
        with pytest.raises(TasksetFailure, match="has ended"):
            asked.reward(0, "die")
    asked.close()
