"""Rows of every kind are read; every kind of badness is counted under its name, with the place to look at."""

import json
from decimal import Decimal

import pytest
from datasets import Dataset

from custom_data import loading
from custom_data.rows.bad_rows import DUPLICATE
from custom_data.tables.questions import Questions
from tests.support.data_configs import data_config, write_rows
from trainers.configuration import ConfigurationError
from trainers.teaching.prompts import read_reply


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def read(tmp_path, rows, experiment="teacher_grpo", **keys):
    path = write_rows(tmp_path / "rows.jsonl", rows)
    return loading.load(data_config(experiment, path, **({"max_bad_row_ratio": 1.0} | keys))).training


def questions(tmp_path, *rows, **keys):
    return list(Questions(read(tmp_path, rows, **keys)))


def examples(tmp_path, *rows, **keys):
    return list(read(tmp_path, rows, experiment="sft", **keys).dataset())


USER, SYSTEM = {"role": "user", "content": "2 + 2?"}, {"role": "system", "content": "Be brief."}
REPLY = {"role": "assistant", "content": "Two and two. The answer is 4."}
CHAT = [SYSTEM, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello!"}, USER, REPLY]
SHARE_GPT = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": REPLY["content"]}]
PARTS = [{"type": "text", "text": "2 +"}, {"type": "text", "text": "2?"}]
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]}
WITH_TOOLS = [USER, CALL, {"role": "tool", "content": "4", "tool_call_id": "1"}, REPLY]


@pytest.mark.parametrize(
    ("row", "text", "truth"),
    [
        ({"prompt": "q", "ground_truth": "4"}, "q", "4"),
        ({"question": "q", "solution": 4}, "q", "4"),
        ({"question": "q", "solution": 4.5}, "q", "4.5"),
        ({"problem": "q", "solution": "long", "answer": "4"}, "q", "4"),
        ({"problem_text": "q", "final_answer": "4"}, "q", "4"),
        ({"question": "q", "answer": "2 + 2 = 4\n#### 4"}, "q", "4"),
        ({"question": "q", "answer": r"so \boxed{\frac{1}{2}} it is"}, "q", r"\frac{1}{2}"),
        ({"prompt": [SYSTEM, USER], "solution": "4"}, "2 + 2?", "4"),
        ({"messages": CHAT}, "2 + 2?", "4."),
        ({"conversations": SHARE_GPT}, "2 + 2?", "4."),
        ({"messages": CHAT, "answer": "5"}, "2 + 2?", "5"),
        ({"messages": [USER], "answer": "5"}, "2 + 2?", "5"),
        ({"messages": [USER, {"role": "assistant", "content": "<think>4?</think>Four"}]}, "2 + 2?", "Four"),
        ({"Question": "q", "Answer": "4"}, "q", "4"),
        (
            {"instruction": "Add.", "input": "2 and 2", "output": "Two and two. The answer is 4."},
            "Add.\n\n2 and 2",
            "4.",
        ),
        ({"instruction": "2 + 2?", "input": "", "output": "4"}, "2 + 2?", "4"),
        ({"prompt": "q", "completion": "So it is <solution>4</solution>"}, "q", "4"),
        ({"prompt": [USER], "completion": [REPLY]}, "2 + 2?", "4."),
        ({"prompt": [USER], "reward_model": {"style": "rule", "ground_truth": "4"}}, "2 + 2?", "4"),
        ({"question": "q", "answers": ["4"]}, "q", "4"),
        ({"messages": [{"role": "user", "content": PARTS}, REPLY]}, "2 +\n2?", "4."),
        ({"messages": WITH_TOOLS}, "2 + 2?", "4."),
    ],
)
def test_questions_of_every_kind(tmp_path, row, text, truth):
    [question] = questions(tmp_path, row)
    assert (question.row, question.text, question.ground_truth) == (0, text, truth)


def test_what_else_a_row_carries_travels_with_its_question(tmp_path):
    row = {"question": "q", "answer": "4", "level": 5, "tags": ["a"], "none": None}
    [question] = questions(tmp_path, row)
    assert question.extra == {"level": 5, "tags": ["a"], "none": None}


def test_decimals_of_a_table_are_answers(tmp_path):
    rows = [{"question": "q", "answer": Decimal("1.50")}, {"question": "r", "answer": Decimal("2.00")}]
    Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    table = loading.load(data_config("teacher_grpo", tmp_path / "rows.parquet")).training
    assert [question.ground_truth for question in Questions(table)] == ["1.50", "2.00"]


def test_columns_may_have_other_names(tmp_path):
    mapped = {"question": "frage", "solution": "antwort"}
    [question] = questions(tmp_path, {"frage": "q", "antwort": "4"}, column_map=mapped)
    assert question.text == "q"


def test_nested_columns_are_mapped_with_dots(tmp_path):
    row = {"data": {"q": "q", "level": 5}, "meta": {"gold": {"value": "4"}}}
    mapped = {"question": "data.q", "solution": "meta.gold.value"}
    [question] = questions(tmp_path, row, {**row, "meta": None}, column_map=mapped)
    assert (question.text, question.ground_truth) == ("q", "4")
    with pytest.raises(ConfigurationError, match=r"column_map.solution=meta.gold.valu: .*\n.*solution=meta.gold.value"):
        read(tmp_path, [row], column_map={"question": "data.q", "solution": "meta.gold.valu"})


@pytest.mark.parametrize("answers", [["4", "four", "4"], {"text": ["4", "four"], "answer_start": [1, 2]}])
def test_any_of_several_answers_may_be_given(tmp_path, answers):
    [question] = questions(tmp_path, {"question": "q", "answers": answers})
    assert (question.ground_truth, question.extra["accepted_answers"]) == ("4", ["4", "four"])


def test_columns_that_a_question_may_need_are_told(tmp_path):
    row = {"question": "Who was it?", "context": "Ada wrote it.", "answers": {"text": ["Ada"], "answer_start": [0]}}
    told = "nobody reads the column context: if questions need it, add column_map.context=context"
    table = read(tmp_path, [row])
    assert table.reading.notes == (told,)
    mapped = read(tmp_path, [row], column_map={"context": "context"})
    assert mapped.reading.notes == ()
    [question] = Questions(mapped)
    assert question.text == "Who was it?\n\nAda wrote it."


def test_code_rows_need_tests_and_keep_their_prompt(tmp_path):
    row = {"prompt": "def f():", "test": "assert f()", "entry_point": "f"}
    table = read(tmp_path, [row, {**row, "test": ""}, {**row, "test": None}], verifier="code")
    [question] = Questions(table)
    assert question.extra == row
    assert [(entry.cause, entry.count) for entry in table.reading.dropped] == [("no tests", 2)]


def test_a_verifier_of_ones_own_may_need_no_answers(tmp_path):
    rows = [{"question": "q"}, {"question": "r", "rubric": "kind"}]
    assert [q.ground_truth for q in questions(tmp_path, *rows, verifier="mine.judge")] == [None, None]


TEACHING = {"problem_text": "p", "student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "t"}
UNDIAGNOSED = {key: value for key, value in TEACHING.items() if key != "teacher_diagnosis"}
FORM = "<thinking>d</thinking><teaching>t</teaching>"
OWN_PROMPT = [SYSTEM, {"role": "user", "content": "Teach inside <teaching> and </teaching>: 2 + 2?"}]


@pytest.mark.parametrize(
    ("row", "question", "approach", "reply"),
    [
        (TEACHING, "p", "a", FORM),
        ({**TEACHING, "student_approach": None}, "p", "", FORM),
        (UNDIAGNOSED, "p", "a", "<thinking></thinking><teaching>t</teaching>"),
        ({**TEACHING, "teacher_diagnosis": None}, "p", "a", "<thinking></thinking><teaching>t</teaching>"),
        ({"instruction": "q", "output": "do it"}, "q", "", "<thinking></thinking><teaching>do it</teaching>"),
        ({"prompt": "q", "completion": "do it"}, "q", "", "<thinking></thinking><teaching>do it</teaching>"),
        (
            {"question": "q", "solution": "do it", "answer": "4", "reasoning_trace": "hm"},
            *("q", "", "<thinking>hm</thinking><teaching>do it</teaching>"),
        ),
        (
            {"question": "q", "answer": "2+2=<<2+2=4>>4\n#### 4"},
            *("q", "", "<thinking></thinking><teaching>2+2=4</teaching>"),
        ),
        ({"question": "q", "solution": FORM}, "q", "", FORM),
        ({"messages": [USER, {"role": "assistant", "content": FORM}]}, "2 + 2?", "", FORM),
        (
            {"conversations": [*SHARE_GPT[:1], {"from": "gpt", "value": "<think>hm</think>\n\nAdd."}]},
            *("2 + 2?", "", "<thinking>hm</thinking><teaching>Add.</teaching>"),
        ),
    ],
)
def test_examples_of_every_kind(tmp_path, row, question, approach, reply):
    [example] = examples(tmp_path, row)
    assert (example["question"], example["student_approach"], example["reply"]) == (question, approach, reply)
    assert example["prompt"] == ""
    assert read_reply(example["reply"]).teaching


def test_a_conversation_that_asks_for_a_teaching_is_its_own_prompt(tmp_path):
    [example] = examples(tmp_path, {"messages": [*OWN_PROMPT, {"role": "assistant", "content": FORM}]})
    assert json.loads(example["prompt"]) == OWN_PROMPT
    assert example["reply"] == FORM


def test_a_prompt_with_calls_of_tools_is_not_rendered_in_part(tmp_path):
    good, tools = [*OWN_PROMPT, {"role": "assistant", "content": FORM}], [*OWN_PROMPT, *WITH_TOOLS[1:3]]
    rows = [{"messages": good}, {"messages": [*tools, {"role": "assistant", "content": FORM}]}]
    [dropped] = read(tmp_path, rows, experiment="sft").reading.dropped
    assert (dropped.cause, dropped.places) == (
        "a teacher's prompt has calls of tools, which are not rendered",
        ("line 2",),
    )


def test_the_mapping_that_a_message_proposes_can_be_used(tmp_path):
    def remedy(rows):
        with pytest.raises(ConfigurationError) as caught:
            read(tmp_path, rows, experiment="sft")
        [problem] = caught.value.problems
        return problem.remedy

    assert "column_map.solution=wie," in remedy([{"question": "q", "wie": "do it"}])
    [example] = examples(tmp_path, {"question": "q", "wie": "do it"}, column_map={"solution": "wie"})
    assert example["reply"] == "<thinking></thinking><teaching>do it</teaching>"
    unsure = remedy([{"frage": "q", "wie": "do it", "id": 1}])
    assert "column_map.question=NAME column_map.solution=NAME" in unsure


def test_rows_that_are_no_examples_name_the_columns(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"(?s)no columns of SFT.*teacher_teaching.*columns frage, wort.*\n.*column_map"
    ):
        read(tmp_path, [{"frage": "q", "wort": "a"}], experiment="sft")
    with pytest.raises(
        ConfigurationError, match=r"(?s)no column for 'student_approach'.*columns problem_text, teacher_d"
    ):
        read(tmp_path, [{key: value for key, value in TEACHING.items() if key != "student_approach"}], experiment="sft")


GOOD = {"question": "q", "answer": "4"}
BAD = [
    ({"question": None, "answer": "4"}, "question is null"),
    ({"answer": "4"}, "question is null"),
    ({"question": 7, "answer": "4"}, "question is not text but int"),
    ({"question": {"text": "q"}, "answer": "4"}, "question is not text but dict"),
    ({"question": [], "answer": "4"}, "messages are not a list of turns"),
    ({"question": " \n", "answer": "4"}, "question is empty"),
    ({"question": "x" * 1_000_001, "answer": "4"}, "question over 1 MB"),
    ({"question": "p", "answer": "9" * 1_000_001}, "answer over 1 MB"),
    ({"question": "p", "answer": "4", "more": "9" * 1_000_001}, "row over 1 MB"),
    ({"question": "p", "answer": None}, "no answer"),
    ({"question": "p", "answer": " "}, "no answer"),
    ({"question": "p", "answer": "long way\n#### "}, "no answer"),
    ({"question": "p", "answer": float("nan")}, "no answer"),
    ({"question": "p", "answer": {"a": "4"}}, "answer is neither text nor a number but dict"),
    ({"question": "p", "answer": []}, "no answer"),
    ('{"question": "\\ud800", "answer": "4"}', "invalid UTF-8"),
    (b'{"question": "\xff\xfe", "answer": "4"}', "invalid UTF-8"),
    ('{"question": "p", ', "invalid JSON"),
    ("[" * 100_000, "invalid JSON"),
    ('"text"', "not a JSON object"),
    ({"question": "  Q ", "answer": "5"}, DUPLICATE),
]


@pytest.mark.parametrize(("row", "cause"), BAD, ids=[f"{number} {cause}" for number, (_, cause) in enumerate(BAD)])
def test_every_kind_of_badness_is_counted_with_its_line(tmp_path, row, cause):
    table = read(tmp_path, [GOOD, row])
    [dropped] = table.reading.dropped
    assert (dropped.cause, dropped.count, dropped.places) == (cause, 1, ("line 2",))
    assert (table.reading.read, table.reading.kept, len(table)) == (2, 1, 1)


BAD_CHATS = [
    ({"messages": None}, "messages are null"),
    ({"messages": "hello"}, "messages are not a list of turns"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages are not a list of turns"),
    ({"messages": [USER]}, "no answer"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}, REPLY]},
        "a message has a part that is no text, which no model is shown",
    ),
    ({"messages": [REPLY]}, "question is empty"),
    ({"messages": [USER, {"role": "assistant", "content": " "}]}, "no answer"),
]


@pytest.mark.parametrize("experiment", ["sft", "teacher_grpo"])
@pytest.mark.parametrize(("row", "cause"), BAD_CHATS, ids=[cause for _, cause in BAD_CHATS])
def test_bad_conversations(tmp_path, row, cause, experiment):
    [dropped] = read(tmp_path, [{"messages": CHAT}, row], experiment=experiment).reading.dropped
    assert (dropped.cause, dropped.places) == (cause, ("line 2",))


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("problem_text", "", "question is empty"),
        ("student_approach", 3, "student approach is not text but int"),
        ("teacher_diagnosis", 3, "teacher diagnosis is not text but int"),
        ("teacher_teaching", " ", "teacher teaching is empty"),
    ],
)
def test_bad_teachings(tmp_path, key, value, cause):
    [dropped] = read(tmp_path, [TEACHING, {**TEACHING, key: value}], experiment="sft").reading.dropped
    assert dropped.cause == cause


def test_one_question_may_be_taught_in_several_ways(tmp_path):
    rows = [TEACHING, {**TEACHING, "student_approach": "b"}, TEACHING]
    table = read(tmp_path, rows, experiment="sft")
    assert len(table) == 2
    assert [(entry.cause, entry.places) for entry in table.reading.dropped] == [(DUPLICATE, ("line 3",))]


def test_invalid_utf8_in_a_table(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"b"], pa.binary()).buffers())
    pq.write_table(pa.table({"question": broken, "answer": ["1", "2", "3"]}), tmp_path / "rows.parquet")
    config = data_config("teacher_grpo", tmp_path / "rows.parquet", max_bad_row_ratio=1.0)
    table = loading.load(config).training
    assert [q.text for q in Questions(table)] == ["a", "b"]
    [dropped] = table.reading.dropped
    assert (dropped.cause, dropped.places) == ("invalid UTF-8", ("row 1",))


def test_up_to_the_ratio_rows_are_dropped_and_the_first_places_shown(tmp_path):
    rows = [{"question": f"q{n}", "answer": None if n % 10 == 0 else "4"} for n in range(100)]
    table = read(tmp_path, rows, max_bad_row_ratio=0.1)
    assert table.reading.lines()[1:] == ["  dropped 10 rows: no answer (line 1, line 11, line 21, line 31, line 41, …)"]
    assert len(table) == 90


def test_above_the_ratio_the_run_is_refused(tmp_path):
    rows = [{"question": f"q{n}", "answer": None if n % 10 == 0 else "4"} for n in range(100)]
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, rows, max_bad_row_ratio=0.09)
    [problem] = caught.value.problems
    assert problem.given.endswith("rows.jsonl: 10 of 100 rows are bad")
    assert "at most the share max_bad_row_ratio=0.09" in problem.expected
    assert "no answer (line 1, line 11" in problem.expected
    assert "max_bad_row_ratio=0.1" in problem.remedy


def test_the_ratio_that_the_message_names_is_enough(tmp_path):
    rows = [GOOD, *({"question": f"q{n}", "answer": None if n < 2 else "4"} for n in range(6))]
    with pytest.raises(ConfigurationError, match=r"max_bad_row_ratio=0.286"):
        read(tmp_path, rows, max_bad_row_ratio=0.0)
    assert len(read(tmp_path, rows, max_bad_row_ratio=0.286)) == 5


def test_repetitions_are_dropped_but_do_not_make_a_dataset_bad(tmp_path):
    table = read(
        tmp_path, [GOOD, {**GOOD, "question": "Q"}, {"question": "other", "answer": "4"}], max_bad_row_ratio=0.0
    )
    assert [q.text for q in Questions(table)] == ["q", "other"]


def test_without_a_usable_row_the_run_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"1 of 1 rows are bad: .*no answer.*\n.*column_map.*row_reader"):
        read(tmp_path, [{"question": "q", "answer": None}])
    with pytest.raises(ConfigurationError, match=r"2 of 2 rows are bad: .*invalid JSON \(line 1, line 2\)"):
        read(tmp_path, ["{", "{"])
    with pytest.raises(ConfigurationError, match=r"rows.jsonl: expected at least one row, it has none"):
        read(tmp_path, [])


def test_a_table_of_wrong_types_is_bad_rows_too(tmp_path):
    Dataset.from_dict({"question": [1, 2], "answer": ["a", "b"]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ConfigurationError, match=r"2 of 2 rows are bad.*question is not text but int \(row 0, row 1\)"):
        loading.load(data_config("teacher_grpo", tmp_path / "rows.parquet"))


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path, monkeypatch):
    read(tmp_path, [GOOD])
    assert len(read(tmp_path, [GOOD, {"question": "other", "answer": "4"}])) == 2
    config = data_config("teacher_grpo", tmp_path / "rows.jsonl", max_bad_row_ratio=1.0)
    monkeypatch.setattr(
        "custom_data.tables.arrow_tables._records", lambda rows, form: pytest.fail("the file was read again")
    )
    assert len(loading.load(config).training) == 2


def read_math(row):
    """A row reader, as a user writes one."""
    return {"question": row["data"]["q"], "solution": row["data"]["a"]} if row["data"] else None


def test_a_row_reader_reads_rows_of_any_shape(tmp_path):
    rows = [{"data": {"q": "one?", "a": 1}}, {"data": {}}, {"data": {"q": "no answer"}}]
    table = read(tmp_path, rows, row_reader="tests.custom_data.test_rows.read_math")
    [question] = Questions(table)
    assert (question.text, question.ground_truth) == ("one?", "1")
    assert {entry.cause for entry in table.reading.dropped} == {"row_reader gave no row", "row_reader raised KeyError"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("no.such.thing", "cannot be imported"), ("tests.custom_data.test_rows.BAD", "expected a function")],
)
def test_a_row_reader_that_is_none_is_told(tmp_path, path, expected):
    with pytest.raises(ConfigurationError, match=rf"row_reader={path}: {expected}"):
        read(tmp_path, [GOOD], row_reader=path)


def test_columns_that_the_evaluation_s_rows_lack_are_told_with_their_file(tmp_path):
    nested = [{"prompt": f"{number} + 1?", "mine": {"truth": str(number + 1)}} for number in range(4)]
    rows = write_rows(tmp_path / "rows.jsonl", nested)
    other = write_rows(tmp_path / "other.jsonl", [{"prompt": "2 + 2?", "answer": "4"}])
    keys = {"column_map": {"solution": "mine.truth"}}
    config = data_config("teacher_grpo", rows, eval_dataset_id_or_path=other, **keys)
    with pytest.raises(ConfigurationError, match=r"mine.truth of eval_dataset_id_or_path=.*other.jsonl") as told:
        loading.check_columns(config)
    assert "set eval_dataset_id_or_path=null" in str(told.value)
    config = data_config("teacher_grpo", rows, **keys)
    loading.check_columns(config)
    assert len(loading.load(config).training) == 4
