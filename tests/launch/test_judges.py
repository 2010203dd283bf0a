"""Judges before anything starts: who was never measured, how often they are asked, what that costs."""

import json

from custom_data.world.models.tokenizer import build_tokenizer
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.judges import fingerprint, judge_args
from trainers.launch.checks.judges import judge_template_problems, judge_warnings
from trainers.launch.checks.model_uses import model_uses
from trainers.launch.estimates.steps_and_tokens import token_lines

API = "base_url: https://api.example.com/v1, model: j"
PRICED = f"{API}, price_per_million_tokens: {{prompt: 1, completion: 10}}, spending_cap: 5"


def composed(model: str, *words: str):
    return compose(["quickstart_rl", "verifier=judge", f"verifier_args={{model: {model}}}", *words], Machine()).config


def test_a_judge_that_nobody_measured_is_warned_of(tmp_path):
    [warning] = judge_warnings(composed(f"{{{API}}}"))
    assert "judge_agreement" in warning
    config = composed(f"{{{API}}}", f"verifier_args.measured={tmp_path}/a.json")
    [unreadable] = judge_warnings(config)
    assert "cannot be read" in unreadable
    known = fingerprint(judge_args(config.teaching))
    (tmp_path / "a.json").write_text(json.dumps({"judge": known}))
    assert list(judge_warnings(config)) == []
    (tmp_path / "a.json").write_text(json.dumps({"judge": known | {"rubric": "another"}}))
    assert ["rubric differ" in warning for warning in judge_warnings(config)] == [True]


def test_rules_need_no_measurement():
    assert list(judge_warnings(compose(["quickstart_rl"], Machine()).config)) == []


def test_calls_and_cost_of_a_step_are_told():
    [told] = [line for line in token_lines(composed(f"{{{PRICED}}}"), None) if line.startswith("judge")]
    assert "144 calls per step" in told  # 16 groups: a baseline and 8 taught solutions each
    tokens = 144 * (32 + 300), 144 * 1024
    assert f"{tokens[0]:,} tokens to it at most" in told
    assert f"{(tokens[0] * 1 + tokens[1] * 10) / 1e6:,.2f} USD, of spending_cap=5" in told


def test_pairs_and_stronger_judges_are_counted():
    config = composed(f"{{{API}}}", "verifier_args.pairwise=true", "+verifier_args.escalate_to={agent: a.b}")
    lines = [line for line in token_lines(config, None) if line.startswith("judge")]
    assert "144 calls per step, at most 272" in lines[0]
    assert "judge-stronger: called where the others differ" in lines[1]


def template_problems(template: str, entry: str = ""):
    config = composed(f"{{served: own, model: j{entry}}}")
    [use] = [use for use in model_uses(config) if use.role == "judge"]
    tokenizer = build_tokenizer(["a"])
    tokenizer.chat_template = template
    return list(judge_template_problems(use, tokenizer, config))


def test_a_judge_whose_template_loses_what_it_is_told_is_refused():
    assert template_problems("{% for m in messages %}{{ m.content }}{% endfor %}") == []
    [problem] = template_problems("{{ messages[-1].content }}")
    assert problem.given == "verifier_args.model.model=j"
    assert "leaves out system" in problem.expected
    [problem] = template_problems("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}")
    assert "no system" in problem.expected
    kind = "{% if full %}{% for m in messages %}{{ m.content }}{% endfor %}{% endif %}"
    assert len(template_problems(kind)) == 1
    assert template_problems(kind, ", chat_template_kwargs: {full: true}") == []
