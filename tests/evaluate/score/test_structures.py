"""Calls of tools and references in answers, against those of the truth."""

import numpy as np
import pytest

from bakeoff.evaluate.score.structures import calls_in, structure_scores


def call(name, arguments):
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


AREA = call("area", '{"city": "Ghent", "unit": "km"}')


@pytest.mark.parametrize(
    ("answer", "name", "whole"),
    [
        (AREA, 1, 1),
        (call("area", '{"unit":"km","city":"Ghent"}'), 1, 1),
        (f"Let me look.\n{AREA}", 1, 1),
        (call("area", r'"{\"city\": \"Ghent\", \"unit\": \"km\"}"'), 1, 1),
        (call("area", '{"city": "Gent", "unit": "km"}'), 1, 0),
        (call("area", '{"city": "Ghent"}'), 1, 0),
        (call("size", '{"city": "Ghent", "unit": "km"}'), 0, 0),
        (AREA + AREA, 0, 0),
        ("156 km2", 0, 0),
        ('<tool_call>{"name": "area", </tool_call>', 0, 0),
    ],
)
def test_names_and_arguments_of_calls(answer, name, whole):
    scores = structure_scores([AREA], [answer])
    assert (scores["tool_name"].tolist(), scores["tool_call"].tolist()) == ([name], [whole])


def test_rows_without_calls_have_no_score_unless_one_is_made():
    scores = structure_scores([AREA, "Hello.", "Hello."], [AREA, "Hi.", AREA])
    np.testing.assert_equal(scores["tool_call"], [1.0, np.nan, 0.0])
    assert structure_scores(["Hello."], [AREA]) == {}
    assert calls_in("no call") == ()


def test_references_to_sources():
    scores = structure_scores(["So [1] and [2].", "No."], ["So [1], [3, 2]\u30104\u2020a\u3011.", "No."])
    np.testing.assert_allclose(scores["citation_f1"], [2 * 2 / (2 + 4), np.nan])
