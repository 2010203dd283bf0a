"""Models whose conversations Mistral's own library writes, without a chat template: the preflight, SFT and prompts."""

import fnmatch
import shutil
from importlib.resources import files

import pytest
import torch
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM
from transformers.tokenization_mistral_common import MistralCommonBackend

from custom_data.examples.encoding import ExampleEncoder
from tests.support.data_configs import TEMPLATES, data_config, write_rows
from trainers.configuration import ConfigurationError
from trainers.generation.chat_templates.accepted_roles import taken, writes_conversations
from trainers.generation.chat_templates.assistant_turn import assistant_turn
from trainers.launch.checks.inspection import inspect
from trainers.models.chosen_tokens import with_choices
from trainers.models.final_model import PUSHED
from trainers.teaching.prompts import PromptTemplates

ROW = {"question": "1 + 1?", "student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "t"}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A tiny model with the vocabulary of Mistral Nemo, as transformers finds it beside a model on the hub."""
    path = tmp_path_factory.mktemp("mistral")
    shutil.copy(str(files("mistral_common") / "data" / "tekken_240911.json"), path / "tekken.json")
    config = MistralConfig(
        **{"vocab_size": 131_072, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "tie_word_embeddings": True},
    )
    torch.manual_seed(0)
    MistralForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(model_dir):
    return AutoTokenizer.from_pretrained(model_dir)


def test_the_library_refuses_a_last_reply_and_the_turn_is_read_where_another_follows(tokenizer):
    assert isinstance(tokenizer, MistralCommonBackend)
    turn = assistant_turn(tokenizer)
    assert turn.end_ids == turn.stop_ids == (tokenizer.eos_token_id,)
    assert turn.source == "next turn"


def test_what_the_library_refuses_is_told_in_its_words(tokenizer):
    assert taken(tokenizer, ("system", "user"), {}).whole
    assert "already an assistant message" in taken(tokenizer, ("user", "assistant"), {}).refusal


def test_a_library_in_place_of_a_template_is_no_missing_template(tokenizer):
    assert tokenizer.chat_template is None
    assert writes_conversations(tokenizer)


def test_an_example_of_sft_ends_as_its_turns_do(tokenizer):
    encoder = ExampleEncoder(tokenizer, PromptTemplates(**TEMPLATES), {})
    reply = "<thinking>t</thinking><teaching>Add.</teaching>"
    example = encoder.encode({"prompt": "", "question": "1 + 1?", "student_approach": "a", "reply": reply})
    assert tokenizer.decode(example.input_ids) == f"<s>[INST]1 + 1?\na[/INST]{reply}</s>"


def test_the_preflight_of_sft_has_one_warning(model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    path = write_rows(tmp_path / "rows.jsonl", [ROW])
    found = inspect(data_config("sft", path, model_name_or_path=str(model_dir), processes=1))
    assert found.problems == ()
    [warning] = found.warnings
    assert "</s>, with which the next turn begins, is taken for the end" in warning


def test_a_chat_template_that_the_library_would_never_read_is_refused(model_dir, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    path, template = write_rows(tmp_path / "rows.jsonl", [ROW]), tmp_path / "chatml.jinja"
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    config = data_config("sft", path, model_name_or_path=str(model_dir), processes=1, chat_template_path=str(template))
    [problem] = inspect(config).problems
    assert problem.given == f"chat_template_path={template}"
    assert "Mistral's own" in problem.expected
    # Without a preflight the training itself refuses it.
    with pytest.raises(ConfigurationError, match="would never read the file"):
        with_choices(tokenizer, config)
    assert tokenizer.chat_template is None


def test_its_vocabulary_goes_to_the_hub_with_the_model(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    written = [file.name for file in tmp_path.iterdir()]
    assert written
    assert [name for name in written if not any(fnmatch.fnmatch(name, pattern) for pattern in PUSHED)] == []
