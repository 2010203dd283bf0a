"""The data of a run is checked as a whole before anything starts: parts, held-out questions, lengths."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from transformers import AutoTokenizer

from custom_data import loading
from custom_data.rows import heldout
from custom_data.tables.questions import Questions
from tests.support.data_configs import data_config, write_rows
from tests.support.shared_data import SHARED_DATA
from trainers.builders.contexts import has_fewer_tokens_than_bytes, question_needs, rendering_overhead
from trainers.builders.data import check_data, load_examples, load_questions
from trainers.configuration import ConfigurationError
from trainers.configuration.datasets.known_datasets import (
    DATASETS,
    DatasetInfo,
    dataset_settings,
    with_dataset_settings,
)
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.types import Message, Prompt
from trainers.launch.checks.inspection import Findings, with_data

GSM8K = SHARED_DATA / "gsm8k"
needs_gsm8k = pytest.mark.skipif(not GSM8K.is_dir(), reason=f"real data is not at {GSM8K}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def rows(count, start=0):
    return [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(start, start + count)]


@pytest.mark.parametrize("text", ["What is X?", " what  is\nx? ", "WHAT IS X?"])
def test_case_and_white_space_make_no_other_question(text):
    assert heldout.normalise(text) == "what is x?"


def test_signs_make_other_questions():
    texts = ["2 + 2", "2 - 2", "x²", "x2", "2.2", "22"]
    assert len({heldout.text_key(text) for text in texts}) == len(texts)


def test_composed_characters_are_the_same():
    assert heldout.text_key("é") == heldout.text_key("e\u0301")


def test_a_split_is_seeded_and_never_parts_a_question():
    keys = np.repeat(np.arange(500), 3)
    held = heldout.split(keys, 0.1, seed=1)
    assert 150 <= held.sum() <= 152
    assert not {*keys[held]} & {*keys[~held]}
    assert (held == heldout.split(keys, 0.1, seed=1)).all()
    assert (held != heldout.split(keys, 0.1, seed=2)).any()


def test_evaluation_rows_are_split_off(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(50))
    parts = loading.load(data_config("teacher_grpo", path, eval_strategy="steps", eval_split_ratio=0.2))
    training, evaluation = Questions(parts.training), Questions(parts.evaluation)
    assert (len(training), len(evaluation)) == (40, 10)
    assert not {q.text for q in training} & {q.text for q in evaluation}
    assert [q.row for q in evaluation] == list(range(10))


@pytest.mark.parametrize("eval_strategy", ["no", "steps"])
def test_a_held_out_question_is_left_out_of_training(tmp_path, eval_strategy):
    path = write_rows(tmp_path / "train.jsonl", rows(10))
    held_out = write_rows(tmp_path / "test.jsonl", [{"question": " WHAT is 3 + 3?", "answer": "6"}, *rows(2, 100)])
    parts = loading.load(
        data_config("teacher_grpo", path, eval_dataset_id_or_path=held_out, eval_strategy=eval_strategy)
    )
    assert parts.held_out == 1
    assert "What is 3 + 3?" not in [q.text for q in Questions(parts.training)]
    assert (parts.evaluation is None) == (eval_strategy == "no")


def test_training_on_the_evaluation_rows_is_refused(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(10))
    with pytest.raises(ConfigurationError, match=r"all 10 questions are held out.*\n.*eval_dataset_id_or_path"):
        loading.load(data_config("teacher_grpo", path, eval_dataset_id_or_path=path))


def test_bad_evaluation_rows_are_told_under_their_key(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", rows(10))
    bad = write_rows(tmp_path / "bad.jsonl", ["{"])
    with pytest.raises(ConfigurationError, match=r"eval_dataset_id_or_path=.*bad.jsonl"):
        loading.load(data_config("teacher_grpo", path, eval_dataset_id_or_path=bad))


def test_training_and_evaluation_rows_may_be_splits_of_one_dataset(tmp_path):
    write_rows(tmp_path / "train.jsonl", rows(10))
    write_rows(tmp_path / "test.jsonl", rows(5, 100))
    same = {"eval_dataset_id_or_path": str(tmp_path), "eval_dataset_split": "test", "eval_strategy": "steps"}
    parts = loading.load(data_config("teacher_grpo", tmp_path, **same))
    assert (len(parts.training), len(parts.evaluation)) == (10, 5)


def served(tmp_path, directory, experiment="teacher_grpo", **keys):
    models = {"student_model": str(directory), "model_name_or_path": str(directory)}
    budgets = {"student_max_tokens": 30, "max_probe_tokens": 20, "max_completion_length": 40}
    contexts = {"student_max_model_len": 200, "teacher_max_model_len": 200}
    path = keys.pop("path", tmp_path / "rows.jsonl")
    names = (
        {**models, **budgets, **contexts} if experiment == "teacher_grpo" else {"model_name_or_path": str(directory)}
    )
    return data_config(experiment, path, **{**names, **keys})


def test_overlong_questions_are_dropped_and_told(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", [*rows(2), "{", {"question": "word " * 120, "answer": "1"}, *rows(1, 50)])
    report = check_data(served(tmp_path, tiny_student_dir, max_bad_row_ratio=0.5, max_overlong_ratio=0.25))
    assert report.training.used == 3
    assert [(entry.cause, entry.count, entry.places) for entry in report.training.overlong] == [
        ("too long for baseline", 1, ("line 4",))
    ]
    assert report.lines()[-1] == "in use: 3 rows for training"
    assert "  left out of training: 1 row: too long for baseline (line 4)" in report.lines()


def test_overlong_questions_are_an_error_where_they_shall_be(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", [*rows(3), {"question": "word " * 120, "answer": "1"}])
    with pytest.raises(ConfigurationError) as caught:
        check_data(served(tmp_path, tiny_student_dir, overlong_prompts="error"))
    [problem] = caught.value.problems
    assert problem.given.startswith("training: 1 of 4 rows are too long (max_probe_tokens=20 ")
    assert " student_max_model_len=200 " in problem.given
    assert "baseline (line 4)" in problem.expected
    assert problem.remedy.endswith("accept the loss: overlong_prompts=drop max_overlong_ratio=0.25")


def test_rows_that_all_fit_pass_where_none_may_be_dropped(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", rows(3))
    report = check_data(served(tmp_path, tiny_student_dir, overlong_prompts="error"))
    assert (report.training.used, report.training.overlong) == (3, ())


def test_the_columns_of_questions_and_solutions_are_named_in_sft(tmp_path, tiny_student_dir):
    write_rows(
        tmp_path / "rows.jsonl", [{"frage": f"Was ist {n} + {n}?", "antwort": f"Es ist {2 * n}."} for n in range(3)]
    )
    columns = {"question": "frage", "solution": "antwort"}
    config = served(tmp_path, tiny_student_dir, "sft", max_length=None, column_map=columns)
    examples, _ = load_examples(config)
    assert examples["question"][:] == [f"Was ist {n} + {n}?" for n in range(3)]
    assert all(f"Es ist {2 * n}." in reply for n, reply in enumerate(examples["reply"]))


def enough(message, share):
    """The settings that a message says keep a share of the rows."""
    found = re.search(rf"{share} with ([^;]*)", message)[1].split()
    return {key: int(value) for key, value in (setting.split("=") for setting in found)}


def test_losing_many_questions_is_refused_with_the_lengths_that_keep_them(tmp_path, tiny_student_dir):
    sizes = [*range(1, 13), *range(60, 68)]
    write_rows(tmp_path / "rows.jsonl", [{"question": f"{n}: " + "word " * n, "answer": "1"} for n in sizes])
    config = served(tmp_path, tiny_student_dir, teacher_max_model_len=220)
    with pytest.raises(ConfigurationError) as caught:
        check_data(config)
    [problem] = caught.value.problems
    assert problem.given.startswith("training: 8 of 20 rows are too long (")
    assert problem.expected.startswith("expected all but the share max_overlong_ratio=0.1 to fit: 8 rows: too long")
    assert problem.remedy.endswith("or accept the loss: max_overlong_ratio=0.4")
    assert check_data(config.with_keys(max_overlong_ratio=0.4)).training.used == 12
    most = check_data(config.with_keys(**enough(problem.remedy, "90%")))
    assert (most.training.used, check_data(config.with_keys(**enough(problem.remedy, "100%"))).training.used) == (
        18,
        20,
    )
    assert [entry.count for entry in most.training.overlong] == [2]


def test_when_no_question_fits_the_run_is_refused(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", rows(3))
    with pytest.raises(ConfigurationError, match=r"3 of 3 rows are too long.*at least one.*\n.*raise the contexts"):
        check_data(served(tmp_path, tiny_student_dir, student_max_model_len=80))


def test_a_longest_teacher_prompt_is_kept(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", rows(3))
    with pytest.raises(ConfigurationError, match=r"max_prompt_length=24.*\n|too long for teacher"):
        check_data(served(tmp_path, tiny_student_dir, max_prompt_length=24))


def test_an_evaluation_counts_every_teacher_or_none(tmp_path, tiny_student_dir, tiny_teacher_dir):
    write_rows(tmp_path / "rows.jsonl", [*rows(3), {"question": "word " * 60, "answer": "1"}])
    keys = {"student_model": str(tiny_student_dir), "student_max_tokens": 30, "max_probe_tokens": 20}
    keys |= {"max_completion_length": 90, "student_max_model_len": 1024, "teacher_max_model_len": 150}
    config = data_config("evaluation", tmp_path / "rows.jsonl", max_overlong_ratio=0.25, **keys)
    assert check_data(config).evaluation.used == 4
    taught = check_data(config.with_keys(teacher=[str(tiny_teacher_dir), str(tiny_student_dir)])).evaluation
    assert [(entry.cause, entry.places) for entry in taught.overlong] == [("too long for teacher", ("line 4",))]


def test_a_student_behind_an_api_is_held_to_the_context_it_declares(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", [*rows(3), {"question": "word " * 80, "answer": "1"}])
    api = {"student_base_url": "http://127.0.0.1:1/v1", "student_model": "some-model", "max_overlong_ratio": 0.25}
    report = check_data(
        served(tmp_path, tiny_student_dir, **api, student_max_model_len=150, teacher_max_model_len=None)
    )
    assert [(entry.cause, entry.places) for entry in report.training.overlong] == [
        ("too long for baseline", ("line 4",))
    ]


def test_students_with_one_limit_are_given_one_key_to_raise_it_by(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", [*rows(1), {"question": "word " * 80, "answer": "1"}])
    pool = {"a": {}, "b": {}, "c": {"max_model_len": 160}}
    with pytest.raises(ConfigurationError) as refused:
        check_data(served(tmp_path, tiny_student_dir, students=pool, student_max_model_len=150))
    kept = str(refused.value).partition("100% with ")[2]
    assert "student_max_model_len=" in kept
    assert "students.c.max_model_len=" in kept
    assert "students.a" not in str(refused.value)


def test_what_is_sure_to_fit_is_not_counted(tmp_path, tiny_student_dir, monkeypatch):
    write_rows(tmp_path / "rows.jsonl", rows(3))
    config = served(tmp_path, tiny_student_dir, student_max_model_len=1024, teacher_max_model_len=1024)
    monkeypatch.setattr(ChatRenderer, "render", lambda *_: pytest.fail("a short question was counted"))
    assert check_data(config).training.used == 3


@pytest.mark.parametrize(
    "text", ["plain words", "日本語の質問", "e\u0301 \u0958 \U0001d160", "<|im_start|>", "\x00\u2028 ", ""]
)
@pytest.mark.parametrize("copies", [1, 7])
def test_bytes_bound_tokens(tiny_student_dir, text, copies):
    renderer = ChatRenderer(str(tiny_student_dir))
    prompt = Prompt((Message("system", "Be brief."), Message("user", text * copies)))
    bound = rendering_overhead(renderer.tokenizer, prompt.messages, {})
    contents = [message.content for message in prompt.messages]
    grown = sum(len(content.encode()) * (1 if content.isascii() else 3) for content in contents)
    assert bound is not None
    assert len(renderer.render(prompt)) <= bound + grown


def test_no_bound_is_claimed_for_other_tokenizers_and_templates(tiny_student_dir):
    tokenizer = AutoTokenizer.from_pretrained(tiny_student_dir)
    assert has_fewer_tokens_than_bytes(tokenizer)
    messages = [Message("user", "")]
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {{ m['content'] }}{% endfor %}"
    assert rendering_overhead(tokenizer, messages, {}) is None
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    assert rendering_overhead(tokenizer, messages, {}) is None
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    assert not has_fewer_tokens_than_bytes(tokenizer)


def test_the_bound_and_the_count_agree(tmp_path, tiny_student_dir):
    config = served(tmp_path, tiny_student_dir)
    needs = question_needs(config)
    assert all(need.certain() > 0 for need in needs)
    assert all(need.fits("\u00e9" * (need.certain() // 6)) for need in needs)
    assert {need.stage for need in needs} == {"baseline", "probe", "teacher", "taught"}


SFT_ROW = {"problem_text": "p", "student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "t"}


def test_an_example_that_would_be_cut_off_is_dropped(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", [SFT_ROW, {**SFT_ROW, "teacher_teaching": "word " * 200}])
    config = served(tmp_path, tiny_student_dir, "sft", max_length=100, max_overlong_ratio=0.5)
    training, evaluation = load_examples(config)
    assert (len(training), evaluation) == (1, None)
    assert [entry.places for entry in check_data(config).training.overlong] == [("line 2",)]
    assert check_data(config.with_keys(max_length=None)).training.used == 2
    with pytest.raises(ConfigurationError) as caught:
        check_data(config.with_keys(overlong_prompts="error"))
    [problem] = caught.value.problems
    assert problem.given == "training: 1 of 2 rows are too long (max_length=100)"
    wanted = enough(problem.remedy, "100%")
    length = wanted["max_length"]
    kept = f"raise max_length; rows kept: 100% with max_length={length}"
    assert problem.remedy == f"{kept}; or accept the loss: overlong_prompts=drop"
    assert check_data(config.with_keys(**wanted, overlong_prompts="error")).training.used == 2
    with pytest.raises(ConfigurationError, match=r"or accept the loss: max_overlong_ratio=0.5"):
        check_data(config.with_keys(max_overlong_ratio=0.1))


def our_warnings(caplog):
    """Return the warnings of ATLAS; libraries that are imported meanwhile warn of their own matters, once."""
    ours = ("trainers.", "custom_data.")
    return [each.message for each in caplog.records if each.levelname == "WARNING" and each.name.startswith(ours)]


def test_examples_that_teach_to_give_answers_away_are_warned_of(tmp_path, tiny_student_dir, caplog):
    config = served(tmp_path, tiny_student_dir, "sft", max_length=None)
    write_rows(tmp_path / "rows.jsonl", [SFT_ROW])
    assert check_data(config).warnings == ()

    write_rows(tmp_path / "rows.jsonl", rows(3))
    [warning] = check_data(config).warnings
    assert "rows.jsonl: 3 of 3 examples have a solution and no teaching" in warning
    load_examples(config)
    assert our_warnings(caplog) == [warning]
    assert with_data(Findings(warnings=("another",)), config).warnings == ("another", warning)
    assert check_data(served(tmp_path, tiny_student_dir)).warnings == ()

    turns = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]
    taught = [turns[0], {"role": "assistant", "content": "<thinking>t</thinking><teaching>Add.</teaching>"}]
    write_rows(tmp_path / "rows.jsonl", [{"messages": turns}, {"messages": taught}])
    [warning] = check_data(config).warnings
    assert "1 of 2 examples end in a turn without <teaching>" in warning


def test_columns_that_nobody_reads_are_warned_of(tmp_path, tiny_student_dir, caplog):
    write_rows(tmp_path / "rows.jsonl", [{**row, "passage": "p"} for row in rows(3)])
    config = served(tmp_path, tiny_student_dir)
    [warning] = check_data(config).warnings
    assert "rows.jsonl: nobody reads the column passage" in warning
    load_questions(config)
    assert our_warnings(caplog) == [warning]
    assert check_data(config.with_keys(column_map={"context": "passage"})).warnings == ()


def test_questions_are_read_when_asked_for(tmp_path, tiny_student_dir):
    write_rows(tmp_path / "rows.jsonl", rows(2500))
    training, evaluation = load_questions(served(tmp_path, tiny_student_dir))
    assert len(evaluation) == 0
    assert [q.row for q in training] == list(range(2500))
    assert training[-1].text == "What is 2499 + 2499?"
    assert [(q.row, q.text) for q in training[10:12]] == [(0, "What is 10 + 10?"), (1, "What is 11 + 11?")]
    assert all(before.text != after.text for before, after in pairwise(training))


@needs_gsm8k
def test_gsm8k_is_good_and_its_test_questions_are_its_own():
    paths = {"eval_dataset_id_or_path": str(GSM8K / "test.jsonl"), "eval_strategy": "steps"}
    parts = loading.load(data_config("teacher_grpo", GSM8K / "train.jsonl", max_bad_row_ratio=0.0, **paths))
    assert (len(parts.training), len(parts.evaluation), parts.held_out) == (7473, 1319, 0)
    truths = [question.ground_truth for question in Questions(parts.evaluation)]
    assert all(truth.replace(",", "").removeprefix("-").replace(".", "").isdigit() for truth in truths)


@needs_gsm8k
def test_gsm8k_teaches_without_its_marks():
    table = loading.load(data_config("sft", GSM8K / "test.jsonl")).training
    assert not [reply for reply in table.dataset()["reply"] if "####" in reply or "<<" in reply]


@needs_gsm8k
def test_gsm8k_poisoned_is_counted_exactly(tmp_path):
    lines = (GSM8K / "test.jsonl").read_bytes().splitlines()
    lines[6] = lines[6][:-20]
    lines[41] = lines[41].replace(b" ", b"\xff", 1)
    lines[1000] = (
        lines[999]
        .upper()
        .replace(b"QUESTION", b"question")
        .replace(b"ANSWER", b"answer")
        .replace(b"\\N", b"\\n")
        .replace(b"\\U", b"\\u")
    )
    path = write_rows(tmp_path / "rows.jsonl", lines)
    reading = loading.load(data_config("teacher_grpo", path)).training.reading
    assert (reading.read, reading.kept) == (1319, 1316)
    assert sorted((entry.cause, entry.places) for entry in reading.dropped) == [
        ("invalid JSON", ("line 7",)),
        ("invalid UTF-8", ("line 42",)),
        ("the same as an earlier row", ("line 1001",)),
    ]


@pytest.mark.skipif(not (SHARED_DATA / "humaneval").is_dir(), reason="real data is absent")
def test_humaneval_is_read_from_its_gzipped_file():
    path = SHARED_DATA / "humaneval/HumanEval.jsonl.gz"
    table = loading.load(data_config("evaluation", path, verifier="code", max_bad_row_ratio=0.0)).evaluation
    assert len(table) == 164
    assert all(question.extra["test"] for question in Questions(table))


def test_settings_of_a_dataset_fill_keys_that_are_null(monkeypatch):
    monkeypatch.setitem(DATASETS, "me/set", DatasetInfo({"dataset_config": "a"}, sft={"dataset_files": "s"}))
    assert dataset_settings("me/set", "sft") == {"dataset_config": "a", "dataset_files": "s"}
    assert dataset_settings("me/set", "evaluation") == {"dataset_config": "a"}
    assert dataset_settings("me/other", "sft") == {}
    config = data_config("sft", "me/set", dataset_files="mine")
    assert with_dataset_settings(config.with_keys(dataset_files=None)).data.dataset_config == "a"
    assert with_dataset_settings(config).data.dataset_config is None


def test_a_download_of_a_known_dataset_has_its_settings(tmp_path):
    directory = tmp_path / "Arc-ATLAS-Teach-v0"
    (directory / "training").mkdir(parents=True)
    write_rows(directory / "training/rl.jsonl", [{"prompt": "q", "ground_truth": "1"}])
    write_rows(directory / "training/sft.jsonl", [SFT_ROW])
    for experiment, name in (("sft", "training/sft.jsonl"), ("teacher_grpo", "training/rl.jsonl")):
        config = with_dataset_settings(data_config(experiment, directory))
        assert config.data.dataset_files == name
        assert len(loading.load(config).training) == 1


def test_another_evaluation_dataset_is_read_by_its_own_settings(tmp_path):
    write_rows(tmp_path / "train.jsonl", rows(5))
    (tmp_path / "other").mkdir()
    write_rows(tmp_path / "other/rows.jsonl", rows(2, 100))
    other = {"eval_dataset_id_or_path": str(tmp_path / "other"), "eval_strategy": "steps"}
    (tmp_path / "one").mkdir()
    write_rows(tmp_path / "one/a.jsonl", rows(5))
    config = data_config("teacher_grpo", tmp_path / "one", dataset_files="a.jsonl", **other)
    assert len(loading.load(config).evaluation) == 2


def test_extra_columns_survive_the_way_to_the_disk(tmp_path):
    row = {"question": "q", "answer": "1", "deep": {"list": [1, {"a": None}]}, "text": "ü"}
    path = write_rows(tmp_path / "rows.jsonl", [row])
    [question] = Questions(loading.load(data_config("teacher_grpo", path)).training)
    assert question.extra == json.loads(json.dumps({"deep": row["deep"], "text": "ü"}))
