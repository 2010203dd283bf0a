"""Every limit of the service: it is an option, it is documented, and it does what is promised."""

import asyncio
import logging
import re
import subprocess
import sys
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from tests.service.test_service import ASKED, ask, serving
from tests.support.fakes import ScriptedModel
from trainers.paths import ROOT
from trainers.service.__main__ import fitting, held, limits_of, parse, reach
from trainers.service.app import Limits

MODELS = ["--teacher", "t", "--student", "s"]
PAGE = (ROOT / "docs" / "deployment" / "serving.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", asdict(Limits()))
def test_a_limit_is_an_option_with_the_default_that_is_documented(name):
    option, default = f"--{name.replace('_', '-')}", getattr(Limits(), name)
    assert getattr(limits_of(parse([*MODELS, option, "77"])), name) == 77
    assert getattr(limits_of(parse(MODELS)), name) == default
    [row] = [line for line in PAGE.splitlines() if line.startswith("| `--") and f"`{option}`" in line]
    options = re.findall(r"`(--[\w-]+)`", row.split("|")[1])
    defaults = row.split("|")[2].split(",")
    assert float(defaults[options.index(option)]) == default
    assert option in (ROOT / "scripts" / "serve.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", asdict(Limits()))
def test_a_limit_that_allows_nothing_is_refused(name, capsys):
    nothing = "-1" if name == "max_probe_tokens" else "0"
    with pytest.raises(SystemExit):
        parse([*MODELS, f"--{name.replace('_', '-')}", nothing])
    assert "or more" in capsys.readouterr().err


def test_each_stage_has_its_budget_and_a_client_may_only_lower_the_answers():
    limits = Limits(max_tokens=30, max_probe_tokens=7, max_completion_length=19)

    def budgets(**asked):
        student = ScriptedModel(lambda text, index: "guess")
        teacher = ScriptedModel(lambda text, index: "<teaching>add them</teaching>")
        ask(student=student, teacher=teacher, options={"limits": limits}, **asked)
        return [call["sampling"].max_tokens for call in (*student.calls, *teacher.calls)]

    assert budgets() == [7, 30, 19]
    assert budgets(max_tokens=5) == [7, 5, 19]
    assert budgets(max_completion_tokens=500) == [7, 30, 19]


def test_without_a_budget_there_is_no_approach():
    student = ScriptedModel(lambda text, index: "guess")
    answer = ask(student=student, options={"limits": Limits(max_probe_tokens=0)})
    assert len(student.calls) == 1
    assert answer.model_extra["atlas"] | {"guidance_tokens": 0} == {
        "taught": True,
        "approach": "",
        "teaching": "add them",
        "guidance_tokens": 0,
        "failure": None,
    }


@pytest.mark.parametrize(("most", "answered"), [(2, True), (1, False)])
def test_choices_are_bounded(most, answered):
    async def outcome():
        async with serving(limits=Limits(max_choices=most)) as (client, _):
            answer = await client.chat.completions.create(model="small", messages=ASKED, n=2)
            return len(answer.choices)

    if answered:
        assert asyncio.run(outcome()) == 2
    else:
        with pytest.raises(Exception, match="n must be an integer from 1 to 1"):
            asyncio.run(outcome())


def test_limits_are_held_by_a_process_that_may_open_few_files(monkeypatch, caplog):
    asked = []
    monkeypatch.setattr("trainers.service.__main__.resource.setrlimit", lambda _, limits: asked.append(limits))

    def allowed(soft, hard):
        monkeypatch.setattr("trainers.service.__main__.resource.getrlimit", lambda _: (soft, hard))

    allowed(256, 4096)
    assert held(Limits()).max_connections == 512
    assert asked == [(192 + 512 + 2 * 64, 4096)]
    allowed(500, 500)
    assert held(Limits()).max_connections == 500 - 192 - 128
    assert "at most 180 connections: only 500 files may be open" in caplog.text
    allowed(256, 256)
    with pytest.raises(ValueError, match="ulimit -n 385"):
        held(Limits())


@pytest.mark.parametrize(
    ("student", "teacher", "tokens"),
    [
        (None, None, (2048, 500, 2048)),
        (8192, 4096, (2048, 500, 2048)),
        (2048, 2048, (1024, 500, 1024)),
        (512, None, (256, 128, 2048)),
    ],
)
def test_a_small_context_lowers_what_would_leave_no_room_for_prompts(student, teacher, tokens, caplog):
    found = Limits().within(student, teacher)
    assert (found.max_tokens, found.max_probe_tokens, found.max_completion_length) == tokens
    models = [SimpleNamespace(context=context) if context else ScriptedModel([]) for context in (student, teacher)]
    with caplog.at_level(logging.WARNING):
        assert fitting(Limits(), *models) == found
    lowered = [
        f"--{name.replace('_', '-')} is" for name, value in asdict(found).items() if value != getattr(Limits(), name)
    ]
    assert all(option in caplog.text for option in lowered)
    assert len(caplog.records) == len(lowered)


def test_a_model_is_told_of_before_it_is_loaded_and_libraries_are_loaded_for_it_only(monkeypatch, caplog):
    said = []
    monkeypatch.setattr("trainers.service.__main__.local_model", lambda model: said.append(caplog.text))
    with caplog.at_level(logging.INFO):
        reach(parse(["--teacher", "results/rl", "--student", "s"]), "teacher")
    assert "loading the teacher results/rl into this process" in said[0]
    # Seconds of silence, and of waiting for a mistyped path to be told.
    heavy = "{'torch', 'transformers', 'openai', 'datasets', 'math_verify', 'vllm'}"
    program = f"import sys, trainers.service.__main__; print({heavy} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
