"""GEPA's view of the lessons: templates in, rewards and what was said out, and new templates by reflection.

GEPA (arXiv:2507.19457, the package `gepa`) chooses which templates are tried next, on which questions, and which are
kept. It calls an adapter, as `gepa.GEPAAdapter` describes one; nothing of it is needed to import this module.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from trainers.configuration.settings.models.prompts import PromptSettings
from trainers.jsonl import append, mend, whole_rows
from trainers.prompt_search.lessons import Tried
from trainers.prompt_search.proposals import flaw, lesson_record, read_proposal, request
from trainers.teaching.lesson import Question, overlong

logger = logging.getLogger(__name__)
PROPOSALS = "proposals.jsonl"
ATTEMPTS = 3
"""Times that a template is asked for, before the one that was there stays."""
MOST_UNSCORED = 0.25
"""Share of a batch that may be unscorable; above it the search ends, to be continued."""


class SearchFailed(RuntimeError):
    """Too many lessons could not be scored to say anything about templates."""


@dataclass(frozen=True)
class Evaluated:
    """A batch as GEPA reads it, by the names that it has for it.

    Args:
        outputs: the outcome of each question.
        scores: their rewards.
        trajectories: the outcomes again, which a reflection is made of.
        objective_scores: unused.
        num_metric_calls: questions that count towards the budget.
    """

    outputs: list[Tried]
    scores: list[float]
    trajectories: list[Tried] | None
    objective_scores: None = None
    num_metric_calls: int | None = None


@dataclass
class LessonAdapter:
    """Evaluates templates by lessons, and asks a model for better ones.

    Args:
        hold: holds lessons with templates, one outcome per question.
        reflect: gives a model's answer to a text, with a seed.
        prompts: the configured templates, by whose rules others are checked.
        output: where proposals are remembered.
    """

    hold: Callable[[Mapping[str, str], Sequence[Question]], list[Tried]]
    reflect: Callable[[str, int], str]
    prompts: PromptSettings
    output: Path
    unscored: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        mend(self.output / PROPOSALS)
        self._answers = {row["asked"]: row["answer"] for row in whole_rows(self.output / PROPOSALS)}
        self._asked: dict[str, int] = {}

    def evaluate(self, batch: list[Question], candidate: dict[str, str], capture_traces: bool = False) -> Evaluated:
        """Hold lessons with templates.

        A question that cannot be scored counts as the mean of the others, and so has no weight. One that does not fit
        into a context with proposed templates earns what no help earns: the templates are too long, and nobody failed.

        Raises:
            SearchFailed: when too many cannot.
        """
        tried = [self._fitted(candidate, item) for item in self.hold(candidate, batch)]
        scores = [item.score for item in tried if item.score is not None]
        unscored = len(tried) - len(scores)
        if unscored > MOST_UNSCORED * len(tried):
            causes = sorted({item.cause or "" for item in tried if item.score is None})
            raise SearchFailed(
                f"{unscored} of {len(tried)} questions could not be scored ({', '.join(causes)}): what is held is "
                "kept, and the same command goes on"
            )
        self.unscored += unscored
        mean = fmean(scores)
        filled = [mean if item.score is None else item.score for item in tried]
        logger.info("%d questions: mean reward %.3f", len(batch), mean)
        return Evaluated(tried, filled, tried if capture_traces else None)

    def _fitted(self, candidate: Mapping[str, str], item: Tried) -> Tried:
        proposed = any(text != getattr(self.prompts, name) for name, text in candidate.items())
        too_long = item.score is None and overlong(item.cause)
        return replace(item, score=0.0) if proposed and too_long else item

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Evaluated, components_to_update: list[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the lessons of a batch as a reader is told of them, the same for each template."""
        records = [lesson_record(item.lesson) for item in eval_batch.trajectories or ()]
        return dict.fromkeys(components_to_update, records)

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """Return a new text for each template that is to be updated; the old one where no answer could be used."""
        return {name: self._better(name, candidate[name], reflective_dataset[name]) for name in components_to_update}

    def _better(self, name: str, template: str, records: Sequence[Mapping[str, Any]]) -> str:
        refused = None
        for _ in range(ATTEMPTS):
            answer = self._answer(request(name, template, records, refused))
            proposal = read_proposal(answer)
            refused = flaw(self.prompts, name, proposal)
            if refused is None and proposal is not None:
                return proposal
            logger.warning("a proposed %s cannot be used: %s", name, refused)
        return template

    def _answer(self, text: str) -> str:
        """Return the model's answer to a text, another each time that it is asked; known ones are not asked again."""
        times = self._asked[text] = self._asked.get(text, 0) + 1
        name = hashlib.blake2b(f"{times}/{text}".encode(), digest_size=8).hexdigest()
        if name not in self._answers:
            self._answers[name] = self.reflect(text, int(name, 16) >> 33)
            append(self.output / PROPOSALS, [{"asked": name, "text": text, "answer": self._answers[name]}])
        return self._answers[name]
