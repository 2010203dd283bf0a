"""The plans that a story can need: their arithmetic, and the words that name or spell them out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """One way to combine a story's two numbers.

    `intent` names the plan in words. `FIRST_STEP` and `second_step` together spell it out, which is what a student
    needs before it gives up a plan of its own.
    """

    name: str
    sign: str
    intent: str
    second_step: str

    def calculate(self, first: int, second: int) -> tuple[str, int]:
        """Return the written calculation and its result."""
        result = OPERATORS[self.sign](first, second)
        return f"{first}{self.sign}{second}={result}", result

    def spelled_out(self) -> str:
        """Return both steps: the shortest text that can make a student follow this plan."""
        return f"{FIRST_STEP} {self.second_step}"


OPERATORS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
FIRST_STEP = "First look at the story and write down the first number that it names."

PLANS = {
    plan.name: plan
    for plan in (
        Plan("add", "+", "add the two numbers", "Then add the second number to it and give the sum as your result."),
        Plan(
            "subtract",
            "-",
            "subtract the second number",
            "Then take the second number away from it and give the rest as your result.",
        ),
        Plan(
            "multiply",
            "*",
            "multiply the two numbers",
            "Then multiply it by the second number and give the product as your result.",
        ),
    )
}


def plan_after(name: str) -> str:
    """Return the plan that follows this one in the order of `PLANS`, round and round."""
    names = list(PLANS)
    return names[(names.index(name) + 1) % len(names)]
