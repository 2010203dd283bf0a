"""Students that are Python functions, for runs with a pool."""


def solve(text: str) -> str:
    """Answer at random length, as no model would."""
    return f"<solution>{len(text) % 3}</solution>"


def fail(text: str) -> str:
    """Answer nothing."""
    raise RuntimeError("nobody is there")
