"""`python -m trainers.launch.checks.inspection DIRECTORY`: look at tokenizers, models and data before servers start.

It imports torch and may download, so it is a process of its own: the launcher stays small and quick, and code that
comes with a model cannot harm it. `DIRECTORY/config.json` holds the resolved configuration; what was found is
written to `DIRECTORY/findings.json`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trainers.configuration.checks.student_rules import own_keys, under_own_keys
from trainers.configuration.composition.compose import experiment_of
from trainers.configuration.composition.compose import load as load_run
from trainers.configuration.epochs import too_few_rows
from trainers.configuration.settings.experiments import Experiment, SFTExperiment, StudentExperiment
from trainers.generation.chat_templates.accepted_roles import writes_conversations
from trainers.hub_ids import looks_local
from trainers.launch.checks.assistant_turns import conversation_of, prompt_warnings, turn_problems, turn_warnings
from trainers.launch.checks.compatibility import ReadModel, mentor_problems, model_problems, model_warnings
from trainers.launch.checks.credentials import has_hub_token
from trainers.launch.checks.judges import judge_template_problems
from trainers.launch.checks.model_uses import ModelUse, model_uses, template_kwargs
from trainers.launch.checks.own_functions import function_problems
from trainers.launch.checks.prompts import stage_problems, tool_template_problems, unread_kwargs
from trainers.launch.checks.weight_updates import update_problems, update_warnings
from trainers.launch.estimates.model_sizes import COUNTED_BY_FORMULA, ModelShape, count_weights, shape_of
from trainers.models.chosen_tokens import choice_problems, with_choices
from trainers.problems import ConfigurationError, Problem
from trainers.terminal.log_lines import log_to_standard_error

CONFIG_FILE, FINDINGS_FILE = "config.json", "findings.json"
LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, TypeError)
"""Exceptions that transformers and a model's own code raise for a model that cannot be loaded."""
MESSAGE_LENGTH = 300
logger = logging.getLogger("preflight")


@dataclass(frozen=True)
class Findings:
    """The problems, warnings and numbers that an inspection found.

    `shapes` is by model, `None` for one whose size could not be read; `data` are lines about the rows, and `rows` how
    many are trained on (or evaluated on), `None` where they were not looked at.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    shapes: Mapping[str, ModelShape | None] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    rows: int | None = None

    def save(self, path: Path) -> None:
        """Write them for the launcher."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Findings:
        """Read what `save` wrote."""
        read = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            problems=tuple(Problem(**entry) for entry in read["problems"]),
            warnings=tuple(read["warnings"]),
            shapes={model: ModelShape(**shape) if shape else None for model, shape in read["shapes"].items()},
            data=tuple(read["data"]),
            rows=read["rows"],
        )


def main(directory: Path) -> None:
    """Inspect the run that a directory describes."""
    log_to_standard_error(logging.WARNING)
    logger.setLevel(logging.INFO)
    # It has a handler of its own: a hub that does not answer would be reported twice.
    logging.getLogger("huggingface_hub").propagate = False
    config = experiment_of(json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8")))
    findings = inspect(config)
    findings.save(directory / FINDINGS_FILE)


def inspect(config: Experiment) -> Findings:
    """Load what a run will load, except weights; every problem is found, none raised."""
    problems = list(function_problems(config)) if isinstance(config, StudentExperiment) else []
    if not problems and (of_columns := column_problems(config)):
        return Findings(of_columns)
    warnings: list[str] = []
    shapes: dict[str, ModelShape | None] = {}
    read: list[ReadModel] = []
    uses = model_uses(config)
    for role, name in dict.fromkeys((use.role, use.model) for use in uses):
        logger.info("tokenizer and configuration of the %s, %s", role, name)
    for use in uses:
        try:
            model, shape, tokenizer = load(use, config.model.trust_remote_code)
        except LOADING_ERRORS as error:
            problems.append(loading_problem(use, error))
            continue
        shapes[use.model] = shape
        read.append(ReadModel(use, shape, tokenizer))
        if use.role == "judge":
            problems += model_problems(use, shape, len(tokenizer), writes_conversations(tokenizer))
            problems += judge_template_problems(use, tokenizer, config)
            warnings += model_warnings(use, shape)
            continue
        if use.role == "mentor":
            # It is asked for no conversation: it reads the token ids of the teacher's.
            problems += model_problems(use, shape, len(tokenizer), has_template=True)
            warnings += model_warnings(use, shape)
            continue
        if isinstance(config, SFTExperiment):
            unread = list(choice_problems(tokenizer, config))
            problems += unread
            tokenizer = tokenizer if unread else with_choices(tokenizer, config)
        converses = writes_conversations(tokenizer)
        problems += (*model_problems(use, shape, len(tokenizer), converses), *update_problems(use, model))
        warnings += (*model_warnings(use, shape), *update_warnings(use, model))
        if converses:
            found_problems, found_warnings = looked_at_prompts(use, tokenizer, config)
            problems += found_problems
            warnings += found_warnings
    problems += mentor_problems(read)
    found = Findings(tuple(problems), tuple(warnings), shapes)
    # The lengths of questions are counted with both tokenizers.
    return found if problems else with_data(found, config)


def column_problems(config: Experiment) -> tuple[Problem, ...]:
    """Return the problems with a dataset's place and columns, which are told before tokenizers are loaded."""
    from custom_data.loading import check_columns

    logger.info("columns of %s", config.data.dataset_id_or_path)
    try:
        check_columns(config)
    except ConfigurationError as error:
        return error.problems
    return ()


def looked_at_prompts(use: ModelUse, tokenizer: Any, config: Experiment) -> tuple[list[Problem], list[str]]:
    """Return the problems and warnings about what a model is prompted with, those of a student under its own keys."""
    seen = use.student.config if use.student else config
    problems, warnings = looked_at_turns(use, tokenizer, seen)
    problems = [*stage_problems(use, tokenizer, seen), *tool_template_problems(use, tokenizer, seen), *problems]
    warnings = [*unread_kwargs(use, tokenizer, seen), *warnings]
    if use.student is None:
        return problems, warnings
    named = [own_keys(text, use.student) for text in warnings]
    return [under_own_keys(problem, use.student) for problem in problems], named


def looked_at_turns(use: ModelUse, tokenizer: Any, config: Experiment) -> tuple[list[Problem], list[str]]:
    """Return the problems and warnings about the turns that a model's chat template writes.

    A teacher is also warned about when its prompt differs from that in the run that trained it.
    """
    conversation = conversation_of(tokenizer, template_kwargs(config, use.role))
    if conversation is None:
        return [], []
    warnings = list(turn_warnings(use, conversation))
    trained = load_run(use.model) if use.role == "teacher" else None
    if trained is not None:
        warnings += prompt_warnings(use, tokenizer, config, trained)
    return list(turn_problems(use, conversation)), warnings


def load(use: ModelUse, trust_remote_code: bool) -> tuple[dict[str, Any], ModelShape | None, Any]:
    """Return a model's configuration, its shape, and its tokenizer."""
    from transformers import AutoConfig, AutoTokenizer
    from transformers import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    options = {"revision": use.revision, "trust_remote_code": trust_remote_code}
    config = AutoConfig.from_pretrained(use.weights, **options)
    tokenizer = AutoTokenizer.from_pretrained(use.tokenizer, **options)
    model = config.to_dict()
    return model, counted(use, config, shape_of(model)), tokenizer


def counted(use: ModelUse, config: Any, shape: ModelShape | None) -> ModelShape | None:
    """Return a shape with its parameters counted: from a directory's weights, or from a model without values."""
    if shape is None:
        return None
    directory = Path(use.weights).expanduser()
    if directory.is_dir() and (exact := count_weights(directory)) is not None:
        return replace(shape, exact=exact)
    return shape if shape.model_type in COUNTED_BY_FORMULA else replace(shape, exact=empty_parameters(config))


def empty_parameters(config: Any) -> int:
    """Count the parameters of the model that a transformers configuration describes, without memory for them."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())


def loading_problem(use: ModelUse, error: Exception) -> Problem:
    """Return the reason why a model cannot be loaded, with what helps."""
    said = " ".join(str(error).split())[:MESSAGE_LENGTH]
    given = f"{use.key}={use.model}" + (f" (revision {use.revision})" if use.revision else "")
    return Problem(given, f"its tokenizer or configuration cannot be loaded: {said}", _remedy(use, said))


def _remedy(use: ModelUse, said: str) -> str:
    if "trust_remote_code" in said:
        return "read the code that comes with the model, then set trust_remote_code=true"
    if looks_local(use.model):
        return "the directory must hold config.json and a tokenizer, as save_final_model writes them"
    if "gated" in said or "401" in said or "403" in said:
        told = "" if has_hub_token() else " export HF_TOKEN=…"
        return f"accept the terms on the model's page, with the account of your token.{told}"
    if "connect" in said.lower() or "offline" in said.lower():
        return (
            "download it where the hub can be reached (hf download), and bring the cache or name the directory; to "
            "plan for another machine add --dry-run --assume-gpus N"
        )
    return "correct the name (owner/name) or revision; a private model needs export HF_TOKEN=…"


def with_data(found: Findings, config: Experiment) -> Findings:
    """Return findings with what the rows add to them."""
    from trainers.builders.data import check_data

    logger.info("rows of %s", config.data.dataset_id_or_path)
    try:
        report = check_data(config)
    except ConfigurationError as error:
        return replace(found, problems=error.problems)
    used = report.training or report.evaluation
    warnings = (*found.warnings, *report.warnings)
    problems = tuple(too_few_rows(config, report.training.used)) if report.training else ()
    lines, rows = tuple(report.lines()), used.used if used else None
    return replace(found, problems=problems, warnings=warnings, data=lines, rows=rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
