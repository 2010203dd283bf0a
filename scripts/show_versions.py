"""Import the packages that ATLAS stands on and print their versions: `python show_versions.py`."""

import importlib
import sys

PACKAGES = ("torch", "vllm", "trl", "transformers", "accelerate", "deepspeed")
# vLLM and TRL import their parts on first use; these two bring in most of what a run needs.
PARTS = (("vllm", "LLM"), ("trl", "GRPOTrainer"))


def main() -> None:
    """Import the packages, and print their versions."""
    modules = {name: importlib.import_module(name) for name in PACKAGES}
    for package, part in PARTS:
        getattr(modules[package], part)
    versions = {"python": sys.version.split()[0], **{name: module.__version__ for name, module in modules.items()}}
    sys.stdout.write("\n".join(f"{name} {version}" for name, version in versions.items()) + "\n")


if __name__ == "__main__":
    main()
