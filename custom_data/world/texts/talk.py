"""Sentences of teachings besides plans: confirmations, fillers, stated answers, and objections to a plan."""

CONFIRMATIONS = ("Good plan.", "Keep your plan.", "Your plan fits.")
FILLERS = (
    "Read the story again slowly.",
    "Think about what happens in the story.",
    "Take your time and check each step.",
)
LEAKS = ("The answer is {answer}.", "{answer}", "Write {answer}.", "<solution>{answer}</solution>")


def objection(plan: str) -> str:
    """Name the student's misconception without saying what to do instead."""
    return f"Your plan to {plan} does not fit this story."
