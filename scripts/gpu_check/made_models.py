"""Random models of published shapes with a tokenizer of their own, and rows to train on: nothing comes from a hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from scripts.gpu_check.context import Context
from tests.support.tiny import build_tokenizer, write_tiny_model
from trainers.launch.estimates.model_sizes import KNOWN

SHAPES = {"0.6b": "Qwen/Qwen3-0.6B", "8b": "Qwen/Qwen3-8B"}
SIZES = ("tiny", *SHAPES)
ROWS = 64


def make_models(context: Context) -> None:
    """Make a teacher and a student, unless an earlier run has, and rows for both trainings."""
    for seed, role in enumerate(("teacher", "student")):
        directory = context.model(role)
        if not (directory / "tokenizer.json").exists():
            if context.size == "tiny":
                write_tiny_model(directory, seed=seed)
            else:
                write_model(directory, SHAPES[context.size], seed)
    write_rows(context.root)
    weights = sum(path.stat().st_size for path in context.model("teacher").glob("*.safetensors"))
    context.found(gigabytes=weights / 1e9, rows=ROWS)


def write_model(directory: Path, name: str, seed: int) -> None:
    """Write a bfloat16 model of a published shape; every row of its embedding is a token that can be decoded."""
    torch.manual_seed(seed)
    tokenizer = wide_tokenizer(int(KNOWN[name]["vocab_size"]))
    # Wider than a trained model's, so that greedy decoding has clear winners.
    config = Qwen3Config(
        **{key: value for key, value in KNOWN[name].items() if key not in ("architectures", "model_type")},
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = Qwen3ForCausalLM(config)
    finally:
        torch.set_default_dtype(default)
    model.save_pretrained(directory)
    # Last: what is whole is known by it.
    tokenizer.save_pretrained(directory)


def wide_tokenizer(tokens: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of so many tokens, most of which no text has: random models say them all the same."""
    base = build_tokenizer()
    described = json.loads(base.backend_tokenizer.to_str())
    vocabulary = described["model"]["vocab"]
    for index in range(len(vocabulary), tokens):
        vocabulary[f"w{index}"] = index
    wide = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(described)),
        pad_token=base.pad_token,
        eos_token=base.eos_token,
        additional_special_tokens=["<|im_start|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    wide.chat_template = base.chat_template
    return wide


def write_rows(directory: Path) -> None:
    """Write questions, and examples of their teaching."""
    questions = [
        {"question": f"Anna has {i} apples and buys 4 more. How many?", "answer": str(i + 4)} for i in range(ROWS)
    ]
    examples = [
        {"messages": [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]}
        for row in questions
    ]
    for name, rows in (("questions", questions), ("examples", examples)):
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
