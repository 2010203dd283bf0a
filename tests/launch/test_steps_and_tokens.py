"""The make-up of a run before it starts: its steps, its evaluations, its tokens and the time that they take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainers.configuration import compose
from trainers.configuration.composition.compose import save
from trainers.configuration.devices.machine import assume
from trainers.configuration.settings.experiments import Experiment
from trainers.launch.estimates.disk import disk_needed
from trainers.launch.estimates.model_sizes import ModelShape
from trainers.launch.estimates.steps_and_tokens import (
    batch_lines,
    duration,
    known_rows,
    number,
    token_lines,
    total_steps,
)

GRPO = (
    "teacher_rcl train_batch_size=128 num_generations=4 student_max_tokens=1000 max_probe_tokens=100 "
    "max_completion_length=500 leak_audit_share=0"
)
EVALUATION = (
    "evaluate teacher=[a/b] num_rollouts=1 num_baselines=1 student_max_tokens=1000 max_probe_tokens=100 "
    "max_completion_length=500 leak_audit_share=0"
)
BATCH = "train_batch_size 128 = 32 questions x 4 generations = 4 processes x 1 per device x 32 micro-batches"
EPOCH = "one epoch: 3,000 rows / 32 per step = 93 optimizer steps"
RUN = "the run: 250 optimizer steps (max_steps), 8,000 questions"
KEPT = "checkpoints: at most 4 on the disk at once"


def config_of(words: str, trainers: int = 4, servers: int | None = 4) -> Experiment:
    return compose(words.split(), assume(8), trainers, servers).config


def batch(words: str, used: int | None = None, trainers: int = 4, servers: int | None = 4) -> list[str]:
    return list(batch_lines(config_of(words, trainers, servers), used, None))


def tokens(words: str, used: int | None = None, trainers: int = 4, servers: int | None = 4) -> list[str]:
    return list(token_lines(config_of(words, trainers, servers), used))


@pytest.mark.parametrize(
    ("words", "used", "expected"),
    [
        ("", 3000, [BATCH, EPOCH, RUN, "evaluation every 10 steps: at most 64 questions x 4 lessons", KEPT]),
        # 1.5 x 93 = 139.5
        (
            "max_steps=-1 num_train_epochs=1.5 eval_strategy=no save_strategy=no",
            3000,
            [BATCH, EPOCH, "the run: 1.5 epochs (num_train_epochs) = 140 optimizer steps"],
        ),
        (
            "max_steps=-1 num_train_epochs=1 eval_strategy=no save_strategy=no",
            None,
            [
                BATCH,
                "one epoch: its optimizer steps are known once the dataset is loaded",
                "the run: 1 epoch (num_train_epochs)",
            ],
        ),
        (
            "eval_max_samples=null eval_steps=7 num_generations_eval=3 max_steps=1",
            3000,
            [
                BATCH,
                EPOCH,
                "the run: 1 optimizer steps (max_steps), 32 questions",
                "evaluation every 7 steps: questions x 3 lessons",
                "checkpoints: at most 1 on the disk at once",
            ],
        ),
        (
            "num_generations_eval=null eval_steps=1",
            3000,
            [BATCH, EPOCH, RUN, "evaluation every 1 step: at most 64 questions x 4 lessons", KEPT],
        ),
        # Evaluations at the rhythm of the log, where they have none of their own.
        (
            "eval_steps=null logging_steps=3 eval_max_samples=5",
            3000,
            [BATCH, EPOCH, RUN, "evaluation every 3 steps: at most 5 questions x 4 lessons", KEPT],
        ),
    ],
)
def test_the_steps_of_grpo(words: str, used: int | None, expected: list[str]) -> None:
    assert batch(f"{GRPO} {words}", used) == expected


def test_the_steps_of_sft() -> None:
    words = "teacher_sft num_train_epochs=1 eval_strategy=steps eval_steps=2 save_strategy=no"
    assert batch(words, 1000, trainers=8, servers=None) == [
        "train_batch_size 16 = 8 processes x 1 per device x 2 micro-batches",
        "one epoch: 1,000 rows / 16 per step = 63 optimizer steps",
        "the run: 1 epoch (num_train_epochs) = 63 optimizer steps",
        "evaluation every 2 steps: all its rows",
    ]


def test_rows_that_nobody_has_looked_at_are_counted_before_any_are_left_out(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "q"}\n\n  \n' * 640)
    words = f"{GRPO} dataset_id_or_path={rows} max_steps=-1 num_train_epochs=2 eval_strategy=no save_strategy=no"
    assert batch(words)[1:] == [
        "one epoch: 640 rows / 32 per step = 20 optimizer steps (before any are left out)",
        "the run: 2 epochs (num_train_epochs) = 40 optimizer steps",
    ]
    assert batch(f"{words} dataset_max_samples=64")[1].startswith("one epoch: 64 rows")
    assert batch(f"{words} dataset_max_samples=6400")[1].startswith("one epoch: 640 rows")
    # What was looked at counts.
    assert batch(words, 320)[1:] == [
        "one epoch: 320 rows / 32 per step = 10 optimizer steps",
        "the run: 2 epochs (num_train_epochs) = 20 optimizer steps",
    ]
    config = config_of(words)
    assert (total_steps(config, 320), total_steps(config, None)) == (20, None)
    assert known_rows(config.data) == 640
    for other in (tmp_path, tmp_path / "none.jsonl", rows.rename(tmp_path / "rows.json")):
        assert known_rows(config_of(f"{GRPO} dataset_id_or_path={other}").data) is None


def test_rows_are_found_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.jsonl").write_text('{"question": "q"}\n' * 3)
    data = config_of(f"{GRPO} dataset_id_or_path=~/rows.jsonl").data
    assert known_rows(data) == 3


def test_the_room_of_checkpoints_is_told_where_the_model_is_known() -> None:
    sizes = {"hidden": 4096, "layers": 36, "heads": 32, "kv_heads": 8, "head_dim": 128, "feed_forward": 12_288}
    shape = ModelShape(
        "qwen3", "Qwen3ForCausalLM", **sizes, vocabulary=151_936, tied=False, positions=None, bytes_each=2
    )
    config = config_of(GRPO)
    [line] = [line for line in batch_lines(config, 3000, shape) if line.startswith("checkpoints")]
    gigabytes = disk_needed(config, shape) / 1e9
    assert gigabytes > 400
    assert line == f"{KEPT}, about {gigabytes:,.0f} GB with the final model"


SAMPLED = "tokens sampled per step: at most {} by the teacher and {} by the student "


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # 32 approaches of 100, 32 baselines and 128 taught solutions of 1,000, 128 teachings of 500.
        (
            "",
            f"{SAMPLED.format('64,000', '163,200')}(approaches 3,200 + baselines 32,000 + taught solutions 128,000)",
        ),
        # Two and a half times as many groups at most.
        (
            "dynamic_sampling=true max_sampled_groups=2.5 num_baselines=3",
            f"{SAMPLED.format('160,000', '568,000')}(approaches 8,000 + baselines 240,000 + taught solutions 320,000)",
        ),
        # A share of 5% of 128 lessons is 7 of them, each asked 4 times for 10 tokens; guesses are 4 times as many.
        (
            "leak_audit_share=0.05 leak_audit_samples=4 leak_audit_max_tokens=10",
            f"{SAMPLED.format('64,000', '163,480')}(approaches 3,200 + baselines 32,000 + taught solutions 128,000 + "
            "blind checks on average 280); besides, at most 160 once for what each student guesses (choices: once per "
            "question)",
        ),
        (
            "leak_audit_share=1 leak_audit_samples=4 leak_audit_max_tokens=3000",
            f"{SAMPLED.format('64,000', '675,200')}(approaches 3,200 + baselines 32,000 + taught solutions 128,000 + "
            "blind checks 512,000); besides, at most 16,000 once for what each student guesses (choices: once per "
            "question)",
        ),
    ],
)
def test_the_tokens_of_a_step(words: str, expected: str) -> None:
    assert tokens(f"{GRPO} {words}")[0] == expected


def test_a_step_of_a_pool_may_be_its_wordiest_students() -> None:
    pool = "students={a: {max_tokens: 100}, b: {max_tokens: 300}}"
    config = compose([*GRPO.split(), pool], assume(8), 4, 4).config
    line = next(token_lines(config, None))
    assert line.endswith("(approaches 3,200 + baselines 9,600 + taught solutions 38,400)")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", f"tokens per step: at most {16 * 16_384:,}"),
        ("max_length=null", "tokens per step: not bounded"),
    ],
)
def test_the_tokens_of_sft(words: str, expected: str) -> None:
    assert tokens(f"teacher_sft {words}", None, trainers=8, servers=None)[0] == expected


@pytest.mark.parametrize(
    ("words", "used", "expected"),
    [
        ("eval_max_samples=null", 1200, "1,200 questions, each with 1 baseline"),
        ("eval_max_samples=1100", 1200, "1,100 questions, each with 1 baseline"),
        ("eval_max_samples=1300", 1200, "1,200 questions, each with 1 baseline"),
        ("eval_max_samples=1300", None, "1,300 questions, each with 1 baseline"),
        ("eval_max_samples=null num_baselines=2", None, "all questions, each with 2 baselines"),
    ],
)
def test_the_questions_of_an_evaluation(words: str, used: int | None, expected: str) -> None:
    assert batch(f"{EVALUATION} {words}", used, trainers=0) == [expected, "and 1 lesson by each of 1 teacher"]


def test_an_evaluation_of_a_pool_asks_every_student() -> None:
    """Each has a probe of 100 tokens and two solutions, and is taught once with 500."""
    pool = "students={a: {max_tokens: 200}, b: {max_tokens: 300}}"
    words = f"{EVALUATION} eval_max_samples=8 leak_audit_share=1 leak_audit_samples=4 leak_audit_max_tokens=10"
    config = compose([*words.split(), pool], assume(8), 0, 4).config
    assert next(batch_lines(config, None, None)) == "8 questions for each of 2 students, each with 1 baseline"
    [line] = token_lines(config, None)
    solutions, blind = 2 * 100 + 2 * (200 + 300), 2 * 40
    assert line.startswith(
        f"tokens sampled per question: at most 1,000 by teachers and {solutions + blind:,} by the students, 80 of them"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "at most 500 by teachers and 2,100 by the student"),
        (
            # Half of two lessons, each asked 4 times for 10 tokens.
            "teacher=[a/b,c/d] leak_audit_share=0.5 leak_audit_samples=4 leak_audit_max_tokens=10",
            "at most 1,000 by teachers and 3,140 by the student, 40 of them by blind checks; besides, at most 160 once "
            "for what each student guesses (choices: once per question)",
        ),
    ],
)
def test_the_tokens_of_a_question_that_is_evaluated(words: str, expected: str) -> None:
    assert tokens(f"{EVALUATION} {words}", trainers=0) == [f"tokens sampled per question: {expected}"]


def test_the_lessons_of_a_search_are_bounded_by_its_budget() -> None:
    words = "prompt_search search_budget=1500 search_minibatch=7 search_validation=30"
    assert batch(words, trainers=0, servers=2) == [
        "at most 1,500 lessons: 7 questions to try a template, 30 to compare it"
    ]


def test_the_calls_of_judges_are_those_of_a_step_or_a_question() -> None:
    judge = "verifier=judge verifier_args={model:{agent:a.b}}"
    [step] = [line for line in tokens(f"{GRPO} {judge}") if line.startswith("judge")]
    assert "160 calls per step" in step
    words = f"{EVALUATION} num_baselines=3 num_rollouts=2 teacher=[a/b,c/d] {judge}"
    [question] = [line for line in tokens(words, trainers=0) if line.startswith("judge")]
    assert "7 calls per question and student" in question


def test_beside_a_mentor_judges_are_asked_for_the_questions_that_are_solved() -> None:
    words = "teacher_distill train_batch_size=128 num_generations=4 leak_audit_share=0 mentor_solved_share=0.2 "
    found = tokens(f"{words} verifier=judge verifier_args={{model:{{agent:a.b}}}}")
    # 0.2 x 32 baselines are 7 at most, 0.2 x 128 lessons 26.
    assert ["33 calls per step" in line for line in found if line.startswith("judge")] == [True]
    assert found[0].endswith("; students solve 0.2 of the questions, on average")


def test_what_an_earlier_run_measured_is_told(tmp_path: Path) -> None:
    words = f"{GRPO} output_dir={tmp_path}"
    assert tokens(words, 3000)[1:] == [f"tokens per hour and the time it takes: not measured yet in {tmp_path}"]
    rows = [
        {"step": step, "time": 0.0, "loss": 0.0, "step_time": 20.0, "generated_tokens": 9000.0} for step in range(1, 4)
    ]
    for row in rows:
        row |= {"generated_tokens/teaching": 7000.0, "generated_tokens/taught": 2000.0}
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = tokens(words, 3000)[1:]
    assert first.startswith(f"measured by the run in {tmp_path} (last 3 steps, until ")
    assert first.endswith("): 9,000 tokens per step (taught 2,000, teaching 7,000)")
    # 250 steps of 20 seconds
    assert second == "20.0 s per step = 1,620,000 tokens per hour; 250 steps take about 83 min, without evaluations"
    save(config_of(words))
    assert len(tokens(words, 3000)) == 3
    assert tokens(f"{words} num_baselines=2", 3000)[3] == "that run was another: num_baselines: 1 → 2"


def test_what_was_measured_by_one_kind_of_tokens_has_no_parts(tmp_path: Path) -> None:
    rows = [{"step": step, "time": 50.0 * step, "loss": 0.0, "num_tokens": 1000 * step} for step in range(1, 4)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = f"teacher_sft output_dir={tmp_path} num_train_epochs=1 dataset_id_or_path=some/set"
    first, second = tokens(words, None, trainers=8, servers=None)[1:]
    assert first.endswith("): 1,000 tokens per step")
    # Nobody knows how many steps an epoch has.
    assert second == "50.0 s per step = 72,000 tokens per hour"
    rest = tokens(words, 160, trainers=8, servers=None)[2]
    assert rest == "50.0 s per step = 72,000 tokens per hour; 10 steps take about 8 min, without evaluations"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (7139, "119 min"),
        (7200, "2 h 00 min"),
        (11_100, "3 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_a_duration_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(1, "1 step"), (2, "2 steps"), (0, "0 steps"), (1.5, "1.5 steps")])
def test_a_count_with_its_noun(count: float, said: str) -> None:
    assert number(count, "step") == said
