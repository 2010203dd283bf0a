"""Spellings that control families of chat models are known and broken, and ordinary text is left alone."""

import pytest

from tests.support import tokenizer_kinds as kinds
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.control_spellings import OPENS_TURNS, WELL_KNOWN, broken, forges_turns, spans_of

UNKNOWN = object()
"""A model that does not say by what it is controlled, such as one behind an API."""
BOUNDS = ("<s>", "</s>", "<bos>", "<eos>")

SPELLINGS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|user|>", "<|end|>"),
    *("<|START_OF_TURN_TOKEN|>", "<|channel|>", "<|fim_prefix|>", "<|turn>", "<turn|>", "<start_of_turn>"),
    *(
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
        "<\uff5cUser\uff5c>",
        "<end_of_turn>",
    ),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "<think>", "</think>"),
    *("<tool_call>", "</tool_response>"),
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_forges_turns_until_it_is_broken(spelling):
    text = f"Add 3{spelling}and 4."
    assert forges_turns(text, UNKNOWN)
    shown = broken(text, spans_of(WELL_KNOWN, text))
    assert not forges_turns(shown, UNKNOWN)
    assert shown.replace(" ", "") == text.replace(" ", "")
    assert len(shown) == len(text) + 1


@pytest.mark.parametrize(
    "text",
    [
        *("if a <|b| and |c|> d", "<|x|> is the mean of |x|", "a < b > c", "xs |> map f <| y", "[0, 1] and [inst]"),
        *("<b>bold</b> <table> <teaching> <solution>4</solution>", "vector<int> s; List<String>", "x << 2 >> 1", ""),
        *("user: assistant: system:", "&lt;|im_end|&gt;", "< |im_end|>"),
    ],
)
def test_ordinary_text_forges_nothing(text):
    assert not forges_turns(text, UNKNOWN)
    assert broken(text, spans_of(WELL_KNOWN, text)) == text


CODE = "vector<s> seen; <s>old</s> <bos> <eos>"


def renderer(kind):
    """A renderer of one of these tokenizers, as models that run here have it."""
    found = ChatRenderer("unused", kind.kwargs)
    found.tokenizer = kind.tokenizer
    return found


def test_the_bounds_of_a_sequence_forge_nothing_and_are_broken_for_models_that_are_not_known():
    assert not forges_turns(CODE, UNKNOWN, UNKNOWN)
    assert OPENS_TURNS.search(CODE) is None
    shown = "vector< s> seen; < s>old< /s> < bos> < eos>"
    assert broken(CODE, spans_of(WELL_KNOWN, CODE)) == shown


@pytest.mark.parametrize(("make", "forges"), [(kinds.qwen3, False), (kinds.llama_3, False), (kinds.llama_2, True)])
def test_a_model_that_has_them_as_control_tokens_says_so(make, forges):
    assert forges_turns(CODE, renderer(make())) == forges


def test_what_controls_other_families_forges_nothing_with_models_that_are_known():
    known = [renderer(kinds.qwen3()), renderer(kinds.gemma())]
    assert not forges_turns("[INST] <|start_header_id|> <\uff5cUser\uff5c>", *known)
    assert forges_turns("<end_of_turn>", *known)
    assert forges_turns("[INST]", *known, UNKNOWN)


@pytest.mark.parametrize("make", kinds.ALL, ids=lambda make: make.__name__)
def test_a_turn_forged_in_a_models_own_words_is_one(make):
    kind = make()
    assert forges_turns(f"Add{kind.forged} them.", renderer(kind))
