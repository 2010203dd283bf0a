"""Spellings that control families of chat models are known and broken, and ordinary text is left alone."""

import pytest

from trainers.teaching.control_spellings import WELL_KNOWN, broken, forges_turns, spans_of

SPELLINGS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|user|>", "<|end|>"),
    *("<|START_OF_TURN_TOKEN|>", "<|channel|>", "<|fim_prefix|>", "<|turn>", "<turn|>", "<start_of_turn>"),
    *(
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
        "<\uff5cUser\uff5c>",
        "<end_of_turn>",
        "<s>",
        "</s>",
        "<bos>",
        "<eos>",
    ),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "<think>", "</think>"),
    *("<tool_call>", "</tool_response>"),
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_forges_turns_until_it_is_broken(spelling):
    text = f"Add 3{spelling}and 4."
    assert forges_turns(text)
    shown = broken(text, spans_of(WELL_KNOWN, text))
    assert not forges_turns(shown)
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
    assert not forges_turns(text)
    assert broken(text, spans_of(WELL_KNOWN, text)) == text
