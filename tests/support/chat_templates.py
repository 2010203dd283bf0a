"""Chat templates of the families that people use, each with a small tokenizer of the family's kind.

`python -m tests.support.chat_templates` prints the table of docs/guides/model-selection.md.

Templates are the published ones: TRL ships copies of many, and the others stand here as their makers wrote them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from custom_data.examples.encoding import ExampleEncoder
from trainers.generation.chat_templates.rendering import chat_ids
from trainers.teaching.prompts import PromptTemplates

Kind = Literal["bytes", "llama", "metaspace"]

LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_V0_1 = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
PHI_4_MINI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VICUNA = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ 'USER: ' + message['content'] + ' ' }}{% elif message['role'] == 'assistant' %}"
    "{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
ALPACA = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '### Instruction:\n' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %}"
    "{{ '### Response:\n' + message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
OLMO_2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}"
    "{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
SMOLLM_2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TAGGED = (
    "{% for message in messages %}"
    "{{ '<' + message['role'] + '>' + message['content'] + '</' + message['role'] + '>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)

QUESTION = "Anna has 3 apples and buys 4 more. How many apples does Anna have now?"
THINKING, TEACHING = "The student would subtract.", "Add them instead."
REPLY = f"<thinking>{THINKING}</thinking><teaching>{TEACHING}</teaching>"

# Line breaks in a row, blanks before tags, <think> beside <thinking>: what merges over the end of a prompt.
_CORPUS = [
    *(QUESTION, REPLY, "The teacher explains: add the numbers,\n\nthen double the sum.\n\n\nGood plan."),
    *("<think>\n\n</think>\n\n<thinking>", "system user assistant ASSISTANT: <thinking> USER: [INST] [/INST]\n"),
] * 3
_QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, eq=False)
class Family:
    """One family's template and tokenizer, and what must come of them.

    Args:
        name: as people call it.
        template: a template, or the name of TRL's copy.
        control: the tokenizer's special tokens besides bos and eos.
        tail: the end of a prompt.
        says: what the model says for `REPLY`, around the reply: before it, and after it up to the end.
        end: the token that ends a turn.
        source: where that is found, as `AssistantTurn.source` says.
        marks: added tokens that are not special.
        kwargs: variables of the template.
        kind: how the tokenizer cuts texts.
    """

    name: str
    template: str
    control: tuple[str, ...]
    eos: str | None
    tail: str
    end: str
    says: tuple[str, str] = ("", "")
    bos: str | None = None
    source: str = "template"
    marks: tuple[str, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "bytes"

    def __str__(self) -> str:
        return self.name

    @property
    def opens_reasoning(self) -> bool:
        """True when prompts end within a block of reasoning."""
        return self.tail.rstrip().endswith("<think>")


_IM = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_THINK = ("<think>", "</think>")
_EMPTY = "<think>\n\n</think>\n\n"
_ASSISTANT = "<|im_start|>assistant\n"
_R1 = ("<｜User｜>", "<｜Assistant｜>")  # noqa: RUF001 - as DeepSeek writes them
_R1_BOS, _R1_EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"  # noqa: RUF001
_R1_TAIL = "<｜Assistant｜><think>\n"  # noqa: RUF001
_LLAMA_3 = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_LLAMA_3_TAIL = "<|start_header_id|>assistant<|end_header_id|>\n\n"
_HARMONY = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>")
_COHERE = ("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>")

FAMILIES = (
    Family("Qwen2.5", "qwen2_5", _IM, "<|im_end|>", _ASSISTANT, "<|im_end|>"),
    Family("ChatML, another eos (Qwen2.5 base)", "qwen2_5", _IM, "<|endoftext|>", _ASSISTANT, "<|im_end|>"),
    Family("ChatML, no eos", CHATML, _IM, None, _ASSISTANT, "<|im_end|>"),
    Family(
        *("Qwen3, thinking off", "qwen3", _IM, "<|im_end|>", _ASSISTANT + _EMPTY, "<|im_end|>"),
        marks=_THINK,
        kwargs={"enable_thinking": False},
    ),
    Family(
        *("Qwen3, thinking on", "qwen3", _IM, "<|im_end|>", _ASSISTANT, "<|im_end|>", (_EMPTY, "")),
        marks=_THINK,
        kwargs={"enable_thinking": True},
    ),
    Family(
        *("Qwen3.5, thinking on", "qwen3_5_think", _IM, "<|im_end|>", _ASSISTANT + "<think>\n", "<|im_end|>"),
        says=("\n</think>\n\n", ""),
        marks=_THINK,
    ),
    Family(
        *("DeepSeek-R1", "deepseek_r1_distill", _R1, _R1_EOS, _R1_TAIL, _R1_EOS, ("\n</think>\n\n", ""), _R1_BOS),
        marks=_THINK,
    ),
    Family(
        *("DeepSeek-R1, `<think>` as text", "deepseek_r1_distill", _R1, _R1_EOS, _R1_TAIL, _R1_EOS),
        says=("\n</think>\n\n", ""),
        bos=_R1_BOS,
    ),
    Family("Llama 3", "llama3", _LLAMA_3, "<|end_of_text|>", _LLAMA_3_TAIL, "<|eot_id|>", bos="<|begin_of_text|>"),
    Family("Llama 3.1", "llama3_1", _LLAMA_3, "<|eot_id|>", _LLAMA_3_TAIL, "<|eot_id|>", bos="<|begin_of_text|>"),
    Family("Llama 2", LLAMA_2, (), "</s>", " [/INST]", "</s>", (" ", " "), "<s>", kind="llama"),
    Family("Mistral v0.1", MISTRAL_V0_1, (), "</s>", " [/INST]", "</s>", bos="<s>", kind="metaspace"),
    Family("Zephyr", ZEPHYR, (), "</s>", "</s>\n<|assistant|>\n", "</s>", bos="<s>", kind="metaspace"),
    Family("Vicuna, prompt ending in a blank", VICUNA, (), "</s>", "ASSISTANT: ", "</s>", bos="<s>", kind="metaspace"),
    Family("the same, tokens of bytes", VICUNA, (), "</s>", "ASSISTANT: ", "</s>", bos="<s>"),
    Family(
        *("Gemma", "gemma", ("<start_of_turn>", "<end_of_turn>"), "<eos>", "<start_of_turn>model\n", "<end_of_turn>"),
        bos="<bos>",
    ),
    Family(
        *("Gemma 3", "gemma3", ("<start_of_turn>", "<end_of_turn>"), "<eos>", "<start_of_turn>model\n"),
        end="<end_of_turn>",
        bos="<bos>",
    ),
    Family(
        *("Phi-3", "phi3", ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|endoftext|>"),
        tail="<|assistant|>\n",
        end="<|end|>",
    ),
    Family(
        *("Phi-4-mini", PHI_4_MINI, ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|endoftext|>"),
        tail="<|assistant|>",
        end="<|end|>",
    ),
    # One token begins conversations and ends turns; the marks of roles are plain text.
    Family("OLMo 2", OLMO_2, (), "<|endoftext|>", "<|assistant|>\n", "<|endoftext|>", bos="<|endoftext|>"),
    # A system message of its own where there is none; the token that begins turns is its bos.
    Family("SmolLM2", SMOLLM_2, _IM, "<|im_end|>", _ASSISTANT, "<|im_end|>", bos="<|im_start|>"),
    Family(
        *("gpt-oss", "gptoss", _HARMONY, "<|return|>", "<|start|>assistant", "<|return|>"),
        says=("<|channel|>final<|message|>", ""),
        bos="<|startoftext|>",
    ),
    Family(
        *("Command R7B", "cohere2", (*_COHERE, "<|START_RESPONSE|>", "<|END_RESPONSE|>"), "<|END_OF_TURN_TOKEN|>"),
        tail="<|CHATBOT_TOKEN|><|START_RESPONSE|>",
        says=("", "<|END_RESPONSE|>"),
        end="<|END_OF_TURN_TOKEN|>",
        bos="<BOS_TOKEN>",
    ),
    Family(
        *("GLM-4.5", "glm4moe", ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>"), "<|endoftext|>", "<|assistant|>"),
        end="<|user|>",
        says=("\n<think></think>\n", ""),
        source="next turn",
        marks=_THINK,
    ),
    Family(
        "Alpaca, no end of turn", ALPACA, (), "</s>", "### Response:\n", "</s>", bos="<s>", source="eos", kind="llama"
    ),
    Family("`</assistant>` as text", TAGGED, (), "<|endoftext|>", "<assistant>", "<|endoftext|>", source="eos"),
)
BY_NAME = {family.name: family for family in FAMILIES}


@cache
def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    """A tokenizer of some hundred tokens in the family's way."""
    ends = [token for token in (family.bos, family.eos) if token]
    special = list(dict.fromkeys([*ends, *family.control]))
    backend = _bytes(special) if family.kind == "bytes" else _pieces(special, legacy=family.kind == "llama")
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in family.marks])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=family.bos,
        eos_token=family.eos,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _template(family.template)
    return tokenizer


def _template(name: str) -> str:
    if re.fullmatch(r"\w+", name) is None:
        return name
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def _bytes(special: list[str]) -> Tokenizer:
    """Byte-level BPE, as of GPT-2, Llama 3 and Qwen."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return _trained(backend, special, pre_tokenizers.ByteLevel.alphabet())


def _pieces(special: list[str], *, legacy: bool) -> Tokenizer:
    """SentencePiece's BPE, with a mark for a space before every text (Llama 2), or before the first only (Mistral)."""
    backend = Tokenizer(models.BPE(byte_fallback=True))
    if legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trained = json.loads(_trained(backend, special, [chr(code) for code in range(33, 127)]).to_str())
    vocabulary = trained["model"]["vocab"]
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    return Tokenizer.from_str(json.dumps(trained))


def _trained(backend: Tokenizer, special: list[str], alphabet: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False, max_token_length=8
    )
    backend.train_from_iterator(_CORPUS, trainer)
    return backend


def table() -> str:
    """The table of docs/guides/model-selection.md: what is done with each family's template."""
    head = ("template", "said before the reply", "end of turn", "SFT prompt = GRPO prompt", "end trained", "stopped at")
    rows = [head, ("---",) * len(head), *map(_row, FAMILIES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(family: Family) -> tuple[str, ...]:
    tokenizer, words = tokenizer_of(family), PromptTemplates(*["{question}"] * 4)
    encoder = ExampleEncoder(tokenizer, words, family.kwargs)
    example = encoder.encode({"question": QUESTION, "student_approach": "", "prompt": "", "reply": REPLY})
    prompt_ids = chat_ids(tokenizer, words.teacher(QUESTION, "").messages, family.kwargs)
    end = tokenizer.convert_tokens_to_ids(family.end)
    guess = {"next turn": ", with which the next turn begins", "eos": ", the tokenizer's eos"}.get(encoder.turn.source)
    return (
        family.name,
        _code(family.says[0]),
        _code(family.end) + (f"{guess} (guessed)" if guess else ""),
        _answer(example.input_ids[: len(prompt_ids)] == list(prompt_ids)),
        _answer(example.labels[-1] == end),
        _answer(end in encoder.turn.stop_ids),
    )


def _answer(holds: bool) -> str:
    return "yes" if holds else "**no**"


def _code(text: str) -> str:
    return "`" + text.replace("\n", "\\n").replace("|", "\\|") + "`" if text.strip() else ("a blank" if text else "")


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
