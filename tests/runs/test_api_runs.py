"""A real `vllm serve` reached as a foreign chat API: calm or misbehaving, in evaluation and in training."""

import asyncio
import json
import subprocess

import pytest

from tests.support.chat_api import Misbehaving, WellFormed, listening
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.serving.run_token import RUN_TOKEN, run_token

pytestmark = [pytest.mark.slow, pytest.mark.servers]

QUESTIONS = 12
SHORT = (
    "trainer/reward=world",
    *("student_max_tokens=16", "max_probe_tokens=8", "max_completion_length=24"),
    *("student_max_model_len=256", "teacher_max_model_len=256", "max_prompt_length=null"),
)
PRICES = "student_price_per_million_tokens={prompt: 1000, completion: 2000}"


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    rows = [{"question": f"Add {n} and 1.", "solution": n + 1} for n in range(QUESTIONS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluation(servers, questions, output, teacher_url, *arguments):
    """A configuration whose served teacher is the session's, and whose teacher of the second arm is an API."""
    api = f"{{base_url: '{teacher_url}', model: '{servers.teacher.model}', api_key_env: null}}"
    return compose(
        [
            "evaluate",
            f"teacher=[{servers.teacher.model},{api}]",
            "teacher_names=[served,api]",
            f"vllm_port={servers.teacher.port}",
            f"student_model={servers.student.model}",
            "student_api_key_env=null",
            f"dataset_id_or_path={questions}",
            f"output_dir={output}",
            *("num_rollouts=2", "num_baselines=2", "request_timeout_s=20", "verifier=exact", *SHORT),
            "leak_audit_share=0",
            *arguments,
        ],
        Machine(),
    ).config


def evaluated(servers, questions, output, *arguments, misbehaving=False):
    """The lessons of an evaluation whose student is behind an API, by arm, question and member; and the API."""
    from trainers.evaluation.evaluate import evaluate

    async def outcome():
        # Slower than the deadline, so that a slow answer is a lost one.
        share = 0.1 if misbehaving else 0.0
        api = Misbehaving(f"{servers.student.base_url}/v1", share=share, slow_s=9.0)
        teacher = WellFormed(f"{servers.teacher.base_url}/v1", share=0.0)
        async with listening(api) as url, listening(teacher) as teacher_url:
            await evaluate(evaluation(servers, questions, output, teacher_url, f"student_base_url={url}", *arguments))
        return api

    api = asyncio.run(outcome())
    rows = [json.loads(line) for line in (output / "lessons.jsonl").read_text().splitlines()]
    return {(row["teacher"], row["row"], row["member"]): row for row in rows}, api


def alone(output):
    """Return the records of what the student says without a teacher, by row of the question."""
    rows = [json.loads(line) for line in (output / "student_alone.jsonl").read_text().splitlines()]
    return {row["row"]: row for row in rows}


@pytest.fixture(scope="module")
def calm(servers, questions, tmp_path_factory):
    output = tmp_path_factory.mktemp("calm")
    lessons, api = evaluated(servers, questions, output, PRICES)
    return lessons, api, output


def test_every_lesson_is_held_through_the_chat_api(calm):
    lessons, api, output = calm
    assert len(lessons) == 2 * 2 * QUESTIONS
    assert api.requests == (2 + 1 + 2) * QUESTIONS
    assert not [row for row in lessons.values() if row["failure"] and not row["failure"].startswith("verdict")]
    usage = json.loads((output / "usage/student.json").read_text())
    assert usage["requests"] == api.requests
    assert usage["cost_usd"] == pytest.approx((usage["prompt_tokens"] + 2 * usage["completion_tokens"]) / 1000)
    for row in alone(output).values():
        assert all(0 < solution["tokens"] <= 16 for solution in row["baselines"])


def test_a_teacher_behind_an_api_has_its_own_record(calm):
    lessons, _, output = calm
    assert {teacher for teacher, _, _ in lessons} == {"served", "api"}
    behind = [row for row in lessons.values() if row["teacher"] == "api"]
    assert all(row["taught"]["tokens"] > 0 and row["teaching_length"] > 0 for row in behind)
    assert {row["completion_tokens"] for row in behind if row["truncated"]} == {24}
    assert json.loads((output / "usage/api.json").read_text())["requests"] == 2 * QUESTIONS


def test_a_misbehaving_api_changes_no_surviving_lesson(calm, servers, questions, tmp_path):
    expected, _, expected_output = calm
    lessons, api = evaluated(servers, questions, tmp_path, "request_timeout_s=4", misbehaving=True)
    assert all(count > 0 for count in api.spoiled.values()), api.spoiled
    same = ("question", "approach", "thinking", "teaching", "taught", "completion", "reward", "failure")
    surviving = {key: row for key, row in lessons.items() if row["taught"] or row["format_failure"]}
    assert len(surviving) > 0.8 * len(expected)
    for key, row in surviving.items():
        assert {name: row[name] for name in same} == {name: expected[key][name] for name in same}
    solved = {row: item for row, item in alone(tmp_path).items() if item["failure"] is None}
    for row, item in solved.items():
        assert item["baselines"] == alone(expected_output)[row]["baselines"]


def test_an_evaluation_stops_at_its_spending_cap_and_goes_on_with_a_higher_one(
    calm, servers, questions, tmp_path, caplog
):
    expected, _, _ = calm
    lessons, api = evaluated(servers, questions, tmp_path, PRICES, "student_spending_cap=1")
    assert json.loads((tmp_path / "usage/student.json").read_text())["cost_usd"] <= 1
    assert {row["failure"] for row in lessons.values() if not row["taught"]} >= {"taught_spending_cap"}
    assert "student_spending_cap" in caplog.text
    assert not (tmp_path / "finished.json").exists()
    lessons, again = evaluated(servers, questions, tmp_path, PRICES, "student_spending_cap=100")
    assert (tmp_path / "finished.json").exists()
    assert api.requests + again.requests < 1.5 * 5 * QUESTIONS
    assert {key: row["taught"] for key, row in lessons.items()} == {key: row["taught"] for key, row in expected.items()}


def test_models_in_process_hold_the_same_kind_of_lessons(servers, questions, tmp_path):
    from trainers.evaluation.evaluate import evaluate

    asyncio.run(
        evaluate(
            compose(
                [
                    "evaluate",
                    f"teacher={servers.teacher.model}",
                    f"student_model={servers.student.model}",
                    f"dataset_id_or_path={questions}",
                    f"output_dir={tmp_path}",
                    *("use_vllm_server=false", "num_rollouts=2", "num_baselines=2", "verifier=exact", *SHORT),
                ],
                Machine(),
            ).config
        )
    )
    rows = [json.loads(line) for line in (tmp_path / "lessons.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * QUESTIONS
    assert all(row["completion_tokens"] > 0 and row["failure"] is None for row in rows)


def train(servers, questions, output, *arguments):
    command = [
        *("bash", "scripts/launch.sh", "1", "configs/run/quickstart_rl.yaml", "--no-preflight"),
        f"model_name_or_path={servers.teacher.model}",
        *("students=null", "heldout_students=null"),
        f"student_base_url={servers.student.base_url}/v1",
        f"student_model={servers.student.model}",
        "student_api_key_env=ATLAS_TEST_KEY",
        f"vllm_port={servers.teacher.port}",
        *(f"dataset_id_or_path={questions}", "eval_dataset_id_or_path=null"),
        f"output_dir={output}",
        *(
            "reward=tests.support.rewards.checksum",
            "verifier=exact",
            "train_batch_size=16",
            "num_generations=4",
            *SHORT,
        ),
        *("per_device_train_batch_size=16", "max_steps=6", "learning_rate=1e-3", "warmup_steps=0", "logging_steps=1"),
        *("save_strategy=steps", "save_steps=50", PRICES, *arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def steps(output):
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "reward" in row]


def test_training_with_an_api_student_stops_at_its_spending_cap_and_goes_on(servers, questions, tmp_path, monkeypatch):
    from tests.runs.test_zero import restore

    key = run_token()
    assert key
    monkeypatch.setenv("ATLAS_TEST_KEY", key)
    output = tmp_path / "run"
    done = train(servers, questions, output, "student_spending_cap=1.6")
    printed = done.stdout + done.stderr
    assert done.returncode == 4, printed[-3000:]
    assert "student_spending_cap=1.6" in printed
    first = steps(output)
    assert 0 < len(first) < 6
    assert all(row["student_cost_usd"] > 0 for row in first)
    assert all(row["sampling/sampling_logp_difference/max"] < 1e-4 for row in first)
    spent = json.loads((output / "usage/student.json").read_text())["cost_usd"]
    assert spent == pytest.approx(sum(row["student_cost_usd"] for row in first))
    assert spent <= 1.6
    assert [path.name for path in output.glob("checkpoint-*")] == [f"checkpoint-{len(first)}"]
    assert not (output / "finished.json").exists()

    # What is left is too little for a rollout like the last: none is begun.
    done = train(servers, questions, output, f"student_spending_cap={spent + 1e-6}")
    assert done.returncode != 0
    assert "another rollout like the last takes" in done.stdout + done.stderr
    assert json.loads((output / "usage/student.json").read_text())["cost_usd"] == spent

    done = train(servers, questions, output, "student_spending_cap=100")
    printed += done.stdout + done.stderr
    assert done.returncode == 0, printed[-3000:]
    assert [row["step"] for row in steps(output)] == list(range(1, 7))
    assert steps(output)[-1]["student_cost_usd/total"] > spent
    assert (output / "finished.json").exists()
    assert key not in printed
    written = [path for path in output.rglob("*") if path.is_file() and path.suffix in (".json", ".jsonl", ".yaml")]
    assert not [path for path in written if key.encode() in path.read_bytes()]
    restore(servers)


def test_a_streamed_answer_is_the_whole_one(servers):
    from trainers.generation.models import api_model, served_model
    from trainers.teaching import AdaptiveTeacher, default_templates

    async def outcome():
        student = api_model(f"{servers.student.base_url}/v1", servers.student.model, api_key_env=RUN_TOKEN)
        mentor = served_model(servers.teacher.base_url, servers.teacher.model)
        brief = {"templates": default_templates("world"), "max_probe_tokens": 8, "max_completion_length": 16}
        teachers = [
            AdaptiveTeacher(model, max_tokens=24, **brief)
            for model in (mentor, lambda text: "<teaching>Add them.</teaching>")
        ]
        try:
            whole = [await teacher.teach("2 + 2?", student) for teacher in teachers]
            pieces = [[piece async for piece in teacher.stream("2 + 2?", student)] for teacher in teachers]
        finally:
            await student.aclose()
            await mentor.aclose()
        return whole, pieces

    whole, pieces = asyncio.run(outcome())
    assert [answer.guidance.failure for answer in whole] == ["teacher_format", None]
    assert [answer.text for answer in whole] == ["".join(part).strip() for part in pieces]
    assert all(len(part) > 1 for part in pieces)
