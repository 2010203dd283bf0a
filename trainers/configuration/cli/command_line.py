"""The command line: words in the order and spelling that users like, turned into what Hydra reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from trainers.configuration.cli.home import quoted
from trainers.configuration.cli.hydra_flags import RECIPE_ELSEWHERE
from trainers.configuration.cli.mappings import repeated_names
from trainers.configuration.foreign_keys import Needless, Renamed, adopted, refusal
from trainers.configuration.settings.keys import all_keys, keys_of, names_where
from trainers.paths import resource
from trainers.problems import Problem

CONFIGS = resource("configs")
GROUPS = ("run", "trainer", "trainer/reward", "model", "model/students", "data")
POOL, POOL_GROUP = "students", "model/students"
"""A key and the group that fills it: Hydra takes no value for a key that is named like a group."""
FLAG_WORDS = {
    "zero1": "zero1",
    "zero2": "zero2",
    "zero3": "zero3",
    "offload": "zero3_cpu_offloading",
}
CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
FLAGS_WITH_CHOICES = {"--cfg": CFG, "-c": CFG, "--info": INFO, "-i": INFO}
FLAGS_WITH_VALUE = {
    *("--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    "--experimental-rerun",
}
_SECRET = re.compile(r"(^|_)(api_key|password|secret|(hub|hf|access|auth|wandb)_token)$")
_KEY = re.compile(r"\w+(\.\w+)*")
_WORD = re.compile(r"[A-Za-z]\w*")
_OVERRIDE = re.compile(r"[+~]*[\w@/.\-]+=")


@dataclass(frozen=True)
class Override:
    """One `key=value`: the top-level key, the whole dotted key, the parsed value, and the text that Hydra parses."""

    key: str
    path: str
    value: Any
    text: str

    @property
    def for_hydra(self) -> str:
        """With `++`, which sets a key inside a dictionary whether it is there or not."""
        return f"++{self.text}"


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line: a recipe or an already resolved file, chosen groups, overrides; `flags` are Hydra's own.

    `notes` tell what was read otherwise than it was written.
    """

    recipe: str | None = None
    search_path: Path | None = None
    config_path: Path | None = None
    config_name: str = "train"
    groups: tuple[tuple[str, str], ...] = ()
    overrides: tuple[Override, ...] = ()
    flags: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def resolved(self) -> bool:
        """True if this loads a file that a launcher has already resolved, not a recipe."""
        return self.config_path is not None

    def for_hydra(self) -> list[str]:
        """Return the overrides as Hydra reads them."""
        search = [f"hydra.searchpath=[file://{self.search_path}]"] if self.search_path else []
        recipe = [f"run@_global_={self.recipe}"] if self.recipe else []
        groups = [f"{group}@_global_={name}" for group, name in self.groups]
        return [*search, *recipe, *groups, *(override.for_hydra for override in self.overrides)]

    def without(self, keys: set[str]) -> CommandLine:
        """Return the same command line, less the overrides of some top-level keys."""
        return replace(self, overrides=tuple(o for o in self.overrides if o.key not in keys))


def parse(arguments: Sequence[str]) -> CommandLine:
    """Read recipes, flag words, groups and flat overrides, wherever they stand; problems are collected, not raised."""
    line, pending = CommandLine(), list(arguments)
    problems: list[Problem] = []
    while pending:
        word = pending.pop(0)
        if word.startswith("-"):
            named = bool(pending) and pending[0] in FLAGS_WITH_CHOICES.get(word, ())
            value = [pending.pop(0)] if named or (word in FLAGS_WITH_VALUE and pending) else []
            line = _with_flag(line, word, value)
        elif word in FLAG_WORDS:
            line = _with_override(line, problems, f"deepspeed={FLAG_WORDS[word]}")
        elif _OVERRIDE.match(word) or word.startswith("~"):
            line = _with_assignment(line, problems, word)
        elif line.recipe is None:
            line = _with_recipe(line, problems, word)
        else:
            problems.append(_stray(word, line.recipe))
    return replace(_with_one_stage(_with_recipe_of_flags(line), problems, arguments), problems=tuple(problems))


def _with_one_stage(line: CommandLine, problems: list[Problem], arguments: Sequence[str]) -> CommandLine:
    """Return the line with one stage; stage words have no order in which one could override the other."""
    words = [word for word in dict.fromkeys(arguments) if word in FLAG_WORDS]
    asked = {str(override.value) for override in line.overrides if override.path == "deepspeed"}
    if not words or len(asked) == 1:
        return line
    if set(words) == {"zero3", "offload"} and asked == {FLAG_WORDS[word] for word in words}:
        return _with_value(line.without({"deepspeed"}), problems, "deepspeed", FLAG_WORDS["offload"])
    given = " ".join(word for word in arguments if word in words or word.startswith("deepspeed="))
    problems.append(Problem(given, "expected one stage of DeepSpeed", f"keep one of {', '.join(sorted(asked))}"))
    return line


def options(group: str) -> list[str]:
    """Return the names that a group offers, such as the recipes of `run`."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def is_secret(key: str) -> bool:
    """Return whether a key's value must not be written on a command line or in a file."""
    return bool(_SECRET.search(key))


def suggestion(word: str, names: Sequence[str] | frozenset[str]) -> str:
    """`did you mean …?`, or the names themselves when nothing is close."""
    close = get_close_matches(word, list(names), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(sorted(names))}"


def unknown_key(key: str, given: str, experiment: str | None = None) -> Problem | None:
    """Return the problem with a key that no run, or not this experiment, has; `None` when the key is fine."""
    names = keys_of(experiment) if experiment else all_keys()
    foreign = refusal(key, given)
    if foreign is not None:
        return foreign
    if key in names_where(computed=True):
        return Problem(given, "computed when a run is composed, not set by hand", f"leave {key} out")
    if key in names:
        return None
    if experiment and key in all_keys():
        return Problem(given, f"{key} is no key of experiment {experiment}", "leave it out, or choose another recipe")
    if key in GROUPS:
        chosen = "NAME alone" if key == "run" else f"/{key}@_global_: NAME"
        remedy = f"write {chosen} in the defaults of a recipe, and keys without {key} before them"
        return Problem(given, f"{key} is a group of configurations, whose keys are those of the whole", remedy)
    close = get_close_matches(key, [*names, *GROUPS], n=3, cutoff=0.6)
    listing = "see `python train.py run@_global_=RECIPE --cfg job` for all keys"
    return Problem(given, f"there is no key {key}", f"did you mean {' or '.join(close)}?" if close else listing)


def _with_flag(line: CommandLine, word: str, value: list[str]) -> CommandLine:
    name, _, inline = word.partition("=")
    text = inline or "".join(value)
    if name in ("--config-path", "-cp"):
        return replace(line, config_path=Path(text).expanduser().absolute())
    if name in ("--config-name", "-cn"):
        return replace(line, config_name=text.removesuffix(".yaml"))
    return replace(line, flags=(*line.flags, word, *value))


def _with_recipe_of_flags(line: CommandLine) -> CommandLine:
    """Hydra's way to name a configuration, `--config-name`, names a recipe unless it comes with a path of its own."""
    recipes = CONFIGS / "run"
    if line.recipe is None and line.config_path in (None, CONFIGS, recipes) and line.config_name in options("run"):
        return replace(line, recipe=line.config_name, config_name="train", config_path=None)
    return line


def _with_assignment(line: CommandLine, problems: list[Problem], text: str) -> CommandLine:
    key, _, value = text.partition("=")
    group = key.removesuffix("@_global_").lstrip("+")
    if group == "run":
        return _with_recipe(line, problems, value)
    if group == POOL and _WORD.fullmatch(value) and value != "null":
        group = POOL_GROUP
    if group in GROUPS:
        if value not in options(group):
            problems.append(Problem(text, f"configs/{group} has no {value}.yaml", suggestion(value, options(group))))
            return line
        return replace(line, groups=(*line.groups, (group, value)))
    return _with_override(line, problems, text)


def _with_override(line: CommandLine, problems: list[Problem], text: str) -> CommandLine:
    key, _, value = text.partition("=")
    path = key.lstrip("+~")
    top, _, inner = path.partition(".")
    if is_secret(top):
        problems.append(secret_problem(path))
        return line
    if path.startswith("hydra.") or key.startswith("~"):
        problems.append(_no_setting(text, path))
        return line
    foreign = adopted(path, value)
    if isinstance(foreign, Needless):
        return replace(line, notes=(*line.notes, f"{text}: needless, {foreign.why}"))
    if isinstance(foreign, Renamed):
        path = ".".join(filter(None, [foreign.to, inner]))
        line = replace(line, notes=(*line.notes, f"{text}: taken as {path}={value}"))
        return _with_value(line, problems, path, value)
    problem = foreign or unknown_key(top, f"{path}={value}")
    if problem:
        problems.append(problem)
        return line
    return _with_value(line, problems, path, value)


def _with_value(line: CommandLine, problems: list[Problem], path: str, value: str) -> CommandLine:
    text = f"{path}={quoted(value)}"
    if not _KEY.fullmatch(path):
        problems.append(Problem(text, "expected key=value, or key.name=value inside a mapping", "correct the key"))
        return line
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException:
        example = f'{path}="{value}"' if not re.search("""["'\\\\]""", value) else f'{path}="…"'
        remedy = f"write '{example}', with both kinds of quotes, or put the value into a recipe file"
        problems.append(Problem(text, "a value with spaces, commas, braces, brackets or quotes must be quoted", remedy))
        return line
    for name in repeated_names(value):
        problems.append(Problem(text, f"the name {name} stands twice in one mapping", "give each entry its own name"))
    if parsed.is_sweep_override():
        remedy = (
            f"""write '{path}="{value}"' for text with a comma, or {path}=[{value}] for a list; """
            "scripts/sweep.sh starts a run for each value"
        )
        if re.fullmatch(r"\d{1,3}(,\d{3})+", value):
            remedy = f"write {path}={value.replace(',', '')}"
        problems.append(Problem(text, "one run takes one value per key", remedy))
        return line
    override = Override(path.partition(".")[0], path, parsed.value(), text)
    return replace(line, overrides=(*line.overrides, override))


def _no_setting(text: str, path: str) -> Problem:
    if path.startswith("hydra.searchpath"):
        return Problem(text, "recipes are found by their path", RECIPE_ELSEWHERE)
    if path.startswith("hydra."):
        return Problem(text, "Hydra's own settings are fixed", "leave it out; output_dir says where a run writes")
    return Problem(text, "keys cannot be deleted", f"set {path.partition('=')[0]}=null, or leave it out")


def _with_recipe(line: CommandLine, problems: list[Problem], word: str) -> CommandLine:
    path, name = Path(word), Path(word).name.removesuffix(".yaml")
    if line.recipe is not None:
        problems.append(_stray(word, line.recipe))
    elif path.suffix == ".yaml" and path.is_file() and path.resolve().parent != CONFIGS / "run":
        return _with_foreign_recipe(line, problems, path.resolve())
    elif name in options("run"):
        return replace(line, recipe=name)
    elif word.isdigit():
        remedy = "launch.sh takes one number, of training GPUs; launch_with_server.sh takes two, V for servers and T"
        problems.append(Problem(word, "expected a recipe, not another number of GPUs", remedy))
    elif "/" in word and path.parent.resolve() != CONFIGS / "run":
        remedy = f"correct the path, or name a recipe of configs/run: {suggestion(name, options('run'))}"
        problems.append(Problem(word, f"there is no such recipe file: {path.expanduser().absolute()}", remedy))
    else:
        looked = CONFIGS / "run" / f"{name}.yaml"
        problems.append(
            Problem(
                word, f"configs/run has no such recipe: there is no file {looked}", suggestion(name, options("run"))
            )
        )
    return line


def _with_foreign_recipe(line: CommandLine, problems: list[Problem], path: Path) -> CommandLine:
    if path.parent.name != "run":
        remedy = f"move it to {path.parent / 'run' / path.name}, or to configs/run"
        problems.append(Problem(str(path), "a recipe lies in a directory named run", remedy))
        return line
    if path.stem in options("run"):
        problems.append(Problem(str(path), f"configs/run has a {path.name} too", "give your recipe another name"))
        return line
    return replace(line, recipe=path.stem, search_path=path.parent.parent)


def _stray(word: str, recipe: str) -> Problem:
    expected = f"expected key=value or {', '.join(FLAG_WORDS)} (the recipe is {recipe})"
    if word in all_keys():
        return Problem(word, expected, f"write {word}=…")
    if Path(word).name.removesuffix(".yaml") in options("run"):
        return Problem(word, expected, "name one recipe only")
    if not word.strip():
        return Problem("an empty argument", expected, "leave it out: an unset variable must not stand in quotes")
    close = get_close_matches(word, [*FLAG_WORDS, *all_keys()], n=1)
    return Problem(word, expected, f"did you mean {close[0]}?" if close else "write key=value, or leave it out")


def secret_problem(key: str) -> Problem:
    """Return the problem with a secret that was written down, and the variable of the environment to put it in."""
    variable = {"hub_token": "HF_TOKEN", "wandb_api_key": "WANDB_API_KEY"}.get(key, key.upper())
    remedy = f"set it in the environment: export {variable}=…"
    return Problem(f"{key}=…", "secrets are neither arguments nor configuration", remedy)
