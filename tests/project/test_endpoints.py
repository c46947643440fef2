"""The project's endpoints: a new winner goes where the project says, and the champion is what is live."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bakeoff import Project
from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import FailureEvent, PredictionEvent


def more_films(folder, words, seed=7):
    """The data, with rows whose first words are new: whoever learns them wins."""
    rng = random.Random(seed)
    lines = [f"{word} film {i},{2000 + i % 20},{label}" for i in range(200) for word, label in [rng.choice(words)]]
    source = next(folder.glob("*.csv"))
    source.write_text(source.read_text().rstrip("\n") + "\n" + "\n".join(lines) + "\n")


def roles(project):
    return [(each.model_version, each.status) for each in project.endpoints.show().routes]


def aliases(project):
    return {alias: version.number for version in project.models() for alias in version.aliases}


def rolling_out(folder, how):
    """A project with a champion and a new winner that goes the way `how`."""
    with Project(folder) as project:
        assert project.run().release.status == "live"
        (live,) = roles(project)
    file = folder / "bakeoff.toml"
    file.write_text(file.read_text() + f'\n[endpoint]\nrollout = "{how}"\ncanary_share = 0.5\ncanary_calls = 20\n')
    more_films(folder, [("sick", "yes"), ("mid", "no")])
    return live[0]


def test_a_new_winner_is_a_canary_and_champion_once_it_is_promoted(films_project):
    first = rolling_out(films_project, "canary")
    with Project(films_project) as project:
        outcome = project.run()
        second = outcome.release.model_version
        assert outcome.release.status == "canary"
        assert second != first
        assert roles(project) == [(first, "live"), (second, "canary")]
        before, after = (int(each.rpartition("/")[2]) for each in (first, second))
        assert aliases(project) == {"champion": before, "challenger": after}
        assert project.endpoints.show().changes[0].who == "bakeoff run"

        answers = [project.predict([{"review": "sick film", "year": 2021}])[0].model_version for _ in range(40)]
        assert {first, second} == {*answers}
        assert project.monitor().signal("volume").rows == answers.count(first)

        assert project.run().unchanged
        assert project.endpoints.promote(why="looks good").live.model_version == second
        assert aliases(project) == {"champion": after}
        project.endpoints.rollback()
        assert (roles(project), aliases(project)) == ([(first, "live")], {"champion": before})


def test_a_new_winner_may_be_a_shadow_that_nobody_meets(films_project):
    first = rolling_out(films_project, "shadow")
    with Project(films_project) as project:
        assert project.run().release.status == "shadow"
        engine = project.engine()
        assert {engine.predict([{"review": "sick film", "year": 2021}])[0].model_version for _ in range(10)} == {first}
        engine.mirror.wait()
        project.close()  # what need not be durable is written by now
        assert [event.role for event in project.events.read(PredictionEvent)].count("shadow") == 10
        (rollout,) = project.endpoints.show().rollouts
        assert (rollout.role, rollout.tests[0].calls, rollout.differing) == ("shadow", 10, 1.0)


def test_the_steerer_makes_the_champion_and_ends_what_is_gone(films_project):
    first = rolling_out(films_project, "canary")
    with Project(films_project) as project:
        second = project.run().release
        for _ in range(40):
            project.events.append(
                [
                    FailureEvent(
                        endpoint="films",
                        release_id=second.release_id,
                        model_version=second.model_version,
                        error="CandidateError",
                        role="canary",
                    )
                ]
            )
            project.engine().predict([{"review": "good film", "year": 2021}])
        assert [each.action for each in project.endpoints.steer()] == ["rollback"]
        assert roles(project) == [(first, "live")]
        assert "challenger" not in aliases(project)
        assert project.run().unchanged  # and it does not come again by itself


def test_a_version_is_released_by_hand_and_can_be_monitored(ran):
    with Project(ran) as project:
        live = project.release()
        other = next(each for each in project.models() if f"{each.name}/{each.number}" != live.model_version)
        status = project.endpoints.release(str(other.number), why="try")
        assert status.live.model_version == f"{other.name}/{other.number}"
        assert project.predict([{"review": "good film", "year": 2021}])[0].model_version == status.live.model_version
        assert project.monitor().signal("volume").rows == 1
        assert aliases(project) == {"champion": other.number}
        assert project.endpoints.undo().live.release_id == live.release_id
        moves = [each.action for each in project.audit.records() if each.action.startswith("endpoint ")]
        assert moves[-2:] == ["endpoint release", "endpoint undo"]
        assert project.audit.verify() == []
        with pytest.raises(NotFoundError, match="expected a model version"):
            project.endpoints.release("nothing")
        with pytest.raises(NotFoundError, match="expected an endpoint"):
            project.endpoints.canary("champion", endpoint="nowhere")


def test_changes_under_load_lose_no_call(ran):
    with Project(ran) as project, ThreadPoolExecutor(4) as pool:
        one, two = (f"{each.name}/{each.number}" for each in project.models()[:2])
        engine = project.engine()
        calls = [pool.submit(engine.predict, [{"review": "good film", "year": 2021}]) for _ in range(150)]
        for model in (one, two, one):
            project.endpoints.release(model)
            engine.refresh()
        assert all(len(call.result()) == 1 for call in calls)


def test_the_steering_thread_goes_on_after_an_error(ran, monkeypatch, caplog):
    from bakeoff.loop.rollout import Steerer

    looks, often = [], threading.Event()

    def steer(_):
        looks.append(1)
        if len(looks) >= 2:
            often.set()
        raise OSError("the disk is gone")

    monkeypatch.setattr(Steerer, "steer", steer)
    with Project(ran) as project, project.endpoints.steering(every_s=0.01):
        assert often.wait(10)
    assert "the disk is gone" in caplog.text


def test_without_a_champion_a_new_winner_is_live_at_once(films_project):
    from bakeoff.core.records import RegisteredChange

    first = rolling_out(films_project, "canary")
    with Project(films_project) as project:
        gone = RegisteredChange(kind="model", name="films", aliases={"champion": None})
        project.records.versions.apply([gone])
        outcome = project.run()
        assert outcome.release.status == "live"
        assert outcome.release.model_version != first
        assert roles(project) == [(outcome.release.model_version, "live")]
        assert aliases(project) == {"champion": outcome.release.number}


def test_a_winner_that_is_on_its_way_goes_as_the_project_says_now(films_project):
    rolling_out(films_project, "shadow")
    file = films_project / "bakeoff.toml"
    with Project(films_project) as project:
        shadow = project.run().release
        assert shadow.status == "shadow"
    file.write_text(
        file.read_text().replace('"shadow"', '"canary"').replace("canary_share = 0.5", "canary_share = 0.3")
    )
    with Project(films_project) as project:
        again = project.run().release
        assert (again.release_id, again.status, again.share) == (shadow.release_id, "canary", 0.3)
        assert [each.what for each in project.endpoints.show().changes][:2] == ["canary", "shadow"]


def seen_to_be_fine(project, canary, calls=700):
    """Calls that were answered by the live release and by the canary, as well and as fast."""
    live = project.endpoints.show().live
    events = [
        PredictionEvent(
            id=f"{role}{at}",
            endpoint="films",
            release_id=release.release_id,
            model_version=release.model_version,
            row={},
            label="yes",
            latency_ms=1.0 + at % 7 / 10,
            role=role,
        )
        for at in range(calls)
        for role, release in (("live", live), ("canary", canary))
    ]
    project.events.append(events)


def test_a_canary_by_hand_that_is_promoted_by_itself_is_the_champion(ran):
    with Project(ran) as project:
        live = project.release()
        other = next(each for each in project.models() if f"{each.name}/{each.number}" != live.model_version)
        status = project.endpoints.canary(str(other.number))
        seen_to_be_fine(project, status.routes[1])
        assert [each.action for each in project.endpoints.steer()] == ["promote"]
        assert roles(project) == [(f"films/{other.number}", "live")]
        assert aliases(project) == {"champion": other.number}


def test_steering_leaves_nothing_that_another_one_waits_for(ran):
    with Project(ran) as project, Project(ran) as server:
        other = next(each for each in project.models() if f"films/{each.number}" != project.release().model_version)
        project.endpoints.canary(str(other.number))
        assert [each.action for each in project.endpoints.steer()] == ["wait"]
        assert (server.endpoints.steered_until_ms, len(server.endpoints.steer())) == (None, 1)
        looked = threading.Event()
        steerer = server.endpoints._steerer
        steer = steerer.steer
        steerer.steer = lambda: (steer(), looked.set())
        with server.endpoints.steering(every_s=0.01):
            assert looked.wait(10)
            assert project.endpoints.steer() == []
            assert project.endpoints.steered_until_ms is not None
        assert len(project.endpoints.steer()) == 1


def test_the_list_of_endpoints_reads_no_log_and_show_reads_the_endpoint_once(ran, monkeypatch):
    from bakeoff.loop.rollout import Steerer

    with Project(ran) as project:
        other = next(each for each in project.models() if f"films/{each.number}" != project.release().model_version)
        project.endpoints.canary(str(other.number), share=0.004)
        documents, reads = project.records.documents, []
        get = documents.get
        monkeypatch.setattr(
            documents, "get", lambda collection, key: reads.append(collection) or get(collection, key), raising=False
        )
        (rollout,) = project.endpoints.show().rollouts
        assert (rollout.role, reads.count("endpoints")) == ("canary", 1)
        monkeypatch.setattr(Steerer, "look", lambda *_: pytest.fail("the log was read"))
        (status,) = project.endpoints.all()
        assert [each.status for each in status.routes] == ["live", "canary"]
        assert "0.4%" in status._repr_html_()


@pytest.mark.parametrize(("metric", "quality"), [("accuracy", 0.3), ("log_loss", 0.02), ("f1[yes]", 0.02)])
def test_a_drop_of_quality_is_a_share_of_answers_where_the_metric_is_one(films_project, metric, quality):
    file = films_project / "bakeoff.toml"
    file.write_text(file.read_text() + f'metric = "{metric}"\n[monitor]\nquality_drop = 0.3\n')
    with Project(films_project) as project:
        assert project.endpoints._rules("films").quality == quality
