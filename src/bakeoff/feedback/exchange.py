"""Rows of the review queue for other tools, and their answers back: files shaped as Label Studio's and Argilla's.

Label Studio: a JSON array of tasks with `data`, `predictions` and, once they are answered, `annotations`; labels stand
in choices (classes), numbers or text areas. Argilla: JSON lines of records with `fields`, `suggestions`, `metadata` and
`responses`. Both carry the row's name, so that answers find their prediction.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.types import Json
from bakeoff.feedback.review import ReviewRow

__all__ = ["Form", "ReviewAnswer", "answers_in", "exported"]

Form: TypeAlias = Literal["label-studio", "argilla"]
ReviewAnswer: TypeAlias = tuple[str, Json, str | None]
"""A row's name, what it was labelled as, and by whom, if that is known."""

NAME, QUESTION = "bakeoff_row", "label"
LABELS = ("choices", "text", "number", "rating")
"""Where Label Studio's controls have what was answered."""


def exported(rows: Sequence[ReviewRow], form: Form) -> str:
    """The rows as a file of the tool."""
    if form == "label-studio":
        return json.dumps([_task(row) for row in rows], ensure_ascii=False, indent=1) + "\n"
    return "".join(json.dumps(_record(row), ensure_ascii=False) + "\n" for row in rows)


def _why(row: ReviewRow) -> str:
    return "; ".join(reason.text or reason.kind for reason in row.reasons)


def _task(row: ReviewRow) -> dict[str, Json]:
    task: dict[str, Json] = {"data": {**row.row, NAME: row.name, "prediction_id": row.id, "why": _why(row)}}
    if row.answer is not None:
        score = None if row.probabilities is None else row.probabilities.get(str(row.answer))
        result: dict[str, Json] = {
            "from_name": QUESTION,
            "to_name": "row",
            **_result(row.answer, is_class=row.probabilities is not None),
        }
        task["predictions"] = [{"model_version": row.model_version, "score": score, "result": [result]}]
    return task


def _result(answer: str | float, *, is_class: bool) -> dict[str, Json]:
    if isinstance(answer, str):
        return (
            {"type": "choices", "value": {"choices": [answer]}}
            if is_class
            else {"type": "textarea", "value": {"text": [answer]}}
        )
    return {"type": "number", "value": {"number": answer}}


def _record(row: ReviewRow) -> dict[str, Json]:
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.row.items()}
    record: dict[str, Json] = {
        "id": row.name,
        "fields": narrow.json_object(fields),
        "metadata": {NAME: row.name, "prediction_id": row.id, "why": _why(row)},
    }
    if row.answer is not None:
        score = None if row.probabilities is None else row.probabilities.get(str(row.answer))
        record["suggestions"] = [
            {"question_name": QUESTION, "value": row.answer, "score": score, "agent": row.model_version}
        ]
    return record


def answers_in(text: str, *, name: str = "the file") -> list[ReviewAnswer]:
    """The answers in a file that either tool exported; what was not answered, or was cancelled, is left out.

    Raises:
        DataError: it is of neither form; names the record (from 1).
    """
    answers: list[ReviewAnswer] = []
    for number, record in enumerate(_records(text, name), start=1):
        reader: Callable[[Mapping[str, Any]], Iterator[ReviewAnswer]] = _of_task if "data" in record else _of_record
        try:
            answers += reader(record)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(
                f"{name}: expected record {number} as Label Studio or Argilla export it, with {NAME} in its data or "
                f"metadata; received {json.dumps(record)[:200]} ({type(error).__name__}: {error})"
            ) from error
    return answers


def _records(text: str, name: str) -> list[Mapping[str, Any]]:
    """An array, one object, or an object a line."""
    try:
        try:
            whole = json.loads(text)
        except json.JSONDecodeError:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{name}: expected JSON, or JSON lines; {error}") from error
    records = whole if isinstance(whole, list) else [whole]
    for number, record in enumerate(records, start=1):
        if not narrow.is_mapping(record):
            raise DataError(f"{name}: expected record {number} to be an object, received {record!r:.80}")
    return records


def _of_task(task: Mapping[str, Any]) -> Iterator[ReviewAnswer]:
    row = task["data"][NAME]
    for annotation in task.get("annotations") or []:
        if annotation.get("was_cancelled") or not annotation.get("result"):
            continue
        who = annotation.get("completed_by")
        value = annotation["result"][0]["value"]
        label = next((value[key] for key in LABELS if key in value), None)
        if label is None:
            raise KeyError(f"one of {', '.join(LABELS)} in the value, which has {', '.join(value) or 'nothing'}")
        yield row, label[0] if isinstance(label, list) else label, _annotator(who)


def _of_record(record: Mapping[str, Any]) -> Iterator[ReviewAnswer]:
    row = record["metadata"][NAME]
    given = record.get("responses") or []
    # Version 1 lists responses, each with values by question; version 2 has responses by question.
    if narrow.is_mapping(given):
        responses = [(each["value"], each) for each in given.get(QUESTION) or []]
    else:
        responses = [
            (each["values"][QUESTION]["value"], each) for each in given if QUESTION in (each.get("values") or {})
        ]
    for value, response in responses:
        if response.get("status", "submitted") == "submitted":
            yield row, value, _annotator(response.get("user_id"))


def _annotator(who: object) -> str | None:
    """A person as their tool names them: by e-mail, name or number."""
    if narrow.is_mapping(who):
        who = next((who[key] for key in ("email", "username", "id") if who.get(key) is not None), None)
    return None if who is None else str(who)
