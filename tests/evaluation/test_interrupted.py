"""An evaluation against real servers that is ended by a signal, and the same command once more."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from trainers.launch.supervise.interruption import PREEMPTED

pytestmark = [pytest.mark.slow, pytest.mark.servers]
QUESTIONS = 16
OF_SEVERAL = 6  # for each of four students
LESSONS = 2


@pytest.fixture
def command(servers, tmp_path):
    """The command of an evaluation into a directory, by servers that already run, with greedy decoding."""
    data = tmp_path / "questions.jsonl"
    rows = [{"question": f"{n} + 1?", "solution": str(n + 1), "level": n % 2} for n in range(QUESTIONS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def into(output: Path, *more: str) -> list[str]:
        return [
            *("bash", "scripts/evaluate.sh", "configs/run/evaluate.yaml", "--servers", "0", "--no-preflight"),
            *("model=world", "trainer/reward=world", f"student_model={servers.student.model}"),
            *(f"teacher={servers.teacher.model}", "teacher_names=[T]", f"vllm_port={servers.teacher.port}"),
            *(f"dataset_id_or_path={data}", f"output_dir={output}", "eval_concurrency=1", f"num_rollouts={LESSONS}"),
            *("temperature=0", "student_temperature=0", "max_completion_length=48", "student_max_tokens=24"),
            *more,
        ]

    return into


def completed(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.is_file() else 0


def untimed(output: Path) -> dict:
    """Return a summary without its times, and without where its questions lay, which is each repeat's own."""
    summary = json.loads((output / "summary.json").read_text())
    return without(without(summary, "generation_time"), "dataset_id_or_path")


def without(value: Any, name: str) -> Any:
    """Return what JSON holds without the entries of one name."""
    if isinstance(value, list):
        return [without(each, name) for each in value]
    return (
        {key: without(each, name) for key, each in value.items() if key != name} if isinstance(value, dict) else value
    )


@pytest.fixture(scope="module")
def undisturbed():
    """The summary of an evaluation that nobody disturbed, once there is one."""
    return {}


@pytest.mark.fault(
    "an evaluation on real servers ended by TERM or KILL at any lesson",
    "the same command ends with the same summary",
    sample=1,
)
def test_an_interrupted_evaluation_ends_with_the_same_summary(command, chance, undisturbed, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    if not undisturbed:
        completed(command(whole))
        undisturbed |= untimed(whole)
    how, moment = chance.choice((signal.SIGTERM, signal.SIGKILL)), chance.randrange(1, QUESTIONS - 4)
    process = subprocess.Popen(command(cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and lines(cut / "lessons.jsonl") < moment * LESSONS:
        time.sleep(0.02)
    begun = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    assert process.wait(60) == (PREEMPTED if how == signal.SIGTERM else -how)
    # Whoever outlives the killed launcher for a moment still writes: a line behind the torn one would be no end of it.
    assert not psutil.wait_procs(begun, timeout=20)[1]
    kept = lines(cut / "lessons.jsonl") // LESSONS
    assert 0 < kept < QUESTIONS
    assert not (cut / "summary.json").exists()
    with (cut / "lessons.jsonl").open("a") as torn:
        torn.write('{"row": 9, "mem')
    printed = completed(command(cut))
    assert "continues the evaluation that it holds" in printed
    assert f"taught {{'T': {kept}}}" in printed
    assert untimed(cut) == undisturbed
    assert lines(cut / "lessons.jsonl") == QUESTIONS * LESSONS
    before = (cut / "lessons.jsonl").stat().st_mtime_ns
    assert "this evaluation is complete" in completed(command(cut))
    assert (cut / "lessons.jsonl").stat().st_mtime_ns == before


STUDENTS = (
    f"eval_max_samples={OF_SEVERAL}",
    "students={plain: {}, hurried: {system_prompt: Hurry.}}",
    "heldout_students={agent: {agent: tests.support.agents.solve}, lost: {agent: tests.support.agents.fail}}",
)


def test_an_interrupted_evaluation_of_several_students_ends_with_the_same_summary(command, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    printed = completed(command(whole, *STUDENTS))
    assert f"answered none of {OF_SEVERAL} questions" in printed
    process = subprocess.Popen(command(cut, *STUDENTS), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and lines(cut / "lessons.jsonl") < (OF_SEVERAL + 3) * LESSONS:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == PREEMPTED
    assert 0 < lines(cut / "lessons.jsonl") < 4 * OF_SEVERAL * LESSONS
    completed(command(cut, *STUDENTS))
    assert untimed(cut) == untimed(whole)
    found = json.loads((cut / "summary.json").read_text())
    assert list(found["by_student"]) == ["plain", "hurried", "agent", "lost"]
    assert found["by_student"]["agent"]["arms"][1]["counts"]["n"] == OF_SEVERAL * LESSONS
    assert found["by_student"]["lost"]["arms"][1]["accuracy"]["mean"] is None
    assert not (cut / "finished.json").exists()
    kept = (cut / "student_alone.jsonl").read_text().count('"student": "plain"')
    assert "this evaluation is complete" not in completed(command(cut, *STUDENTS, "student=[plain,agent]"))
    assert (cut / "student_alone.jsonl").read_text().count('"student": "plain"') == kept
    assert list(json.loads((cut / "summary.json").read_text())["by_student"]) == ["plain", "agent"]
    assert (cut / "finished.json").exists()
