"""Rules for judges: what can be said of `verifier_args` without asking or importing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainers.configuration.checks.api_rules import check_address, check_entry, check_key_name, check_money
from trainers.configuration.cli.command_line import is_secret
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.judges import ARGS, OWN, JudgeEntry, all_entries, judge_args
from trainers.configuration.settings.keys import keys_in
from trainers.configuration.settings.models.judge import JudgeModelSettings, JudgeSettings
from trainers.problems import Problem
from trainers.teaching.verifiers.names import JUDGE

_KINDS = ("model", "agent", "served")
JUDGE_PREFIX = f"{JUDGE}-"


def check_judges(config: StudentExperiment) -> Iterator[Problem]:
    """Yield the problems of everything that a configuration asks of judges."""
    args = judge_args(config.teaching)
    if args is None:
        return
    yield from check_entry(ARGS, args, JudgeSettings, "setting of verifier=judge")
    if args.get("model") in (None, [], {}, ""):
        yield Problem(f"{ARGS}.model=null", "a judge needs a model", f"write {ARGS}.model={{base_url: …, model: NAME}}")
    yield from _rubric(args)
    judges = all_entries(args)
    for entry in judges:
        yield from _model(config, entry)
    yield from _shared_servers(judges)
    yield from _voices(args, judges)
    for name, count in Counter(entry.name for entry in judges).items():
        if count > 1:
            yield Problem(
                f"name={name.removeprefix(JUDGE_PREFIX)}",
                f"{count} judges are called so",
                "give every judge a name of its own",
            )


def _rubric(args: Mapping[Any, Any]) -> Iterator[Problem]:
    texts = [name for name in ("rubric", "rubric_file") if args.get(name)]
    scale = args.get("scale")
    if len(texts) == 2:
        yield Problem(f"{ARGS}.rubric {ARGS}.rubric_file", "expected one rubric", "leave one of the two out")
    if texts and scale is None:
        expected = "a rubric without a scale leaves open what a number means"
        yield Problem(f"{ARGS}.{texts[0]}={_short(args[texts[0]])}", expected, f"write {ARGS}.scale=[0,10]")
    if isinstance(scale, list) and not (len(scale) == 2 and all(map(_is_number, scale)) and scale[0] < scale[1]):
        expected = "expected the worst and the best number, the best being larger"
        yield Problem(f"{ARGS}.scale={written(scale)}", expected, f"write {ARGS}.scale=[0,10]")


def _model(config: StudentExperiment, entry: JudgeEntry) -> Iterator[Problem]:
    given, settings = entry.given, entry.settings
    for name in settings:
        if is_secret(str(name)):
            remedy = f"put it into an environment variable, and its name into {given}.api_key_env"
            yield Problem(f"{given}.{name}=…", "secrets are neither arguments nor configuration", remedy)
            return
    yield from check_entry(given, settings, JudgeModelSettings, "key of a judge")
    served = settings.get("served")
    if served and served != OWN and config.student.tools:
        expected = "it is the student's model, which would judge with the student's tools"
        yield Problem(
            f"{given}.served={served} student_tools={written(config.student.tools)}", expected, "name another judge"
        )
    yield from _own_server(given, settings)
    kinds = [name for name in _KINDS if settings.get(name) and not (name == "served" and served == OWN)]
    if len(kinds) != 1:
        found = f"got {' and '.join(kinds)}" if kinds else "got none of them"
        remedy = f"write {given}={{base_url: https://…/v1, model: NAME}}"
        yield Problem(
            f"{given}={{{', '.join(map(str, settings))}}}", f"expected one of {', '.join(_KINDS)}, {found}", remedy
        )
    if isinstance(settings.get("base_url"), str):
        yield from check_address(config, f"{given}.base_url", settings["base_url"])
        yield from check_key_name(f"{given}.api_key_env", settings.get("api_key_env", "OPENAI_API_KEY"))
        yield from _money(given, settings)
    else:
        yield from _of_apis(given, settings)
    if settings.get("agent_args") and not settings.get("agent"):
        yield Problem(f"{given}.agent_args", "they belong to an agent, and there is none", "leave them out")
    if served == "student":
        yield from _served(config, given)


def _money(given: str, settings: Mapping[Any, Any]) -> Iterator[Problem]:
    cap, prices = settings.get("spending_cap"), settings.get("price_per_million_tokens")
    yield from check_money(f"{given}.", cap, prices)
    if prices is not None and cap is None:
        expected = "a judge is asked many times a step, and nothing bounds what that costs"
        remedy = f"write {given}.spending_cap=… in US dollars"
        yield Problem(f"{given}.price_per_million_tokens={written(prices)}", expected, remedy)


def _of_apis(given: str, settings: Mapping[Any, Any]) -> Iterator[Problem]:
    for name, key in keys_in(JudgeModelSettings).items():
        if key.facts.of_api and settings.get(name):
            remedy = f"give {given}.base_url, or leave {name} out"
            yield Problem(f"{given}.{name}={written(settings[name])}", "only a judge behind an API has it", remedy)


def _own_server(given: str, settings: Mapping[Any, Any]) -> Iterator[Problem]:
    """Yield what is asked of a server that the launcher would not start, or that cannot hold an answer to its form."""
    own, remote = settings.get("served") == OWN, settings.get("base_url")
    if own and remote:
        yield Problem(
            f"{given}.served={OWN} base_url={written(remote)}",
            "the launcher starts it, or it is there already",
            "leave one of the two out",
        )
    for name, key in keys_in(JudgeModelSettings).items():
        if key.facts.of_server and settings.get(name) is not None and not own:
            expected = "only a judge with a server of its own has it"
            remedy = f"give {given}.served={OWN}, or leave {name} out"
            yield Problem(f"{given}.{name}={written(settings[name])}", expected, remedy)
    if settings.get("structured_output") and not (settings.get("served") or remote):
        expected = "only a server can hold an answer to a form"
        remedy = f"give {given}.served={OWN} or {given}.base_url, or leave structured_output out"
        yield Problem(f"{given}.structured_output=true", expected, remedy)


def _shared_servers(judges: Sequence[JudgeEntry]) -> Iterator[Problem]:
    """Yield the settings in which judges of one model differ, which share its server."""
    first: dict[Any, JudgeEntry] = {}
    for entry in judges:
        if entry.settings.get("served") != OWN:
            continue
        other = first.setdefault(entry.settings.get("model"), entry)
        for name, key in keys_in(JudgeModelSettings).items():
            mine, theirs = (each.settings.get(name, key.default) for each in (entry, other))
            if key.facts.of_server and name != "chat_template_kwargs" and mine != theirs:
                expected = f"{other.given} is the same model on the same server, with {written(theirs)}"
                yield Problem(f"{entry.given}.{name}={written(mine)}", expected, "write the same for both")


def _served(config: StudentExperiment, given: str) -> Iterator[Problem]:
    if config.pool.students or config.pool.heldout_students:
        remedy = "give the judge a base_url, or train with one student"
        yield Problem(f"{given}.served=student", "the run has several students", remedy)
    elif config.student.base_url or config.student.agent:
        remedy = f"name it as {given}={{base_url: …, model: …}}, or the agent as {given}.agent"
        yield Problem(f"{given}.served=student", "no server of ours holds the student", remedy)


def _voices(args: Mapping[Any, Any], judges: list[JudgeEntry]) -> Iterator[Problem]:
    for entry in judges:
        samples = entry.settings.get("samples") or args.get("samples") or 1
        temperature = entry.settings.get("temperature")
        temperature = args.get("temperature", 0.0) if temperature is None else temperature
        if isinstance(samples, int) and samples > 1 and temperature == 0:
            expected = "at temperature 0 all samples are one"
            remedy = "write temperature=0.7, or samples=1"
            yield Problem(f"{entry.given}: samples={samples} temperature=0", expected, remedy)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(text: Any) -> str:
    shown = " ".join(str(text).split())
    return f"{shown[:60]!r}" + ("…" if len(shown) > 60 else "")
