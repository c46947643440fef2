"""Feedback through a whole project: labels in any type, kinds side by side, clocks that jump, inputs that lack."""

import random
import shutil
from pathlib import Path

import msgspec
import pytest

from bakeoff import Project
from bakeoff.core.errors import UsageError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.ledger import Ledger

TOML = """
[project]
name = "churn"
[data]
source = "d.csv"
target = "churn"
text = ["x"]
categorical = ["g"]
[split]
near_duplicates = 0
[candidates.first]
family = "firstword"
[combine]
blends = false
cascades = false
[decide]
resamples = 100
findings = false
[monitor]
min_feedback = 10
min_rows = 10
[loop]
triggers = ["feedback", "data"]
feedback_rows = 20
screen_labels = false  # the rows repeat themselves on purpose
"""
HOUR_MS = 3_600_000


def churn(rows: int = 200) -> str:
    rng = random.Random(3)
    lines = ["x,g,churn"]
    for at in range(rows):
        x = rng.choice(["low", "high"])
        lines.append(f"{x} {at},{rng.choice('abc')},{int((x == 'high') != (rng.random() < 0.1))}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def churn_run(tmp_path_factory, third_party_path) -> Path:
    """A project of 0/1 labels that was run once; for tests to copy."""
    folder = tmp_path_factory.mktemp("churn")
    (folder / "d.csv").write_text(churn())
    (folder / "bakeoff.toml").write_text(TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(third_party_path))
        patch.setenv("PYTHONPATH", str(third_party_path))
        from bakeoff.core import plugins

        plugins._registered.cache_clear()
        with Project(folder) as project:
            project.run()
        plugins._registered.cache_clear()
    return folder


@pytest.fixture
def ran(churn_run, tmp_path, third_party) -> Path:
    return shutil.copytree(churn_run, tmp_path / "ran")


ROWS = [{"x": "high x" if i % 2 else "low x", "g": "a"} for i in range(20)]

SPELLINGS = {
    "int": int,
    "float": float,
    "boolean": lambda label: label == "1",
    "text": str,
    "spaced": lambda label: f"{label} ",
    "float text": lambda label: f"{label}.0",
    "word": lambda label: "TRUE" if label == "1" else "false",
    "invisible": lambda label: f"\ufeff{label}\u200b",
}


def test_labels_that_come_back_in_any_type_are_the_classes_that_they_were(ran):
    with Project(ran) as project:
        for spelling in SPELLINGS.values():
            answers = project.predict(ROWS)
            recorded = project.feedback([{"id": each.id, "label": spelling(each.label)} for each in answers])
            assert (recorded.accepted, recorded.doubts) == (20, ())
        quality = project.monitor().signal("quality")
        assert (quality.value, quality.rows, quality.alert) == (1.0, 20 * len(SPELLINGS), False)
        turn = project.loop_once()
        data = turn.outcome.document["dataset"]
    assert [trigger.kind for trigger in turn.triggers] == ["feedback"]
    assert (data["from_feedback"], data["set_aside"]) == (20 * len(SPELLINGS), {})
    assert {each["name"] for each in data["classes"]} == {"0", "1"}


def test_labels_that_are_no_class_are_told_at_once_and_counted_everywhere(ran):
    with Project(ran) as project:
        answers = project.predict(ROWS + ROWS)
        slips = {0: "maybe", 1: 2, 2: "yes", 3: ""}
        items = [{"id": each.id, "label": slips.get(at, each.label)} for at, each in enumerate(answers)]
        recorded = project.feedback([*items, {"id": "nobody", "label": 1}])
        assert (recorded.accepted, recorded.unmatched, recorded.unusable) == (36, 1, 4)
        report = project.monitor()
        assert {loss.reason: loss.count for loss in report.ledger.losses} == {
            "no prediction has this id": 1,
            "the label is no class or value of the model": 4,
        }
        assert (report.signal("quality").value, report.signal("quality").rows) == (1.0, 36)
        document = project.loop_once().outcome.document
    data, ledger = document["dataset"], Ledger.from_json(document["ledger"])
    assert (data["from_feedback"], data["set_aside"]) == (36, {"feedback with an unknown label": 3})
    # Of the four slips, three brought a row, and the empty one did not: each is counted once.
    assert [(loss.kind, loss.count) for loss in ledger.losses] == [("row", 3), ("feedback", 1), ("feedback", 1)]
    assert (ledger.balanced, ledger.rows_in - ledger.rows_used) == (True, 3)


def test_a_rating_or_a_comment_leaves_the_label(ran):
    with Project(ran) as project:
        answers = project.predict(ROWS)
        project.feedback([{"id": each.id, "label": each.label} for each in answers])
        project.feedback([{"id": each.id, "rating": 1} for each in answers])
        project.feedback([{"id": each.id, "comment": "thanks"} for each in answers])
        assert project.monitor().signal("quality").rows == 20
        assert project.loop_once().outcome.document["dataset"]["from_feedback"] == 20


@pytest.mark.parametrize("jump_ms", [-2 * HOUR_MS, -400 * 24 * HOUR_MS, 50 * HOUR_MS])
def test_a_clock_that_was_moved_loses_nothing(ran, jump_ms):
    import time

    def moved() -> int:
        return time.time_ns() // 1_000_000 + jump_ms

    with Project(ran) as project:
        project.feedback([{"id": each.id, "label": each.label} for each in project.predict(ROWS)])
    with Project(ran, clock=moved) as project:
        project.feedback([{"id": each.id, "label": each.label} for each in project.predict(ROWS)])
        inside = project.monitor()
    with Project(ran) as project:
        after = project.monitor()
    for report in (inside, after):
        assert report.signal("volume").value == 40
        assert (report.signal("quality").rows, report.signal("quality").value) == (40, 1.0)
    told = after.signal("volume").detail
    assert told["out_of_time"] == 20
    assert "a clock was moved" in str(told["reason"])


def test_a_release_made_while_the_clock_was_ahead_is_monitored(ran):
    import time

    with Project(ran, clock=lambda: time.time_ns() // 1_000_000 - 24 * HOUR_MS) as project:
        project.feedback([{"id": each.id, "label": each.label} for each in project.predict(ROWS)])
        assert project.monitor().signal("quality").rows == 20


def test_a_window_of_time_is_still_by_time(ran):
    with Project(ran) as project:
        project.predict(ROWS)
        now_ms = project._clock()
        assert project.monitor(since_ms=now_ms + HOUR_MS).signal("volume").value == 0
        assert project.monitor(since_ms=0, until_ms=now_ms + HOUR_MS).signal("volume").value == 20
        project.predict(ROWS)
        assert project.monitor().signal("volume").value == 40
        assert 'signal="volume"} 40\n' in project.signal_metrics()  # and not of the window that has not ended yet
        assert project.signal_metrics([project.endpoint]) == project.signal_metrics()
        assert project.signal_metrics(["nowhere"]) == ""
        for since_ms, until_ms in ((5, 3), (-5, 3), (10**20, None), (0, 2**53)):
            with pytest.raises(UsageError, match="expected a window"):
                project.monitor(since_ms=since_ms, until_ms=until_ms)


def test_feedback_before_its_prediction_is_kept_and_joins(ran):
    with Project(ran) as project:
        (answer,) = project.predict(ROWS[:1])
        event = next(iter(project.events.read(PredictionEvent)))
        assert project.feedback([{"id": "late", "label": answer.label}]).unmatched == 1
        project.events.append([msgspec.structs.replace(event, id="late")])
        assert project.feedback([{"id": "late", "rating": 1}]).accepted == 1
        report = project.monitor()
    assert (report.ledger.losses, report.signal("quality").rows) == ((), 1)


def test_an_input_that_changed_waits_for_a_person_and_old_feedback_is_set_aside(ran, monkeypatch):
    with Project(ran) as project:
        first = project.release()
        project.feedback([{"id": each.id, "label": each.label} for each in project.predict(ROWS)])
        file = ran / "d.csv"
        file.write_text(file.read_text().replace("x,g,churn", "score,g,churn", 1))
        toml = ran / "bakeoff.toml"
        toml.write_text(toml.read_text().replace('["x"]', '["score"]'))
    with Project(ran) as project:
        turn = project.loop_once()
        assert not turn.outcome.document["verdict"]["promoted"]
        assert turn.outcome.document["verdict"]["inputs"] == {"added": ["score"], "removed": ["x"], "kinds": {}}
        assert "new 'score'; gone 'x'" in turn.blocked
        assert "bakeoff run" in turn.blocked
        assert project.release() == first
        assert project.predict(ROWS[:1])[0].label == "0"
        data = turn.outcome.document["dataset"]
        assert (data["from_feedback"], data["set_aside"]) == (0, {"feedback without an input": 20})
        again = project.loop_once()
        assert (again.outcome, again.blocked) == (None, turn.blocked)
        asked = project.run().document["verdict"]
        assert asked["promoted"]
        assert "The inputs changed: new 'score'; gone 'x'" in asked["contest"]
        assert project.release() != first
        assert project.loop_once().blocked is None
