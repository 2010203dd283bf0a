"""Traces are read as rows: joined with feedback, filtered, and parted by conversation."""

import json

import pytest

from custom_data.loading import load
from custom_data.sources.traces import HELDOUT, TRAINING, held_out
from tests.support.data_configs import data_config, write_rows
from tests.traces.test_recorder import trace
from trainers.problems import ConfigurationError
from trainers.teaching.prompts import read_reply
from trainers.traces.feedback import FeedbackBox
from trainers.traces.recorder import TraceRecorder

JUDGED = {"verifier": "judge"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def lesson(number, **fields):
    known = {"id": str(number), "conversation": f"c{number}", "question": f"{number} + {number}?", "approach": "guess"}
    return trace(**{**known, "teaching": f"add {number}", "taught": "so", "student": "small", **fields})


def recorded(directory, *lessons, scores=None):
    recorder, box = TraceRecorder(directory), FeedbackBox(directory)
    for each in lessons:
        recorder.record(each)
    for ident, score in (scores or {}).items():
        box.give(str(ident), score)
    return directory


def questions(experiment, path, **keys):
    known = {"traces": True, "max_bad_row_ratio": 0.0} | ({} if experiment == "sft" else JUDGED)
    parts = load(data_config(experiment, path, **{"dataset_split": "all", **known, **keys}))
    table = parts.training if experiment != "evaluation" else parts.evaluation
    return [row["question"] for row in table.dataset()]


def test_an_example_is_question_approach_and_teaching(tmp_path):
    recorded(tmp_path, lesson(1, thinking="hm"))
    [row] = load(data_config("sft", tmp_path, traces=True, dataset_split="all")).training.dataset()
    assert (row["question"], row["student_approach"]) == ("1 + 1?", "guess")
    assert read_reply(row["reply"]).teaching == "add 1"


def test_a_second_teaching_is_an_example_of_its_own(tmp_path):
    second = {"transcript": "add(1, 1) → 3", "second_thinking": "hm", "second_teaching": "look again"}
    recorded(tmp_path, lesson(1, **second), lesson(2, transcript="sub(2, 2) → 0"))
    table = load(data_config("sft", tmp_path, traces=True, dataset_split="all")).training.dataset()
    examples = [(row["question"], row["student_approach"], read_reply(row["reply"]).teaching) for row in table]
    assert examples == [
        ("1 + 1?", "guess", "add 1"), ("1 + 1?", "add(1, 1) → 3", "look again"), ("2 + 2?", "guess", "add 2"),
    ]  # fmt: skip
    assert questions("teacher_grpo", tmp_path) == ["1 + 1?", "2 + 2?"]


def test_lessons_without_a_whole_teaching_are_no_examples_but_questions(tmp_path):
    recorded(tmp_path, lesson(1), lesson(2, teaching=None), lesson(3, failure="incomplete"))
    assert questions("sft", tmp_path) == ["1 + 1?"]
    assert questions("teacher_grpo", tmp_path) == ["1 + 1?", "2 + 2?", "3 + 3?"]


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({}, [1, 2, 3, 4]),
        ({"trace_min_score": 0.5}, [1, 2]),
        ({"trace_min_score": 0.9}, [1]),
        ({"trace_approved": True}, [1, 2]),
        ({"trace_students": ["large"]}, [4]),
    ],
)
@pytest.mark.parametrize("experiment", ["sft", "teacher_grpo"])
def test_lessons_are_chosen_by_score_approval_and_student(tmp_path, experiment, keys, kept):
    recorded(tmp_path, *map(lesson, (1, 2, 3)), lesson(4, student="large"), scores={1: 1, 2: 0.5, 3: 0.2})
    assert questions(experiment, tmp_path, **keys) == [f"{number} + {number}?" for number in kept]


def test_the_last_word_on_a_lesson_decides_also_when_it_comes_after_a_reading(tmp_path):
    recorded(tmp_path, lesson(1), lesson(2), scores={1: 1, 2: 1})
    assert len(questions("sft", tmp_path, trace_approved=True)) == 2
    FeedbackBox(tmp_path).give("1", 0)
    assert questions("sft", tmp_path, trace_approved=True) == ["2 + 2?"]


def test_conversations_are_held_out_whole_and_for_good():
    some = {f"c{number}" for number in range(1000)}
    first = held_out(some, 0.1)
    assert 60 < len(first) < 140
    more = held_out(some | {f"d{number}" for number in range(1000)}, 0.1)
    assert more & some == first
    assert len(held_out({"a", "b"}, 0.001)) == 1
    assert held_out({"a"}, 0.001) == held_out({"a", "b"}, 0) == frozenset()


def test_training_and_evaluation_share_no_conversation(tmp_path):
    turns = [lesson(number, conversation=f"c{number // 3}") for number in range(60)]
    recorded(tmp_path, *turns)
    parts = {
        split: questions("evaluation", tmp_path, dataset_split=split, trace_heldout_share=0.3)
        for split in (TRAINING, HELDOUT)
    }
    assert len(parts[TRAINING]) + len(parts[HELDOUT]) == 60
    conversations = {each.question: each.conversation for each in turns}
    met = [{conversations[question] for question in questions} for questions in parts.values()]
    assert met[0] & met[1] == set()
    assert all(met)


def test_a_training_is_evaluated_on_what_is_held_out(tmp_path):
    recorded(tmp_path, *map(lesson, range(40)))
    keys = {"dataset_split": "train", "eval_dataset_id_or_path": str(tmp_path), "eval_dataset_split": "heldout"}
    parts = load(data_config("sft", tmp_path, traces=True, eval_strategy="steps", **keys))
    assert len(parts.training) + len(parts.evaluation) == 40
    assert len(parts.evaluation) > 0


def test_a_lesson_without_a_question_is_refused_with_file_and_line(tmp_path):
    recorded(tmp_path, lesson(1), lesson(2, question="  "))
    with pytest.raises(ConfigurationError, match=r"no question \(lessons-000001.jsonl line 2\)"):
        questions("sft", tmp_path)


def test_what_is_still_being_written_is_no_bad_row_and_a_broken_line_is(tmp_path):
    recorded(tmp_path, lesson(1))
    path = tmp_path / "lessons-000001.jsonl"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + '{"id": "2", "ques', encoding="utf-8")
    assert questions("sft", tmp_path) == ["1 + 1?"]
    path.write_text(whole + '{"id": "2", "ques\n' + whole, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"invalid JSON \(lessons-000001.jsonl line 2\)"):
        questions("sft", tmp_path)


def test_where_no_lesson_is_left_the_reasons_are_told(tmp_path):
    recorded(tmp_path, lesson(1), lesson(2, teaching=None))
    with pytest.raises(ConfigurationError) as refused:
        questions("sft", tmp_path, trace_min_score=0.5)
    assert "1 without a score of 0.5 or more" in str(refused.value)
    assert "1 without a teaching" in str(refused.value)


def test_a_directory_without_traces_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"serve\.sh --record"):
        questions("sft", tmp_path)


def test_rules_need_right_answers_and_judges_none(tmp_path):
    recorded(tmp_path, lesson(1))
    with pytest.raises(ConfigurationError, match="verifier=judge"):
        questions("teacher_grpo", tmp_path, verifier="math")
    recorded(tmp_path / "known", lesson(1, ground_truth="2"))
    assert questions("teacher_grpo", tmp_path / "known", verifier="math") == ["1 + 1?"]


SESSION = {
    "task": "Why is the disk full?",
    "final_answer": "Logs.",
    "plan": {"steps": [{"id": 1, "description": "look at df"}, {"id": 2, "description": "guess"}]},
    "steps": [
        {"step_id": 1, "guidance": ["Look at the logs first."], "reward": {"score": 0.4, "raw": {"score": 0.4}}},
        {"step_id": 2, "guidance": ["Then rotate them."], "reward": {"score": 0.8, "raw": {"score": 0.8}}},
        {"step_id": 3, "guidance": [], "reward": {"score": 0.0, "raw": {}}},
    ],
    "session_metadata": {"session_id": 7, "status": "succeeded", "review_status": "approved"},
}


def exported(directory, **changes):
    return write_rows(directory / "traces.jsonl", [{**SESSION, **changes}])


def test_a_session_of_atlas_sdk_is_an_example(tmp_path):
    path = exported(tmp_path)
    [row] = load(data_config("sft", path, traces=True, dataset_split="all", trace_approved=True)).training.dataset()
    assert row["question"] == "Why is the disk full?"
    assert row["student_approach"] == "look at df\nguess"
    assert "Look at the logs first.\nThen rotate them." in row["reply"]


@pytest.mark.parametrize(
    ("changes", "keys", "read"),
    [
        ({}, {"trace_min_score": 0.6}, 1),
        ({}, {"trace_min_score": 0.61}, 0),
        ({"session_reward": {"score": 0.9}}, {"trace_min_score": 0.8}, 1),
        ({"session_metadata": {"review_status": "pending"}}, {"trace_approved": True}, 0),
        ({"session_metadata": {"status": "failed"}}, {}, 0),
        ({"steps": []}, {}, 0),
    ],
)
def test_sessions_are_chosen_as_lessons_are(tmp_path, changes, keys, read):
    path = exported(tmp_path, **changes)
    if read:
        assert len(questions("sft", path, **keys)) == 1
    else:
        with pytest.raises(ConfigurationError, match="no lesson is left"):
            questions("sft", path, **keys)


def test_a_session_without_a_task_is_refused_with_its_line(tmp_path):
    path = exported(tmp_path, task="")
    with pytest.raises(ConfigurationError, match=r"no question \(traces.jsonl line 1\)"):
        questions("sft", path)


def test_feedback_goes_over_what_a_session_says_of_itself(tmp_path):
    path = exported(tmp_path)
    given = {"id": "7", "score": 0.1, "comment": "", "time": "2026-01-01"}
    (tmp_path / "feedback-000001.jsonl").write_text(json.dumps(given) + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no lesson is left"):
        questions("sft", path, trace_approved=True)
