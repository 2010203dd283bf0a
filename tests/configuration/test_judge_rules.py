"""Judges are taken as meant, and a mistake in them is told before anything starts."""

import shlex

import pytest

from tests.support.told_mistakes import assert_told
from trainers.configuration import ConfigurationError, compose, server_layout
from trainers.configuration.checks.api_keys import missing_keys
from trainers.configuration.checks.judges.files import missing_judge_files
from trainers.configuration.devices.machine import Machine
from trainers.configuration.resume.differences import difference
from trainers.configuration.settings.judges import all_entries, fingerprint, judge_args, judge_settings, rubric_of
from trainers.launch.checks.model_uses import model_uses

CPU = Machine()
API = "base_url: https://api.example.com/v1, model: j"
RUN = ["quickstart_rl", "students=null", "heldout_students=null", "verifier=judge"]

# ruff: noqa: E501
BAD = [
    ("", "verifier_args.model=null", "needs a model", "verifier_args.model="),
    (f"'verifier_args={{model: {{{API}}}, rubric: Be kind.}}'", "verifier_args.rubric='Be kind.'", "without a scale", "scale=[0,10]"),
    (f"'verifier_args={{model: {{{API}}}, rubric_file: r.md}}'", "verifier_args.rubric_file='r.md'", "without a scale", "scale=[0,10]"),
    (f"'verifier_args={{model: {{{API}}}, rubric: a, rubric_file: b, scale: [0,1]}}'", "rubric_file", "one rubric", "leave one"),
    (f"'verifier_args={{model: {{{API}}}, scale: [10,0]}}'", "scale=[10,0]", "the best being larger", "scale=[0,10]"),
    (f"'verifier_args={{model: {{{API}}}, scale: [0,5,10]}}'", "scale=[0,5,10]", "worst and the best", "scale=[0,10]"),
    (f"'verifier_args={{model: {{{API}, price_per_million_tokens: {{prompt: 1, completion: 2}}}}}}'", "price_per_million_tokens=", "nothing bounds", "spending_cap="),
    (f"'verifier_args={{model: {{{API}, spending_cap: 3}}}}'", "spending_cap=3", "needs the prices", "{prompt: 0.15, completion: 0.6}"),
    (f"'verifier_args={{model: {{{API}, spending_cap: -3}}}}'", "spending_cap=-3", "a number > 0", "raise it"),
    (f"'verifier_args={{model: {{{API}}}, sample: 3}}'", "verifier_args.sample=3", "no setting of verifier=judge", "samples"),
    (f"'verifier_args={{model: {{{API}, modle: x}}}}'", "verifier_args.model.modle=x", "no key of a judge", "model"),
    (f"'verifier_args={{model: [{{{API}}}, {{base_url: h/v1, model: j}}]}}'", "verifier_args.model[1].base_url=h/v1", "http(s)://", "in full"),
    ("'verifier_args={model: {base_url: http://h/v1}}'", "verifier_args.model=", "one of model, agent, served", "base_url"),
    ("'verifier_args={model: {model: a/b, agent: c.d}}'", "verifier_args.model=", "got model and agent", "base_url"),
    ("'verifier_args={model: {model: a/b, requests_per_minute: 3}}'", "requests_per_minute=3", "only a judge behind an API", "base_url"),
    ("'verifier_args={model: {model: a/b, agent_args: {x: 1}}}'", "agent_args", "belong to an agent", "leave them out"),
    (f"'verifier_args={{model: {{{API}, api_key: sk-1}}}}'", "verifier_args.model.api_key=…", "secrets are neither", "api_key_env"),
    (f"'verifier_args={{model: {{{API}, api_key_env: sk-1}}}}'", "api_key_env=…", "not a key", "OPENAI_API_KEY"),
    (f"'verifier_args={{model: {{{API}}}, samples: 3}}'", "samples=3 temperature=0", "all samples are one", "temperature=0.7"),
    (f"'verifier_args={{model: [{{{API}, name: x}}, {{{API}, name: x}}]}}'", "name=x", "2 judges", "of its own"),
    (f"'verifier_args={{model: {{{API}}}, pass_mark: 2}}'", "pass_mark=2", "a number > 0 and <= 1", "raise it"),
    (f"'verifier_args={{model: {{{API}}}, escalate_to: {{}}}}'", "verifier_args.escalate_to=", "one of model, agent, served", "base_url"),
    (f"'verifier_args={{model: {{{API}}}}}' leak_policy=blind", "leak_policy=blind verifier=judge", "has none", "penalise"),
    ("'verifier_args={model: {served: student}}' student_base_url=http://h/v1", "served=student", "no server of ours", "base_url"),
    ("'verifier_args={model: {served: own}}'", "verifier_args.model=", "one of model, agent, served", "base_url"),
    ("'verifier_args={model: {served: teacher, model: a/b}}'", "served=teacher", "student, own", "write another"),
    (f"'verifier_args={{model: {{{API}, served: own}}}}'", "served=own base_url=", "starts it, or it is there", "leave one"),
    ("'verifier_args={model: {served: student, model: a/b}}'", "verifier_args.model=", "got model and served", "base_url"),
    (f"'verifier_args={{model: {{{API}, dtype: float32}}}}'", "verifier_args.model.dtype=float32", "server of its own", "served=own"),
    ("'verifier_args={model: {model: a/b, structured_output: true}}'", "structured_output=true", "only a server", "served=own"),
    ("'verifier_args={model: {agent: a.b, structured_output: true}}'", "structured_output=true", "only a server", "base_url"),
    ("'verifier_args={model: [{served: own, model: a/b, dtype: float32}, {served: own, model: a/b, name: x}]}'", "verifier_args.model[1].dtype=auto", "same server, with float32", "same for both"),
    ("'verifier_args={model: {served: own, model: a/b, tensor_parallel_size: 2}}'", "verifier_args.model.tensor_parallel_size=2", "whole servers", "start 4 server GPUs"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "given", "expected", "remedy"), BAD, ids=[entry[0] for entry in BAD])
def test_a_mistake_is_named_with_expectation_and_remedy(command, given, expected, remedy):
    assert "sk-1" not in assert_told([*RUN, *shlex.split(command)], given, expected, remedy)


def composed(*words: str):
    return compose([*RUN, *words], CPU).config


def test_several_judges_and_a_stronger_one_are_read():
    args = judge_args(composed(
        f"verifier_args={{model: [{{{API}, temperature: 0.2}}, {{{API}, name: b}}], escalate_to: {{{API}}}}}"
    ).teaching)  # fmt: skip
    assert [entry.name for entry in all_entries(args)] == ["judge", "judge-b", "judge-stronger"]
    assert all_entries(args)[0].model.temperature == 0.2
    assert rubric_of(judge_settings(args)).scale.high == 10


def test_keys_that_are_not_there_are_told():
    config = composed(f"verifier_args={{model: {{{API}, api_key_env: JUDGE_KEY}}}}")
    assert [problem.given for problem in missing_keys(config, {})] == ["verifier_args.model.api_key_env=JUDGE_KEY"]
    assert list(missing_keys(config, {"JUDGE_KEY": "x"})) == []


def test_files_that_are_not_there_are_told(tmp_path):
    config = composed(
        f"verifier_args={{model: {tmp_path}/none, rubric_file: {tmp_path}/r.md, scale: [0,1], measured: {tmp_path}/m}}"
    )
    assert [problem.given.partition("=")[0] for problem in missing_judge_files(config)] == [
        *("verifier_args.rubric_file", "verifier_args.measured", "verifier_args.model")
    ]


def test_a_fingerprint_knows_rubric_and_model_and_not_the_price(tmp_path):
    (tmp_path / "r.md").write_text("Be fair.\n")

    def of(*entry: str, rubric: str = "") -> dict:
        words = f"verifier_args={{model: {{{', '.join([API, *entry])}}}{rubric}}}"
        return fingerprint(judge_args(composed(words).teaching))

    cheap = of("spending_cap: 3", "price_per_million_tokens: {prompt: 1, completion: 1}")
    assert of() == cheap
    assert of("temperature: 0.5") != of()
    assert of(rubric=f", rubric_file: {tmp_path}/r.md, scale: [0,10]")["rubric"] == "Be fair."


def test_a_run_goes_on_with_a_higher_cap_and_not_with_another_judge():
    """A judge whose cap is reached ends the run: it has to be possible to raise it."""

    def of(entry: str, more: str = ""):
        return composed(f"verifier_args={{model: [{{{API}, {entry}}}], scale: [0,10]{more}}}")

    priced = "price_per_million_tokens: {prompt: 1, completion: 1}, spending_cap"
    began = of(f"{priced}: 1").flat()
    assert difference(began, of(f"{priced}: 9", ", measured: a.json")) == {}
    assert list(difference(began, of(f"{priced}: 1, temperature: 0.5"))) == ["verifier_args"]
    assert list(difference(began, of(f"{priced}: 1", ", pass_mark: 0.9"))) == ["verifier_args"]


def test_a_judge_that_is_the_students_model_has_none_of_its_tools():
    with pytest.raises(ConfigurationError, match="would judge with the student's tools"):
        compose(
            [
                "configs/run/teacher_rcl.yaml",
                "verifier=judge",
                "verifier_args.model={served: student}",
                "student_tools=[a.b]",
            ]
        )


def served(*words: str, servers: int = 1) -> list[tuple]:
    config = compose([*RUN, *words], Machine(tuple(range(8))), servers=servers).config
    return [(spec.name, spec.port, spec.gpus, spec.model) for spec in server_layout(config, tuple(range(servers)))]


def test_judges_of_one_model_share_a_server_behind_all_others():
    judges = "[{served: own, model: j, temperature: 0.1}, {served: own, model: j, temperature: 0.5, name: warm}]"
    layout = served(f"verifier_args={{model: {judges}, escalate_to: {{served: own, model: k}}}}", servers=8)
    names = [name for name, *_ in layout]
    assert names == ["teacher-0", "student-0", "judge-0", "judge-1", "teacher-1", "student-1", "teacher-2", "student-2"]
    assert [entry[1:] for entry in layout if entry[0].startswith("judge")] == [
        (8767, (2,), "j"),
        (8768, (3,), "k"),
    ]
    one_gpu = served(f"verifier_args={{model: {judges}}}")
    assert [entry[2] for entry in one_gpu] == [(0,)] * 3


def test_remedies_name_the_keys_of_a_judge():
    model = "{served: own, model: j, max_model_len: 64, gpu_memory_utilization: 0.3}"
    config = composed(f"verifier_args.model={model}")
    [spec] = [spec for spec in server_layout(config) if spec.role == "judge"]
    assert (spec.max_model_len, spec.gpu_memory_utilization, spec.weight_transfer) == (64, 0.3, None)
    assert spec.key("max_model_len") == "verifier_args.model.max_model_len"
    [use] = [use for use in model_uses(config) if use.role == "judge"]
    assert (use.key, use.length_key) == ("verifier_args.model.model", "verifier_args.model.max_model_len")


def test_a_run_goes_on_with_a_judge_on_fewer_gpus_and_not_in_another_precision():
    def of(more: str):
        return composed("verifier_args.model={served: own, model: j" + more + "}")

    assert difference(of("").flat(), of(", gpu_memory_utilization: 0.5")) == {}
    assert list(difference(of("").flat(), of(", dtype: float16"))) == ["verifier_args"]
