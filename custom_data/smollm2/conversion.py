"""A GGUF file as a Hugging Face model directory, with what transformers' reader loses put back from its metadata.

transformers dequantises the weights. Of the tokenizer it loses the end-of-turn and padding tokens (`<|im_start|>` is
the end of a turn there), the other special tokens, the splitting of digits before the merges, and the decoder.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CONTROL = 3
"""The kind that GGUF gives to tokens that are no text."""

_WANTED = ("tokenizer.", "llama.context_length")


def convert(gguf: Path, output: Path, dtype: str) -> None:
    """Write model and tokenizer into a directory that appears only when it is whole.

    Args:
        gguf: file of the quantised model.
        output: directory to make; it must not exist.
        dtype: `float32` or `bfloat16`, the type of the saved weights.
    """
    draft = output.with_name(f"{output.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    facts = _metadata(gguf)
    _dequantised(gguf, dtype).save_pretrained(draft)
    _tokenizer(gguf, facts).save_pretrained(draft)
    draft.rename(output)


def _metadata(gguf: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in GGUFReader(gguf).fields.items() if key.startswith(_WANTED)}


def _dequantised(gguf: Path, dtype: str) -> Any:
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    for key in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, key):
            delattr(model.config, key)
    # It would be saved as a quantised model, which it no longer is.
    model.hf_quantizer, model.is_quantized = None, False
    model.config.name_or_path = NAME
    model.config.dtype = DTYPES[dtype]
    model.generation_config = GenerationConfig(
        **{f"{name}_token_id": getattr(model.config, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    )
    return model.to(DTYPES[dtype])


def _tokenizer(gguf: Path, facts: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    tokens: list[str] = facts["tokenizer.ggml.tokens"]
    kinds = facts["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    engine = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).backend_tokenizer
    _mend(engine, special)

    def named(role: str) -> str:
        return tokens[facts[f"tokenizer.ggml.{role}_token_id"]]

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=engine,
        bos_token=named("bos"),
        eos_token=named("eos"),
        pad_token=named("padding"),
        unk_token=named("unknown"),
        model_max_length=facts["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = facts["tokenizer.chat_template"]
    if tokenizer.convert_ids_to_tokens(list(range(len(tokens)))) != tokens:
        raise ValueError(f"the tokenizer read from {gguf.name} numbers its tokens differently than the file does")
    return tokenizer


def _mend(engine: Tokenizer, special: list[str]) -> None:
    """Put splitting, decoding and special tokens back; SmolLM2 reads a number digit by digit."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    engine.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
