"""An evaluation says when its questions are those that a teacher was trained on."""

from pathlib import Path

import pytest

from trainers.configuration import compose
from trainers.configuration.composition.compose import save
from trainers.configuration.devices.machine import assume
from trainers.launch.__main__ import main as launch
from trainers.launch.checks.trained_on import trained_on


@pytest.fixture
def trained(tmp_path: Path):
    """Saves the configuration of an RL run with these arguments; returns its output directory."""

    def run(*arguments: str) -> Path:
        save(compose(["teacher_rcl", f"output_dir={tmp_path / 'rl'}", *arguments], assume(8)).config)
        return tmp_path / "rl"

    return run


def told(teacher: Path | str, *arguments: str) -> list[str]:
    return list(trained_on(compose(["evaluate", f"teacher={teacher}", *arguments], assume(8)).config))


def part(text: str) -> str:
    return f'dataset_split="{text}"'


def test_the_rows_of_training_are_told(trained) -> None:
    [warning] = told(trained())
    assert "was trained on these questions" in warning


@pytest.mark.parametrize(
    "arguments", [("data=gsm8k",), ("dataset_split=test",), ("dataset_files=training/other.jsonl",)]
)
def test_other_rows_are_not(trained, arguments: tuple[str, ...]) -> None:
    assert told(trained(), *arguments) == []


def test_parts_of_a_split(trained) -> None:
    teacher = trained(part("train[:90%]"))
    assert told(teacher, part("train[90%:]")) == []
    assert len(told(teacher)) == len(told(teacher, part("train[:90%]"))) == 1


def test_one_file_under_two_paths_is_one(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    teacher = trained("data=custom", "dataset_id_or_path=mine.jsonl")
    assert len(told(teacher, "data=custom", f"dataset_id_or_path={tmp_path / 'mine.jsonl'}")) == 1


def test_a_teacher_of_the_hub_and_a_student_alone_have_nothing_to_tell() -> None:
    assert told("Arc-Intelligence/ATLAS-8B-Thinking") == told("null") == []


def test_a_plan_shows_it(trained, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", f"teacher={trained()}", "--dry-run", "--assume-gpus", "8"]
    assert launch(["--servers", "2", "--trainers", "0", *arguments]) == 0
    assert "was trained on these questions" in capsys.readouterr().out


POOL = (
    "students={Ann: {system_prompt: You are Ann.}, Bob: {system_prompt: You are Bob.}}",
    "student_model=models/student",
)


def test_a_student_held_out_that_the_teacher_was_trained_with_is_told(trained) -> None:
    teacher = trained(*POOL)
    heldout = "heldout_students={Zoe: {system_prompt: You are Bob.}, Yan: {system_prompt: You are Yan.}}"
    [warning] = told(teacher, "data=gsm8k", "student_model=models/student", heldout)
    assert warning.startswith("heldout_students.Zoe is a student that teacher=")
    assert "(as Bob)" in warning


def test_the_same_words_to_another_model_make_another_student(trained) -> None:
    heldout = "heldout_students={Zoe: {system_prompt: You are Bob.}}"
    assert told(trained(*POOL), "data=gsm8k", "student_model=models/other", heldout) == []
