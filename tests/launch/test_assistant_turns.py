"""The preflight refuses templates that drop the question, and warns of guessed ends and of prompts not trained on."""

import json

import pytest
from tokenizers import AddedToken

from tests.support.chat_templates import BY_NAME, CHATML, FAMILIES, tokenizer_of
from tests.support.data_configs import TEMPLATES, data_config
from tests.support.tiny import build_tokenizer
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.checks.files import missing_paths
from trainers.configuration.devices.machine import Machine
from trainers.launch.checks.assistant_turns import conversation_of, prompt_warnings, turn_problems, turn_warnings
from trainers.launch.checks.inspection import inspect
from trainers.launch.checks.model_uses import ModelUse
from trainers.models.chosen_tokens import with_choices

USE = ModelUse("teacher", "model_name_or_path", "me/model", "me/model", "me/model", None, "max_length", None, True)


def looked_at(tokenizer, **kwargs):
    conversation = conversation_of(tokenizer, kwargs)
    return list(turn_problems(USE, conversation)), list(turn_warnings(USE, conversation))


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_known_templates_have_no_problems_and_only_guesses_are_warned_of(family):
    problems, warnings = looked_at(tokenizer_of(family), **family.kwargs)
    assert problems == []
    assert len(warnings) == (family.source != "template")
    assert all(family.end in warning for warning in warnings)


def with_template(template, **changes):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    return tokenizer


PARTS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for p in m['content'] if p['type'] == 'text' %}{{ p['text'] }}{% endfor %}<|im_end|>\n{% endfor %}"
)


def test_a_template_that_does_not_write_texts_is_refused():
    [problem], _ = looked_at(with_template(PARTS))
    assert problem.given == "model_name_or_path=me/model"
    assert "answer without its question" in problem.expected


def test_a_model_without_any_end_of_turn_is_refused():
    endless = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    assert looked_at(with_template(endless))[0] == []
    [problem], warnings = looked_at(with_template(endless, eos_token=None))
    assert "names an end of turn" in problem.expected
    assert warnings == []
    assert looked_at(with_template(CHATML, eos_token=None)) == ([], [])


def test_reasoning_that_no_text_would_show_the_end_of_is_refused():
    tokenizer = with_template(CHATML.replace("assistant\n'", "assistant\n<think>\n'"))
    assert looked_at(tokenizer)[0] == []
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<think>"), AddedToken("</think>")]})
    [problem], _ = looked_at(tokenizer)
    assert "no reply could be told from reasoning" in problem.expected
    assert "teacher_chat_template_kwargs={enable_thinking: false}" in problem.remedy


def test_a_template_that_refuses_a_question_is_left_to_others():
    assert conversation_of(with_template("{{ raise_exception('no') }}"), {}) is None


def warned(before, now):
    tokenizer = tokenizer_of(BY_NAME["Qwen3, thinking off"])
    return list(prompt_warnings(USE, tokenizer, data_config("teacher_grpo", "x", **now), before))


def test_a_teacher_that_was_trained_on_other_prompts_is_warned_of():
    same = data_config("sft", "x")
    assert warned(same.flat(), {}) == []
    [warning] = warned(same.with_keys(teacher_chat_template_kwargs={}).flat(), {})
    assert "it knows '', and would now be given '<think>" in warning
    [warning] = warned(same.flat(), {"teacher_template": "Teach: {question}\n{approach}"})
    assert "it knows 'How many apples" in warning
    assert warned({"experiment": "world"}, {}) == []


def test_the_commands_of_the_readme_ask_a_teacher_as_it_was_warmed_up():
    tokenizer = tokenizer_of(BY_NAME["Qwen3, thinking off"])
    eight = Machine(tuple(range(8)))
    sft = compose(["teacher_sft", "output_dir=results/pre_rl_model"], eight, 8).config
    rl = compose(["teacher_rcl", "model_name_or_path=results/pre_rl_model"], eight, 4, 4).config
    evaluation = compose(["evaluate", "teacher=results/pre_rl_model"], eight, 1, 1).config
    assert list(prompt_warnings(USE, tokenizer, rl, sft.flat())) == []
    assert list(prompt_warnings(USE, tokenizer, evaluation, sft.flat())) == []


def test_the_inspection_compares_prompts_and_reports_guesses(tmp_path, tiny_teacher_dir):
    trained = tmp_path / "sft"
    trained.mkdir()
    for file in tiny_teacher_dir.iterdir():
        (trained / file.name).write_bytes(file.read_bytes())
    other = TEMPLATES | {"experiment": "sft", "teacher_template": "Other words: {question}"}
    (trained / "config.yaml").write_text(json.dumps(other))
    (trained / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"{n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(9)))
    found = inspect(
        data_config(
            *("teacher_grpo", rows),
            model_name_or_path=str(trained),
            student_model=str(tiny_teacher_dir),
            student_max_tokens=16,
            max_probe_tokens=16,
            max_completion_length=16,
            processes=1,
        )
    )
    assert found.problems == ()
    assert [warning.split(": ")[0] for warning in found.warnings] == [
        f"model_name_or_path={trained}",
        f"model_name_or_path={trained} was trained on other prompts",
    ]


def test_a_template_and_an_eos_of_choice_hold_before_anything_is_encoded(tmp_path):
    path = tmp_path / "other.jinja"
    path.write_text("other")
    config = data_config("sft", "x", chat_template_path=str(path), eos_token="<|endoftext|>")
    tokenizer = with_choices(build_tokenizer(), config)
    assert (tokenizer.chat_template, tokenizer.eos_token) == ("other", "<|endoftext|>")
    bare = build_tokenizer()
    bare.chat_template = None
    assert with_choices(bare, config.with_keys(eos_token=None)).chat_template == "other"
    untouched = with_choices(build_tokenizer(), config.with_keys(chat_template_path=None, eos_token=None))
    assert (untouched.chat_template, untouched.eos_token) == (build_tokenizer().chat_template, "<|im_end|>")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("assistant_only_loss=true", "the loss is on the teacher's reply only as it is"),
        ("chat_template_path=Qwen/Qwen3-8B", "ends in .jinja or .j2"),
    ],
)
def test_what_would_encode_otherwise_is_refused(key, said):
    with pytest.raises(ConfigurationError) as caught:
        compose(["teacher_sft", key], Machine(), 1)
    [problem] = caught.value.problems
    assert problem.given == key
    assert said in problem.expected


def test_a_template_file_that_is_not_there_is_told():
    config = compose(["quickstart_sft", "chat_template_path=no/such.jinja"], Machine(), 1).config
    assert "chat_template_path=no/such.jinja" in [problem.given for problem in missing_paths(config)]
