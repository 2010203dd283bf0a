"""The calculator. It needs nothing but Python's own library, so that it runs in the sandbox as well."""

import ast
import operator

LONGEST = 64
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def calculator(expression: str) -> str:
    """Calculate a sum, a difference or a product of whole numbers.

    Args:
        expression: what to calculate, such as 12+30 or 4*17.
    """
    if len(expression) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} characters, got {len(expression)}")
    return str(_value(ast.parse(expression.strip(), mode="eval").body))


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        result: int = OPERATORS[type(node.op)](_value(node.left), _value(node.right))
        return result
    raise ValueError("expected whole numbers with +, - or *")
