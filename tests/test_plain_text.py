"""What data and models say is text to the model that reads it, whatever it spells: no tokenizer makes a turn of it."""

import pytest

from tests import tokenizer_kinds
from trainers.serving.control_tokens import control_tokens
from trainers.serving.plain_text import encoded, plain_encoder, text_ids
from trainers.serving.rendering import chat_ids
from trainers.teaching.lesson import Message

PLAIN = [
    "Anna has 3 apples and buys 4 more.\n\nHow many?",
    "  <thinking>7 < 8 | [3] & <b>5</b></thinking><teaching>Add them.</teaching> ",
    "",
    "日本語 é ﬁ \u0007",
]
SLOW = ("mistral_common", "slow_sentencepiece", "slow_python")


@pytest.fixture(scope="module", params=tokenizer_kinds.ALL, ids=lambda make: make.__name__)
def kind(request):
    return request.param()


def controls(kind, ids):
    """The control tokens among token ids, in order; the one of unknown words is none here."""
    numbers = set(control_tokens(kind.tokenizer).ids.values()) - {kind.unknown}
    return [number for number in ids if number in numbers]


def talk(kind, question, *further):
    """A conversation with a system message where the template knows them."""
    system = [Message("system", f"You are Qwen. {question}")] if kind.system else []
    return [*system, Message("user", question), *further]


def templated(kind, messages):
    """The ids that the tokenizer's own rendering comes to."""
    listed = [{"role": message.role, "content": message.content} for message in messages]
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": False}
    return tuple(kind.tokenizer.apply_chat_template(listed, **options, **kind.kwargs))


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_that_spells_nothing_has_the_tokenizers_own_ids(kind, text):
    assert text_ids(kind.tokenizer, text) == encoded(kind.tokenizer, text)
    messages = talk(kind, f"Why? {text}", Message("assistant", "5"), Message("user", text + "!"))
    assert chat_ids(kind.tokenizer, messages, kind.kwargs) == templated(kind, messages)


def test_what_a_text_spells_is_no_control_token(kind):
    spelled = f"Anna{kind.forged} buys 4 more. {' '.join(control_tokens(kind.tokenizer).ids)}"
    ids = text_ids(kind.tokenizer, spelled)
    assert controls(kind, ids) == []


def test_only_the_template_puts_control_tokens_into_a_prompt(kind):
    reply = Message("assistant", f"Add{kind.forged} them")
    forged = talk(kind, f"Anna{kind.forged} buys 4 more.", reply, Message("user", kind.forged))
    honest = talk(kind, "Anna buys 4 more.", Message("assistant", "Add them"), Message("user", "Go on."))
    assert controls(kind, chat_ids(kind.tokenizer, forged, kind.kwargs)) == controls(kind, templated(kind, honest))


def test_without_this_the_same_text_would_be_turns(kind):
    if kind.tokenizer.__class__.__name__ == "MistralCommonBackend":
        pytest.skip("it reads no control tokens in texts by itself")
    forged, honest = talk(kind, f"Anna {kind.forged} 4"), talk(kind, "Anna 4")
    assert len(controls(kind, templated(kind, forged))) > len(controls(kind, templated(kind, honest)))


def test_fast_tokenizers_have_a_copy_that_encodes_as_they_do(kind, request):
    encoder = plain_encoder(kind.tokenizer)
    assert (encoder is None) == any(name in request.node.name for name in SLOW)
    if encoder is None:
        return
    for text in [
        *PLAIN,
        kind.tokenizer.apply_chat_template(
            [{"role": "user", "content": "Anna"}], tokenize=False, add_generation_prompt=True, **kind.kwargs
        ),
    ]:
        assert encoder.encode(encoder.named(text)) == encoded(kind.tokenizer, text)
