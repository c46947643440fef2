"""Logged calls answered again: what differs, how much better it is, what fails; and nothing is logged."""

import jsonschema
import pytest

from bakeoff import Project
from bakeoff.cli.documents import schema_of
from bakeoff.cli.replaying import _moment_ms, _page
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.events import PredictionEvent

ROWS = [{"review": f"{word} film {i}", "year": 2020} for i in range(20) for word in ("good", "bad")]


def served(project):
    """Answers of the live release, with what is true of them."""
    answers = project.predict(ROWS)
    truth = ["yes" if row["review"].startswith("good") else "no" for row in ROWS]
    project.feedback([{"id": answer.id, "label": label} for answer, label in zip(answers, truth, strict=True)])
    return answers


def test_the_live_model_says_the_same_again(ran):
    with Project(ran) as project:
        answers = served(project)
        replayed = project.replay("champion")
        assert (replayed.rows, replayed.agreement.value, replayed.differing) == (len(answers), 1.0, ())
        assert (replayed.labelled, replayed.comparison.difference, replayed.comparison.alike) == (40, 0.0, True)
        assert replayed.latency.p50_ms > 0
        assert len(list(project.events.read(PredictionEvent))) == len(answers)


def test_differences_are_told_row_by_row_and_tested_in_pairs(ran):
    with Project(ran) as project:
        answers = served(project)
        wrong = {"yes": "no", "no": "yes"}
        project.events.append(  # a release of before, that was wrong about everything
            [
                PredictionEvent(
                    id=f"old{at}",
                    endpoint="films",
                    release_id="gone",
                    model_version="films/9",
                    row=row,
                    label=wrong[answer.label],
                )
                for at, (row, answer) in enumerate(zip(ROWS, answers, strict=True))
            ]
        )
        project.feedback([{"id": f"old{at}", "label": answer.label} for at, answer in enumerate(answers)])
        replayed = project.replay("champion")
        assert (replayed.rows, replayed.differing_rows, len(replayed.differing)) == (80, 40, 20)
        first = replayed.differing[0]
        assert (first.logged, first.answer, first.truth) == (wrong[answers[0].label], *[answers[0].label] * 2)
        assert replayed.agreement.value == 0.5
        assert replayed.comparison.superior
        last = project.replay("champion", limit=40)
        assert (last.rows, last.left_out, last.differing_rows) == (40, 40, 40)


def test_rows_that_fail_are_counted_and_the_others_answered(ran):
    with Project(ran) as project:
        served(project)
        bad = PredictionEvent(
            id="bad", endpoint="films", release_id="gone", model_version="films/9", row={"height": 3}, label="yes"
        )
        shadow = PredictionEvent(
            id="s", endpoint="films", release_id="r", model_version="films/9", row=ROWS[0], label="yes", role="shadow"
        )
        project.events.append([bad, shadow])
        replayed = project.replay("champion")
        assert (replayed.rows, replayed.failed) == (40, {"DataError": 1})
        assert replayed.failures.keys() == {"DataError"}
        assert "height" in replayed.failures["DataError"]


def test_labelled_rows_with_other_classes_are_counted(ran):
    with Project(ran) as project:
        served(project)
        older = [
            PredictionEvent(
                id=f"old{at}", endpoint="films", release_id="gone", model_version="films/9", row=ROWS[at], label="maybe"
            )
            for at in range(3)
        ]
        project.events.append(older)
        project.feedback([{"id": event.id, "label": "yes"} for event in older])
        replayed = project.replay("champion")
        assert (replayed.rows, replayed.labelled, replayed.other_classes) == (43, 40, 3)
        assert "left out of that: 3 rows" in _page(replayed)


def test_a_model_is_named_alike_for_a_replay_and_for_an_endpoint(ran):
    with Project(ran) as project:
        served(project)
        live = project.release()
        assert project.replay(live.release_id).model_version == live.model_version
        project.endpoints.create("mails")
        assert project.endpoints.release(live.release_id, endpoint="mails").live.model_version == live.model_version


def test_without_calls_or_model_it_is_told(ran):
    with Project(ran) as project:
        with pytest.raises(NotFoundError, match="expected logged calls"):
            project.replay("champion")
        with pytest.raises(NotFoundError, match="expected a model version"):
            project.replay("nobody")
        served(project)
        with pytest.raises(NotFoundError, match="expected logged calls"):
            project.replay("champion", until_ms=1_000)


def test_from_the_command_line(ran, monkeypatch, capsys):
    import json
    import sys

    from bakeoff.cli.main import main

    with Project(ran) as project:
        served(project)
    for extra in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["bakeoff", "replay", "champion", "--since", "1h", "-C", str(ran), *extra])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    page, _, document = capsys.readouterr().out.rpartition("\n{")
    jsonschema.validate(json.loads("{" + document), schema_of("replay"))
    assert "the same answer: 100.0%" in page
    assert "40 rows with labels" in page


def test_times_are_written_as_people_write_them():
    assert _moment_ms("2026-01-31T12:00") == 1_769_860_800_000
    assert _moment_ms("2026-01-31T12:00+01:00") == 1_769_860_800_000 - 3_600_000
    assert _moment_ms(None) is None
    with pytest.raises(UsageError, match="expected a time such as"):
        _moment_ms("yesterday")
