"""The example of adding a dataset, as the data guide shows it, works."""

import re
from pathlib import Path

import pytest

from custom_data import loading
from custom_data.tables.questions import Questions
from examples import custom_dataset
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.keys import keys_of
from trainers.paths import ROOT

GUIDE = (ROOT / "docs/guides/data-requirements.md").read_text(encoding="utf-8")


def block(start):
    """The text of the code block that begins so, the line that names its file left out."""
    [found] = re.findall(rf"^```\w+\n(?:# [\w/.]+\n)?({re.escape(start)}.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture
def algebra(tmp_path, tmp_path_factory, monkeypatch):
    """The files that the guide shows, in a directory `my`."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.chdir(tmp_path)
    for directory in ("my/data", "my/run"):
        Path(directory).mkdir(parents=True)
    Path("my/data/algebra.yaml").write_text(block("dataset_id_or_path: my/algebra.jsonl"), encoding="utf-8")
    Path("my/run/algebra.yaml").write_text(block("defaults:"), encoding="utf-8")
    Path("my/algebra.jsonl").write_text(block('{"id": 1'), encoding="utf-8")


def test_the_example_of_the_guide_is_read(algebra):
    config = compose(["my/run/algebra.yaml", "eval_strategy=no"], Machine(tuple(range(2)))).config
    assert config.prompts.student_system_prompt == "You solve equations."
    table = loading.load(config).training
    first, second = Questions(table)
    assert (first.text, first.ground_truth, first.extra) == ("Solve 2x = 6.", "3", {"level": 8, "hints": ["divide"]})
    assert second.ground_truth == "4"
    assert table.reading.lines()[1:] == ["  dropped 1 row: row_reader gave no row (line 3)"]


def test_the_example_shows_what_becomes_of_a_file(algebra, capsys):
    custom_dataset.main("my/algebra.jsonl")
    printed = capsys.readouterr().out
    assert "3 rows read, 2 kept" in printed
    assert "Solve 2x = 6." in printed


def test_the_guide_shows_the_function_of_the_example():
    shown: dict = {}
    exec(block("def read_row"), shown)
    for row in ({"task": {"text": "t", "hints": []}, "key": "x = 3", "grade": 1}, {"key": None}):
        assert shown["read_row"](row) == custom_dataset.read_row(row)


@pytest.mark.parametrize("key", re.findall(r"^\| `(\w+)`[^|]*\|", GUIDE, re.MULTILINE))
def test_keys_in_the_guides_tables_exist(key):
    assert key in keys_of("teacher_grpo") | keys_of("sft")


def test_the_guide_names_the_default_ratio():
    assert f"(default {keys_of('sft')['max_bad_row_ratio'].default})" in GUIDE
