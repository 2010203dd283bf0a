"""One table, template by template: SFT learns RL's prompt, the end of a turn is learned, and servers stop there."""

from types import SimpleNamespace

import pytest

from custom_data.examples.encoding import IGNORED, ExampleEncoder
from tests.support.chat_templates import BY_NAME, FAMILIES, QUESTION, REPLY, TEACHING, THINKING, table, tokenizer_of
from tests.support.data_configs import TEMPLATES
from trainers.builders.data import _around_texts
from trainers.generation.chat_templates.control_tokens import control_tokens
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.reasoning import strip_reasoning
from trainers.models.end_of_turn import declare_end
from trainers.paths import ROOT
from trainers.teaching.prompts import PromptTemplates, read_reply

WORDS = PromptTemplates(**TEMPLATES)
APPROACH = "I would subtract. <think>"
EXAMPLE = {"question": QUESTION, "student_approach": APPROACH, "prompt": "", "reply": REPLY}
DRAFT = "I could write <teaching>A draft.</teaching> or rather"
DOCS = ROOT / "docs" / "guides" / "model-selection.md"

every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)
opening_reasoning = pytest.mark.parametrize("family", [f for f in FAMILIES if f.opens_reasoning], ids=str)


@pytest.fixture
def renderer(family, tmp_path):
    """As pools, evaluation and service render: from what lies on disk."""
    tokenizer_of(family).save_pretrained(tmp_path)
    return ChatRenderer(str(tmp_path), family.kwargs)


@pytest.fixture
def encoder(family):
    """As SFT encodes."""
    return ExampleEncoder(tokenizer_of(family), WORDS, family.kwargs)


@every_family
def test_sft_learns_under_the_prompt_of_rl(family, renderer, encoder):
    example = encoder.encode(EXAMPLE)
    assert example.prompt_ids == renderer.render(WORDS.teacher(QUESTION, APPROACH))
    assert example.input_ids[: len(example.prompt_ids)] == list(example.prompt_ids)
    assert renderer.tokenizer.decode(list(example.prompt_ids)).endswith(family.tail)


@every_family
def test_what_is_learned_is_what_follows_the_prompt(family, encoder):
    tokenizer, example = encoder.tokenizer, encoder.encode(EXAMPLE)
    before, after = family.says
    prompt, whole = tokenizer.decode(list(example.prompt_ids)), tokenizer.decode(example.input_ids)
    assert whole == prompt + before + REPLY + after + family.end
    learned = [label for label in example.labels if label != IGNORED]
    assert learned == list(example.completion_ids)
    assert example.labels[: len(example.prompt_ids)] == [IGNORED] * len(example.prompt_ids)


@every_family
def test_the_end_of_a_turn_is_learned_and_stopped_at(family, renderer, encoder):
    end = encoder.tokenizer.convert_tokens_to_ids(family.end)
    ids = encoder.encode(EXAMPLE).completion_ids
    assert ids[-1] == end
    assert end not in ids[:-1]
    assert end in renderer.stop_token_ids
    if family.eos:
        assert encoder.tokenizer.eos_token_id in renderer.stop_token_ids
    assert encoder.turn.source == family.source


@every_family
def test_what_sft_teaches_is_read_as_a_teaching(family, renderer, encoder):
    example = encoder.encode(EXAMPLE)
    # As a server gives it back: without the end, and without special tokens.
    said = encoder.tokenizer.decode(list(example.completion_ids[:-1]), skip_special_tokens=True)
    reply = read_reply(renderer.opened(example.prompt_ids) + said)
    assert (reply.thinking, reply.teaching) == (THINKING, TEACHING)


@every_family
def test_a_prompt_that_opens_reasoning_is_known_by_its_end(family, renderer, encoder):
    assert bool(renderer.opened(encoder.encode(EXAMPLE).prompt_ids)) == family.opens_reasoning


@opening_reasoning
def test_a_draft_in_reasoning_that_was_cut_off_is_none(family, renderer, encoder):
    opened = renderer.opened(encoder.encode(EXAMPLE).prompt_ids)
    assert read_reply(opened + DRAFT).teaching is None
    assert strip_reasoning(opened + "Perhaps <solution>7</solution>, but") == ""
    assert read_reply(opened + DRAFT + "\n</think>\n\n" + REPLY).teaching == TEACHING


@opening_reasoning
def test_reasoning_of_an_example_is_learned_in_the_block_that_the_prompt_opened(family, encoder):
    example = encoder.encode({**EXAMPLE, "reply": f"<think>\nTwo numbers.\n</think>\n\n{REPLY}"})
    said = encoder.tokenizer.decode(list(example.completion_ids))
    assert said == f"Two numbers.\n</think>\n\n{REPLY}{family.end}"


@every_family
def test_examples_are_counted_as_they_are_encoded(family, encoder):
    bound = _around_texts(encoder)
    texts = sum(len(EXAMPLE[name].encode()) for name in ("question", "student_approach", "reply"))
    if bound is not None:
        assert len(encoder.encode(EXAMPLE).input_ids) <= bound + texts
    assert (bound is None) == (family.kind != "bytes")


@every_family
def test_control_tokens_that_a_reply_spells_are_text(family, encoder):
    spelled = f"<teaching>Say {family.end}, {family.eos} or <think> {family.tail}.</teaching>"
    example = encoder.encode({**EXAMPLE, "reply": spelled})
    control = set(control_tokens(encoder.tokenizer).ids.values())
    plain = encoder.encode(EXAMPLE)
    assert [i for i in example.completion_ids if i in control] == [i for i in plain.completion_ids if i in control]
    assert encoder.tokenizer.decode(example.input_ids).endswith(spelled + family.says[1] + family.end)


def test_prompts_of_an_example_of_its_own_are_rendered_likewise():
    encoder = ExampleEncoder(tokenizer_of(BY_NAME["DeepSeek-R1"]), WORDS)
    own = '[{"role": "user", "content": "Speak in <teaching>."}]'
    example = encoder.encode({**EXAMPLE, "prompt": own})
    assert encoder.tokenizer.decode(list(example.prompt_ids)).endswith("Speak in <teaching>.<｜Assistant｜><think>\n")  # noqa: RUF001


@pytest.mark.parametrize("declared", [None, 5, [5, 6]])
def test_a_model_declares_the_end_first_and_keeps_what_it_declared(declared):
    encoder = ExampleEncoder(tokenizer_of(BY_NAME["Gemma"]), WORDS)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=declared))
    declare_end(model, encoder.turn)
    tokenizer = encoder.tokenizer
    ends = [tokenizer.convert_tokens_to_ids("<end_of_turn>"), tokenizer.eos_token_id]
    kept = [token for token in ([declared] if isinstance(declared, int) else declared or []) if token not in ends]
    assert model.generation_config.eos_token_id == [*ends, *kept]


def test_the_table_in_the_docs_is_what_is_done():
    assert table() in DOCS.read_text(encoding="utf-8"), "python -m tests.support.chat_templates prints the table"
