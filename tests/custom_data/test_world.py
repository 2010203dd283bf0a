"""The embedded world: its rules, its splits, its tokenizer, and that a built one can be loaded and is left alone."""

import json
import random
import re

import pytest
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from custom_data.world.__main__ import CEILINGS, main, report
from custom_data.world.models.measurement import FIGURES, say
from custom_data.world.models.rendering import encode_examples, render
from custom_data.world.models.tokenizer import TAGS
from custom_data.world.texts.behaviour import any_teaching, make_example, taught_solution
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.response import Help, best_help, best_lecture, respond
from custom_data.world.texts.stories import HELD_OUT, KINDS, PREPARATION, TRAIN, any_question, balanced_questions
from custom_data.world.texts.students import (
    HELD_OUT_STUDENTS,
    STUDENTS,
    TRAINED_STUDENTS,
    make_beliefs,
    mutual_information,
    system_prompt,
)
from custom_data.world.texts.writer import make_opinions, make_row
from trainers.teaching.prompts import read_reply, write_reply

HELD_COUNT = 234


def is_held_out(question):
    return (question.first, question.second) in HELD_OUT.pairs and question.text.split()[0] in HELD_OUT.names


@pytest.mark.parametrize(
    ("plan", "calculation", "result"),
    [
        ("add", "7+4=11", 11),
        ("subtract", "7-4=3", 3),
        ("multiply", "7*4=28", 28),
    ],
)
def test_a_plan_calculates_as_it_says(plan, calculation, result):
    assert PLANS[plan].calculate(7, 4) == (calculation, result)


def test_only_the_right_plan_gives_the_right_answer():
    for first, second in (*TRAIN.pairs, *HELD_OUT.pairs):
        assert len({plan.calculate(first, second)[1] for plan in PLANS.values()}) == len(PLANS)


def test_training_and_held_out_questions_share_neither_numbers_nor_names():
    assert not set(TRAIN.pairs) & set(HELD_OUT.pairs)
    assert not set(TRAIN.names) & set(HELD_OUT.names)


def test_the_student_is_never_prepared_on_a_held_out_question():
    rng = random.Random(0)
    assert all(is_held_out(q) for q in balanced_questions(rng, HELD_COUNT, HELD_OUT))
    assert not any(is_held_out(any_question(rng, PREPARATION)) for _ in range(5000))


def test_questions_are_different_and_spread_evenly():
    questions = balanced_questions(random.Random(1), HELD_COUNT, HELD_OUT)
    kinds = [question.kind for question in questions]
    assert len({q.text for q in questions}) == HELD_COUNT
    assert {kinds.count(kind.name) for kind in KINDS} == {HELD_COUNT // len(KINDS)}


@pytest.mark.parametrize("seed", range(20))
def test_every_student_has_its_ability_and_a_question_tells_nothing_of_the_students_of_the_training(seed):
    beliefs = make_beliefs(random.Random(seed))
    right = {name: sum(table[kind.name] == kind.plan for kind in KINDS) for name, table in beliefs.items()}
    assert right == STUDENTS
    trained = [beliefs[name] for name in TRAINED_STUDENTS]
    for kind in KINDS:
        held = [table[kind.name] for table in trained]
        assert {plan: held.count(plan) for plan in PLANS} == dict.fromkeys(PLANS, 2)
    assert mutual_information(trained) == pytest.approx(0, abs=1e-12)


def test_mutual_information_is_that_of_known_tables():
    def table(choose):
        return {kind.name: choose(i) for i, kind in enumerate(KINDS)}

    names = list(PLANS)
    assert mutual_information([table(lambda i: names[i % 3])]) == pytest.approx(1.584963, abs=1e-6)  # log2(3)
    assert mutual_information([table(lambda _: "add")] * 2) == 0


@pytest.mark.parametrize("seed", range(20))
def test_no_lecture_helps_the_students_of_the_training_and_an_oracle_helps_all(seed):
    beliefs = make_beliefs(random.Random(seed))
    trained, held_out = ([beliefs[name] for name in names] for names in (TRAINED_STUDENTS, HELD_OUT_STUDENTS))
    assert best_lecture(trained) == pytest.approx(1 / 3), "as much as they know alone"
    assert 20 / 36 <= best_lecture(held_out) < 0.7
    assert best_help(trained) == best_help(held_out) == 1


@pytest.mark.parametrize(
    ("belief", "given", "follows"),
    [
        ("subtract", Help(("subtract",), "add"), "add"),
        ("subtract", Help(("subtract",), "multiply"), "multiply"),
        ("subtract", Help(("multiply",), "add"), "subtract"),
        ("subtract", Help((), "add"), "subtract"),
        ("subtract", Help(("subtract",)), "subtract"),
        ("subtract", Help(("subtract", "multiply"), "add"), "subtract"),
        ("subtract", Help(), "subtract"),
        ("add", Help(), "add"),
        ("add", Help((), "multiply"), "add"),
        ("add", Help(("add",), "multiply"), "multiply"),
        ("add", Help(("multiply",), "subtract"), "subtract"),
        ("add", Help(("add",), "add"), "subtract"),
        ("add", Help(("multiply",)), "subtract"),
    ],
)
def test_a_student_follows_only_help_that_meets_its_plan_and_any_objection_harms_a_right_one(belief, given, follows):
    assert respond(belief, "add", given) == follows


def test_a_teaching_of_the_preparation_says_what_counts_in_it():
    rng = random.Random(0)
    for _ in range(2000):
        question = any_question(rng, PREPARATION)
        text, given = any_teaching(rng, question, "add")
        assert tuple(re.findall(r"Your plan to (\w+) does not fit this story\.", text)) == given.objections
        spelled = [name for name, plan in PLANS.items() if plan.spelled_out() in text]
        assert spelled == ([given.spelled] if given.spelled else [])


def test_what_a_taught_student_says_begins_with_its_plan_and_the_objection():
    said = taught_solution("subtract", "add", Help(("subtract",), "add"), 7, 4)
    assert said == "Plan: subtract. Objection: subtract. Plan: add. 7+4=11\n<solution>11</solution>"
    assert "Objection: none. Plan: add." in taught_solution("add", "add", Help(), 7, 4)
    assert "Objection: several. Plan: add." in taught_solution("add", "multiply", Help(("add", "subtract")), 7, 4)


def test_the_writer_reads_the_student_and_confirms_only_what_it_agrees_with():
    beliefs, opinions = make_beliefs(random.Random(0)), make_opinions(random.Random(1))
    rng = random.Random(2)
    rows = [make_row(rng, beliefs, opinions) for _ in range(2000)]
    confirming = [row for row in rows if re.search("[Pp]lan fits|Good plan|Keep your plan", row["teacher_teaching"])]
    assert confirming
    assert all(row["teacher_diagnosis"].endswith(" It fits.") for row in confirming)
    for row in rows:
        student = row["student_approach"].removeprefix("Plan: ").removesuffix(".")
        needed, own, verdict = re.fullmatch(
            r"Needed: (\w+)\. Student: (\w+)\. (It .*)\.", row["teacher_diagnosis"]
        ).groups()
        assert (own, verdict) == (student, "It fits" if needed == student else "It does not fit")
    assert 0.003 < sum("The answer is" in row["teacher_teaching"] for row in rows) / len(rows) < 0.02


def test_the_words_and_numbers_of_the_world_are_single_tokens(tokenizer):
    rng = random.Random(0)
    beliefs, opinions = make_beliefs(rng), make_opinions(rng)
    for _ in range(500):
        example = make_example(rng, beliefs)
        row = make_row(rng, beliefs, opinions)
        text = f"{example.question}\n{example.says}\n{row['teacher_diagnosis']} {row['teacher_teaching']}"
        tokens = tokenizer.tokenize(text)
        assert [token for token in tokens if token.isdigit()] == re.findall(r"\d+", text)
        assert not [token for token in tokens if len(token) == 1 and token.isascii() and token.isalpha()], text


@pytest.mark.parametrize(
    "text",
    [
        "a student's {question} {{ braces }} {% raw %}",
        "ünïcødé — 数学 🎈\u200d\t\r\n  two  spaces ",
        "<teaching>Add.</teaching><thinking></thinking> <solution> 3.14 </solution>",
        "1234567 -12 007 x-y-z",
        "\x00\x7f\ufffd",
        "",
    ],
)
def test_every_text_survives_the_tokenizer(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_tags_are_single_tokens_that_skipping_special_tokens_keeps(tokenizer):
    for tag in TAGS:
        assert len(tokenizer(tag, add_special_tokens=False).input_ids) == 1
        assert tag not in tokenizer.all_special_tokens


def test_a_reply_of_the_writer_is_read_back_from_its_tokens(tokenizer):
    row = make_row(random.Random(3), make_beliefs(random.Random(0)), make_opinions(random.Random(1)))
    text = write_reply(row["teacher_diagnosis"], row["teacher_teaching"])
    reply = read_reply(tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True))
    assert (reply.thinking, reply.teaching) == (row["teacher_diagnosis"], row["teacher_teaching"])


def test_a_conversation_ends_on_the_end_of_turn_and_starts_as_its_prompt(tokenizer, templates):
    prompt = render(tokenizer, templates.teacher("How many?", "Plan: add."))
    turns = [{"role": m.role, "content": m.content} for m in templates.teacher("How many?", "Plan: add.").messages]
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "Hm."}], tokenize=False)
    assert whole == f"{prompt}Hm.<|im_end|>"


def test_an_example_is_learned_under_the_templates_of_the_recipe(tokenizer, templates):
    rng, beliefs = random.Random(5), make_beliefs(random.Random(0))
    examples = [make_example(rng, beliefs) for _ in range(200)]
    assert {example.system for example in examples} == {"", *map(system_prompt, STUDENTS)}
    for pair, example in zip(encode_examples(tokenizer, templates, examples), examples, strict=True):
        assert pair.completion[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(pair.completion, skip_special_tokens=True) == example.says
        system = f"<|im_start|>system\n{example.system}<|im_end|>" if example.system else ""
        assert tokenizer.decode(pair.prompt).startswith(f"{system}<|im_start|>user\n{example.question}")


@pytest.mark.slow
def test_what_is_printed_of_a_world_fits_a_narrow_terminal_without_cut_words():
    pools = {pool: dict.fromkeys(CEILINGS, 0.5) for pool in ("students", "heldout_students")}
    students = {name: dict.fromkeys(FIGURES, 1.0) for name in STUDENTS}
    console = Console(width=80)
    with console.capture() as captured:
        manifest = {"seed": 0, "students": students, "ceilings": pools, "teacher_base": {"comparisons": 1.0}}
        console.print(report(manifest, 80))
    words = set(captured.get().split())
    assert {word for name in FIGURES for word in name.split("_")} <= words
    assert max(map(len, captured.get().splitlines())) <= 80
    assert "…" not in captured.get()


def test_a_short_world_loads_speaks_and_is_not_made_twice(tmp_path, templates):
    command = ["--output", str(tmp_path), "--preparation-steps", "2"]
    (tmp_path / "sft.jsonl").write_text("half a row", encoding="utf-8")
    assert main(command) == 0

    manifest = tmp_path / "world.json"
    written = manifest.stat().st_mtime_ns
    made = json.loads(manifest.read_text(encoding="utf-8"))
    assert (made["seed"], list(made["students"])) == (0, list(STUDENTS))
    assert made["ceilings"]["students"] == {
        "alone": 0.3333, "best_lecture": 0.3333, "oracle": 1.0, "mutual_information_bits": 0.0
    }  # fmt: skip
    for name in ("student", "teacher_base"):
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id != tokenizer.pad_token_id
        assert len(say(model, tokenizer, [templates.probe("How many?")])) == 1
    for name in ("sft.jsonl", "sft_one.jsonl", "train.jsonl", "heldout.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        assert all(rows)

    assert main(command) == 0
    assert manifest.stat().st_mtime_ns == written, "a complete world was made again"
    assert main([*command, "--seed", "1"]) == 2, "another world was replaced without being asked"
