"""Conversations that SFT rows bring along, and chat templates that take no system message or want roles in turn."""

import shutil
from pathlib import Path

import pytest

from tests.launch.test_prompt_checks import DROPS_SYSTEM
from tests.support import tokenizer_kinds as kinds
from tests.support.data_configs import data_config, write_rows
from trainers.builders.data import check_data, load_examples
from trainers.configuration import ConfigurationError
from trainers.generation.chat_templates.accepted_roles import taken

SYSTEM = {"role": "system", "content": "You teach."}
USER = {"role": "user", "content": "Help with 1 + 1 inside <teaching>."}
REPLY = {"role": "assistant", "content": "<thinking>t</thinking><teaching>Add.</teaching>"}
ALTERNATES = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def config(tmp_path, tiny_teacher_dir):
    model = tmp_path / "model"
    shutil.copytree(tiny_teacher_dir, model)
    return data_config("sft", tmp_path / "rows.jsonl", model_name_or_path=str(model), max_length=None)


def rows_of(tmp_path, *conversations):
    numbered = [
        [*turns[:-1], {**turns[-1], "content": f"{turns[-1]['content']} {number}"}]
        for number, turns in enumerate(conversations)
    ]
    write_rows(tmp_path / "rows.jsonl", [{"messages": [*turns, REPLY]} for turns in numbered])


def give(config, template):
    """Give the model of a run another chat template."""
    (Path(config.model.model_name_or_path) / "chat_template.jinja").write_text(template, encoding="utf-8")


def refused(config, template, **keys):
    give(config, template)
    with pytest.raises(ConfigurationError) as caught:
        check_data(config.with_keys(**keys))
    return caught.value.problems


def test_system_messages_that_the_template_refuses_are_told_with_the_rows(tmp_path, config):
    rows_of(tmp_path, [USER], [SYSTEM, USER], [SYSTEM, USER, REPLY, USER], [USER, REPLY, USER])
    assert check_data(config).training.used == 4
    for limit in (None, 5):
        [problem] = refused(config, kinds.GEMMA, max_length=limit)
        assert problem.given.endswith("rows.jsonl: 2 of 4 examples (line 2, line 3)")
        assert "messages of system, user; system, user, assistant, user" in problem.expected
        assert "System role not supported" in problem.expected
        assert problem.remedy.startswith("begin the user message that follows the system message with its text")


def test_system_messages_that_the_template_leaves_out_are_told(tmp_path, config):
    rows_of(tmp_path, *[[SYSTEM, USER]] * 7)
    [problem] = refused(config, DROPS_SYSTEM)
    assert problem.given.endswith("7 of 7 examples (line 1, line 2, line 3, line 4, line 5, …)")
    assert "leaves out system: nobody would read it" in problem.expected


def test_roles_that_do_not_take_turns_are_told(tmp_path, config):
    rows_of(tmp_path, [USER], [USER, USER], [USER, REPLY, USER])
    [problem] = refused(config, ALTERNATES)
    assert problem.given.endswith("1 of 3 examples (line 2)")
    assert "messages of user, user:" in problem.expected
    assert "must alternate" in problem.expected
    assert problem.remedy.startswith("join messages so that user and assistant speak in turn")


def test_a_training_that_no_launcher_has_looked_at_is_refused_likewise(tmp_path, config):
    rows_of(tmp_path, [SYSTEM, USER])
    refused(config, kinds.GEMMA)
    with pytest.raises(ConfigurationError, match="System role not supported"):
        load_examples(config)


def test_conversations_from_which_only_the_question_is_taken_are_no_concern(tmp_path, config):
    question = {"role": "user", "content": "1 + 1?"}
    write_rows(tmp_path / "rows.jsonl", [{"messages": [SYSTEM, question, REPLY]}])
    give(config, kinds.GEMMA)
    assert check_data(config).training.used == 1


def test_one_conversation_is_rendered_for_each_order_of_roles(tmp_path, config, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "custom_data.examples.roles.taken",
        lambda tokenizer, roles, kwargs: asked.append(roles) or taken(tokenizer, roles, kwargs),
    )
    rows_of(tmp_path, *[[SYSTEM, USER]] * 20, *[[USER]] * 20)
    assert check_data(config).training.used == 40
    assert sorted(asked) == [["system", "user"], ["user"]]


@pytest.mark.parametrize("make", kinds.ALL, ids=lambda make: make.__name__)
def test_templates_of_every_kind_take_what_they_can(make):
    kind = make()
    assert taken(kind.tokenizer, ("user", "assistant", "user"), kind.kwargs).whole
    assert taken(kind.tokenizer, ("system", "user"), kind.kwargs).whole == kind.system
