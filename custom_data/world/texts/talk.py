"""Sentences besides plans: confirmations, fillers, stated answers, objections to a plan, and a teacher's diagnosis."""

from custom_data.world.texts.plans import PLANS

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


def named(plan: str) -> str:
    """Name a plan without spelling it out."""
    return f"{PLANS[plan].intent.capitalize()}."


def diagnosis(student: str, needed: str) -> str:
    """Return the judgement that precedes a teaching: what the story needs beside what the student would do."""
    return f"{beside(student, needed)} {comparison(student, needed)}"


def beside(student: str, needed: str) -> str:
    """Return the plan that a story needs and the student's, next to each other."""
    return f"Needed: {needed}. Student: {student}."


def comparison(student: str, needed: str) -> str:
    """Return whether the two plans are one."""
    return "It fits." if student == needed else "It does not fit."
