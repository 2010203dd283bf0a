"""The launcher's own options; everything else on its command line is configuration."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches

from trainers.configuration.cli.hydra_flags import INSTEAD, SHOWING
from trainers.configuration.settings.keys import all_keys
from trainers.problems import ConfigurationError, Problem

DESCRIPTION = "One command from arguments to a finished run."
OPTIONS = ("--dry-run", "--assume-gpus", "--assume-gpu-memory", "--assume-hosts", "--no-preflight", "--hosts")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the launcher's own options; everything else is configuration."""
    parser = argparse.ArgumentParser(prog="trainers.launch", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--servers", type=_count, required=True, metavar="V", help="GPUs for model servers")
    parser.add_argument("--trainers", type=_count, required=True, metavar="T", help="training processes, a GPU each")
    parser.add_argument("--dry-run", action="store_true", help="print what would be started, and start nothing")
    parser.add_argument(
        "--assume-gpus", type=_count, metavar="N", help="plan for a machine with N GPUs (with --dry-run)"
    )
    parser.add_argument(
        "--assume-gpu-memory", type=_gibibytes, metavar="GIB", help="memory of each assumed GPU, such as 24 or 80"
    )
    parser.add_argument("--assume-hosts", type=_count, metavar="N", help="plan for N hosts like this (with --dry-run)")
    parser.add_argument("--hosts", metavar="A,B,…", help="all hosts of the run; start the same line on each")
    parser.add_argument(
        "--no-preflight", action="store_true", help="do not load tokenizers and data before the servers start"
    )
    parser.add_argument("arguments", nargs="*", metavar="RECIPE | key=value | zero1 | zero2 | offload")
    options, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        raise ConfigurationError([_unknown_option(word) for word in unknown if word.startswith("-")])
    if options.assume_gpus is not None and not options.dry_run:
        parser.error("--assume-gpus plans for another machine, which only --dry-run can do")
    if options.assume_hosts is not None and not options.dry_run:
        parser.error("--assume-hosts plans for other machines, which only --dry-run can do; --hosts names real ones")
    if options.assume_gpu_memory is not None and options.assume_gpus is None:
        parser.error("--assume-gpu-memory belongs to --assume-gpus N; the memory of GPUs that are here is known")
    return options


def _unknown_option(word: str) -> Problem:
    name, _, value = word.lstrip("-").partition("=")
    if name in all_keys():
        return Problem(word, "keys are written without dashes", f"write {name}={value or '…'}")
    flag = word.partition("=")[0]
    if flag in INSTEAD:
        return Problem(word, *INSTEAD[flag])
    if flag in SHOWING:
        return Problem(word, "a launch shows nothing", "write python train.py RECIPE --cfg job, or --info all")
    close = get_close_matches(word, OPTIONS, n=1)
    remedy = f"did you mean {close[0]}?" if close else "leave it out; keys of the configuration are key=value"
    return Problem(word, f"expected one of the options {', '.join(OPTIONS)}", remedy)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GPUs (0, 1, 2 …)")
    return int(text)


def _gibibytes(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of GPU memory in GiB (24, 80 …)")
    return size
