import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bakeoff.core.errors import NotFoundError
from bakeoff.metrics.names import MetricName, replace_names
from bakeoff.metrics.registry import find, with_class

NAMES = [
    "fraud",
    "not fraud",
    "a, b",
    "x]y[",
    'say "no"',
    "back\\slash",
    " spaces ",
    "",
    "正面",
    "très-bien",
    "0.8",
    "1",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_class_can_be_named(name):
    written = str(MetricName(base="recall", arguments=(name,)))
    assert MetricName.parse(written).arguments == (name,)
    assert find(written, "classification").name == written
    assert MetricName.parse(str(MetricName(base="m", arguments=(name, "0.8")))).arguments == (name, "0.8")


@given(st.lists(st.text(max_size=8), max_size=3))
@example(["\ud800"])
def test_names_read_back_as_they_are_written(arguments):
    name = MetricName(base="recall", arguments=tuple(arguments))
    assert MetricName.parse(str(name)) == name


@given(st.text(alphabet='ab1[],"\\ .', max_size=20))
def test_whatever_is_written_is_a_name_or_is_refused(text):
    try:
        name = MetricName.parse(text)
    except ValueError:
        return
    assert MetricName.parse(str(name)) == name


def test_a_name_is_written_in_one_way():
    assert find("recall[ fraud ]", "classification").name == "recall[fraud]"
    assert find('recall["fraud"]', "classification").name == "recall[fraud]"
    assert find("precision_at_recall[fraud,0.80]", "classification").name == "precision_at_recall[fraud, 0.8]"
    assert find("top_k[3.0]", "classification").name == "top_k[3]"
    assert find("pinball[0.12345678]", "regression").name == "pinball[0.12345678]"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("recall[a, b]", "expected recall.class."),
        ("recall[", "after 'recall\\['"),
        ("recall[a]b", "nothing after 'recall\\[a\\]'"),
        ("precision_at_recall[fraud]", "a number between 0 and 1"),
        ("precision_at_recall[fraud, 1.5]", "a number between 0 and 1"),
        ("precision_at_recall[fraud, nan]", "a number between 0 and 1"),
        ("precision_at_recall", "precision_at_recall.class, 0.8."),
        ("top_k[0]", "a whole number from 1 on"),
        ("top_k[2.5]", "a whole number from 1 on"),
        ("top_k", "top_k.3."),
        ("mcc[x]", "expected mcc"),
        ("recal[x]", "Did you mean 'recall'"),
        ("precison[x]", "Did you mean 'precision'"),
        ("pr-auc", "Did you mean 'pr_auc'"),
        ("expected_cost", "decide.costs"),
    ],
)
def test_what_is_wrong_with_a_name_is_told(name, told):
    with pytest.raises(NotFoundError, match=told):
        find(name, "classification")


def test_names_in_an_expression_are_replaced_and_the_rest_stays():
    expression = 'max(recall["a, b"], 1e6) - recall[not spam] * 0.5 ** f1_macro'
    names = []
    assert replace_names(expression, lambda name: names.append(name) or "x") == "x(x, 1e6) - x * 0.5 ** x"
    assert [str(name) for name in names] == ["max", 'recall["a, b"]', "recall[not spam]", "f1_macro"]


def full(name, classes=("fraud", "legit"), positive="fraud"):
    return with_class(name, "classification", classes=classes, positive=positive)


def test_names_are_completed_by_the_class():
    assert full("pr_auc") == "pr_auc[fraud]"
    assert full("precision_at_recall[0.8]") == "precision_at_recall[fraud, 0.8]"
    assert full("recall[legit]") == "recall[legit]"
    assert full("f1_macro") == "f1_macro"
    assert full("latency_p95_ms") == "latency_p95_ms"
    three = ("ant", "bee", "cat")
    assert full("pr_auc", three, None) == "pr_auc"
    assert full("pr_auc", three, "bee") == "pr_auc"
    assert full("pr_auc[cat]", three, None) == "pr_auc[cat]"
    assert full("recall", three, "bee") == "recall[bee]"
    with pytest.raises(ValueError, match="expected a class, as in recall"):
        full("recall", three, None)
    with pytest.raises(LookupError):
        full("recall[dog]", three, None)
