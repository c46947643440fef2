"""What a candidate is worth to the project: an expression over metrics and measurements (`[decide] utility`).

Only arithmetic is allowed: numbers, names, `+ - * / **`, comparisons (1 when they hold, else 0) and the
functions below. Nothing is looked up or called beside them, and all numbers are floats.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bakeoff.metrics.names import MetricName, replace_names

__all__ = ["Utility"]

STAND_IN = "name_in_brackets_"
LONGEST = 500
DEEPEST = 50
BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Pow: math.pow,
    }
)
UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = MappingProxyType(
    {ast.USub: operator.neg, ast.UAdd: operator.pos}
)
COMPARE: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = MappingProxyType(
    {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
)
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = MappingProxyType(
    {"min": (2, min), "max": (2, max), "log": (1, math.log), "exp": (1, math.exp), "abs": (1, abs)}
)
"""How many arguments each takes: so many, or for two at least so many."""
ALLOWED = f"numbers, names, + - * / ** < <= > >=, parentheses and {', '.join(FUNCTIONS)}"


class Utility:
    """A checked expression; higher is better.

    Raises:
        ValueError: it is no such expression; the message says what was expected and what was found.

    Example:
        >>> worth = Utility("f1_macro - 0.01 * latency_p95_ms")
        >>> worth.names
        ('f1_macro', 'latency_p95_ms')
        >>> worth({"f1_macro": 0.8, "latency_p95_ms": 20}.get)
        0.6000000000000001
        >>> Utility("recall[not spam] - 0.5 * f1_macro").names
        ('recall[not spam]', 'f1_macro')
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        if len(expression) > LONGEST:
            raise ValueError(f"expected at most {LONGEST} characters, found {len(expression)}")
        # A name with arguments (recall[not spam]) is no Python: it is parsed as a plain one that stands for it.
        stand_ins: dict[str, str] = {}

        def stand_in(name: MetricName) -> str:
            return stand_ins.setdefault(str(name), f"{STAND_IN}{len(stand_ins)}") if name.arguments else name.base

        try:
            plain = replace_names(expression.strip(), stand_in)
        except ValueError as error:
            raise ValueError(f"{error}, in {expression!r}") from None
        try:
            self._tree = ast.parse(plain, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"expected an expression, found {expression!r}: {error}") from None
        found: dict[str, None] = {}
        _check(self._tree, found, DEEPEST)
        if not found:
            raise ValueError(f"expected at least one metric or measurement, found {expression!r}")
        written = {short: name for name, short in stand_ins.items()}
        self._written = {name: written.get(name, name) for name in found}
        self.names = tuple(self._written.values())

    def __call__(self, number: Callable[[str], float | None]) -> float | None:
        """The value when `number` gives each name's; None when one is unknown or the sum has no finite value."""
        values = {name: number(written) for name, written in self._written.items()}
        try:
            worth = _value(self._tree, values)
        except (ArithmeticError, ValueError, TypeError):  # TypeError: an unknown value, which is None
            return None
        return worth if math.isfinite(worth) else None


def _check(node: ast.AST, names: dict[str, None], deep: int) -> None:
    """Refuse everything that is not on the list, and gather the names in the order in which they stand."""
    if not deep:
        raise ValueError(f"expected at most {DEEPEST} levels of nesting, found more")
    for each in _parts(node, names):
        _check(each, names, deep - 1)


def _parts(node: ast.AST, names: dict[str, None]) -> list[ast.expr]:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            _as_float(value)
            return []
        case ast.Name(id=name):
            names[name] = None
            return []
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return [left, right]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            return [operand]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARE:
            return [left, right]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            wanted = FUNCTIONS[name][0]
            if len(args) != wanted and not len(args) > wanted > 1:
                more = " or more" if wanted > 1 else ""
                raise ValueError(f"expected {wanted}{more} arguments of {name}, found {len(args)}")
            return args
        case _:
            raise ValueError(f"expected {ALLOWED}, found {ast.unparse(node)!r}")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError("expected numbers that fit into 64 bits, found a larger one") from None


def _value(node: ast.AST, values: Mapping[str, float | None]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand):
            return UNARY[type(op)](_value(operand, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return float(COMPARE[type(op)](_value(left, values), _value(right, values)))
        case ast.Call(func=ast.Name(id=name), args=args):
            return float(FUNCTIONS[name][1](*(_value(each, values) for each in args)))
        case _:
            raise AssertionError("checked when it was made")
