"""Rows for Label Studio and Argilla, and what they export."""

import json

import pytest

from bakeoff import Project
from bakeoff.core.errors import DataError
from bakeoff.feedback.exchange import answers_in, exported
from bakeoff.feedback.review import Reason, ReviewRow

ROW = ReviewRow(
    batch="b1",
    position=3,
    id="p3",
    endpoint="films",
    model_version="films/1",
    row={"review": "good", "year": 1999},
    answer="yes",
    probabilities={"no": 0.25, "yes": 0.75},
    reasons=(Reason(kind="random", text="drawn at random"),),
)


def test_label_studio_there_and_back():
    (task,) = json.loads(exported([ROW], "label-studio"))
    assert task["data"] == {
        "review": "good", "year": 1999, "bakeoff_row": "b1/000003", "prediction_id": "p3", "why": "drawn at random"
    }  # fmt: skip
    (prediction,) = task["predictions"]
    assert (prediction["score"], prediction["result"][0]["value"]) == (0.75, {"choices": ["yes"]})
    assert answers_in(json.dumps([task])) == []
    answer = {"from_name": "label", "to_name": "row", "type": "choices", "value": {"choices": ["no"]}}
    task["annotations"] = [
        {"completed_by": {"id": 1, "email": "ann@x.org"}, "result": [answer], "was_cancelled": False},
        {"completed_by": 2, "result": [answer], "was_cancelled": True},
        {"completed_by": 2, "result": [{**answer, "type": "number", "value": {"number": 4.5}}]},
    ]
    assert answers_in(json.dumps([task])) == [("b1/000003", "no", "ann@x.org"), ("b1/000003", 4.5, "2")]


def test_argilla_there_and_back():
    record = json.loads(exported([ROW], "argilla"))
    assert record["fields"] == {"review": "good", "year": "1999"}
    assert record["suggestions"][0]["value"] == "yes"
    assert answers_in(json.dumps(record)) == []
    old = {**record, "responses": [{"user_id": "u1", "status": "submitted", "values": {"label": {"value": "no"}}}]}
    new = {**record, "responses": {"label": [{"user_id": "u2", "value": "yes"}, {"value": "no", "status": "draft"}]}}
    lines = f"{json.dumps(old)}\n{json.dumps(new)}\n"
    assert answers_in(lines) == [("b1/000003", "no", "u1"), ("b1/000003", "yes", "u2")]


BOX = '[{"data": {"bakeoff_row": "b/0"}, "annotations": [{"result": [{"value": {"rectanglelabels": ["a"]}}]}]}]'


@pytest.mark.parametrize("text", ["nonsense", "[1]", '[{"fields": {}}]', '[{"data": {}, "annotations": []}]', BOX])
def test_other_files_are_told(text):
    with pytest.raises(DataError, match=r"answers\.json: expected"):
        answers_in(text, name="answers.json")


def test_one_answer_that_cannot_be_taken_stops_no_other(ran):
    with Project(ran) as project:
        project.predict([{"review": f"good film {at}", "year": 1990} for at in range(2)])
        batch = project.review.pick(2, shares={"random": 1.0})
        first, second = project.review.rows(batch.id)
        tasks = [
            {"data": {"bakeoff_row": row}, "annotations": [{"completed_by": "ann", "result": [{"value": value}]}]}
            for row, value in (
                (first.name, {"choices": {"not": "a label"}}),
                ("b/000009", {"choices": ["yes"]}),
                (second.name, {"choices": ["yes"]}),
            )
        ]
        taken = project.review.import_answers(json.dumps(tasks))
    assert taken.accepted == 1
    assert [problem.partition(":")[0] for problem in taken.problems] == [first.name, "b/000009"]
