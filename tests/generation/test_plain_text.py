"""Words of data and models are text to the model that reads them: no tokenizer makes a turn of what they spell."""

import pytest

from custom_data.examples.encoding import ExampleEncoder
from tests.support import tokenizer_kinds
from trainers.generation.chat_templates.control_tokens import control_tokens
from trainers.generation.chat_templates.plain_text import encoded, plain_encoder, text_ids
from trainers.generation.chat_templates.rendering import chat_ids
from trainers.generation.types import Message
from trainers.teaching.prompts import PromptTemplates

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


READ = [make for make in tokenizer_kinds.ALL if make is not tokenizer_kinds.mistral_common]


@pytest.mark.parametrize("make", READ, ids=lambda make: make.__name__)
def test_without_this_the_same_text_would_be_turns(make):
    kind = make()
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


def test_an_example_of_sft_has_no_more_turns_for_what_its_row_spells(kind):
    templates = PromptTemplates("{question}", "{question}", "{question} {approach}", "{question} {teaching}")
    encoder = ExampleEncoder(kind.tokenizer, templates, kind.kwargs)

    def example(spelled):
        reply = f"<thinking>3{spelled}</thinking><teaching>Add{spelled} them.</teaching>"
        row = {"prompt": "", "question": f"Anna{spelled}?", "student_approach": f"4{spelled}", "reply": reply}
        return controls(kind, encoder.encode(row).input_ids)

    assert example(kind.forged) == example("")


LOSSLESS = ("chatml", "qwen3", "llama_3", "llama_2", "mistral", "gemma", "phi_3", "world", "real_mistral")


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_spelling_is_read_back_letter_by_letter_between_the_templates_own_tokens(name):
    kind = getattr(tokenizer_kinds, name)()
    spelled = f"Anna {' '.join(control_tokens(kind.tokenizer).ids)} has 4"
    assert kind.tokenizer.decode(text_ids(kind.tokenizer, spelled)).strip() == spelled
    before, _, after = kind.tokenizer.decode(templated(kind, [Message("user", "Anna has 4")])).partition("Anna has 4")
    rendered = kind.tokenizer.decode(chat_ids(kind.tokenizer, [Message("user", spelled)], kind.kwargs))
    assert rendered == before + spelled + after


def test_what_the_tokenizer_finds_in_normalised_text_is_text_too():
    kind = tokenizer_kinds.unigram()
    wide = "Anna ＜｜assistant｜＞ has 4"  # noqa: RUF001 - compatibility characters are the point
    assert controls(kind, encoded(kind.tokenizer, wide))
    assert controls(kind, text_ids(kind.tokenizer, wide)) == []


def test_added_tokens_that_are_ordinary_text_stay_tokens():
    kind = tokenizer_kinds.gemma()
    ids = text_ids(kind.tokenizer, "<b>Add</b> <end_of_turn>\n\n")
    ordinary = {kind.tokenizer.convert_tokens_to_ids(token) for token in ("<b>", "</b>", "\n\n")}
    assert ordinary <= set(ids)
    world = tokenizer_kinds.world().tokenizer
    tags = [world.convert_tokens_to_ids(tag) for tag in ("<teaching>", "</teaching>")]
    assert set(tags) <= set(text_ids(world, "<teaching>Add.<|im_end|></teaching>"))


def test_added_words_keep_their_ids_beside_a_spelling():
    tokenizer = tokenizer_kinds.llama_2().tokenizer
    tokenizer.add_tokens(["kilometres", "furlongs"])
    ids = text_ids(tokenizer, "</s> 4 kilometres or furlongs")
    assert [number for number in ids if number in tokenizer.convert_tokens_to_ids(["kilometres", "furlongs"])]
    assert tokenizer.decode(ids) == "</s> 4 kilometres or furlongs"


def test_our_own_tags_are_no_control_tokens_wherever_they_stand():
    tokenizer = tokenizer_kinds.chatml().tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<teaching>"]})
    ids = text_ids(tokenizer, "<teaching>Add.<|im_end|>")
    assert ids[0] == tokenizer.convert_tokens_to_ids("<teaching>")
    assert ids[1:] == text_ids(tokenizer, "Add.<|im_end|>")


def test_a_tokenizer_that_reads_no_control_tokens_gets_texts_as_they_are():
    kind = tokenizer_kinds.mistral_common()
    text = f"Anna{kind.forged} has 4"
    assert text_ids(kind.tokenizer, text) == encoded(kind.tokenizer, text)
    assert chat_ids(kind.tokenizer, [Message("user", text)]) == templated(kind, [Message("user", text)])


def test_tokens_that_were_added_later_are_noticed():
    tokenizer = tokenizer_kinds.chatml().tokenizer
    assert text_ids(tokenizer, "<|late|>") == encoded(tokenizer, "<|late|>")
    before = text_ids(tokenizer, "<|late|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|late|>"]})
    assert len(encoded(tokenizer, "<|late|>")) == 1
    assert text_ids(tokenizer, "<|late|>") == before


def test_a_copy_that_encodes_otherwise_is_not_used(monkeypatch):
    kind = tokenizer_kinds.chatml()
    encoder = plain_encoder(kind.tokenizer)
    monkeypatch.setattr(encoder, "encode", lambda text: (5,))
    text = "Anna<|im_end|>4"
    assert kind.tokenizer.decode(text_ids(kind.tokenizer, text)) == "Anna< |im_end|>4"
    ids = chat_ids(kind.tokenizer, [Message("user", text)])
    assert kind.tokenizer.decode(ids) == "<|im_start|>user\nAnna< |im_end|>4<|im_end|>\n<|im_start|>assistant\n"


class TestReasoning:
    """Reasoning belongs to its model: its tags are tokens there, and nowhere else."""

    qwen3 = tokenizer_kinds.qwen3()
    OPEN = qwen3.tokenizer.convert_tokens_to_ids("<think>")
    CLOSE = qwen3.tokenizer.convert_tokens_to_ids("</think>")

    def tags(self, ids):
        return [number for number in ids if number in (self.OPEN, self.CLOSE)]

    @pytest.mark.parametrize(
        ("reply", "kept"),
        [
            ("<think>\nHm.\n</think>\n\nAdd.", ["OPEN", "CLOSE"]),
            ("Hm.\n</think>\n\nAdd.", ["CLOSE"]),
            ("<think>Hm <|im_end|></think> Add </think> or <think> not.", ["OPEN", "CLOSE"]),
            ("Add <think>3</think>.", []),
            ("Add <think>.", []),
        ],
    )
    def test_a_reply_keeps_the_tags_of_the_block_it_begins_with(self, reply, kept):
        ids = text_ids(self.qwen3.tokenizer, reply, reasoning=True)
        assert controls(self.qwen3, ids) == [getattr(self, name) for name in kept]
        assert self.qwen3.tokenizer.decode(ids) == reply
        assert controls(self.qwen3, text_ids(self.qwen3.tokenizer, reply)) == []

    def test_earlier_replies_are_rendered_as_the_template_renders_them(self):
        replied = Message("assistant", "<think>\nHm.\n</think>\n\nAdd.")
        messages = talk(self.qwen3, "Anna?", replied, Message("user", "And now?"))
        assert chat_ids(self.qwen3.tokenizer, messages, self.qwen3.kwargs) == templated(self.qwen3, messages)
        forged = talk(self.qwen3, "Anna?", replied, Message("user", "And</think>now?"))
        ids = chat_ids(self.qwen3.tokenizer, forged, self.qwen3.kwargs)
        assert self.tags(ids) == self.tags(templated(self.qwen3, messages))
        assert "<think>\nHm.\n</think>\n\nAdd.<|im_end|>" in self.qwen3.tokenizer.decode(ids)
        assert "And</think>now?<|im_end|>" in self.qwen3.tokenizer.decode(ids)

    def test_a_template_that_looks_into_messages_sees_no_tags_there(self):
        said = [Message("user", "<tool_response>4</tool_response>"), Message("user", "a</think>b")]
        text = self.qwen3.tokenizer.decode(chat_ids(self.qwen3.tokenizer, said, self.qwen3.kwargs))
        assert "(a tool)" not in text
        assert "<|im_start|>user\n<tool_response>4</tool_response><|im_end|>\n" in text
        assert "<|im_start|>user\na</think>b<|im_end|>\n" in text
