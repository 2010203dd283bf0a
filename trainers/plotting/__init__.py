"""Pictures of a run: learning curves from `metrics.jsonl`, and what an evaluation found. Drawn without a display."""

from trainers.plotting.results import (
    accuracy_bars,
    differences,
    gain_by_length,
    gain_by_part,
    length_by_baseline,
    token_bars,
)
from trainers.plotting.students import student_matrix, students_by_ability
from trainers.plotting.training import learning_curves, several_seeds

__all__ = [
    "accuracy_bars",
    "differences",
    "gain_by_length",
    "gain_by_part",
    "learning_curves",
    "length_by_baseline",
    "several_seeds",
    "student_matrix",
    "students_by_ability",
    "token_bars",
]
