"""Column names that datasets use, by our names for them. Imports nothing, so that checking keys against it is quick."""

from __future__ import annotations

ACCEPTED: dict[str, tuple[str, ...]] = {
    "question": (
        *("question", "prompt", "problem", "problem_text", "instruction"),
        *("question_content", "question_stem", "query", "text"),
    ),
    # A row may have a worked solution and the bare answer: answers are checked against the bare one.
    "solution": (
        *("final_answer", "ground_truth", "answer", "answers", "expected_answer", "correct_answer"),
        *("reward_model.ground_truth", "solution", "completion", "output", "response"),
    ),
    "worked_solution": (
        *("solution", "answer", "ground_truth", "final_answer", "completion", "output", "response"),
        *("expected_answer", "correct_answer", "reward_model.ground_truth"),
    ),
    "context": ("input",),
    "choices": ("choices", "options", "endings", "answer_choices", "alternatives"),
    "answer_key": ("answer_key", "answer_idx", "correct"),
    "reasoning_trace": ("reasoning_trace",),
    "student_approach": ("student_approach",),
    "teacher_diagnosis": ("teacher_diagnosis",),
    "teacher_teaching": ("teacher_teaching",),
    "messages": ("messages", "conversations"),
    "level": ("level", "difficulty", "subset"),
    "tests": ("test", "tests", "test_list", "input_output", "private_test_cases", "public_test_cases"),
}
"""Our names, each with the column names that are taken for it, the preferred first; a dot goes into a nested column."""

SPOKEN = ("completion", "output", "response")
"""Columns that hold what somebody replied, in which the answer is stated somewhere."""

IMAGES = ("image", "images", "decoded_image", "picture", "figure", "audio", "video")
"""Columns of what no model is shown here."""

CONTEXTS = ("context", "input", "passage", "article", "paragraph", "background", "premise", "support", "table")
"""Columns that a question may need, and that nobody reads unless `column_map.context` names them."""
