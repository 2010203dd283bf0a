"""A launch in words: what `--dry-run` prints, with the most wanted at the end, where a terminal leaves off."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainers.configuration.settings.experiments import EvaluationExperiment, Experiment, TrainingExperiment
from trainers.configuration.settings.keys import keys_of
from trainers.launch.checks.inspection import Findings
from trainers.launch.estimates.cpu_cache import sequence_bytes
from trainers.launch.estimates.memory import GIB, host_needs
from trainers.launch.estimates.memory_fit import (
    Cards,
    Occupant,
    Shapes,
    gib,
    occupants,
    sequences,
    served_share,
    trained_shape,
)
from trainers.launch.estimates.steps_and_tokens import batch_lines, token_lines
from trainers.launch.plan import LaunchPlan
from trainers.serving.processes.server_command import server_command
from trainers.serving.server_spec import ServerSpec

PIPED_WIDTH = 120
WARNING = "warning: "
COMMAND_WIDTH = 110


def report(plans: Sequence[LaunchPlan], found: Findings, cards: Cards, notes: Sequence[str], to: TextIO) -> None:
    """Print the resolved configuration, every command, the GPU map, the arithmetic, notes and warnings.

    Args:
        plans: one, or those of all hosts of a run.
        found: what a look at models and data found.
        cards: memory of the GPUs, of each host the same.
        notes: on the configuration.
        to: where it is printed.
    """
    console = Console(file=to, highlight=False, soft_wrap=True, width=None if to.isatty() else PIPED_WIDTH)
    config, shapes = plans[0].config, found.shapes
    fitted = [note for note in notes if note.startswith("train_batch_size")]
    batch = list(batch_lines(config, found.rows, trained_shape(config, shapes)))
    batch[:1] = fitted or batch[:1]
    _section(console, "Configuration", configuration(config))
    for plan in plans:
        where = f" on {plan.part.host}" if plan.part else ""
        _section(console, f"Commands{where}", commands(plan))
        _heading(console, f"Processes{where}")
        console.print(process_table(plan, shapes, cards), soft_wrap=False)
        _section(console, f"Memory of each{where}, in GiB", memory_lines(plan, shapes, cards))
    _section(console, "Data", found.data)
    _section(console, "Batch", batch)
    _section(console, "Tokens and time", token_lines(config, found.rows))
    warned = [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)]
    _section(console, "Notes", [note for note in notes if note not in batch and not note.startswith(WARNING)])
    _section(console, "Warnings", [*warned, *found.warnings], style="yellow")
    console.print("\nNothing was started (--dry-run).", style="bold")


def _heading(console: Console, title: str) -> None:
    console.print(Text(f"\n{title}", style="bold cyan"))


def _section(console: Console, title: str, lines: Iterator[str] | Sequence[str], style: str = "") -> None:
    listed = list(lines)
    if listed:
        _heading(console, title)
    for line in listed:
        console.print(Text(f"  {line}" if line else "", style=style))


def configuration(config: Experiment) -> Iterator[str]:
    """Yield the resolved configuration without secrets: what the run sets, then every key that has its default."""
    known = keys_of(config.output.experiment)
    shown = {name: value for name, value in config.flat().items() if not known[name].facts.secret}
    chosen = {name: value for name, value in shown.items() if value != known[name].default}
    yield from as_yaml(chosen)
    yield ""
    yield "# at their defaults:"
    yield from as_yaml({name: shown[name] for name in sorted(shown.keys() - chosen.keys())})


def as_yaml(keys: Mapping[str, Any]) -> list[str]:
    """Return keys and values as a recipe would state them, texts of several lines as they are."""
    return yaml.dump(dict(keys), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=COMMAND_WIDTH).splitlines()


class _Dumper(yaml.SafeDumper):
    """YAML with literal blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def process_table(plan: LaunchPlan, shapes: Shapes, cards: Cards) -> Table:
    """Lay out which process runs on which GPU, what it serves where, and how much of the memory is its."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for title in ("GPU", "process", "model", "address", "memory"):
        table.add_column(title, overflow="fold")
    listed = occupants(plan, shapes)
    for occupant in listed:
        place = ", ".join(map(str, occupant.gpus)) or "CPU"
        address = occupant.spec.base_url if occupant.spec else ""
        model = f"{occupant.model}{_for(occupant.spec)}" if occupant.spec else occupant.model
        table.add_row(place, occupant.name, model, address, _memory(occupant, listed, cards))
    if isinstance(plan.config, EvaluationExperiment) and plan.runs_program:
        table.add_row("CPU", "evaluation", "", "", "")
    return table


def _memory(occupant: Occupant, listed: tuple[Occupant, ...], cards: Cards) -> str:
    if not occupant.gpus:
        return ""
    room = occupant.room(cards, served_share(listed, occupant.gpus))
    if occupant.share is not None:
        return f"{occupant.share:.0%} of the card" + (f" = {gib(room)} GiB" if room else "")
    if occupant.needs is None:
        return "unknown"
    of = f" of {gib(room)}" if room else ""
    return f"{gib(occupant.needs.least)} to {gib(occupant.needs.estimate)}{of} GiB"


def memory_lines(plan: LaunchPlan, shapes: Shapes, cards: Cards) -> Iterator[str]:
    """Yield the parts that the memory of each kind of process is made of; equal ones once."""
    listed = occupants(plan, shapes)
    told = set()
    for occupant in listed:
        kind = (occupant.name.partition("-")[0], occupant.model, occupant.share, len(occupant.gpus))
        if occupant.gpus and occupant.needs is not None and kind not in told:
            told.add(kind)
            yield from _server_memory(occupant, shapes, cards) if occupant.spec else _trainer_memory(occupant)
    yield from _cpu_caches(plan, shapes)
    shape = trained_shape(plan.config, shapes)
    offloaded = host_needs(plan.config, shape) if isinstance(plan.config, TrainingExperiment) and shape else 0
    if offloaded:
        yield f"{'machine':<8} {gib(offloaded):>6} of its own memory, for what is offloaded"


def _cpu_caches(plan: LaunchPlan, shapes: Shapes) -> Iterator[str]:
    for spec in plan.servers:
        one = None if spec.gpus else sequence_bytes(spec, shapes.get(spec.model))
        if one:
            held = f"{spec.kv_cache_bytes // one:,} sequences of full length"
            yield f"{spec.name:<12} {spec.kv_cache_bytes / GIB:.2f} of the machine's as cache, which holds {held}"


def _trainer_memory(occupant: Occupant) -> Iterator[str]:
    needs = occupant.needs
    if needs is None:
        return
    sure = " + ".join(f"{part.what} {gib(part.size)}" for part in needs.parts if part.certain)
    more = " + ".join(f"{part.what} {gib(part.size)}" for part in needs.parts if not part.certain)
    yield f"{'trainer':<8} {gib(needs.least):>6} in any case = {sure}"
    yield f"{'':<8} {gib(needs.estimate):>6} about, when sequences are as long as allowed: + {more}"


def _server_memory(occupant: Occupant, shapes: Shapes, cards: Cards) -> Iterator[str]:
    needs, spec, shape = occupant.needs, occupant.spec, shapes.get(occupant.model)
    if needs is None or spec is None or shape is None:
        return
    each = " on each GPU" if spec.tensor_parallel_size > 1 else ""
    parts = " + ".join(f"{part.what} {gib(part.size)}" for part in needs.parts)
    length = spec.max_model_len or shape.positions
    yield f"{spec.role:<8} {gib(needs.least):>6} at least{each} = {parts} ({length:,} tokens)"
    room = occupant.room(cards)
    fitting = sequences(occupant, shape, room)
    if room is not None and fitting is not None:
        yield f"{'':<8} {gib(room):>6} given, which holds {fitting:,} such sequences at a time"


def commands(plan: LaunchPlan) -> Iterator[str]:
    """Yield every command, as it could be typed, under the name of its process."""
    for spec in plan.servers:
        yield f"# {spec.name}"
        yield from wrapped(server_command(spec).env, server_command(spec).argv)
    if plan.runs_program:
        yield f"# {'evaluation' if isinstance(plan.config, EvaluationExperiment) else 'trainer'}"
        yield from wrapped(plan.trainer.env, plan.trainer.argv)


def wrapped(env: Mapping[str, str], argv: Sequence[str]) -> Iterator[str]:
    """Yield a command over several lines, broken before options, that a shell takes as one."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
    line = ""
    for piece in [*settings, *_pieces(argv)]:
        if line and len(line) + len(piece) > COMMAND_WIDTH:
            yield f"{line} \\"
            line = f"    {piece}"
        else:
            line = f"{line} {piece}" if line else piece
    yield line


def _pieces(argv: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command, each option together with its value."""
    option = ""
    for word in map(shlex.quote, argv):
        if option and word.startswith("-"):
            yield option
            option = word
        elif option:
            yield f"{option} {word}"
            option = ""
        elif word.startswith("-"):
            option = word
        else:
            yield word
    if option:
        yield option


def _for(spec: ServerSpec) -> str:
    """Return for whom of a pool of students a server answers."""
    return f" for {', '.join(spec.students)}" if spec.students else ""


def devices(plan: LaunchPlan) -> Iterator[str]:
    """Yield a line per process of a run that starts: where it runs, its share of the memory, its address."""
    for spec in plan.servers:
        gpus = ", ".join(map(str, spec.gpus))
        place = f"GPU {gpus} ({spec.gpu_memory_utilization:.0%} of memory)" if spec.gpus else "CPU"
        yield f"{spec.name:<12} {place:<28} {spec.base_url}  {spec.model}{_for(spec)}"
    if isinstance(plan.config, EvaluationExperiment) and plan.runs_program:
        yield f"{'evaluation':<12} CPU"
    for number, rank in enumerate(plan.ranks):
        yield f"{f'trainer-{rank}':<12} " + (f"GPU {plan.trainer_gpus[number]}" if plan.trainer_gpus else "CPU")
