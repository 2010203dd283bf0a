"""A student of your own: an agent in Python that a teacher is trained for, and evaluated with.

An agent is a function from text to text, or a class of such, synchronous or not. It is called once for every sample,
with all that the student is told; where it has a parameter `seed`, `sampling` or `messages` it gets these as well. No
server is started for a student then. Choose it by its dotted path, here for the stories of the quickstart:

    scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml students=null heldout_students=null \\
        student_agent=examples.custom_student.StoryAgent student_agent_args.habit=subtract \\
        output_dir=results/quickstart/rl_agent

A call that raises, or takes longer than `request_timeout_s`, is repeated some times; then its lesson is left out, and
counted. Let an agent that cannot run twice at a time say so with an attribute `max_concurrent_calls = 1`.
"""

from __future__ import annotations

import random
import re

from custom_data.world.texts.plans import PLANS, Plan


class StoryAgent:
    """Solves stories by habit, now and then by whim, unless it is told a plan.

    Args:
        habit: name of the plan that it follows when nobody tells it another.
        whim: how often it takes any other plan instead.
    """

    def __init__(self, habit: str = "add", whim: float = 0.2) -> None:
        if habit not in PLANS:
            raise ValueError(f"expected one of {', '.join(PLANS)}, got {habit}")
        self._habit = PLANS[habit]
        self._whim = whim

    async def __call__(self, text: str, seed: int) -> str:
        """Return the agent's plan where it is asked for one, else its solution."""
        plan = self._plan(text, random.Random(seed))
        story = text.partition("\n")[0]
        if "What is your plan?" in text:
            return f"I would {plan.intent}."
        numbers = [int(word) for word in re.findall(r"\d+", story)][:2]
        if len(numbers) < 2:
            return "I see no two numbers."
        written, result = plan.calculate(*numbers)
        return f"{written}. <solution>{result}</solution>"

    def _plan(self, text: str, chance: random.Random) -> Plan:
        told = [plan for plan in PLANS.values() if plan.spelled_out() in text]
        if told:
            return told[0]
        return chance.choice(list(PLANS.values())) if chance.random() < self._whim else self._habit
