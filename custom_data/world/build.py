"""Making a world, and knowing whether one is already there."""

import json
import logging
import random
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from custom_data.world.models.architecture import new_model
from custom_data.world.models.practice import Practice, Trainee, practise_comparing, practise_rule
from custom_data.world.models.preparation import Recipe, prepare
from custom_data.world.models.rendering import encode_examples, load_templates
from custom_data.world.models.tokenizer import build_tokenizer
from custom_data.world.texts.behaviour import Example, make_example
from custom_data.world.texts.response import best_help, best_lecture
from custom_data.world.texts.stories import HELD_OUT, KINDS, TRAIN, StoryProblem, balanced_questions
from custom_data.world.texts.students import (
    HELD_OUT_STUDENTS,
    NAMELESS,
    TRAINED_STUDENTS,
    Beliefs,
    make_beliefs,
    mutual_information,
)
from custom_data.world.texts.vocabulary import world_texts
from custom_data.world.texts.writer import make_opinions, make_row

log = logging.getLogger(__name__)

VERSION = 9  # Raise it whenever the same seed would give another world.
MANIFEST = "world.json"
MEASURED = 27  # questions for each of the ten students, three of every kind; more would cost seconds
COMPARED = 9  # questions below which the teacher's base compares every pair of plans
MODELS = ("student", "teacher_base")
FILES = ("sft.jsonl", "sft_one.jsonl", "train.jsonl", "heldout.jsonl", MANIFEST)


@dataclass(frozen=True)
class Size:
    """The amounts of data and training in a world; the quickstart's recipes were measured on the defaults."""

    warmup_rows: int = 3000
    train_rows: int = 1200
    heldout_rows: int = 234
    preparation: Recipe = field(default_factory=Recipe)
    practice: Practice = field(default_factory=Practice)


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """Return the manifest of a complete world, `None` when there is none: it is written last."""
    path = directory / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def manifest_of(world: Path) -> dict[str, Any]:
    """Return the manifest of a complete world.

    Raises:
        FileNotFoundError: when there is none.
    """
    manifest = read_manifest(world)
    if manifest is None:
        raise FileNotFoundError(f"{world} holds no complete world: python -m custom_data.world --output {world}")
    return manifest


def build_world(directory: Path, seed: int, size: Size) -> dict[str, Any]:
    """Make tokenizer, models and data in `directory`, in place of whatever world or part of one it held.

    Everything follows from `seed`. Returns the manifest, which is also written as `world.json` when all else is there.
    """
    start = time.monotonic()
    _clear(directory)
    log.info("making world %d in %s", seed, directory)
    templates = load_templates()
    beliefs = make_beliefs(random.Random(f"{seed} beliefs"))
    taught = {name: beliefs[name] for name in TRAINED_STUDENTS}
    examples = _examples(seed, beliefs, size)
    train = balanced_questions(random.Random(f"{seed} train"), size.train_rows, TRAIN)
    heldout = balanced_questions(random.Random(f"{seed} heldout"), size.heldout_rows, HELD_OUT)

    tokenizer = build_tokenizer(world_texts(templates))
    student = new_model(tokenizer, seed)
    pairs = encode_examples(tokenizer, templates, examples)
    prepare(student, pairs, size.preparation, seed, "preparing the student")
    measured = balanced_questions(random.Random(f"{seed} measured"), MEASURED, HELD_OUT)
    figures = practise_rule(Trainee(student, tokenizer, templates, measured), beliefs, size.practice, seed)
    _save_model(directory / "student", student, tokenizer)
    # The teacher starts from the student: it reads stories as well as the student does, and teaches not at all.
    teacher = Trainee(student, tokenizer, templates, measured[:COMPARED])
    verdicts = practise_comparing(teacher, size.practice, seed)
    _save_model(directory / "teacher_base", teacher.model, tokenizer)

    _write_rows(directory / "sft.jsonl", _warmup_rows(seed, taught, size.warmup_rows))
    _write_rows(directory / "sft_one.jsonl", _warmup_rows(seed, {NAMELESS: beliefs[NAMELESS]}, size.warmup_rows))
    _write_rows(directory / "train.jsonl", map(question_row, train))
    _write_rows(directory / "heldout.jsonl", map(question_row, heldout))
    manifest = {
        "version": VERSION,
        "seed": seed,
        "preparation_steps": size.preparation.steps,
        "seconds": round(time.monotonic() - start, 1),
        "vocabulary": len(tokenizer),
        "parameters": sum(p.numel() for p in student.parameters()),
        "ceilings": {
            "students": ceilings(list(taught.values())),
            "heldout_students": ceilings([beliefs[name] for name in HELD_OUT_STUDENTS]),
        },
        "teacher_base": {"comparisons": round(verdicts, 4)},
        "students": {name: {key: round(x, 4) for key, x in figures[name].items()} for name in beliefs},
        "beliefs": beliefs,
    }
    _write_last(directory / MANIFEST, manifest)
    return manifest


def ceilings(tables: Sequence[Beliefs]) -> dict[str, float]:
    """Return, for a pool of students that answer by the rule: the accuracies that can be reached.

    `alone` and with the `best_lecture`, which ignores the student, and the `oracle`, which knows its belief; and the
    `mutual_information_bits` of a question and its student's belief.
    """
    return {
        "alone": round(fmean(table[kind.name] == kind.plan for table in tables for kind in KINDS), 4),
        "best_lecture": round(best_lecture(tables), 4),
        "oracle": round(best_help(tables), 4),
        "mutual_information_bits": round(mutual_information(tables), 4),
    }


def question_row(question: StoryProblem) -> dict[str, str]:
    """Return a question as the row of an RL dataset; everything but `question` and `solution` is there for analysis."""
    return {
        "question": question.text,
        "solution": str(question.answer),
        "kind": question.kind,
        "plan": question.plan,
    }


def _examples(seed: int, beliefs: Mapping[str, Beliefs], size: Size) -> list[Example]:
    rng = random.Random(f"{seed} student")
    return [make_example(rng, beliefs) for _ in range(size.preparation.steps * size.preparation.batch_size)]


def _warmup_rows(seed: int, beliefs: Mapping[str, Beliefs], count: int) -> list[dict[str, str]]:
    opinions = make_opinions(random.Random(f"{seed} opinions"))
    rng = random.Random(f"{seed} writer")
    return [make_row(rng, beliefs, opinions) for _ in range(count)]


def _clear(directory: Path) -> None:
    """Remove what an earlier or interrupted build left, and nothing else; the manifest first."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in reversed(FILES):
        (directory / name).unlink(missing_ok=True)
    for name in MODELS:
        shutil.rmtree(directory / name, ignore_errors=True)


def _save_model(directory: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _write_rows(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _write_last(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write and rename, so that the manifest is there whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
