import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.evaluate.decide.utility import Utility

NUMBERS = {"f1_macro": 0.8, "latency_p95_ms": 20.0, "size_bytes": 1e6}


@pytest.mark.parametrize(
    ("expression", "worth"),
    [
        ("f1_macro", 0.8),
        ("f1_macro - 0.01 * latency_p95_ms", 0.6),
        ("-f1_macro ** 2 + +1", 0.36),
        ("max(f1_macro, 0.9, 1) / min(2, latency_p95_ms)", 0.5),
        ("log(exp(f1_macro)) + abs(-1)", 1.8),
        ("f1_macro - 5 * (latency_p95_ms > 19) + (latency_p95_ms <= 20)", -3.2),
    ],
)
def test_arithmetic(expression, worth):
    assert Utility(expression)(NUMBERS.get) == pytest.approx(worth)


@pytest.mark.parametrize(
    "expression",
    [
        "f1_macro / 0",
        "log(0 - f1_macro)",
        "exp(f1_macro * 1e9)",
        "(0 - f1_macro) ** 0.5",
        "10 ** (f1_macro * 1e6)",
        "f1_macro - missing",
        "-missing + abs(missing) + max(missing, 1)",
        "f1_macro * 1e308 * 1e308",
    ],
)
def test_what_has_no_value_is_none(expression):
    assert Utility(expression)(NUMBERS.get) is None


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "expected an expression"),
        ("1 + 2", "expected at least one metric"),
        ("f1_macro +", "expected an expression"),
        ("__import__('os').system('true')", "expected numbers, names"),
        ("f1_macro.real", "expected numbers, names"),
        ("[f1_macro][0]", "expected numbers, names"),
        ("open(f1_macro)", "expected numbers, names"),
        ("(lambda: f1_macro)()", "expected numbers, names"),
        ("f1_macro if f1_macro else 1", "expected numbers, names"),
        ("'f1_macro' * 9", "expected numbers, names"),
        ("True + f1_macro", "expected numbers, names"),
        ("f1_macro == 1", "expected numbers, names"),
        ("0 < f1_macro < 1", "expected numbers, names"),
        ("min(f1_macro)", "expected 2 or more arguments of min, found 1"),
        ("log(f1_macro, 2)", "expected 1 arguments of log, found 2"),
        ("f1_macro + " + "9" * 400, "expected numbers that fit"),
        ("f1_macro" * 100, "expected at most 500 characters"),
        ("-" * 200 + "f1_macro", "expected at most 50 levels"),
        ("f1_macro + (x := 1)", "expected numbers, names"),
    ],
)
def test_nothing_else_is_taken(expression, told):
    with pytest.raises(ValueError, match=told):
        Utility(expression)


@given(st.text(alphabet="af1_ +-*/<>=().,0123456789'[]:\n\\\x00", max_size=60))
def test_any_text_is_an_expression_or_told_why_not(text):
    try:
        found = Utility(text)(lambda _: 1.5)
    except ValueError as error:
        found = None if "expected" in str(error) else math.nan
    assert found is None or math.isfinite(found)
