"""Judges before anything starts: who was never measured, how often they are asked, what that costs."""

import json

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.judges import fingerprint, judge_args
from trainers.launch.checks.judges import judge_warnings
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
