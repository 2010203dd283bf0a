r"""A student of your own that takes several turns, each of them kept in the lesson, and has a score of its own.

An agent is a class with a method `act`, from text to text or to `Acted`; where `act` has a parameter `seed`,
`sampling` or `messages` it gets these as well. This one solves the quickstart's stories in two turns and works the sum
out in between. Where it is asked to give a `score` of its own, no verifier judges it.

    scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml students=null heldout_students=null \
        student_agent=examples.acting_student.CarefulAgent output_dir=results/quickstart/rl_acting
"""

from __future__ import annotations

import re

from custom_data.world.texts.plans import PLANS
from examples.custom_student import StoryAgent
from trainers.generation.agents.acting import Acted
from trainers.generation.types import ToolCall, Turn


class CarefulAgent:
    """Solves a story by habit, works the sum out with a tool, and then answers.

    Args:
        habit: name of the plan that it follows when nobody tells it another.
        whim: how often it takes any other plan instead.
        scored: whether its environment gives the verdict: here that the result is not below zero.
    """

    def __init__(self, habit: str = "add", whim: float = 0.2, *, scored: bool = False) -> None:
        self._solver = StoryAgent(habit, whim)
        self._scored = scored

    async def act(self, text: str, seed: int) -> str | Acted:
        """Return the agent's plan where it is asked for one, else its solution with the turns that led to it."""
        answer = await self._solver(text, seed)
        found = re.match(r"(\d+)([-+*])(\d+)=", answer)
        if found is None:
            return answer
        first, sign, second = int(found[1]), found[2], int(found[3])
        [plan] = [plan for plan in PLANS.values() if plan.sign == sign]
        result = plan.calculate(first, second)[1]
        call = ToolCall("work_out", {"first": first, "second": second, "plan": plan.name})
        turns = (
            Turn("assistant", f"I would {plan.intent}.", calls=(call,)),
            Turn("tool", str(result), call=call),
            Turn("assistant", f"<solution>{result}</solution>"),
        )
        return Acted(turns[-1].text, turns, float(result >= 0) if self._scored else None)
