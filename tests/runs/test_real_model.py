"""A real pretrained model after its warm-up: GRPO beside servers, evaluation, service, code of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.runs.test_real_warm_up import warm_up
from tests.service.test_service import serving
from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import completed, lessons, metrics, read_jsonl, weights
from tests.support.server_pair import ServerPair, serving_pair
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.generation.models import local_model, served_model
from trainers.generation.types import Message, Prompt
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.generation.vllm.greedy import GreedySample, greedy_samples
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.service.app import Limits
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.weight_sync import WeightSync, make_transport
from trainers.teaching import AdaptiveTeacher, default_templates

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(900)]

STEPS = 2
FLOAT32 = 1e-4
"""Most by which a server's log-probability of a token may differ from the trainer's own, both in float32."""
BFLOAT16 = 0.05
"""Most by which they may differ on average where both round to bfloat16."""

SHORT = (
    "trainer/reward=world",
    *("max_prompt_length=null", "max_completion_length=24", "student_max_tokens=12", "max_probe_tokens=8"),
    *("teacher_max_model_len=512", "student_max_model_len=512"),
)
PROMPTS = [
    Prompt((Message("user", text),))
    for text in ("What is the capital of France?", "Add 17 and 25.", "Write a word that rhymes with light.")
]


@pytest.fixture(scope="module")
def warmed(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model after an SFT warm-up of all weights."""
    return warm_up(smollm2, tmp_path_factory.mktemp("warmed"), "max_steps=6", "learning_rate=5e-4")


@pytest.fixture(scope="module")
def pair(smollm2: Path, warmed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """The warmed teacher in float32 and the student in bfloat16; both can be sent weights."""
    port = consecutive_free_ports(2)
    common = {"host": "127.0.0.1", "max_model_len": 512, "max_num_seqs": 16, "weight_transfer": "gloo"}
    teacher = ServerSpec("teacher", 0, str(warmed), port=port, dtype="float32", **common)
    student = ServerSpec("student", 0, str(smollm2), port=port + 1, dtype="bfloat16", **common)
    with serving_pair(teacher, student, tmp_path_factory.mktemp("servers"), start_timeout_s=400) as servers:
        yield servers


@pytest.fixture(scope="module")
def trained(pair: ServerPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GRPO of all weights under ZeRO-3, on-policy; a rank takes more than 4 GB, so that there is one."""
    return _grpo(pair, tmp_path_factory.mktemp("full"), "1", "zero3", "learning_rate=1e-4")


def _grpo(pair: ServerPair, output: Path, processes: str, stage: str, *overrides: str) -> Path:
    command = ["bash", "scripts/launch.sh", processes, "configs/run/quickstart_real_rl.yaml", stage, "--no-preflight"]
    command += [f"model_name_or_path={pair.teacher.model}", f"student_model={pair.student.model}", *SHORT]
    command += [f"vllm_port={pair.teacher.port}", "student_dtype=bfloat16", f"output_dir={output}/run"]
    command += [f"max_steps={STEPS}", "train_batch_size=4", "num_generations=2", "per_device_train_batch_size=2"]
    completed([*command, "reward=tests.support.rewards.checksum", *overrides], timeout=800)
    return output / "run"


def _send(spec: ServerSpec, model: torch.nn.Module) -> None:
    sync = WeightSync([spec.base_url], make_transport("gloo", timeout_s=120), timeout_s=120)
    sync.connect()
    try:
        sync.update(checkpoint_tensors(model, sharded=False), checkpoint_metadata(model), 1)
    finally:
        sync.close()


def _greedy(spec: ServerSpec) -> list[GreedySample]:
    async def outcome() -> list[GreedySample]:
        pool = EndpointPool.from_specs([spec])
        try:
            return await greedy_samples(pool, PROMPTS, 16)
        finally:
            await pool.aclose()

    return asyncio.run(outcome())


def _gaps(model: torch.nn.Module, samples: list[GreedySample]) -> torch.Tensor:
    """Return by how much the servers' log-probabilities differ from the model's, token by token."""
    gaps = []
    for sample in samples:
        with torch.no_grad():
            logits = model(torch.tensor([[*sample.prompt, *sample.tokens]])).logits[0, len(sample.prompt) - 1 : -1]
        own = logits.float().log_softmax(-1).gather(1, torch.tensor(sample.tokens)[:, None])[:, 0]
        gaps.append((torch.tensor(sample.logprobs) - own).abs())
    return torch.cat(gaps)


def test_grpo_of_all_weights_under_zero3_samples_from_what_it_trains(pair, trained):
    rows = metrics(trained)
    assert list(rows) == [1, 2]
    for step, row in rows.items():
        # The second was sampled after an update of the embedding that is the output layer as well.
        assert row["sampling/sampling_logp_difference/max"] < FLOAT32
        assert row["grad_norm"] > 0
        assert {lesson["weight_version"] for lesson in lessons(trained, step - 1)} == {step}
    before, after = weights(Path(pair.teacher.model)), weights(trained)
    assert torch.equal(after["lm_head.weight"], after["model.embed_tokens.weight"])
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_server_that_is_sent_the_trained_weights_computes_with_them(precision, pair, trained):
    spec = {"float32": pair.teacher, "bfloat16": pair.student}[precision]
    dtype = getattr(torch, precision)
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=dtype).eval()
    original = AutoModelForCausalLM.from_pretrained(spec.model, dtype=dtype).eval()
    try:
        _send(spec, model)
        samples = _greedy(spec)
    finally:
        _send(spec, original)
    gaps = _gaps(model, samples)
    if precision == "float32":
        assert gaps.max() < FLOAT32
    assert gaps.mean() < BFLOAT16
    # Of other weights the distance is larger.
    assert _gaps(original, samples).mean() > 2 * BFLOAT16


def test_grpo_of_an_adapter_under_zero1_learns_a_step_behind(pair, tmp_path):
    adapter = ("use_peft=true", "lora_r=8", "learning_rate=1e-3")
    output = _grpo(pair, tmp_path, "1", "zero1", "rollout_overlap=1", *adapter)
    rows = metrics(output)
    assert [row["teaching/weight_version_lag"] for row in rows.values()] == [0, 1]
    assert rows[1]["sampling/sampling_logp_difference/max"] < FLOAT32
    assert all(row["grad_norm"] > 0 for row in rows.values())
    assert (output / "adapter_model.safetensors").is_file()


def test_questions_are_evaluated_alone_and_taught(pair, tmp_path):
    from trainers.evaluation.evaluate import evaluate

    arguments = ["quickstart_real_evaluation", f"teacher=[{pair.teacher.model}]", "teacher_names=[warmed]"]
    arguments += [f"student_model={pair.student.model}", "student_dtype=bfloat16", f"vllm_port={pair.teacher.port}"]
    arguments += [f"output_dir={tmp_path}", "eval_max_samples=4", "num_rollouts=1", "num_baselines=1", *SHORT]
    asyncio.run(evaluate(compose(arguments, Machine()).config))
    rows = read_jsonl(tmp_path / "lessons.jsonl")
    assert len(rows) == 4
    assert all(row["completion_tokens"] > 0 and row["failure"] is None for row in rows)
    assert "student alone" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "Paul has 11 shells" in (tmp_path / "lessons.html").read_text(encoding="utf-8")


def test_the_service_answers_the_openai_client_in_whole_and_in_pieces(pair):
    async def outcome() -> tuple[str, str]:
        teacher = served_model(pair.teacher.base_url, pair.teacher.model)
        student = served_model(pair.student.base_url, pair.student.model)
        limits = Limits(max_tokens=24, max_probe_tokens=8, max_completion_length=24)
        asked = {"model": "small", "messages": [{"role": "user", "content": "Hi!"}], "temperature": 0, "seed": 1}
        try:
            async with serving(student, teacher, limits=limits) as (client, _):
                whole = await client.chat.completions.create(**asked)
                pieces = [piece async for piece in await client.chat.completions.create(**asked, stream=True)]
        finally:
            await teacher.aclose()
            await student.aclose()
        assert whole.usage is not None
        assert whole.usage.completion_tokens > 0
        joined = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        return whole.choices[0].message.content or "", joined

    whole, joined = asyncio.run(outcome())
    assert len(whole) > 5
    assert whole == joined.strip()


def test_models_in_this_process_hold_a_lesson(smollm2, warmed):
    brief = {"templates": default_templates("world"), "max_probe_tokens": 8, "max_completion_length": 96}
    student, teacher = local_model(str(smollm2)), local_model(str(warmed))
    mentor = AdaptiveTeacher(teacher, max_tokens=16, **brief)
    lesson = mentor.teach_sync("A jar holds 40 cookies and 13 are eaten. How many cookies are left?", student)
    assert lesson.guidance.approach
    assert lesson.text
    # Six steps of warm-up teach it the form: it thinks before it teaches.
    assert lesson.guidance.thinking
