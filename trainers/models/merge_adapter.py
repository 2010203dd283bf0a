"""`python -m trainers.models.merge_adapter ADAPTER OUTPUT_DIR`: a LoRA adapter and its base as one whole model.

The weights are those that servers get in training, W + s·BA; the tokenizer is the adapter's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainers.generation.chat_templates.assistant_turn import assistant_turn
from trainers.models.end_of_turn import declare_end
from trainers.serving.adapter_files import CONFIG_FILE, read_adapter

USER_ERROR = 2


def main(arguments: Sequence[str]) -> int:
    """Merges as the arguments say; returns the exit status, 2 when there is no adapter to merge."""
    parser = argparse.ArgumentParser(prog="python -m trainers.models.merge_adapter", description=__doc__)
    parser.add_argument("adapter", help="directory that a run with use_peft=true wrote")
    parser.add_argument("output_dir", type=Path, help="directory for the whole model")
    parser.add_argument("--trust-remote-code", action="store_true", help="run model code that comes with the base")
    options = parser.parse_args(arguments)
    if read_adapter(options.adapter) is None:
        sys.stderr.write(f"{options.adapter}: expected a directory with {CONFIG_FILE}\n")
        return USER_ERROR
    merge(options.adapter, options.output_dir, trust_remote_code=options.trust_remote_code)
    return 0


def merge(path: str, output_dir: Path, *, trust_remote_code: bool = False) -> None:
    """Write the adapter's base with the adapter in it, in the precision of the base, and the tokenizer."""
    adapter = read_adapter(path)
    assert adapter is not None
    base = AutoModelForCausalLM.from_pretrained(
        adapter.base, revision=adapter.revision, dtype="auto", trust_remote_code=trust_remote_code
    )
    tokenizer = AutoTokenizer.from_pretrained(
        adapter.tokenizer, revision=adapter.revision, trust_remote_code=trust_remote_code
    )
    declare_end(base, assistant_turn(tokenizer))
    PeftModel.from_pretrained(base, path).merge_and_unload().save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
