"""A model's turn opens and ends as its template has it, and reasoning goes where the template wants it."""

import pytest

from tests.support.chat_templates import BY_NAME, tokenizer_of
from tests.support.tiny import build_tokenizer
from trainers.generation.chat_templates.assistant_turn import (
    Ending,
    assistant_turn,
    find_ending,
    opened_reasoning,
    spoken,
)

CONTROL = ("<|end|>", "<|endoftext|>", "<|user|>", "<|return|>", "<|start|>", "</s>", "<s>")


@pytest.mark.parametrize(
    ("after", "followed", "ending"),
    [
        ("<|end|>\n", "<|end|>\n<|user|>", Ending("", ("<|end|>",))),
        (" </s>", " </s><s>[INST] ", Ending(" ", ("</s>",))),
        # What closes the conversation is no part of the turn, with a line break before it or without.
        ("<|end|>\n<|endoftext|>", "<|end|>\n<|user|>", Ending("", ("<|end|>",))),
        ("<|end|><|endoftext|>", "<|end|><|user|>", Ending("", ("<|end|>",))),
        # Two tokens end every turn.
        ("<|return|><|end|>", "<|return|><|end|><|start|>", Ending("", ("<|return|>", "<|end|>"))),
        # The last turn is what a model says; the template rewrites it when others follow.
        ("<|return|>", "<|end|><|start|>", Ending("", ("<|return|>",))),
        # A template that refuses a second question.
        ("<|end|>\n<|endoftext|>", "", Ending("", ("<|end|>",))),
        ("\n\n", "\n\n### Instruction:", None),
        ("", "<|user|>", None),
        ("", "", None),
    ],
)
def test_a_turn_ends_where_the_template_ends_it(after, followed, ending):
    assert find_ending(after, followed, CONTROL) == ending


def test_without_control_tokens_there_is_no_end():
    assert find_ending("<|end|>", "<|end|>", ()) is None


def test_a_tokenizer_without_any_end_names_none():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    tokenizer.eos_token = None
    turn = assistant_turn(tokenizer)
    assert (turn.source, turn.end_ids, turn.stop_ids, turn.guessed) == ("nothing", (), (), True)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{{ messages[0]['content'][0]['text'] }}", ""])
def test_a_template_that_does_not_write_a_turn_leaves_the_eos(template):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template or None
    turn = assistant_turn(tokenizer)
    assert (turn.opening, turn.source) == ("", "eos")
    assert turn.end_ids == turn.stop_ids == (tokenizer.eos_token_id,)


def test_the_end_of_the_template_and_the_eos_both_stop():
    tokenizer = tokenizer_of(BY_NAME["Phi-3"])
    turn = assistant_turn(tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(turn.stop_ids)) == ["<|end|>", "<|endoftext|>"]
    assert tokenizer.convert_ids_to_tokens(list(turn.end_ids)) == ["<|end|>"]


def test_a_prompt_has_opened_reasoning_only_at_its_end():
    assert opened_reasoning("assistant\n<think>\n") == opened_reasoning("<think>") == "<think>"
    assert opened_reasoning("<think>\n\n</think>\n\n") == ""
    assert opened_reasoning("Write <think> first.\nassistant: ") == ""


REASONED = "<think>\nLet me see.\n</think>\n\n<teaching>Add.</teaching>"
PLAIN = "<teaching>Add.</teaching>"
QWEN, GLM = "<think>\n\n</think>\n\n", "\n<think></think>\n"


@pytest.mark.parametrize(
    ("reply", "opening", "tail", "said"),
    [
        (PLAIN, "", "assistant\n", PLAIN),
        (REASONED, "", "assistant\n", REASONED),
        # The prompt has opened reasoning: it is closed, after what the reply brings.
        (PLAIN, "", "<think>\n", "\n</think>\n\n" + PLAIN),
        (REASONED, "", "<think>\n", "Let me see.\n</think>\n\n" + PLAIN),
        (PLAIN, "", "<think>", "\n\n</think>\n\n" + PLAIN),
        ("Let me see.\n</think>\n\n" + PLAIN, "\n</think>\n\n", "<think>\n", "Let me see.\n</think>\n\n" + PLAIN),
        # The model opens it as its template does.
        (PLAIN, QWEN, "assistant\n", QWEN + PLAIN),
        (REASONED, QWEN, "assistant\n", REASONED),
        (PLAIN, GLM, "<|assistant|>", GLM + PLAIN),
        (REASONED, GLM, "<|assistant|>", "\n<think>Let me see.</think>\n" + PLAIN),
        # The prompt has closed it already: there is no place for the reply's own.
        (REASONED, "", "<think>\n\n</think>\n\n", PLAIN),
        (PLAIN, "<|channel|>final<|message|>", "assistant", "<|channel|>final<|message|>" + PLAIN),
    ],
)
def test_reasoning_goes_where_the_template_wants_it(reply, opening, tail, said):
    assert spoken(reply, opening, tail) == said
