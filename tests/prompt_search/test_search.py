"""A whole search by GEPA over in-process models: it finds the better words, and goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from custom_data.world.editor import WORDS, edit
from tests.prompt_search.test_adapter import QUESTIONS, TEMPLATES, adapter, lessons
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.checks.files import missing_paths
from trainers.configuration.devices.machine import assume
from trainers.configuration.resume.decision import _search_decision as decision
from trainers.configuration.resume.decision import look
from trainers.configuration.resume.evaluations import fingerprints, write_models
from trainers.configuration.settings.experiments import PromptSearchExperiment
from trainers.launch.checks.preflight import check_counts
from trainers.prompt_search.proposals import request
from trainers.prompt_search.report import RECIPE, Found, Kept, write_found
from trainers.prompt_search.search import Searched, optimised, parted, students_of

SIZES = ("search_validation=4", "search_minibatch=2", "search_budget=40")


def configured(*overrides: str) -> PromptSearchExperiment:
    words = ["configs/run/quickstart_prompts.yaml", *SIZES, *overrides]
    config = compose(words, assume(0)).config
    assert isinstance(config, PromptSearchExperiment)
    return config.with_keys(teacher_template=TEMPLATES["teacher_template"])


def reflect(text: str, seed: int) -> str:
    return "<template>{question} {approach} teach well</template>"


def test_a_search_finds_words_that_earn_more_and_repeats_itself_from_what_it_held(tmp_path: Path) -> None:
    pytest.importorskip("gepa", reason="the extra atlas-teacher[prompts] is not installed")
    questions = Searched(QUESTIONS[4:], QUESTIONS[:4])
    first = optimised(configured(), adapter(tmp_path, reflect=reflect), questions)
    best = Found(first, 0, 0).best
    assert best.templates["teacher_template"].endswith("teach well")
    assert best.parent == 0
    assert (first[0].reward, best.reward) == (0.0, pytest.approx(1 + 100 / 116))
    silent = lessons(tmp_path, helper=lambda *_: pytest.fail("a lesson was held again"))
    again = optimised(configured(), adapter(tmp_path, silent, reflect=lambda *_: pytest.fail("asked")), questions)
    assert again == first


def test_the_budget_is_kept_to_a_minibatch_and_a_validation(tmp_path: Path) -> None:
    pytest.importorskip("gepa", reason="the extra atlas-teacher[prompts] is not installed")
    asked = iter(range(1000))
    held = lessons(tmp_path)
    different = adapter(tmp_path, held, lambda *_: f"<template>{{question}} {{approach}} {next(asked)} well</template>")
    optimised(configured("search_budget=30"), different, Searched(QUESTIONS[4:], QUESTIONS[:4]))
    assert 10 < held.held <= 30 + 2 * 2 + 4


def test_questions_are_parted_by_seed_and_each_has_one_student() -> None:
    config = configured()
    found = parted(config, QUESTIONS)
    assert sorted(question.row for part in (found.training, found.validation) for question in part) == list(range(8))
    assert len(found.validation) == 4
    assert parted(config, QUESTIONS) == found != parted(configured("seed=7"), QUESTIONS)
    assert set(students_of(config, found)) == set(range(8))
    assert set(students_of(config, found).values()) <= {"Mara", "Nils", "Otto", "Pia", "Quin", "Rhea"}
    with pytest.raises(ConfigurationError, match="there are 5 questions"):
        parted(config, QUESTIONS[:5])


def test_the_best_templates_become_a_recipe_that_evaluations_take(tmp_path: Path) -> None:
    text = '{question}: {approach}\nTeach "well", { in } “quotes”.'
    found = Found([Kept(TEMPLATES, 0.25, None), Kept({"teacher_template": text}, 0.5, 0)], 60, 1)
    write_found(tmp_path, found)
    recipe = tmp_path / RECIPE
    groups = ["model=world", "data=world_heldout", "trainer/reward=world"]
    evaluated = compose([str(recipe), "teacher=a", *groups], assume(0)).config
    assert evaluated.prompts.teacher_template == text
    assert json.loads((tmp_path / "search.json").read_text())["best"]["reward"] == 0.5
    assert "| 1 (best) | 0 | 0.500 |" in (tmp_path / "summary.md").read_text()


def test_a_search_continues_with_a_larger_budget_and_not_with_other_questions(tmp_path: Path) -> None:
    config = configured(f"output_dir={tmp_path}")
    assert decision(config, look(tmp_path)).action == "start"
    (tmp_path / "tried.jsonl").write_text("{}\n")
    write_models(tmp_path, fingerprints(config))

    def later(finished: bool = True, **keys: Any) -> str:
        earlier = type(look(tmp_path))(saved=config.flat(), finished=finished)
        return decision(config.with_keys(**keys), earlier).action

    assert later() == "complete"
    assert later(finished=False) == "continue"
    assert later(search_budget=80) == "continue"
    assert later(resume="never") == "set_aside"
    assert later(seed=1) == "set_aside"
    assert later(taught_template="{question} {teaching}!") == "set_aside"


@pytest.mark.parametrize(
    ("overrides", "given", "remedy"),
    [
        ("teacher=null", "teacher=null", "name one"),
        ("teacher=[a,b]", "teacher=[a,b]", "name one"),
        ("searched_templates=[]", "searched_templates=[]", "[teacher_template]"),
        ("searched_templates=[teacher_templat]", "teacher_templat", "did you mean teacher_template"),
        ("searched_templates=[taught_template,taught_template]", "listed 2 times", "list it once"),
        ("searched_templates=[probe_template] max_probe_tokens=0", "max_probe_tokens=0", "leave probe_template out"),
        ("search_budget=8", "search_budget=8", "set search_budget=80"),
        ("eval_max_samples=5", "eval_max_samples=5", "eval_max_samples=null"),
        ("reflection_model=x", "reflection_agent=custom_data", "leave the agent or the API out"),
        ("reflection_agent=null reflection_model=x", "reflection_model=x", "give both"),
        ("reflection_agent=null reflection_model=x reflection_base_url=here", "here", "write the address in full"),
        ("reflection_agent=edit", "reflection_agent=edit", "my_package.agents.Editor"),
        ("teacher_template='{question} only'", "teacher_template", "{approach}"),
    ],
)
def test_contradictions_are_told_before_anything_starts(overrides: str, given: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(["configs/run/quickstart_prompts.yaml", *SIZES, *_words(overrides)], assume(0))
    said = [f"{problem.given} {problem.expected} {problem.remedy}" for problem in caught.value.problems]
    assert any(given in text and remedy in text for text in said), said


def _words(overrides: str) -> list[str]:
    return [overrides] if "'" in overrides else overrides.split()


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = [f"{problem.expected} {problem.remedy}" for problem in missing_paths(configured())]
    assert any("gepa" in text and "pip install gepa" in text for text in said)


def test_a_search_trains_nothing() -> None:
    assert [problem.expected for problem in check_counts("prompt_search", 1, 1)] == ["an evaluation trains nothing"]
    assert list(check_counts("prompt_search", 1, 0)) == []


def test_the_worlds_editor_shows_lessons_that_helped() -> None:
    helped = {
        "question": "q0",
        "approach": "I would add.",
        "teaching": "Multiply.",
        "alone": "right in 0%",
        "outcome": "right",
    }
    text = request(
        "teacher_template", "{question} {approach}", [helped, {**helped, "teaching": "Add.", "outcome": "wrong"}]
    )
    answers = {edit(text, seed) for seed in range(40)}
    assert len(answers) > len(WORDS)
    assert any("Multiply." in answer for answer in answers)
    assert not any("Add." in answer for answer in answers)
    assert edit(text, 3) == edit(text, 3)
