"""Pictures of a run: learning curves from `metrics.jsonl`, and what an evaluation found. Drawn without a display."""

from trainers.plots.results import accuracy_bars, gain_by_difficulty, length_by_baseline
from trainers.plots.training import learning_curves, several_seeds

__all__ = ["accuracy_bars", "gain_by_difficulty", "learning_curves", "length_by_baseline", "several_seeds"]
