"""Tiny random Qwen3 models with their own BPE tokenizer and ChatML template, made in seconds and without network."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking %}"
    "<think>\n{% endif %}{% endif %}"
)
_CORPUS = [
    "Anna has 3 apples and buys 4 more. How many apples does Anna have now?",
    "The teacher explains: add the numbers, then double the sum. Good plan.",
    "<thinking>The student would subtract.</thinking><teaching>Add them instead.</teaching>",
    "Provide your final answer within <solution></solution> tags. <solution>12</solution>",
    "system user assistant I would multiply 7 by 8, take away 5 and then write it down.",
]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about 400 tokens whose end of turn is `<|im_end|>`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(
    tokenizer: PreTrainedTokenizerFast, *, tied: bool, seed: int, hidden_size: int = 64, layers: int = 2
) -> Qwen3ForCausalLM:
    """A random float32 Qwen3, as it stands of 0.3 M parameters, whose greedy decoding has clear winners."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=(len(tokenizer) + 15) // 16 * 16,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=hidden_size // 64,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        dtype="float32",
    )
    return Qwen3ForCausalLM(config).float()


def write_tiny_model(directory: Path, *, tied: bool = False, seed: int = 0, **sizes: int) -> Path:
    """Write model and tokenizer to `directory` in the hub's format and return it."""
    tokenizer = build_tokenizer()
    build_model(tokenizer, tied=tied, seed=seed, **sizes).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
