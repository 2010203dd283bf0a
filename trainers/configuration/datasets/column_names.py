"""Column names that datasets use, by our names for them. Imports nothing, so that checking keys against it is quick."""

from __future__ import annotations

ACCEPTED: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem", "problem_text"),
    # A row may have a worked solution and the bare answer: answers are checked against the bare one.
    "solution": ("final_answer", "ground_truth", "answer", "solution"),
    "worked_solution": ("solution", "answer", "ground_truth", "final_answer"),
    "reasoning_trace": ("reasoning_trace",),
    "student_approach": ("student_approach",),
    "teacher_diagnosis": ("teacher_diagnosis",),
    "teacher_teaching": ("teacher_teaching",),
    "messages": ("messages", "conversations"),
    "level": ("level", "difficulty", "subset"),
    "tests": ("test", "tests", "test_list"),
}
"""Our names, each with the column names that are taken for it, the preferred first."""
