"""`python -m trainers.launch.downloads MODEL[@REVISION] …`: bring models of the hub here before servers need them.

A server that is downloading says nothing, and would be taken for one that hangs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from trainers.configuration.checks.files import all_local
from trainers.configuration.settings.experiments import Experiment
from trainers.hub_ids import looks_local
from trainers.launch.checks.model_uses import model_uses
from trainers.launch.supervise.process import Process
from trainers.problems import ConfigurationError, Problem
from trainers.serving.processes.command import Command
from trainers.terminal.log_lines import log_to_standard_error

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.py")
"""Files that transformers and vLLM read of a model."""
OTHER_FORMATS = ("original/*", "onnx/*", "consolidated*")
OLD_WEIGHTS = "*.bin"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
SERVER_ERRORS = 500
"""First HTTP status of a hub that is not well."""
_POLL_S = 0.5
logger = logging.getLogger(__name__)


def hub_models(config: Experiment, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the models of a run that may have to be downloaded, as `MODEL` or `MODEL@REVISION`; none offline."""
    if all_local(config) or any(environment.get(name, "0").lower() in ("1", "true", "yes", "on") for name in _OFFLINE):
        return ()
    listed = [(use.weights, use.revision) for use in model_uses(config) if not looks_local(use.weights)]
    return tuple(dict.fromkeys(f"{name}@{revision}" if revision else name for name, revision in listed))


def downloaded(config: Experiment) -> None:
    """Download what a run lacks of its models, in a process of its own that shows its progress.

    Raises:
        ConfigurationError: when one cannot be had, with the last line that says why.
    """
    models = hub_models(config)
    if not models:
        return
    command = Command((sys.executable, "-m", "trainers.launch.downloads", *models), {})
    with Process(command, "download") as process:
        while (status := process.status(_POLL_S)) is None:
            pass
    if status:
        expected = "could not be downloaded, as the output above says"
        remedy = "connect to the hub, or bring the models' cache along and export HF_HUB_OFFLINE=1"
        raise ConfigurationError([Problem(", ".join(models), expected, remedy)])


def needed(files: Sequence[str]) -> list[str]:
    """Return which files of a model's repository are needed: weights in one format, and what is read beside them."""
    kept = [name for name in files if not any(fnmatch(name, pattern) for pattern in OTHER_FORMATS)]
    has_safetensors = any(name.endswith(".safetensors") for name in kept)
    patterns = WANTED if has_safetensors else (*WANTED, OLD_WEIGHTS)
    return [name for name in kept if any(fnmatch(name, pattern) for pattern in patterns)]


def main(models: Sequence[str]) -> int:
    """Download models, one after the other; what is here already is not fetched again."""
    log_to_standard_error()
    for model in models:
        name, _, revision = model.partition("@")
        fetch(name, revision or None)
    return 0


def fetch(name: str, revision: str | None) -> None:
    """Download a model; where the hub does not answer, be content with what its cache has.

    Raises:
        OSError: when the hub refuses, or does not answer and the cache has nothing.
    """
    # The hub's library takes most of a second to import, which a launch with local models need not spend.
    import httpx
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        files = needed(HfApi().list_repo_files(name, revision=revision))
        snapshot_download(name, revision=revision, allow_patterns=files)
    except (httpx.HTTPError, OSError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code < SERVER_ERRORS:
            raise
        snapshot_download(name, revision=revision, local_files_only=True)
        logger.warning("%s: the hub does not answer (%s); its cache is used as it is", name, error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
