"""Replays: walks over a past whose truth is known, and one over a real project."""

import json
from dataclasses import dataclass, field
from datetime import datetime

import jsonschema
import numpy as np
import polars as pl
import pytest

from bakeoff import Project
from bakeoff.actions.loop_replay import chart
from bakeoff.cli.documents import schema_of
from bakeoff.cli.loop_replay_page import replay_page
from bakeoff.config.sections import DataConfig, LoopBudget, LoopConfig, MonitorConfig
from bakeoff.core.errors import DataError, UsageError
from bakeoff.loop.replay import ReplayContest, ReplayPeriod, ReplayValue, replayed, tuned
from bakeoff.loop.replay_data import PastRows
from bakeoff.monitor.signals import MonitorReport, Signal

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
QUALITY = LoopConfig(triggers=["quality"], cool_down="none")


@dataclass
class World:
    """A past in which the relation changes at the beginning of some periods; a model is right about its own relation.

    Model m was made at the beginning of period m, of the rows before: it knows the relation of the period before.
    """

    changes: tuple[int, ...] = ()
    periods_n: int = 8
    drop: float = 0.2
    lost: frozenset[int] = frozenset()
    looks: list = field(default_factory=list)
    higher_is_better: bool = True

    @property
    def periods(self):
        return [ReplayPeriod(name=f"p{at}", end_ms=(at + 1) * MONTH_MS, rows=100) for at in range(self.periods_n)]

    def relation(self, period):
        return sum(change <= period for change in self.changes)

    def won(self, model):
        return model not in self.lost

    def quality(self, model, period):
        right = self.relation(model - 1) == self.relation(period)
        value = 0.9 if right else 0.9 - self.drop
        return ReplayValue(value=value, low=value - 0.01, high=value + 0.01)

    def beside(self, model, other, period):
        value = self.quality(model, period).value - self.quality(other, period).value
        return ReplayValue(value=value, low=value - 0.01, high=value + 0.01)

    def report(self, model, period, config):
        drop = 0.9 - self.quality(model, period).value
        facts = {"limit": config.quality_drop, "rows": 100, "since_ms": 0, "until_ms": 1, "detail": {}}
        signal = Signal(name="quality", value=0.9 - drop, alert=drop > config.quality_drop, **facts)
        return MonitorReport(endpoint="e", release_id=None, since_ms=0, until_ms=1, signals=(signal,))

    def contest(self, model, champion, anchor, attempt):
        self.looks.append((model, champion, anchor, attempt))
        gain = self.beside(model, champion, model - 1).value
        return ReplayContest(promoted=gain > -0.01, raises=gain > 0, reason="compared")

    def cost(self, model):
        return 60.0, 0.01


def by_name(world, loop=QUALITY):
    return {each.policy: each for each in replayed(world, loop, MonitorConfig())}


def test_the_policy_retrains_once_after_each_change_and_costs_less_than_always():
    policies = by_name(World(changes=(2, 5)))
    loop, never, always = (policies[name] for name in ("loop", "never", "always"))
    assert [step.model for step in loop.steps] == [0, 0, 0, 3, 3, 3, 6, 6]
    assert [step.retrained for step in loop.steps] == [False, False, True, False, False, True, False, False]
    assert (loop.runs, loop.promotions, loop.alarms, loop.false_alarms) == (2, 2, 2, 0)
    assert (always.runs, always.seconds, never.runs) == (7, 420.0, 0)
    assert (loop.seconds, loop.usd) == (120.0, pytest.approx(0.02))
    assert loop.quality.value == pytest.approx(0.9 - 0.2 * 2 / 8) == always.quality.value
    assert never.quality.value == pytest.approx(0.9 - 0.2 * 6 / 8)
    # Errors of eight independent periods of ±.01 each.
    assert loop.quality.high - loop.quality.value == pytest.approx(0.01 / 8**0.5, rel=1e-6)
    assert loop.gain.value == pytest.approx(0.1)


def test_the_oracle_is_the_best_of_what_there_was():
    world = World(changes=(2, 4), periods_n=7)  # the third relation is another one than the first
    oracle = by_name(world)["oracle"]
    assert [step.model for step in oracle.steps] == [0, 0, 0, 3, 0, 5, 5]
    assert oracle.runs == 2


def test_an_alarm_after_which_a_new_model_is_no_better_is_false():
    world = World(changes=(3, 4))  # the relation of period 3 lasts one period: who learns it learns for nothing
    loop = by_name(world)["loop"]
    assert [step.false_alarm for step in loop.steps] == [False, False, False, True, False, False, False, False]
    assert (loop.alarms, loop.false_alarms) == (2, 1)


def test_holds_and_labels_are_those_of_the_policy():
    world = World(changes=(1,))
    pause = LoopConfig(triggers=["feedback"], feedback_rows=100, cool_down="45d")
    steps = by_name(world, pause)["loop"].steps
    assert [step.retrained for step in steps] == [True, False] * 3 + [True, False]
    assert steps[1].hold.startswith("cool_down = '45d'")
    few = LoopConfig(triggers=["feedback"], feedback_rows=300, cool_down="none")
    assert [at for at, step in enumerate(by_name(world, few)["loop"].steps) if step.retrained] == [2, 5]
    poor = LoopConfig(triggers=["feedback"], feedback_rows=1, cool_down="none", budget=LoopBudget(per="90d", runs=1))
    assert [at for at, step in enumerate(by_name(world, poor)["loop"].steps) if step.retrained] == [0, 3, 6]


def test_schedules_count_from_the_last_run():
    plan = LoopConfig(triggers=[], schedule="every 60d", cool_down="none")
    steps = by_name(World(), plan)["loop"].steps
    assert [at for at, step in enumerate(steps) if step.retrained] == [1, 3, 5]


def test_attempts_beside_an_anchor_are_counted():
    world = World(changes=(3,))
    every = LoopConfig(triggers=["feedback"], feedback_rows=1, cool_down="none")
    by_name(world, every)
    # Equals take over and raise nothing; the model made when the change was seen does.
    assert [anchor for _, _, anchor, _ in world.looks] == [0, 0, 0, 0, 4, 4, 4]


def test_a_cut_without_a_winner_changes_nothing():
    world = World(changes=(2,), lost=frozenset({3}))
    policies = by_name(world)
    assert [step.model for step in policies["always"].steps] == [0, 1, 2, 2, 4, 5, 6, 7]
    assert policies["loop"].steps[2].false_alarm


def test_the_cheapest_policy_with_most_of_the_gain_is_proposed():
    proposal = tuned(World(changes=(1, 5)), QUALITY, MonitorConfig(quality_drop=0.3))
    assert proposal.loop["triggers"] == ["quality"]
    assert proposal.monitor["quality_drop"] < 0.2
    assert proposal.replay.runs == 2
    assert proposal.tried > 30
    calm = tuned(World(), QUALITY, MonitorConfig())
    assert calm.replay.runs == 0  # where nothing changes, nothing is to be paid


def table(**columns):
    return pl.DataFrame({"y": [1.0] * len(next(iter(columns.values()))), **columns})


def past(rows, **given):
    return PastRows.of(rows, DataConfig(target="y"), "regression", **given)


def test_periods_of_times_and_of_values():
    days = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 4, 30), "1d", eager=True)
    rows = past(table(day=days.reverse()), by="day")
    assert [(each.name, each.rows) for each in rows.periods] == [("2026-03", 31), ("2026-04", 30)]
    assert rows.known == 2
    assert rows.rows_of(0)["day"].min().isoformat() == "2026-03-01T00:00:00"
    weeks = past(table(week=[3, 1, 2, 2, 4]), by="week", start="2")
    assert [(each.name, each.rows) for each in weeks.periods] == [("2", 2), ("3", 1), ("4", 1)]
    three = past(table(week=[1, 2, 3]), by="week")  # one to begin with, two to answer
    assert (three.known, [each.name for each in three.periods]) == (1, ["2", "3"])
    assert [len(each.steps) for each in by_name(World(periods_n=2)).values()] == [2, 2, 2, 2]


def test_what_is_known_at_a_cut_is_what_came_before_it(tmp_path):
    days = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 4, 30), "1d", eager=True)
    rows = table(day=days).with_columns(better=2.0)
    data = DataConfig(target="y", time="day", horizon="7d")
    cut = PastRows.of(rows, data, "regression", by="day", truth="better")
    cut.write_known(1, tmp_path / "known.parquet")
    known = pl.read_parquet(tmp_path / "known.parquet")
    assert known["day"].max().isoformat() == "2026-03-25T00:00:00"  # the truth of later rows comes a week later
    assert "better" not in known.columns
    assert cut.truth_of(cut.rows_of(0))[:2] == [2.0, 2.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "dy"}, "expected a column 'dy' in the past, found none. Did you mean 'day'?"),
        ({"by": "day", "start": "9"}, "expected --start to be one of 2, 3, received '9'"),
        ({"by": "day", "every": "often"}, "expected --every to be a period"),
    ],
)
def test_wrong_pasts_are_refused(given, message):
    with pytest.raises(UsageError, match="expected") as caught:
        past(table(day=[1, 2, 3, 4]), **given)
    assert message in str(caught.value)
    with pytest.raises(DataError, match="expected at least 3 periods"):
        past(table(day=[1, 2]), by="day")


def test_a_project_is_replayed_with_its_own_candidates(films_project, monkeypatch):
    """A word comes up in May that no model knows: the policy sees it at the end of May, and has learned it in June."""
    rng = np.random.default_rng(3)
    words = {"good": "yes", "great": "yes", "bad": "no", "awful": "no", "sick": "yes"}
    rows = []
    for month in range(1, 9):
        for at in range(240):
            word = list(words)[rng.integers(5 if month >= 5 else 4)]
            moment = datetime(2026, month, 1 + at % 28, at % 24)  # noqa: DTZ001 - as tables have them
            rows.append(
                {"review": f"{word} film {at} of {month}", "year": 2000 + at % 20, "liked": words[word], "at": moment}
            )
    past = pl.DataFrame(rows)
    text = (films_project / "bakeoff.toml").read_text()
    text = text.replace('numeric = ["year"]', 'numeric = ["year"]\ntime = "at"\nignore = ["at"]')
    loop = '[loop]\ntriggers = ["quality"]\ncool_down = "none"\n[monitor]\nmin_feedback = 50\n'
    (films_project / "bakeoff.toml").write_text(f'{text}[split]\nby = "time"\n{loop}')
    with Project(films_project, environ={}) as project:  # with refits, which tests leave out
        result = project.cycles.replay(past, by="at", start="2026-04", tune=True)
        loop = result.policy("loop")
        assert [step.period for step in loop.steps] == [f"2026-0{month}" for month in range(4, 9)]
        assert [step.retrained for step in loop.steps] == [False, True, False, False, False]
        assert loop.steps[1].promoted
        assert (loop.steps[1].quality.value < 0.85, loop.steps[2].quality.value > 0.95) == (True, True)
        assert loop.gain.low > 0.05
        assert loop.runs < result.policy("always").runs
        assert project.models() == []  # nothing is registered
        again = project.cycles.replay(past, by="at", start="2026-04", tune=True)
        assert again.to_json() == result.to_json()
        other = films_project / "other.toml"
        other.write_text(f'{text}[split]\nby = "time"\n[loop]\ntriggers = ["schedule"]\nschedule = "every 1d"\n')
        both = project.cycles.replay(past, by="at", start="2026-04", beside=other)
        assert [each.policy for each in both.policies] == ["loop", "beside", "never", "always", "oracle"]
        assert both.policy("loop") == loop
        assert [step.retrained for step in both.policy("beside").steps] == [True, True, True, True, False]
        assert "the other policy" in replay_page(both)
    document = json.loads(json.dumps({"format": 1, **result.to_json(), "files": []}))
    jsonschema.validate(document, schema_of("loop replay"))
    monkeypatch.setenv("COLUMNS", "200")
    page = replay_page(result)
    assert "quality → retrained, promoted" in page
    assert "proposed, of" in page
    assert chart(result).png().startswith(b"\x89PNG")
