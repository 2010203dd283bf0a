"""Rules for models behind foreign APIs: the student's keys, and the entries of `teacher=` that are tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from trainers.configuration.cli.command_line import suggestion
from trainers.configuration.devices.placement import STUDENT_ALONE, models, record_name, teacher_list
from trainers.configuration.settings.checking import check_section
from trainers.configuration.settings.experiments import EvaluationExperiment, StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.key import Settings
from trainers.configuration.settings.keys import keys_in
from trainers.configuration.settings.models.api_teacher import ApiTeacherSettings
from trainers.configuration.settings.models.student import StudentSettings
from trainers.problems import Problem

PRICES = ("prompt", "completion")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_apis(config: StudentExperiment) -> Iterator[Problem]:
    """Yield the problems of everything that a configuration asks of foreign APIs."""
    yield from _student(config)
    yield from check_key_name("student_api_key_env", config.student.api_key_env)
    for index, entry in enumerate(teacher_list(config) if isinstance(config, EvaluationExperiment) else ()):
        if isinstance(entry, Mapping):
            yield from _teacher(config, f"teacher[{index}]", entry)
        elif not isinstance(entry, str):
            remedy = "write teacher=[results/rl,{base_url: https://…/v1, model: NAME, api_key_env: VARIABLE}]"
            yield Problem(f"teacher[{index}]={entry}", "expected a path, a hub id, or an API as a table", remedy)


def check_names(entries: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each teacher whose name results, or records of usage, have for something else."""
    remedy = "give every teacher a name of its own: teacher_names=[…]"
    records = {record_name("student"): "the student"}
    for name, entry in entries.items():
        if name == STUDENT_ALONE:
            yield Problem(f"teacher {name}", "is what results call the student without a teacher", remedy)
        if isinstance(entry, Mapping):
            owner = records.setdefault(record_name(name), name)
            if owner != name:
                yield Problem(f"teacher {name}", f"its record of usage would be that of {owner}", remedy)


def _student(config: StudentExperiment) -> Iterator[Problem]:
    url = config.student.base_url
    if url is None:
        for name, key in keys_in(StudentSettings).items():
            value = getattr(config.student, key.attribute)
            if key.facts.of_api and value:
                remedy = f"give student_base_url, or leave {name} out"
                yield Problem(f"{name}={written(value)}", "only a student behind an API has it", remedy)
        return
    yield from check_address(config, "student_base_url", url)
    if config.student.max_model_len is None:
        remedy = "set student_max_model_len to the context the API offers"
        yield Problem("student_max_model_len=null", "the context of an API student must be declared", remedy)
    yield from check_money("student_", config.student.spending_cap, config.student.price_per_million_tokens)


def _teacher(config: StudentExperiment, given: str, entry: Mapping[Any, Any]) -> Iterator[Problem]:
    yield from check_entry(given, entry, ApiTeacherSettings, "key of an API teacher")
    if isinstance(entry.get("base_url"), str):
        yield from check_address(config, f"{given}.base_url", entry["base_url"])
    yield from check_key_name(f"{given}.api_key_env", entry.get("api_key_env", "OPENAI_API_KEY"))
    yield from check_money(f"{given}.", entry.get("spending_cap"), entry.get("price_per_million_tokens"))


def check_entry(given: str, entry: Mapping[Any, Any], section: type[Settings], noun: str) -> Iterator[Problem]:
    """Yield the keys of a table that its settings do not have, lack, or whose values do not fit.

    Args:
        given: where the table stands.
        entry: the table.
        section: its settings.
        noun: what each of its keys is: `key of an API teacher`.
    """
    keys = keys_in(section)
    for name in entry.keys() - keys.keys():
        remedy = suggestion(str(name), tuple(keys))
        yield Problem(f"{given}.{name}={written(entry[name])}", f"no {noun}", remedy)
    for name, problem in check_section(section, entry).items():
        again = "raise it" if "number " in problem.expected else f"write another {name}"
        remedy = f"{again}, or leave it out"
        yield Problem(f"{given}.{name}={written(entry[name])}", problem.expected.partition(", got")[0], remedy)
    for name, key in keys.items():
        if key.facts.required and not isinstance(entry.get(name), str):
            yield Problem(f"{given}={written(entry)}", f"lacks {name}", "write {base_url: https://…/v1, model: NAME}")


def check_address(config: StudentExperiment, key: str, url: str) -> Iterator[Problem]:
    """Yield what is wrong with the address of an API."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        yield Problem(f"{key}={url}", f"is no address ({error})", "write http(s)://host[:port]/v1")
        return
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield Problem(f"{key}={url}", "expected http(s)://host[:port]/v1", "write the address in full")
    elif parts.path.rstrip("/").endswith("/completions"):
        base = url.partition("/chat/")[0].removesuffix("/completions")
        yield Problem(f"{key}={url}", "expected the address of the API, not of one of its calls", f"write {key}={base}")
    if parts.password or parts.username:
        remedy = f"put the key into the variable named by {key.replace('base_url', 'api_key_env')}"
        yield Problem(f"{key}=…", "expected an address without user name and password", remedy)
    if _taken_by_our_servers(config, parts.hostname, port):
        remedy = "set vllm_port=… to the first of some ports that nothing else uses"
        yield Problem(f"{key}={url}", "our own servers are to listen on that port", remedy)


def _taken_by_our_servers(config: StudentExperiment, host: str | None, port: int | None) -> bool:
    ports = range(
        config.serving.vllm_port, config.serving.vllm_port + max(config.serving.num_vllm_servers, len(models(config)))
    )
    return bool(models(config)) and host in (config.serving.vllm_host, "localhost", "127.0.0.1") and port in ports


def check_key_name(key: str, name: Any) -> Iterator[Problem]:
    """Yield a problem where the name of an environment variable is none."""
    if isinstance(name, str) and (not _VARIABLE.fullmatch(name) or name.lower().startswith("sk_")):
        remedy = f"write {key}=OPENAI_API_KEY and put the key into that variable, or null for an API that wants none"
        yield Problem(f"{key}=…", "expected the name of an environment variable, not a key", remedy)


def check_money(prefix: str, cap: Any, prices: Any) -> Iterator[Problem]:
    """Yield what is wrong with a cap and the prices that it needs."""
    table = f"{prefix}price_per_million_tokens"
    example = f"write {table}={{prompt: 0.15, completion: 0.6}} with the API's prices in US dollars"
    if cap is not None and prices is None:
        yield Problem(f"{prefix}spending_cap={cap}", "needs the prices of the API to know what is spent", example)
    if not isinstance(prices, Mapping):
        return
    for name in sorted({*prices} ^ {*PRICES}, key=str):
        fault = f"{name} is missing" if name in PRICES else f"{name} is no price"
        yield Problem(f"{table}={written(prices)}", f"{fault}; expected prompt and completion", example)
    for name, value in prices.items():
        if name in PRICES and not (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0):
            yield Problem(
                f"{table}.{name}={written(value)}", "expected US dollars per million tokens, a number >= 0", example
            )
