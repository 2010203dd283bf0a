"""The end of a teacher's turn, as the model itself declares it: to TRL, and to whoever serves it later."""

from __future__ import annotations

from typing import Any

from trainers.generation.chat_templates.assistant_turn import AssistantTurn


def declare_end(model: Any, turn: AssistantTurn) -> None:
    """Put the end of the model's turns first in its generation configuration, which is saved with its weights.

    TRL counts a completion as complete, and not truncated, by the same list (`GRPOTrainer.eos_token_ids`), and vLLM and
    transformers stop there when they are told nothing else. What the model declared before stays an end.

    Args:
        model: the model, possibly with an adapter, whose base then declares it.
        turn: how its chat template writes a turn.
    """
    declared = model.generation_config.eos_token_id
    listed = declared if isinstance(declared, list) else [declared]
    ends = dict.fromkeys(token for token in (*turn.stop_ids, *listed) if token is not None)
    model.generation_config.eos_token_id = list(ends) or None
