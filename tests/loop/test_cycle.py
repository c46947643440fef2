"""Cycles of a real project: holds, approval, rollouts, kills between any two steps, and the story that they tell."""

import json
import shutil
from collections import Counter

import jsonschema
import pytest

from bakeoff import Project
from bakeoff.chat.cache import ReplyCache
from bakeoff.cli.documents import schema_of
from bakeoff.cli.loop_page import retirements_page, status_page
from bakeoff.cli.render import models_page
from bakeoff.core.errors import ConflictError, DataError, NotFoundError
from bakeoff.loop import advance
from bakeoff.loop.cycle import Cycle, CycleReason, Cycles
from bakeoff.testing.memory import MemoryRecords

HOUR_MS = 3_600_000
START_MS = 1_796_000_000_000  # 2026-11-29 23:33 UTC, a Sunday


class Clock:
    def __init__(self):
        self.now_ms = START_MS

    def __call__(self):
        self.now_ms += 1
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


def opened(folder, clock, settings="", endpoint="", triggers='["feedback"]'):
    text = (folder / "bakeoff.toml").read_text()
    if "[loop]" not in text:
        loop = f"[loop]\ntriggers = {triggers}\nfeedback_rows = 50\n{settings}"
        # Of two candidates that are alike, the cheaper would win: whichever was faster.
        text = text.replace("[decide]", '[decide]\nutility = "f1_macro"')
        (folder / "bakeoff.toml").write_text(f"{text}{endpoint}\n[monitor]\nmin_rows = 50\nmin_feedback = 50\n{loop}")
    elif settings not in text:  # the section is the last one
        (folder / "bakeoff.toml").write_text(f"{text}{settings}")
    return Project(folder, clock=clock)


def serve(project, words=("sick", "good"), count=200, year=2021):
    """Traffic in which a new word tells everything, and an old one turned around."""
    rows = [{"review": f"{words[i % len(words)]} film {i} of {year}", "year": year} for i in range(count)]
    answers = project.predict(rows)
    labels = ["yes" if row["review"].startswith("sick") else "no" for row in rows]
    project.feedback([{"id": a.id, "label": label} for a, label in zip(answers, labels, strict=True)])


@pytest.fixture(scope="module")
def served_once(new_films, family_installed):
    """A project with a run and labelled traffic that gives reason for another; and the time by its clock."""
    folder, clock = new_films(), Clock()
    with family_installed(), opened(folder, clock) as project:
        project.run()
        serve(project)
    return folder, clock.now_ms


@pytest.fixture
def served(served_once, tmp_path, third_party, clock):
    """That project, the test's own."""
    clock.now_ms = served_once[1]
    return shutil.copytree(served_once[0], tmp_path / "films")


def states(cycle):
    return [each.state for each in cycle.decisions]


def valid(command, document):
    jsonschema.validate(json.loads(json.dumps({"format": 1, **document})), schema_of(command))


def test_a_cycle_tells_its_story(served, clock):
    with opened(served, clock) as project:
        turn = project.loop_once()
        cycle = project.cycles.get()
        assert turn.cycle == cycle
        assert states(cycle) == ["waiting", "collecting", "running", "promoted"]
        assert cycle.fact("taken_in") == 200
        assert cycle.fact("from_feedback") == 200
        assert cycle.fact("champion") == "films/1"
        assert cycle.number_of("usd") == pytest.approx(cycle.number_of("seconds") / 3600 * 0.1, abs=1e-5)
        story = cycle.story
        assert story.startswith("cycle 1 (feedback): promoted\n  trigger feedback: 200 new labelled rows")
        assert "distinguishably better" in story or "worse by less than" in story
        valid("loop explain", cycle.to_json())
        status = project.cycles.status()
        assert (status.spent.runs, status.holding.kind) == (1, "cool_down")
        valid("loop status", status.to_json())
        assert "no cycle is open" in status_page(status)
        actions = [each.action for each in project.audit.records() if each.subject == "cycle films/000001"]
        assert actions == ["loop waiting", "loop collecting", "loop running", "loop promoted"]
        with pytest.raises(NotFoundError, match="one of 1 to 1, received 7"):
            project.cycles.get(7)


def test_the_cool_down_holds_a_cycle_until_it_is_over(served, clock):
    with opened(served, clock) as project:
        project.loop_once()
        serve(project, year=2022)
        for _ in range(3):
            turn = project.loop_once()
            assert turn.outcome is None
        assert states(turn.cycle) == ["waiting", "waiting"]  # once, however often it looks
        assert turn.cycle.last.evidence["hold"] == "cool_down"
        clock.now_ms += HOUR_MS
        assert project.loop_once().cycle.state in {"promoted", "kept"}


def test_a_freeze_holds_and_reasons_that_go_away_withdraw_the_cycle(films_project, clock):
    source = films_project / "films.csv"
    with opened(films_project, clock, 'freeze = ["2026-11-29/2026-11-30"]\n', triggers='["data"]') as project:
        project.run()
        before = source.read_text()
        source.write_text(before + "good one,2000,yes\n")
        assert project.loop_once().cycle.last.evidence["hold"] == "freeze"
        source.write_text(before)
        assert project.loop_once().cycle.state == "withdrawn"


def test_a_winner_waits_for_approval_and_is_what_is_released(served, clock):
    with opened(served, clock, "approval = true\n") as project:
        turn = project.loop_once()
        assert turn.cycle.state == "approval"
        assert "'bakeoff loop approve' releases it" in turn.blocked
        assert project.release().model_version == "films/1"
        serve(project, year=2022)
        (served / "films.csv").write_text((served / "films.csv").read_text() + "good one,2000,yes\n")
        again = project.loop_once()
        assert again.outcome is None  # one cycle is open at a time
        assert again.cycle.state == "approval"
        proposed = turn.cycle.fact("release_id")
        cycle = project.cycles.approve(why="looked at it", who="ann")
        assert project.release().release_id == proposed
        assert (cycle.state, cycle.fact("model_version")) == ("promoted", project.release().model_version)
        assert next(each.who for each in cycle.decisions if each.state == "approved") == "ann"
        with pytest.raises(ConflictError, match="but no cycle is open"):
            project.cycles.approve()
        assert project.loop_once().blocked is None  # it waits no more


def test_a_rejected_winner_stays_away(served, clock):
    with opened(served, clock, "approval = true\n") as project:
        project.loop_once()
        assert project.cycles.reject(why="not now", who="bob").state == "rejected"
        assert project.release().model_version == "films/1"
        turn = project.loop_once()
        assert (turn.cycle, turn.blocked) == (None, None)


def test_a_rejected_winner_with_changed_inputs_is_not_proposed_again_and_again(films_project, clock):
    """Accepted inputs are no reason for a run: where a winner waits for that alone, its cycle goes on by itself."""
    allowed = "approval = true\naccept_changed_inputs = true\n"
    with opened(films_project, clock, allowed, triggers='["data"]') as project:
        project.run()
        films = films_project / "films.csv"
        head, *rows = films.read_text().splitlines()
        lines = [f"{head},country", *(f"{row},{'ru' if row.endswith('no') else 'fr'}" for row in rows)]
        films.write_text("\n".join(lines) + "\n")
        turn = project.loop_once()
        assert turn.cycle.state == "approval"
        assert turn.outcome.results.verdict.inputs is not None
        project.cycles.reject(why="not now", who="bob")
        clock.now_ms += 2 * HOUR_MS
        turn = project.loop_once()
        assert (turn.triggers, turn.cycle, turn.outcome) == ((), None, None)


def test_what_was_compared_with_another_champion_is_not_released(served, clock):
    with opened(served, clock, "approval = true\n") as project:
        project.loop_once()
        project.endpoints.release("second")
        with pytest.raises(ConflictError, match=r"expected films/1 to be the champion still"):
            project.cycles.approve()
        assert project.cycles.get().state == "failed"


def test_no_approval_within_a_freeze(served, clock):
    with opened(served, clock, 'approval = true\nfreeze = ["2026-12-24/2026-12-26"]\n') as project:
        project.loop_once()
        clock.now_ms += 25 * 24 * HOUR_MS
        with pytest.raises(ConflictError, match="freeze holds until 2026-12-27 00:00 UTC"):
            project.cycles.approve()
        assert project.cycles.get().state == "approval"


@pytest.mark.parametrize("ends", ["promoted", "rolled_back"])
def test_a_canary_is_followed_to_its_end(films_project, clock, ends):
    with opened(films_project, clock, endpoint='[endpoint]\nrollout = "canary"\n') as project:
        project.run()
        serve(project)
        assert project.loop_once().cycle.state == "rollout"
        assert project.loop_once().cycle.state == "rollout"
        (project.endpoints.promote if ends == "promoted" else project.endpoints.rollback)(why="seen enough")
        cycle = project.loop_once().cycle
        assert (cycle.state, cycle.last.why) == (ends, "seen enough")


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_loop_killed_at_any_step_goes_on_and_does_nothing_twice(served, clock, monkeypatch, at, written):
    real, writes = Cycles._written, Counter()

    def dying(self, cycle, **given):
        writes["all"] += 1
        if writes["all"] == at:
            if written:
                real(self, cycle, **given)
            raise Killed
        return real(self, cycle, **given)

    with opened(served, clock) as project:
        monkeypatch.setattr(Cycles, "_written", dying)
        with pytest.raises(Killed):
            project.loop_once()
    with opened(served, clock) as project:
        project.loop_once()
        (cycle,) = project.cycles.all()
        assert states(cycle) == ["waiting", "collecting", "running", "promoted"]
        assert len([each for each in project.runs() if each.parent_id is None]) == 2
        assert cycle.fact("from_feedback") == 200
        assert [each.what for each in project.endpoints.show().changes] == ["release", "release"]


def test_a_killed_run_goes_on_in_its_cycle(served, clock, monkeypatch):
    with opened(served, clock) as project:
        real = advance.run_pass
        monkeypatch.setattr(advance, "run_pass", lambda *a, **k: (real(*a, **k), (_ for _ in ()).throw(Killed)))
        with pytest.raises(Killed):
            project.loop_once()
        monkeypatch.undo()
        assert project.cycles.open().state == "running"
        cycle = project.loop_once().cycle
        assert cycle.state == "promoted"  # the run had ended: it is this cycle's, and not "nothing changed"
        assert len([each for each in project.runs() if each.parent_id is None]) == 2


def test_a_failed_run_is_written_down_and_tried_later(served, clock, monkeypatch):
    text = (served / "bakeoff.toml").read_text()
    text = text.replace('target = "liked"', 'target = "liked"\nmax_lost = 0.0')
    (served / "bakeoff.toml").write_text(f"{text}\n[cost]\nprice_per_hour_usd = 3600.0\n")
    real = advance.run_pass

    def paying(stage, **given):
        ReplyCache(stage.cache).keep("a question", 1.0, {}, payer="a service", usd=0.25)
        return real(stage, **given)

    monkeypatch.setattr(advance, "run_pass", paying)
    with opened(served, clock) as project:
        (served / "films.csv").write_text((served / "films.csv").read_text() + "good,2000,\n" * 50)
        with pytest.raises(DataError):
            project.loop_once()
        cycle = project.cycles.get()
        assert (cycle.state, cycle.fact("error")) == ("failed", "DataError")
        # A budget counts it, too: its time at a dollar a second, and what a service was paid meanwhile.
        assert cycle.number_of("usd") == pytest.approx(cycle.number_of("seconds") + 0.25)
        assert project.cycles.status().spent.usd == cycle.number_of("usd")
        assert project.loop_once().cycle.last.evidence["hold"] == "failures"


def test_the_first_turn_is_a_cycle_too(films_project, clock):
    with opened(films_project, clock) as project:
        turn = project.loop_once()
        assert states(turn.cycle) == ["running", "promoted"]
        assert turn.cycle.triggers == (CycleReason(kind="first", reason="nothing is released on the endpoint yet"),)


def test_two_loops_do_not_move_one_cycle_twice():
    clock = Clock()
    cycles = Cycles(MemoryRecords(clock).documents, clock, "films")
    cycle = cycles.begin([CycleReason(kind="data", reason="new")], {})
    assert isinstance(cycles.move(cycle, "collecting", "allowed"), Cycle)
    with pytest.raises(ConflictError, match="expected cycle 1 as it was read"):
        cycles.move(cycle, "collecting", "allowed")
    assert states(cycles.get()) == ["waiting", "collecting"]


def test_beaten_and_unused_versions_are_proposed_for_archiving(films_project, clock):
    with opened(films_project, clock) as project:
        project.run()
        before = project.release().number  # which of them wins hangs on how fast each answers
        serve(project)
        project.loop_once()
        versions = {version.number for version in project.models()}
        assert project.cycles.retire() == []  # all are new
        clock.now_ms += 31 * 24 * HOUR_MS
        proposed = project.cycles.retire()
        live = project.release().number
        assert {each.number for each in proposed} == versions - {live, before}  # rollback may go back to the one before
        assert {each.reason for each in proposed} == {"never released"}
        assert project.cycles.retire(apply=True, who="ann") == proposed
        assert project.cycles.retire() == []
        stages = {version.number: version.stage for version in project.models()}
        assert {number for number, stage in stages.items() if stage == "Archived"} == versions - {live, before}
        assert "proposed for archiving" in retirements_page(proposed, archived=False)
        assert models_page(project.models()).count(" archived ") == len(proposed)
