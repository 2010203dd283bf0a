"""The calls that judges take, the tokens, and the most that they may cost."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.judges import JudgeEntry, entries, judge_args, judge_settings, stronger
from trainers.configuration.settings.models.judge import JudgeSettings
from trainers.teaching.verifiers.judge.verifier import ATTEMPTS

_MILLION = 1e6
_PROMPT_TOKENS = 300
"""Of our own words to a judge, roughly."""


def judge_lines(config: StudentExperiment, baselines: int, taught: int, unit: str) -> Iterator[str]:
    """Yield the most that judges are asked, and what that costs where prices are known; nothing without judges.

    Args:
        config: the run.
        baselines: untaught solutions that are judged in a unit.
        taught: taught ones.
        unit: what they are counted for, such as `step`.
    """
    args = judge_args(config.teaching)
    if args is None:
        return
    settings = judge_settings(args)
    compared = taught * config.teaching.num_baselines if settings.pairwise else taught
    orders = 2 if settings.pairwise else 1
    for entry in entries(args):
        yield _line(config, entry, settings, baselines + compared, baselines + compared * orders, unit)
    last = stronger(args)
    if last is not None:
        yield _line(config, last, settings, 0, baselines + compared * orders, unit)


def _line(
    config: StudentExperiment, entry: JudgeEntry, settings: JudgeSettings, usual: int, most: int, unit: str
) -> str:
    model = entry.model
    samples = model.samples or settings.samples
    shown = config.student.max_tokens * (2 if settings.pairwise else 1)
    prompt, answer = most * samples * (shown + _PROMPT_TOKENS), most * samples * settings.max_tokens
    calls = f"{usual * samples:,} calls per {unit}" if usual else f"called where the others differ, per {unit}"
    bound = f"at most {most * samples:,}, and up to {ATTEMPTS} times as many where its answers cannot be read"
    told = f"{entry.name}: {calls}, {bound}; about {prompt:,} tokens to it at most, questions besides, {answer:,} by it"
    prices = model.price_per_million_tokens
    if not prices:
        return told
    dollars = (prompt * prices["prompt"] + answer * prices["completion"]) / _MILLION
    return f"{told}; at most about {dollars:,.2f} USD, of spending_cap={model.spending_cap}"
