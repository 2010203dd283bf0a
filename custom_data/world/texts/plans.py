"""The plans that a story can need: their arithmetic, and the words that name or spell them out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """One way to combine a story's two numbers.

    `intent` names the plan in words. `first_step` and `second_step` together spell it out, which is what a student
    needs before it gives up a plan of its own.
    """

    name: str
    intent: str
    first_step: str
    second_step: str
    equations: tuple[tuple[str, str, str], ...]

    def calculate(self, first: int, second: int) -> tuple[str, int]:
        """Return the written calculation and its result; an equation may use the earlier result `r`."""
        known = {"a": first, "b": second}
        written = []
        for left, operator, right in self.equations:
            x, y = known[left], known[right]
            known["r"] = OPERATORS[operator](x, y)
            written.append(f"{x}{operator}{y}={known['r']}")
        return ", ".join(written), known["r"]

    def spelled_out(self) -> str:
        """Return both steps: the shortest text that makes the student follow this plan."""
        return f"{self.first_step} {self.second_step}"


OPERATORS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}

PLANS = {
    plan.name: plan
    for plan in (
        Plan(
            "add",
            "add the two numbers",
            "First look at the story and write down the first number that it names.",
            "Then add the second number to it, only once, and give the sum as your result.",
            (("a", "+", "b"),),
        ),
        Plan(
            "subtract",
            "subtract the second number",
            "First look at the story and write down the first number that it names.",
            "Then take the second number away from it, only once, and give the rest as your result.",
            (("a", "-", "b"),),
        ),
        Plan(
            "multiply",
            "multiply the two numbers",
            "First look at the story and write down the first number that it names.",
            "Then multiply it by the second number, only once, and give the product as your result.",
            (("a", "*", "b"),),
        ),
        Plan(
            "double-add",
            "double the first number, then add the second",
            "First look at the story and double the first number that it names.",
            "Then add the second number to that double, only once, and give the sum as your result.",
            (("a", "+", "a"), ("r", "+", "b")),
        ),
        Plan(
            "add-double",
            "add the two numbers, then double the sum",
            "First look at the story and add the two numbers that it names.",
            "Then double that sum, only once, and give the doubled sum as your result.",
            (("a", "+", "b"), ("r", "+", "r")),
        ),
    )
}
