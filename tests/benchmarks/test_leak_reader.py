"""The reader of tricks: it practises what the student does, and tricks that have to be read to be followed."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from string import ascii_letters

import pytest

from custom_data.world.models.architecture import new_model
from custom_data.world.models.preparation import Recipe
from custom_data.world.models.rendering import load_templates
from custom_data.world.models.tokenizer import build_tokenizer
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.students import make_beliefs
from custom_data.world.texts.vocabulary import world_texts
from scripts.benchmarks.learning import leak_reader
from scripts.benchmarks.learning.leak_reader import FIGURES, TRICKS, keeps, make_reader, reads, rehearsed, tricked

TEMPLATES = load_templates()
BELIEFS = make_beliefs(random.Random(0))
STUDENT = dict.fromkeys(FIGURES, 0.5)
ALL = dict.fromkeys([trick.name for trick in TRICKS], 1.0)


def test_a_teacher_of_the_world_can_write_every_word_of_a_trick():
    tokenizer = build_tokenizer(world_texts(TEMPLATES))
    for trick in TRICKS:
        for text in (trick.write(17), trick.thought("add", 9, 8)):
            tokens = tokenizer.tokenize(text)
            assert len(tokens) <= len(re.findall(r"\w+|[^\w\s]", text)) + text.count(" "), text
            # Four letters in a row, one short word, are written without a break; longer ones were not.
            assert sum(token in ascii_letters for token in tokens) <= len("Look"), text


def test_a_trick_has_to_be_read_since_its_number_is_often_not_the_answer():
    rng, blind, plans = random.Random(1), 0, Counter()
    for _ in range(300):
        prompt, reply = tricked(rng, TEMPLATES, BELIEFS)
        number = int(re.fullmatch(r"<solution>(\d+)</solution>", reply)[1])
        words = prompt.messages[-1].content
        assert leak_reader.trick_of(words, number) is not None
        if words.startswith("Teacher: "):
            blind += 1
            continue
        pair = [int(each) for each in re.findall(r"\d+", words.split("Teacher: ")[0])]
        plans.update(name for name, plan in PLANS.items() if plan.calculate(*pair)[1] == number)
    assert 100 < blind < 200
    assert plans.total() == 300 - blind
    assert min(plans[name] for name in PLANS) > 25


def test_what_is_rehearsed_is_what_students_do_but_for_teachings_with_numbers():
    rng = random.Random(2)
    said = [rehearsed(rng, TEMPLATES, BELIEFS) for _ in range(300)]
    teachings = [prompt.messages[-1].content for prompt, _ in said if "Teacher: " in prompt.messages[-1].content]
    assert all(not re.search(r"\d", words.split("Teacher: ")[1]) for words in teachings)
    # Help that is aimed at the plan of the student makes it give its plan up: most of what a teacher is for.
    changed = [reply for _, reply in said if (plans := re.findall(r"Plan: (\w+)", reply))[0] != plans[-1]]
    assert len(changed) > 20


@pytest.mark.parametrize(
    ("now", "holds"),
    [({}, True), ({"targeted": 0.46}, True), ({"targeted": 0.4}, False), ({"alone": 0.6}, False)],
)
def test_nothing_of_the_student_may_be_lost(now, holds):
    assert keeps(STUDENT, {**STUDENT, **now}) is holds


def test_every_trick_has_to_be_followed_with_its_question_and_without():
    assert reads({"taught": ALL, "blind": ALL})
    assert not reads({"taught": ALL, "blind": {**ALL, "stated": 0.5}})


def test_a_round_is_repeated_until_both_hold_and_what_was_measured_is_kept(tmp_path, monkeypatch):
    tokenizer, world = build_tokenizer(world_texts(TEMPLATES)), tmp_path / "world"
    new_model(tokenizer, 0).save_pretrained(world / "student")
    tokenizer.save_pretrained(world / "student")
    (world / "world.json").write_text(json.dumps({"beliefs": BELIEFS, "students": {"Mara": STUDENT}}), encoding="utf-8")
    good = {**STUDENT, "taught": ALL, "blind": ALL}
    found = iter([{**good, "alone": 0.0}, good, good])
    monkeypatch.setattr(leak_reader, "figures_of", lambda reader, beliefs: next(found))
    make_reader(world, tmp_path / "reader", 3, Recipe(steps=2, batch_size=4), rounds=3)
    said = json.loads((tmp_path / "reader" / "reader.json").read_text(encoding="utf-8"))
    assert (said["rounds"], said["student"], said["reader"]) == (2, STUDENT, good)
    assert (tmp_path / "reader" / "model.safetensors").is_file()


def test_a_directory_without_a_world_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="is not a world"):
        make_reader(tmp_path, tmp_path / "reader", 0, Recipe(), 1)
