"""A run's budget of time: what it cuts short, what it leaves alone, and what is made again with more of it."""

import math
import time
from dataclasses import replace

import pytest

from bakeoff import Project
from bakeoff.cli.lifecycle import end_of_run
from bakeoff.cli.run_page import leaderboard
from bakeoff.core.errors import CandidateError, ConfigError
from bakeoff.core.jobs import Argument, Job, JobResult
from bakeoff.families.boosting import BoostingFamily
from bakeoff.loop import context
from bakeoff.loop.context import TimeLimit
from bakeoff.loop.fit import killed, run_jobs
from bakeoff.project.progress import CountedJobs
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown
from bakeoff.results.outcome import RunOutcome


@pytest.fixture
def boosted(films_project, monkeypatch):
    """Candidates whose fits can be cut short, where any limit is kept to."""
    monkeypatch.setattr(context, "LEAST_FIT_S", 0.0)
    file = films_project / "bakeoff.toml"
    head = file.read_text().partition("[candidates")[0].partition("[decide")[0]
    file.write_text(f"{head}\n[candidates.boosting]\n\n[combine]\nblends = false\n\n[decide]\nfindings = false\n")
    return films_project


def run(folder, **options):
    with Project(folder) as project:
        return project.run(**options)


def limit(folder, budget):
    file = folder / "bakeoff.toml"
    file.write_text(file.read_text().partition("\n[compute]")[0] + f'\n[compute]\nbudget = "{budget}"\n')


def test_a_fit_that_its_limit_cut_short_is_told_and_made_again_with_more_time(boosted):
    limit(boosted, "0.001s")
    (cut,) = run(boosted).document["candidates"]
    assert cut["cut"]["what"] == "1 rounds of trees of up to 1,500 were tried"
    assert cut["chosen"] == {"trees": 1}
    assert run(boosted).unchanged
    limit(boosted, "60m")
    (whole,) = run(boosted).document["candidates"]
    assert "cut" not in whole
    assert whole["chosen"]["trees"] > 1


def test_a_limit_that_does_not_bind_changes_nothing(boosted):
    limit(boosted, "60m")
    first = run(boosted)
    limit(boosted, "30m")
    assert run(boosted).unchanged
    assert run(boosted, budget_s=math.inf).unchanged
    assert "cut" not in first.document["candidates"][0]


def test_fits_that_wait_share_what_is_left():
    time_limit = TimeLimit.of(100.0, 3600.0)
    assert time_limit.wanted_s == 100.0
    assert time_limit.fit_s(4, 2) == pytest.approx(20.0, abs=1)
    assert TimeLimit.of(None, 3600.0).wanted_s is None
    assert TimeLimit.of(None, math.inf).fit_s(1, 1) is None
    late = TimeLimit(budget_s=10.0, ends_at=time.monotonic() - 5)
    assert (late.left_s, late.fit_s(1, 1)) == (0.0, 2.0)


def test_a_fit_that_was_killed_is_told_as_what_it_is():
    died = JobResult(name="slow", error="the worker was killed by signal 14 (out of memory?)", seconds=13.0)
    assert killed(died).error == (
        "it did not end within its share of the run's time, and was killed after 13 s; give it more: "
        "bakeoff run --budget 2h, or none"
    )
    other = JobResult(name="large", error="the worker was killed by signal 9 (out of memory?)")
    assert killed(other) is other


@pytest.mark.parametrize(
    ("wanted", "most", "sentence"),
    [
        (None, 3600.0, "at most 60 min ([compute] budget; another one with --budget)"),
        (90.0, 3600.0, "a budget of 90 s: what the fits leave of it goes into trying parameters"),
        (math.inf, 3600.0, "no limit of time"),
    ],
)
def test_a_run_says_how_long_it_may_take(wanted, most, sentence):
    assert TimeLimit.of(wanted, most).sentence == sentence


def test_a_budget_is_a_time(boosted):
    limit(boosted, "soon")
    with pytest.raises(ConfigError, match="with its unit, such as 90s, 30m, 2h or 90d; received 'soon'"):
        run(boosted)


class Counted:
    """A bar that remembers how many steps it was told of, each time."""

    def __init__(self):
        self.told = []

    def more(self, steps):
        self.told.append(steps)

    def step(self):
        pass


def test_jobs_with_limits_can_be_counted_before_they_run(films_project):
    shown = Counted()
    with Project(films_project) as project, project._stage() as stage:
        counted = replace(stage, compute=CountedJobs(stage.compute, shown))
        job = Job(name="nothing", function="json:loads", argument=Argument())
        assert len(list(run_jobs(counted, [job, replace(job, name="too")]))) == 2
    assert shown.told == [2]


def test_a_candidate_that_the_budget_left_out_has_not_failed(boosted, monkeypatch):
    with (boosted / "bakeoff.toml").open("a") as file:
        file.write("\n[candidates.linear]\n")
    limit(boosted, "60s")

    def fit(_family, job):
        job.progress("encoded 5 of 20 new texts")
        raise CandidateError("the worker was killed by signal 14 (it took too long)")

    with monkeypatch.context() as slow:
        slow.setattr(BoostingFamily, "fit", fit)
        ended = run(boosted)
    assert end_of_run(ended.results, allow_missing=False) is None
    assert not ended.results.failed
    (late,) = ended.results.left_out
    why = late.out_of_time
    assert late.name == "boosting"
    assert why.ended_s == pytest.approx(1.5 * why.limit_s + 10)
    assert why.needs_s == pytest.approx(4 * why.ended_s)
    assert 60 * why.needs_s / why.limit_s == pytest.approx(why.enough_s)
    by_name = {each["name"]: each for each in ended.document["candidates"]}
    assert by_name["boosting"]["status"] == "out_of_time"
    assert by_name["boosting"]["out_of_time"]["budget_s"] == 60.0
    assert by_name["linear"]["status"] == "ok"
    assert RunOutcome.from_json(ended.document).left_out == (late,)
    with Project(boosted) as project:
        report = project.report()
    for page in (leaderboard(ended.results), html(report), markdown(report)):
        assert "left out" in page
        assert f"needs {why.needs_s:.0f} s at the least" in page
        assert "boosting failed" not in page
    assert run(boosted).unchanged
    limit(boosted, "60m")
    assert not run(boosted).results.left_out
