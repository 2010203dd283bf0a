"""Keys of foreign APIs are taken as meant, and a mistake in them is told with what was expected and what to write."""

import shlex

import pytest

from tests.support.told_mistakes import assert_told
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.checks.api_keys import missing_keys
from trainers.configuration.devices.machine import Machine
from trainers.configuration.devices.placement import server_layout, teacher_entries
from trainers.configuration.resume.decision import difference

CPU = Machine()
API = "student_base_url=https://api.example.com/v1 student_model=small"
PRICES = "'student_price_per_million_tokens={prompt: 0.15, completion: 0.6}'"

# ruff: noqa: E501
BAD = [
    ("student_base_url=http://h:99999/v1", "student_base_url=http://h:99999/v1", "is no address", "host[:port]"),
    ("student_base_url=https://h/v1/chat/completions", "student_base_url=", "not of one of its calls", "student_base_url=https://h/v1"),
    ("student_base_url=http://me@h/v1", "student_base_url=…", "without user name", "student_api_key_env"),
    (f"{API} student_spending_cap=5", "student_spending_cap=5", "needs the prices", "{prompt: 0.15, completion: 0.6}"),
    (f"{API} student_spending_cap=0", "student_spending_cap=0", "> 0", "student_spending_cap="),
    (f"{API} student_requests_per_minute=0", "student_requests_per_minute=0", "> 0", "student_requests_per_minute="),
    (f"{API} 'student_price_per_million_tokens={{prompt: 1}}'", "student_price_per_million_tokens={prompt: 1}", "completion is missing", "completion: 0.6"),
    (f"{API} 'student_price_per_million_tokens={{prompt: 1, output: 2, completion: 3}}'", "student_price_per_million_tokens=", "output is no price", "completion: 0.6"),
    (f"{API} 'student_price_per_million_tokens={{prompt: 1, completion: free}}'", "completion=free", "a number >= 0", "US dollars"),
    ("student_tokens_per_minute=100", "student_tokens_per_minute=100", "only a student behind an API", "student_base_url"),
    ("'student_extra_body={x: 1}'", "student_extra_body=", "only a student behind an API", "leave student_extra_body out"),
    ("teacher=[a,{model:b}]", "teacher[1]=", "lacks base_url", "https://"),
    ("'teacher={base_url: http://h/v1, model: b, modle: c}'", "teacher[0].modle=c", "no key of an API teacher", "model"),
    ("'teacher={base_url: h/v1, model: b}'", "teacher[0].base_url=h/v1", "http(s)://", "in full"),
    ("'teacher={base_url: http://h/v1, model: b, api_key_env: sk-1}'", "teacher[0].api_key_env=…", "not a key", "OPENAI_API_KEY"),
    ("'teacher={base_url: http://h/v1, model: student}'", "teacher student", "record of usage would be that of the student", "teacher_names="),
    ("'teacher=[{base_url: http://h/v1, model: a}, {base_url: http://h/v1, model: b}]' 'teacher_names=[x y,x_y]'", "teacher x_y", "that of x y", "teacher_names="),
    ("teacher=t 'teacher_names=[student alone]'", "teacher student alone", "without a teacher", "teacher_names="),
    ("'teacher={base_url: http://h/v1, model: b, spending_cap: 3}'", "teacher[0].spending_cap=3", "needs the prices", "teacher[0].price_per_million_tokens="),
    ("'teacher={base_url: http://h/v1, model: b, requests_per_minute: -1}'", "teacher[0].requests_per_minute=-1", "> 0", "raise"),
    ("'teacher={base_url: http://h/v1, model: 3}'", "teacher[0].model=3", "expected text", "model"),
    ("teacher=[3]", "teacher[0]=3", "a path, a hub id, or an API", "base_url"),
    ("'teacher=[{base_url: http://h/v1, model: b}, {base_url: http://g/v1, model: b}]'", "teacher=", "b is listed 2 times", "once"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "given", "expected", "remedy"), BAD, ids=[entry[0] for entry in BAD])
def test_a_mistake_is_named_with_expectation_and_remedy(command, given, expected, remedy):
    assert_told(["evaluate", *shlex.split(command)], given, expected, remedy)


def composed(command):
    return compose(shlex.split(command), CPU).config


def test_an_api_student_takes_no_server_in_training():
    config = composed(f"teacher_rcl {API} student_spending_cap=5 {PRICES}")
    assert {spec.role for spec in server_layout(config)} == {"teacher"}
    assert config.student.price_per_million_tokens == {"prompt": 0.15, "completion": 0.6}


def test_teachers_of_either_kind_stand_side_by_side():
    table = "{base_url: https://api.example.com/v1, model: owner/large, api_key_env: LARGE_KEY}"
    config = composed(f"evaluate 'teacher=[results/rl,{table}]'")
    assert list(teacher_entries(config)) == ["rl", "large"]
    assert [spec.model for spec in server_layout(config) if spec.role == "teacher"] == ["results/rl"]
    named = composed(f"evaluate 'teacher=[results/rl,{table}]' teacher_names=[mine,theirs]")
    assert list(teacher_entries(named)) == ["mine", "theirs"]


def test_models_in_process_need_no_servers_and_only_evaluations_have_them():
    assert server_layout(composed("evaluate teacher=[a,b] use_vllm_server=false")) == ()
    with pytest.raises(ConfigurationError, match="use_vllm_server=false"):
        composed("teacher_rcl use_vllm_server=false")


def test_keys_are_looked_for_by_name():
    table = "{base_url: https://api.example.com/v1, model: large, api_key_env: LARGE_KEY}"
    config = composed(f"evaluate {API} student_api_key_env=SMALL_KEY 'teacher={table}'")
    found = list(missing_keys(config, {}))
    assert [problem.given for problem in found] == ["student_api_key_env=SMALL_KEY", "teacher[0].api_key_env=LARGE_KEY"]
    assert found[0].remedy == "export SMALL_KEY=…"
    assert not list(missing_keys(config, {"SMALL_KEY": "x", "LARGE_KEY": "y"}))
    assert not list(missing_keys(composed(f"evaluate {API} student_api_key_env=null"), {}))


def test_limits_and_money_may_change_within_a_run():
    old = composed(f"teacher_rcl {API} student_spending_cap=5 {PRICES}")
    new = composed(f"teacher_rcl {API} student_spending_cap=50 {PRICES} student_requests_per_minute=10")
    assert not difference(old.flat(), new)
