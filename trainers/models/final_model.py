"""The end of a training run: the model where the next step finds it, its card, and its copy on the hub."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import httpx
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from transformers import Trainer

from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.models.model_card import CARD, write_card
from trainers.output.files import not_vital

logger = logging.getLogger(__name__)

PUSHED = (
    *(CARD, "config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"),
    *("adapter_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
    *("chat_template.jinja", "tekken.json", "*.model", "*.py"),
)
"""Files that go to the hub: the model. Logs, lessons and the configuration of this machine stay here."""


class PushFailed(RuntimeError):
    """The hub did not take the model, which is saved on this machine; the message has the command to try again."""


def save_final_model(trainer: Trainer, config: TrainingExperiment) -> None:
    """Write the model, or its adapter, with tokenizer and card into `output_dir`. Called on every rank."""
    output = Path(config.output.output_dir)
    trainer.save_model(str(output))
    if trainer.is_world_process_zero():
        # The adapter that KL was measured against: that of the run before, which nobody asked for here.
        shutil.rmtree(output / "ref", ignore_errors=True)
        with not_vital(f"writing {output / CARD}"):
            write_card(config)


def push_to_hub(config: TrainingExperiment) -> str:
    """Upload the saved model to `hub_model_id` (default: the name of `output_dir`, under one's own name).

    The token comes from the environment or from `hf auth login`. Returns the address of the repository.

    Raises:
        PushFailed: when the hub refuses or cannot be reached.
    """
    output = Path(config.output.output_dir)
    wanted = config.trainer.hub_model_id or output.absolute().name
    api = HfApi()
    try:
        repository = api.create_repo(wanted, private=config.trainer.hub_private_repo, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=output,
            allow_patterns=list(PUSHED),
            # Only what lies in the directory itself: checkpoints and evaluations have directories of their own.
            ignore_patterns=["*/*"],
            revision=config.trainer.hub_revision,
            commit_message=f"Teacher trained with ATLAS ({config.output.experiment})",
        )
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        include = " ".join(f"--include '{pattern}'" for pattern in PUSHED)
        raise PushFailed(
            f"The hub did not take {wanted}: {error}. The model is in {output}; push it with: "
            f"hf upload {wanted} {output} {include} --exclude '*/*'"
        ) from error
    logger.info("pushed to %s", repository)
    return str(repository)
