"""A model whose turns end in another token than its tokenizer's eos: generation stops there, and training knows it."""

import asyncio
import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.endings import end_probability, write_ending_model
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.generation.local.model import LocalModel
from trainers.generation.types import Message, Prompt, Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec
from trainers.teaching.prompts import read_reply

PROMPTS = [Prompt((Message("user", "Add 3 and 4."),))]
SAMPLES, BUDGET = 16, 64
THINKING = {"enable_thinking": True}
"""With it the template opens `<think>` in the prompt."""


@pytest.fixture(scope="module")
def ending_dir(tmp_path_factory):
    return write_ending_model(tmp_path_factory.mktemp("ending"))


@pytest.fixture(scope="module")
def end(ending_dir):
    return AutoTokenizer.from_pretrained(ending_dir).convert_tokens_to_ids("<|im_end|>")


def sampled(model, **how):
    async def outcome():
        try:
            [generation] = await model.generate(PROMPTS, n=SAMPLES, sampling=Sampling(BUDGET), seed=3, **how)
            return generation.completions
        finally:
            await model.aclose()

    return asyncio.run(outcome())


def assert_all_end(completions, end):
    assert len(completions) == SAMPLES
    for completion in completions:
        assert completion.finish_reason == "stop"
        assert completion.token_ids[-1] == end
        assert end not in completion.token_ids[:-1]
        assert "<|im_end|>" not in completion.text
    lengths = [completion.tokens for completion in completions]
    assert 1 < sum(lengths) / SAMPLES < BUDGET / 2


def test_a_local_model_stops_at_the_end_of_the_template(ending_dir, end):
    assert_all_end(sampled(LocalModel.load(str(ending_dir), dtype="float32")), end)


def test_a_local_model_gives_reasoning_that_the_prompt_opened_as_a_whole_block(ending_dir):
    completions = sampled(LocalModel.load(str(ending_dir), dtype="float32", chat_template_kwargs=THINKING))
    assert all(completion.text.startswith("<think>") for completion in completions)


@pytest.mark.slow
@pytest.mark.servers
def test_a_server_stops_at_the_end_of_the_template(ending_dir, end, free_port, tmp_path):
    common = {"host": "127.0.0.1", "dtype": "float32", "max_model_len": 256, "max_num_seqs": 32}
    spec = ServerSpec("student", 0, str(ending_dir), port=free_port, **common)
    with ServerGroup([spec], tmp_path, start_timeout_s=300):
        completions = sampled(EndpointPool.from_specs([spec]), logprobs=True)
        assert_all_end(completions, end)
        model = AutoModelForCausalLM.from_pretrained(ending_dir)
        expected = math.log(end_probability(model.config.vocab_size))
        # The end is a token like any other to the policy: it has a log-probability, and is trained on.
        for completion in completions:
            assert len(completion.logprobs) == len(completion.token_ids)
            assert completion.logprobs[-1] == pytest.approx(expected, abs=1e-3)

        # What was done before: the server alone knows eos only, and all run to their limit.
        endless = sampled(EndpointPool.from_specs([spec], extra_body={"stop_token_ids": []}))
        assert [completion.finish_reason for completion in endless] == ["length"] * SAMPLES

        opened = sampled(EndpointPool.from_specs([spec], chat_template_kwargs=THINKING))
        assert all(completion.text.startswith("<think>") for completion in opened)
        assert read_reply(opened[0].text + "<teaching>A draft.</teaching>").teaching is None


ROW = {"problem_text": "1 + 1?", "student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "Add."}


def sft_config(model_dir, tmp_path, *arguments):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(ROW | {"problem_text": f"{n} + 1?"}) + "\n" for n in range(8)))
    command = [
        *("quickstart_sft", f"model_name_or_path={model_dir}", f"dataset_id_or_path={rows}"),
        *(f"output_dir={tmp_path / 'sft'}", "max_steps=1", "report_to=null", "train_batch_size=4"),
        *("per_device_train_batch_size=4", "dataset_files=null", "max_length=256", "eval_strategy=no"),
        *arguments,
    ]
    return compose(command, Machine(), 1).config


@pytest.mark.slow
def test_sft_learns_the_end_and_the_final_model_declares_it(ending_dir, end, tmp_path):
    from trainers import sft

    config = sft_config(ending_dir, tmp_path)
    trainer = sft.build_trainer(config)
    for row in trainer.train_dataset:
        learned = [label for label in row["labels"] if label != -100]
        assert learned == row["input_ids"][-len(learned) :]
        assert learned[-1] == end
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    assert (batch["labels"] == end).sum() == 4
    sft.run(config)
    saved = json.loads((tmp_path / "sft" / "generation_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "sft")
    assert saved["eos_token_id"] == [end, tokenizer.eos_token_id]
    # The next run, and whoever serves the model, starts with it; the tokenizer is the model's own still.
    assert tokenizer.eos_token == "<|endoftext|>"


@pytest.mark.slow
def test_prompts_are_learned_too_where_the_key_says_so(ending_dir, tmp_path):
    from trainers import sft

    trainer = sft.build_trainer(sft_config(ending_dir, tmp_path, "completion_only_loss=false"))
    assert all(row["labels"] == row["input_ids"] for row in trainer.train_dataset)


@pytest.mark.slow
def test_grpo_counts_a_completion_that_ends_as_complete(ending_dir, end, tmp_path):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from trainers.generation.chat_templates.assistant_turn import assistant_turn
    from trainers.models.end_of_turn import declare_end

    tokenizer = AutoTokenizer.from_pretrained(ending_dir)
    model = AutoModelForCausalLM.from_pretrained(ending_dir, dtype=torch.float32)
    declare_end(model, assistant_turn(tokenizer))
    trainer = GRPOTrainer(
        model=model,
        args=GRPOConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none", per_device_train_batch_size=8),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        train_dataset=Dataset.from_dict({"prompt": ["a"]}),
        processing_class=tokenizer,
    )
    # By this list TRL tells truncated completions from complete ones.
    assert trainer.eos_token_ids == [end, tokenizer.eos_token_id]
