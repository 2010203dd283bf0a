"""Measure a judge on solutions that you have labelled, before a training believes it.

    python -m trainers.evaluation.judge_agreement labelled.jsonl configs/run/RECIPE.yaml [key=value …]

The recipe and keys are those of the run that the judge is for. A line of the file has `question`, `solution`, `label`
(a number from 0 to 1, or true or false) and, where there is one, `reference`. Several solutions to one question show
whether the judge prefers what it is shown first. The figures, and what judge they are of, go to
`labelled.agreement.json`: name it as `verifier_args.measured`. Judges with servers of their own get them for as long as
they are asked; the student's servers must run where it judges itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trainers.builders.judges import build_judge
from trainers.builders.student_and_teacher import connect_student
from trainers.concurrency.task_groups import task_group
from trainers.confidence_intervals import Estimate
from trainers.configuration import ConfigurationError, compose, server_layout
from trainers.configuration.devices.machine import detect
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.judges import all_entries, fingerprint, judge_args
from trainers.evaluation.evaluate import report_spending
from trainers.evaluation.lesson_files import read_lines
from trainers.evaluation.measures.judge_figures import Judged, JudgedPair, Labelled, figures, neighbours
from trainers.generation.types import Generation, GenerationError
from trainers.output.files import write_whole
from trainers.problems import Problem
from trainers.serving.processes.server_group import ServerError, ServerGroup
from trainers.teaching.lesson import THE_STUDENT, Question
from trainers.teaching.verifiers.judge.verifier import JudgeVerifier
from trainers.terminal.log_lines import log_to_standard_error

FAILED, USER_ERROR = 1, 2
FEWEST = 30
"""Labelled solutions below which intervals are too wide to say much."""
_EXPECTED = "question, solution and label, a number from 0 to 1, or true or false"
logger = logging.getLogger("judge_agreement")


def main(arguments: Sequence[str]) -> int:
    """Measure a judge; returns the exit status, 2 for a mistake that the user can mend, 1 where no server starts."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="JSON lines with question, solution, label, reference")
    parser.add_argument("words", nargs="+", metavar="RECIPE key=value …", help="of the run that the judge is for")
    parser.add_argument("--output", type=Path, help="where the figures go (default: beside the labels)")
    options = parser.parse_args(list(arguments))
    try:
        rows = read_labelled(options.labelled)
        config = compose(options.words).config
        args = judge_args(config.teaching) if isinstance(config, StudentExperiment) else None
        if not isinstance(config, StudentExperiment) or args is None:
            raise ConfigurationError(
                [Problem(" ".join(options.words), "no judge gives verdicts in this run", "add verifier=judge")]
            )
        with judges_served(config):
            found = asyncio.run(measure(config, rows))
    except (ConfigurationError, ServerError) as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR if isinstance(error, ConfigurationError) else FAILED
    output = options.output or options.labelled.with_suffix(".agreement.json")
    write_whole(output, json.dumps({"judge": fingerprint(args), **found}, indent=2) + "\n")
    logger.info("figures: %s; name it as verifier_args.measured", output)
    return 0


def read_labelled(path: Path) -> list[Labelled]:
    """Return the labelled solutions of a file.

    Raises:
        ConfigurationError: with every line that is none, or when there are none.
    """
    if not path.is_file():
        raise ConfigurationError([Problem(str(path), "there is no such file", "correct the path")])
    try:
        records = read_lines(path)
    except ValueError as error:
        raise ConfigurationError([Problem(str(path), str(error), "write one JSON object a line")]) from error
    rows, problems = list[Labelled](), list[Problem]()
    for number, record in enumerate(records, start=1):
        row = _labelled(number, record)
        if row is None:
            problems.append(Problem(f"{path}, line {number}", f"expected {_EXPECTED}", "mend the line"))
        else:
            rows.append(row)
    if not rows and not problems:
        problems.append(Problem(str(path), "holds no labelled solution", f"write lines with {_EXPECTED}"))
    if problems:
        raise ConfigurationError(problems)
    return rows


@contextmanager
def judges_served(config: StudentExperiment) -> Iterator[None]:
    """Start the servers of judges that have their own, for as long as they are needed.

    Raises:
        ServerError: when one does not start.
    """
    specs = [spec for spec in server_layout(config, detect().gpus) if spec.role == "judge"]
    with TemporaryDirectory() as directory, ExitStack() as stack:
        if specs:
            logger.info("starting %d servers of judges", len(specs))
            stack.enter_context(ServerGroup(specs, Path(directory)))
        yield


async def measure(config: StudentExperiment, rows: Sequence[Labelled]) -> dict[str, Any]:
    """Ask the judges of a run about labelled solutions, and return the figures as they are written down."""
    async with AsyncExitStack() as stack:
        judge = build_judge(config, await _student(config, stack))
        stack.push_async_callback(judge.aclose)
        bribes = await judge.bribes()
        async with task_group() as tasks:
            scoring = [tasks.create_task(_score(judge, row)) for row in rows]
            pairing = [tasks.create_task(_pair(judge, *pair)) for pair in neighbours(rows)]
        judged, pairs = [each.result() for each in scoring], [each.result() for each in pairing]
        report_spending(list(judge.accounts.values()))
    known = figures(judged, [pair for pair in pairs if pair is not None], judge.pass_mark)
    unscored = sum(each.score is None for each in judged)
    _tell(known, bribes, len(rows), unscored)
    return {
        "solutions": len(rows),
        "unscorable": unscored,
        "bribes": dict(bribes),
        "figures": {name: estimate.as_dict() for name, estimate in known.items()},
    }


async def _student(config: StudentExperiment, stack: AsyncExitStack) -> Any:
    """Return the run's student where it judges itself; none is connected else."""
    if not any(entry.settings.get("served") == THE_STUDENT for entry in all_entries(judge_args(config.teaching) or {})):
        return _NoStudent()
    student = connect_student(config)
    stack.push_async_callback(student.aclose)
    return student


class _NoStudent:
    async def generate(self, prompts: Sequence[Any], **how: Any) -> list[Generation]:
        raise GenerationError("no student is connected", "function")


async def _score(judge: JudgeVerifier, row: Labelled) -> Judged:
    grade = (await judge.verify(row.solution, row.question)).grade
    return Judged(row, grade.score if grade else None)


async def _pair(judge: JudgeVerifier, one: Labelled, other: Labelled) -> JudgedPair | None:
    """Show two solutions to the first judge in both orders; `None` where it does not say."""
    first = judge.panel.judges[0]
    try:
        leading = await judge.pair(first, one.solution, other.solution, one.question, first=True)
        trailing = await judge.pair(first, one.solution, other.solution, one.question, first=False)
    except GenerationError:
        return None
    return JudgedPair(one.question.text, (leading[0], trailing[1]), (trailing[0], leading[1]))


def _labelled(number: int, record: Mapping[str, Any]) -> Labelled | None:
    question, solution, label = (record.get(name) for name in ("question", "solution", "label"))
    reference = record.get("reference")
    if not isinstance(question, str) or not isinstance(solution, str) or not isinstance(label, bool | int | float):
        return None
    if not 0 <= label <= 1 or not (reference is None or isinstance(reference, str)):
        return None
    return Labelled(Question(number, question, reference), solution, float(label))


def _tell(found: Mapping[str, Estimate], bribes: Mapping[str, float | None], rows: int, unscored: int) -> None:
    logger.info(
        "%d labelled solutions, %d of them unscorable; brackets are 95%% intervals over questions", rows, unscored
    )
    for name, estimate in found.items():
        logger.info("%s %s", name, estimate.format("+.3f" if name.endswith(("error", "bias")) else ".3f"))
    for name, score in bribes.items():
        logger.info("bribes, %s: %s of 1", name, "n/a" if score is None else f"{score:.2f}")
    if rows < FEWEST:
        logger.warning("%d labelled solutions say little. → label %d or more", rows, FEWEST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
