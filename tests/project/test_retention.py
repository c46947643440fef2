"""Retention in a project: what the settings say goes, what the loop needs stays, and who reads the log is told."""

import time

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConfigError, NotFoundError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.retention import Retention
from bakeoff.loop.retrain import take_in
from bakeoff.project import retention
from bakeoff.serve.routes import endpoint_of

DAY = 86_400_000
PAST = r"3 older predictions are past their retention \(\[endpoint\] keep\), all before 20\d\d-"


def keeping(folder, keep="90d"):
    file = folder / "bakeoff.toml"
    file.write_text(file.read_text() + f'\n[endpoint]\nkeep = "{keep}"\n')
    return Project(folder)


def logged(project, **days):
    """Predictions by their ids, so many days old."""
    release, now_ms = project.release(), time.time_ns() // 1_000_000
    about = {"endpoint": "films", "release_id": release.release_id, "model_version": project.status().champion}
    project.events.append(
        [
            PredictionEvent(
                id=name,
                **about,
                row={"review": f"good film called {name}", "year": 2000},
                label="yes",
                probabilities={"yes": 0.9, "no": 0.1},
                time_ms=now_ms - age * DAY,
            )
            for name, age in days.items()
        ]
    )
    return now_ms


def ids(project):
    return [event.id for event in project.events.read(PredictionEvent)]


def test_older_predictions_go_and_everybody_who_misses_them_is_told(ran):
    with keeping(ran) as project:
        now_ms = logged(project, a=100, b=95, c=92, said=99, new=89)
        project.feedback([{"id": "said", "label": "no"}])
        look = project.expire(look=True)
        assert (look.predictions, look.spared, look.waiting) == (0, 1, 3)  # this process writes to the segment
        done = project.expire()
        assert (done.predictions, done.spared, done.waiting) == (3, 1, 0)
        assert (done.first_ms, done.last_ms) == (now_ms - 100 * DAY, now_ms - 92 * DAY)
        assert ids(project) == ["said", "new"]
        (record,) = [each for each in project.audit.records() if each.action == "predictions expired"]
        assert (record.subject, record.after["predictions"]) == ("the prediction log", 3)
        with pytest.raises(NotFoundError, match=PAST):
            project.lineage_of("prediction:a")
        with pytest.raises(NotFoundError, match=PAST):
            project.explain(prediction="a")
        (doubt,) = project.feedback([{"id": "b", "label": "no"}]).doubts
        assert doubt.kind == "unmatched"
        assert "there is no prediction with this id" in doubt.reason
        assert "3 older predictions are past their retention" in doubt.reason
        replayed = project.replay("champion")
        assert (replayed.rows, replayed.expired) == (2, 3)
        assert project.replay("champion", since_ms=now_ms - 90 * DAY).expired == 0
        with pytest.raises(NotFoundError, match="2 older predictions are past their retention"):
            project.replay("champion", since_ms=now_ms - 96 * DAY, until_ms=now_ms - 91 * DAY)
        seen = project.monitor(since_ms=now_ms - 200 * DAY, until_ms=now_ms + DAY)
        assert seen.ledger.balanced
        lost = {loss.reason: loss.count for loss in seen.ledger.losses}
        assert lost["past its retention before monitoring read it"] == 3
        assert (
            "past their retention" in next(each for each in seen.ledger.losses if "no prediction" in each.reason).remedy
        )
        assert project.doctor().checks  # which reads the log too


def test_what_the_loop_needs_stays(ran):
    with keeping(ran) as project:
        logged(project, a=100, said=99, asked=98)
        project.feedback([{"id": "said", "label": "no"}])
        with project._stage() as stage:
            before = take_in(stage).height
        batch = project.review.pick(budget=1, shares={"random": 1.0}, since_ms=0)
        (asked,) = [row.id for row in project.review.rows(batch.id)]
        done = project.expire()
        assert (done.predictions, done.spared) == (1, 2)
        assert ids(project) == [each for each in ("a", "said", "asked") if each in {"said", asked}]
        with project._stage() as stage:
            assert take_in(stage).height == before
        project.review.answer(project.review.next(who="ana").name, "yes", who="ana")
        with project._stage() as stage:
            assert take_in(stage).height == before + 1


def test_evidence_of_a_rollout_stays_while_it_goes_on(ran):
    with keeping(ran, "1h") as project:
        project.endpoints.canary("second")
        logged(project, old=1)
        (route,) = endpoint_of(project.records.documents, "films").others
        inside = {"endpoint": "films", "release_id": "r", "model_version": "films/1", "row": {}}
        clock = lambda: route.since_ms + 5 * DAY  # noqa: E731 - the rollout takes five days
        project.events.append([PredictionEvent(id="since", **inside, time_ms=route.since_ms + 1)])
        done = retention.expire(project, clock, look=False)
        assert done.predictions == 1
        assert "a rollout began that still goes on" in done.notes[0]
        assert ids(project) == ["since"]
        project.endpoints.rollback()
        assert retention.expire(project, clock, look=False).predictions == 1


def test_without_a_limit_all_stays_and_a_limit_is_a_time(ran):
    with Project(ran) as project:
        logged(project, a=4000)
        assert project.expire().events == 0
        assert ids(project) == ["a"]
    for wrong, why in (("10m", "an hour or longer"), ("soon", "a time with its unit")):
        with pytest.raises(ConfigError, match=why):
            keeping(ran, wrong)
        (ran / "bakeoff.toml").write_text((ran / "bakeoff.toml").read_text().rpartition("\n[endpoint]")[0])


def test_a_look_that_comes_late_says_what_it_never_read(ran):
    with keeping(ran) as project:
        logged(project, a=100)
        project.monitor()
        logged(project, b=0)
        project.events.append([FeedbackEvent(id="b", label="no")])
        assert project.events.expire(Retention(limits={"films": time.time_ns() // 1_000_000 - DAY})).predictions == 1
        report = project.monitor()  # "a" is gone, and was read
        assert not [loss for loss in report.ledger.losses if "retention" in loss.reason]
        logged(project, c=0, d=0)
        project.events.expire(Retention(limits={"films": time.time_ns() // 1_000_000 + DAY}))
        (loss,) = [loss for loss in project.monitor().ledger.losses if "retention" in loss.reason]
        assert loss.count == 2
        assert project.monitor().ledger.balanced


@pytest.mark.processes
def test_a_server_makes_passes_when_they_are_due(ran):
    with keeping(ran) as project:
        logged(project, a=100, b=1)
        project.close()
        until = time.monotonic() + 60
        with retention.expiring(project, lambda: time.time_ns() // 1_000_000, every_s=0.1):
            while ids(project) != ["b"] and time.monotonic() < until:
                time.sleep(0.1)
        assert ids(project) == ["b"]
        body = project.records.documents.get("retention", "log").body
        assert not retention._is_ours(project, lambda: body["began_ms"] + DAY - 1, DAY)
        assert retention._is_ours(project, lambda: body["began_ms"] + DAY, DAY)
        assert not retention._is_ours(project, lambda: body["began_ms"] + DAY, DAY)  # another server was first
