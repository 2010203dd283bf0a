"""Rows are found in files and directories of every format, and a broken line is one bad row with a number."""

import csv
import gzip
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from custom_data.rows.bad_rows import BadRowError
from custom_data.sources.data_source import DataSource
from custom_data.sources.file_rows import read_parquet
from tests.support.data_configs import write_rows
from trainers.configuration import ConfigurationError
from trainers.hub_ids import looks_local

ROWS = [{"question": f"{n} + {n}?", "answer": str(2 * n), "level": "easy" if n < 3 else "hard"} for n in range(5)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write(directory, kind):
    path = directory / f"rows.{kind}"
    table = Dataset.from_list(ROWS)
    if kind == "jsonl":
        write_rows(path, ROWS)
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
    elif kind == "json":
        path.write_text(json.dumps(ROWS, indent=2), encoding="utf-8")
    elif kind == "csv":
        write_csv(path, ROWS)
    elif kind == "parquet":
        table.to_parquet(path)
    elif kind == "arrow":
        table.save_to_disk(directory / "saved")
        [arrow] = (directory / "saved").glob("*.arrow")
        path.write_bytes(arrow.read_bytes())
    return str(path)


def rows_of(*arguments, **keys):
    return [row for _, row in DataSource(*arguments, **keys).open()]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "csv", "parquet", "arrow"])
def test_every_format_gives_the_same_rows(tmp_path, kind):
    assert rows_of(write(tmp_path, kind)) == ROWS


@pytest.mark.parametrize(
    ("kind", "first"), [("jsonl", "line 1"), ("json", "row 0"), ("csv", "line 2"), ("parquet", "row 0")]
)
def test_places_are_lines_of_text_files_and_row_indices_elsewhere(tmp_path, kind, first):
    place, _ = next(iter(DataSource(write(tmp_path, kind)).open()))
    assert place == first


def test_only_as_many_rows_as_asked_for(tmp_path):
    assert rows_of(write(tmp_path, "jsonl"), dataset_max_samples=2) == ROWS[:2]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("split", "expected"),
    [("train[:2]", ROWS[:2]), ("train[60%:]", ROWS[3:]), ("train[1:2]+train[:1]", [ROWS[1], ROWS[0]])],
)
def test_a_part_of_a_split(tmp_path, kind, split, expected):
    assert rows_of(write(tmp_path, kind), dataset_split=split) == expected


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"dataset_split=test: .*has the splits train.*\n.*dataset_split=train"
    ):
        DataSource(write(tmp_path, "jsonl"), dataset_split="test").open()


def test_json_lines_in_a_json_file(tmp_path):
    path = tmp_path / "rows.json"
    write_rows(path, ROWS)
    assert rows_of(str(path)) == ROWS


def test_a_broken_line_is_one_row(tmp_path):
    lines = [ROWS[0], b'{"question": "\xff"}', "", '{"question": ', "[1]", ROWS[1]]
    found = list(DataSource(write_rows(tmp_path / "rows.jsonl", lines)).open())
    assert [place for place, _ in found] == ["line 1", "line 2", "line 4", "line 5", "line 6"]
    bad = [str(row) for _, row in found if isinstance(row, BadRowError)]
    assert bad == ["invalid UTF-8", "invalid JSON", "not a JSON object"]


def test_a_csv_row_with_line_breaks_counts_where_it_begins(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes('question,answer\r\n"a\r\nb",1\r\nc,2\r\nd\r\n"e\u2028f",4\r\n'.encode())
    found = list(DataSource(str(path)).open())
    assert found[:2] == [
        ("line 2", {"question": "a\r\nb", "answer": "1"}),
        ("line 4", {"question": "c", "answer": "2"}),
    ]
    assert str(found[2][1]) == "1 cells under 2 columns"
    assert found[3] == ("line 6", {"question": "e\u2028f", "answer": "4"})


BREAKS_OFF = [
    ("rows.json", json.dumps(ROWS)[:-30], r"it is no JSON from row 4 on\."),
    ("rows.json", json.dumps(ROWS).replace("}, {", "} oops {", 1), r"it is no JSON from row 1 on\."),
    ("rows.csv", 'question,answer\na,1\n"b,2\nc,3\nd,4\n', "the quote that opens in line 3 is never closed"),
    ("rows.json", '[{"question": "a"}, ' + "[" * 5000, "its row 1 is nested too deeply"),
    ("rows.csv", '"question,answer\na,1\n', "the quote that opens in line 1 is never closed"),
    ("rows.csv", '"question"x,answer\na,1\n', "its header is no CSV"),
    ("rows.json", '{"train": [{"a": 1}], "test": [{"a": 2}]}', "it has several lists of rows, train, test"),
    ("rows.csv", "question,answer,question\na,1,b\n", "its header has several columns question"),
]


@pytest.mark.parametrize(("name", "text", "expected"), BREAKS_OFF)
def test_a_file_of_which_nobody_knows_what_is_lost_is_refused(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"{name}: it cannot be read: {expected}.*\n.*check the file"):
        rows_of(str(tmp_path / name))


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ";"), ("a.csv", "|"), ("a.tsv", "\t"), ("a.csv", "\t")])
def test_cells_are_separated_as_in_the_header(tmp_path, name, separator):
    lines = [["question", "the answer"], ["1,5 + 1?", "2,5"], [f'"a{separator}b"', "x"]]
    (tmp_path / name).write_text("\n".join(separator.join(line) for line in lines), encoding="utf-8")
    expected = [{"question": "1,5 + 1?", "the answer": "2,5"}, {"question": f"a{separator}b", "the answer": "x"}]
    assert rows_of(str(tmp_path / name)) == expected


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["data", "examples"])
def test_an_object_may_wrap_the_list_of_rows(tmp_path, name, indent):
    text = json.dumps({"version": "1.1", name: ROWS, "tags": ["a"]}, indent=indent)
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    assert next(iter(DataSource(str(tmp_path / "rows.json")).open())) == ("row 0", ROWS[0])
    assert rows_of(str(tmp_path / "rows.json")) == ROWS


def test_a_row_with_a_list_of_its_own_wraps_nothing(tmp_path):
    row = {"messages": [{"role": "user", "content": "q"}], "id": 1}
    for indent in (None, 2):
        (tmp_path / "rows.json").write_text(json.dumps(row, indent=indent), encoding="utf-8")
        assert rows_of(str(tmp_path / "rows.json")) == [row]


def test_a_stray_quote_costs_every_line_that_it_takes_with_it(tmp_path):
    (tmp_path / "rows.csv").write_text('question,answer\na,1\nb,"2\nc,3\nd,4\ne,"5"\nf,6\n', encoding="utf-8")
    found = list(DataSource(str(tmp_path / "rows.csv")).open())
    assert [place for place, row in found if isinstance(row, BadRowError)] == [f"line {n}" for n in (3, 4, 5, 6)]
    assert [row["question"] for _, row in found if not isinstance(row, BadRowError)] == ["a", "f"]


@pytest.mark.parametrize("split", ["train[:200%]", "train[a:b]", "train[1:2:3]", "train[:10%"])
def test_what_is_no_part_of_a_split_is_said(tmp_path, split):
    source = DataSource(write(tmp_path, "jsonl"), dataset_split=split, prefix="eval_")
    with pytest.raises(ConfigurationError, match=r"eval_dataset_split=train\[.*\n.*write .*train\["):
        source.open()


def test_a_directory_without_data_is_no_hub_dataset(tmp_path):
    (tmp_path / "README.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="check what is in it") as caught:
        DataSource(str(tmp_path)).open()
    assert "HF_TOKEN" not in str(caught.value)


def test_an_array_longer_than_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("custom_data.sources.file_rows.CHUNK", 64)
    assert rows_of(write(tmp_path, "json")) == ROWS


def test_an_array_is_read_as_fast_as_lines(tmp_path):
    rows = [{"question": f"{n} + {n}? {'x' * 100}", "answer": str(2 * n)} for n in range(10_000)]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    write_rows(tmp_path / "rows.jsonl", rows)
    spent = {}
    for name in ("rows.jsonl", "rows.json"):
        start = time.process_time()
        assert rows_of(str(tmp_path / name)) == rows
        spent[name] = time.process_time() - start
    # Copying what is left of a chunk at every row made it fifteen times as slow.
    assert spent["rows.json"] < 5 * spent["rows.jsonl"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_values_stay_as_they_are_written(tmp_path, kind):
    """The answer 007 is not 7.0, and NA is a text; readers that choose a type for each column would change them."""
    rows = [{"question": "NA", "answer": "007"}, {"question": "null", "answer": "1e3"}, {"question": "x", "answer": ""}]
    (write_csv if kind == "csv" else write_rows)(tmp_path / f"rows.{kind}", rows)
    assert rows_of(str(tmp_path / f"rows.{kind}")) == rows


def hub_layout(directory):
    """A directory as on the hub: a card with two configurations, one with two splits of several files."""
    for name, rows in {"a-train": ROWS[:2], "b-train": ROWS[2:3], "test": ROWS[3:]}.items():
        write_rows(directory / f"{name}.jsonl", rows)
    write_rows(directory / "level_4_5.jsonl", ROWS[4:])
    (directory / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  default: true\n  data_files:\n"
        "  - split: train\n    path: ['a-train.jsonl', 'b-train.jsonl']\n  - split: test\n    path: test.jsonl\n"
        "- config_name: level_4_5\n  data_files: level_4_5.jsonl\n---\n"
    )
    return str(directory)


def test_a_directory_laid_out_as_on_the_hub(tmp_path):
    path = hub_layout(tmp_path)
    found = list(DataSource(path).open())
    assert [row for _, row in found] == ROWS[:3]
    assert [place for place, _ in found] == ["a-train.jsonl line 1", "a-train.jsonl line 2", "b-train.jsonl line 1"]
    assert rows_of(path, dataset_split="test") == ROWS[3:]
    assert rows_of(path, dataset_split="train[2:]") == ROWS[2:3]
    assert rows_of(path, dataset_config="level_4_5") == ROWS[4:]


def test_the_hub_s_cache_that_was_brought_along_is_read_offline(tmp_path, monkeypatch):
    repository = tmp_path / "datasets--owner--set"
    for directory in ("refs", "snapshots/abc"):
        (repository / directory).mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    hub_layout(repository / "snapshots" / "abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    assert rows_of("owner/set") == ROWS[:3]
    assert rows_of("owner/set", dataset_level_filter="level_4_5") == ROWS[4:]


def test_a_level_is_the_configuration_of_that_name(tmp_path):
    assert rows_of(hub_layout(tmp_path), dataset_level_filter="level_4_5") == ROWS[4:]


def test_a_configuration_that_is_not_there_lists_those_that_are(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"dataset_config=x: .*configurations.*main.*level_4_5.*\n.*one of them"
    ):
        DataSource(hub_layout(tmp_path), dataset_config="x").open()


def test_one_file_of_a_directory_without_splits(tmp_path):
    (tmp_path / "training").mkdir()
    write_rows(tmp_path / "training/rl.jsonl", ROWS[:2])
    write_rows(tmp_path / "training/sft.jsonl", [{"problem_text": "p"}])
    assert rows_of(str(tmp_path), dataset_files="training/rl.jsonl") == ROWS[:2]
    with pytest.raises(ConfigurationError, match=r"dataset_files=training/no.jsonl: .*\n.*name a file that is there"):
        DataSource(str(tmp_path), dataset_files="training/no.jsonl").open()


def test_a_directory_of_parquet_files(tmp_path):
    (tmp_path / "data").mkdir()
    Dataset.from_list(ROWS[:3]).to_parquet(tmp_path / "data/train-00000-of-00001.parquet")
    Dataset.from_list(ROWS[3:]).to_parquet(tmp_path / "data/test-00000-of-00001.parquet")
    assert rows_of(str(tmp_path)) == ROWS[:3]
    assert rows_of(str(tmp_path), dataset_split="test") == ROWS[3:]
    with pytest.raises(ConfigurationError, match=r"dataset_split=dev: .*train.*test"):
        DataSource(str(tmp_path), dataset_split="dev").open()


def test_what_save_to_disk_wrote(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    DatasetDict({"train": Dataset.from_list(ROWS[:2]), "test": Dataset.from_list(ROWS[2:])}).save_to_disk(
        tmp_path / "two"
    )
    assert rows_of(str(tmp_path / "one")) == ROWS
    assert rows_of(str(tmp_path / "two"), dataset_split="test") == ROWS[2:]


def test_a_level_is_else_the_value_of_a_column(tmp_path):
    path = write(tmp_path, "jsonl")
    assert rows_of(path, dataset_level_filter="hard", dataset_max_samples=1) == [ROWS[3]]
    with pytest.raises(
        ConfigurationError, match=r"dataset_level_filter=x: column level holds easy, hard.*\n.*one of these"
    ):
        DataSource(path, dataset_level_filter="x").open()


def test_a_level_without_a_column_says_how_to_name_one(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [{"question": "q", "answer": "1", "hardness": 4}])
    with pytest.raises(
        ConfigurationError, match=r"dataset_level_filter=4: .*question, answer, hardness.*\n.*column_map.level"
    ):
        DataSource(path, dataset_level_filter=4).open()
    assert len(rows_of(path, dataset_level_filter=4, column_map={"level": "hardness"})) == 1


@pytest.mark.parametrize("name", ["missing/rows.jsonl", "/missing", "./missing", "results/world/x"])
def test_a_missing_path_is_not_asked_of_the_hub(name):
    assert looks_local(name)
    with pytest.raises(
        ConfigurationError, match=r"dataset_id_or_path=.*missing.*no such file|results/world/x: no such file"
    ):
        DataSource(name).open()


def test_a_hub_out_of_reach_is_said_with_the_ways_out(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ConfigurationError, match=r"owner/no-such-set: the hub cannot be reached.*\n.*HF_HUB_OFFLINE.*local"
    ):
        DataSource("owner/no-such-set").open()


def test_a_broken_table_is_said_without_a_stack_of_causes(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ConfigurationError, match=r"rows.parquet: it cannot be read: .*\n.*check the file"):
        DataSource(str(tmp_path / "rows.parquet")).open()


def test_a_file_that_breaks_off_is_said_as_well(tmp_path):
    write_rows(tmp_path / "rows.jsonl", ROWS * 5000)
    packed = gzip.compress((tmp_path / "rows.jsonl").read_bytes())
    (tmp_path / "rows.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    Dataset.from_list(ROWS * 5000).to_parquet(tmp_path / "rows.parquet")
    whole = (tmp_path / "rows.parquet").read_bytes()
    (tmp_path / "rows.parquet").write_bytes(b"PAR1" + b"\xff" * 200 + whole[204:])
    for name in ("rows.jsonl.gz", "rows.parquet"):
        with pytest.raises(ConfigurationError, match=rf"{name}: it cannot be read: .*\n.*check the file"):
            rows_of(str(tmp_path / name))


def test_a_large_row_group_takes_little_memory(tmp_path):
    texts = pa.array(f"{number} " + "x" * 2000 for number in range(20_000))
    pq.write_table(
        pa.table({"question": texts}), tmp_path / "rows.parquet", row_group_size=20_000, use_dictionary=False
    )
    del texts
    before = pa.total_allocated_bytes()
    rows = read_parquet(tmp_path / "rows.parquet")
    most = max(pa.total_allocated_bytes() - before for _, _ in rows)
    assert most < 10_000_000


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "rows.xml").write_text("<a/>")
    with pytest.raises(ConfigurationError, match=r"(?s)\.xml.*jsonl.*convert"):
        DataSource(str(tmp_path / "rows.xml")).open()


def test_hub_names_are_not_paths():
    assert not looks_local("Arc-Intelligence/Arc-ATLAS-Teach-v0")
    assert not looks_local("gsm8k")
