"""Wrap an agent of your own: a teacher looks at how it would go about a question, and tells it what it misses.

An agent is any function from text to text, synchronous or not; nothing of it changes. Five lines do it:

    from trainers.generation.models import local_model
    from trainers.teaching import AdaptiveTeacher

    teacher = AdaptiveTeacher(local_model("Arc-Intelligence/ATLAS-8B-Instruct"))
    lesson = teacher.teach_sync("A crate holds 6 rows of 7 eggs. How many eggs are in it?", my_agent)

Try it with a teacher that is loaded here, or with one behind an API (the key in OPENAI_API_KEY):

    python -m examples.wrap_your_agent --teacher Arc-Intelligence/ATLAS-8B-Instruct
    python -m examples.wrap_your_agent --teacher NAME --base-url https://api.example.com/v1
"""

from __future__ import annotations

import argparse
import re
import sys
from math import prod

from trainers.generation.models import api_model, local_model
from trainers.teaching import AdaptiveTeacher, GuidedAnswer

QUESTION = "A crate holds 6 rows of 7 eggs. How many eggs are in it?"


def my_agent(text: str) -> str:
    """An agent with one tool and one habit: it adds all numbers of the question, unless it is told to multiply."""
    question, told = text.partition("\n")[0], text.lower()
    if "do not solve" in told:
        return "I see some numbers. I would add them up."
    numbers = [int(word) for word in re.findall(r"\d+", question)]
    return f"<solution>{prod(numbers) if 'multipl' in told else sum(numbers)}</solution>"


def report(lesson: GuidedAnswer) -> str:
    """The agent's two answers, and what lies between them."""
    alone = lesson.baseline.text if lesson.baseline else "(not asked)"
    said = lesson.teaching or f"(nothing: {lesson.guidance.failure})"
    return f"alone:   {alone}\nplan:    {lesson.guidance.approach}\nteacher: {said}\ntaught:  {lesson.text}\n"


def main(arguments: list[str]) -> None:
    """Let a teacher of your choice teach the agent."""
    parser = argparse.ArgumentParser(description="Teach a little agent.")
    parser.add_argument("--teacher", required=True, help="path, hub id, or the name an API knows the teacher by")
    parser.add_argument("--base-url", help="OpenAI-compatible API of the teacher")
    parser.add_argument("--question", default=QUESTION)
    options = parser.parse_args(arguments)
    model = api_model(options.base_url, options.teacher) if options.base_url else local_model(options.teacher)
    lesson = AdaptiveTeacher(model).teach_sync(options.question, my_agent, baseline=True)
    sys.stdout.write(report(lesson))


if __name__ == "__main__":
    main(sys.argv[1:])
