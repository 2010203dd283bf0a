"""Prompts that chat templates refuse, leave out or never read are told before anything starts."""

from dataclasses import replace
from inspect import signature

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from custom_data.world.calculator.words import CHAT_TEMPLATE
from tests.support import tokenizer_kinds as kinds
from tests.support.tiny import build_tokenizer
from trainers.configuration import compose
from trainers.configuration.checks.template_rules import NO_VARIABLES
from trainers.launch.checks.model_uses import ModelUse
from trainers.launch.checks.prompts import stage_problems, tool_template_problems, unread_kwargs

STUDENT = ModelUse(
    "student", "student_model", "me/model", "me/model", "me/model", None, "student_max_model_len", None, True
)
WITHOUT_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)
DROPS_SYSTEM = (
    "{% for message in messages %}{% if message['role'] != 'system' %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
)


def composed(*overrides):
    return compose(["teacher_rcl", *overrides]).config


def found(template, *overrides, use=STUDENT):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    return list(stage_problems(use, tokenizer, composed(*overrides)))


def test_a_system_prompt_that_the_template_refuses_is_told_with_where_its_text_can_go():
    assert found(WITHOUT_SYSTEM) == []
    [problem] = found(WITHOUT_SYSTEM, "student_system_prompt=Be brief.")
    assert problem.given == "student_system_prompt=Be brief."
    assert "System role not supported" in problem.expected
    assert "baseline_template" in problem.remedy
    [problem] = found(WITHOUT_SYSTEM, "teacher_system_prompt=Be brief.", use=replace(STUDENT, role="teacher"))
    assert "teacher_template" in problem.remedy


def test_a_system_prompt_that_the_template_leaves_out_silently_is_refused():
    [problem] = found(DROPS_SYSTEM, "student_system_prompt=Be brief.")
    assert "would never read it" in problem.expected
    assert found(DROPS_SYSTEM) == []


def test_a_system_prompt_that_leaves_no_room_for_a_question_is_refused():
    use, template = replace(STUDENT, length=200), build_tokenizer().chat_template
    long = " ".join(["brief"] * 90)
    assert found(template, "student_max_tokens=20", f"student_system_prompt={long[:30]}", use=use) == []
    [problem] = found(template, "student_max_tokens=20", f"student_system_prompt={' '.join([long] * 3)}", use=use)
    assert "student_max_tokens=20 leave no room for a question in 200 tokens" in problem.expected
    assert problem.remedy == "shorten it, lower student_max_tokens, or raise student_max_model_len"
    assert found(template, f"student_system_prompt={long * 3}") == []


def test_a_system_prompt_that_spells_a_marker_of_the_template_is_read_all_the_same():
    tokenizer = kinds.llama_2().tokenizer
    config = composed("student_system_prompt='Never write [INST].'")
    assert list(stage_problems(STUDENT, tokenizer, config)) == []


def test_what_a_template_raises_of_its_own_is_a_refusal():
    [problem] = found("{{ messages[0]['content'] + 1 }}")
    assert "can only concatenate str" in problem.expected


def warned(template, *overrides):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    return list(unread_kwargs(STUDENT, tokenizer, composed(*overrides)))


def test_a_variable_that_the_template_never_reads_is_warned_of():
    assert warned(kinds.QWEN3) == []
    assert warned(kinds.PHI_3) == []
    assert warned(kinds.QWEN3, "student_chat_template_kwargs.enable_thinking=true") == []
    [warning] = warned(kinds.PHI_3, "student_chat_template_kwargs.enable_thinking=true")
    assert warning.startswith("student_chat_template_kwargs.enable_thinking: the chat template of me/model never reads")
    assert warning.endswith("→ leave it out")
    [warning] = warned(kinds.QWEN3, "student_chat_template_kwargs.enable_thinkin=true")
    assert warning.endswith("→ did you mean enable_thinking?")


def test_a_variable_with_a_value_for_want_of_another_is_read():
    template = "{% if not date is defined %}{% set date = 'today' %}{% endif %}{{ date }}{{ messages[0].content }}"
    assert warned(template, "student_chat_template_kwargs.date=now") == []
    assert warned("{% generation %}{{ effort }}{% endgeneration %}", "student_chat_template_kwargs.effort=low") == []
    assert warned({"default": "", "tool_use": "{{ effort }}"}, "student_chat_template_kwargs.effort=low") == []


def test_a_library_in_place_of_a_template_says_nothing_of_what_it_reads():
    config = composed("student_chat_template_kwargs.effort=low")
    assert list(unread_kwargs(STUDENT, kinds.mistral_common().tokenizer, config)) == []


def test_every_argument_that_is_no_variable_is_refused_while_composing():
    mistral = kinds.mistral_common().tokenizer.apply_chat_template
    rendering = (PreTrainedTokenizerBase.apply_chat_template, render_jinja_template, mistral)
    arguments = {name for function in rendering for name in signature(function).parameters}
    # Templates are given tools and documents to read, and Mistral's library how hard to think.
    assert arguments - {"self", "kwargs", "tools", "documents", "reasoning_effort"} == NO_VARIABLES - {"messages"}


def test_a_template_that_refuses_a_single_question_is_a_problem_of_the_model():
    [problem] = found("{{ raise_exception('needs a tool') }}")
    assert problem.given == "student_model=me/model"
    assert "needs a tool" in problem.expected


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)
LISTED = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
ODD_CALLS = CHATML.replace(
    "<|im_end|>", "{% for c in message.tool_calls or [] %}[{{ c.function | tojson }}]{% endfor %}<|im_end|>"
)


def tool_problems(template, *overrides, special=()):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tools = "student_tools=[custom_data.world.calculator.tool.calculator]"
    return list(tool_template_problems(STUDENT, tokenizer, composed(tools, *overrides)))


def test_templates_that_cannot_hold_a_conversation_with_tools_are_refused():
    assert tool_problems(CHAT_TEMPLATE) == []
    refusing = "{% if tools %}{{ raise_exception('no tools here') }}{% endif %}" + CHATML
    for template, said in (
        (CHATML, "does not write what tools there are (calculator)"),
        (refusing, "no tools here"),
        (LISTED + CHATML, "leaves out calls of tools, or their results"),
        (LISTED + ODD_CALLS, "writes calls of tools in a form of its own"),
    ):
        [problem] = tool_problems(template)
        assert said in problem.expected
        assert problem.given == "student_tools with student_model=me/model"
    [problem] = tool_problems(CHAT_TEMPLATE, special=["<tool_call>"])
    assert "no call could be heard" in problem.expected
    assert list(tool_template_problems(STUDENT, build_tokenizer(), composed())) == []
