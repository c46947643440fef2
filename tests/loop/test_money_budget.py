"""A budget of money: a candidate that it leaves out has not failed, and the next run goes on."""

import pytest

from bakeoff import Project
from bakeoff.cli.lifecycle import end_of_run
from bakeoff.cli.run_page import leaderboard
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown
from bakeoff.results.outcome import RunOutcome
from bakeoff.testing.service import completion, serving

USAGE = {"prompt_tokens": 100_000, "completion_tokens": 0, "total_tokens": 100_000}


@pytest.fixture
def service():
    with serving(lambda asked: completion("positive", usage=USAGE)) as running:
        yield running


@pytest.fixture
def paid(films_project, service, few_fits):
    """A project with a candidate of which each call costs ten cents."""
    file = films_project / "bakeoff.toml"
    head = file.read_text().partition("[candidates")[0].partition("[decide")[0]
    remote = f'url = "{service.url}"\nmodel = "tiny"\nprice_in = 1.0\nprice_out = 0.0\nconcurrency = 1\n'
    rest = f"\n[candidates.linear]\n\n[candidates.remote]\n{remote}\n[decide]\nfindings = false\n"
    file.write_text(head + rest)
    return films_project


def run(folder):
    with Project(folder) as project:
        return project.run()


def test_a_candidate_that_the_budget_of_money_left_out_has_not_failed(paid, monkeypatch):
    monkeypatch.setenv("BAKEOFF_COST__BUDGET_USD", "0.25")
    ended = run(paid)
    assert end_of_run(ended.results, allow_missing=False) is None
    assert not ended.results.failed
    (out,) = ended.results.left_out
    why = out.out_of_budget
    assert (out.name, out.status) == ("remote", "out_of_budget")
    assert (why.setting, why.limit_usd, round(why.paid_usd, 6)) == ("[cost] budget_usd", 0.25, 0.2)
    by_name = {each["name"]: each for each in ended.document["candidates"]}
    assert by_name["remote"]["out_of_budget"] == {"setting": why.setting, "limit_usd": 0.25, "paid_usd": why.paid_usd}
    assert by_name["linear"]["status"] == "ok"
    assert RunOutcome.from_json(ended.document).left_out == (out,)
    with Project(paid) as project:
        report = project.report()
    for page in (leaderboard(ended.results), html(report), markdown(report)):
        assert "left out" in page
        assert "$0.2000 of $0.25 are paid" in page
        assert "remote failed" not in page


def test_the_next_run_has_the_budget_anew_and_goes_on(paid, service, monkeypatch):
    monkeypatch.setenv("BAKEOFF_COST__BUDGET_USD", "0.25")
    for answered in (2, 4):  # the same run twice: what was answered is not asked again
        assert run(paid).results.left_out
        assert len(service.asked) == answered
    monkeypatch.setenv("BAKEOFF_COST__BUDGET_USD", "100")
    assert run(paid).results.candidate("remote").status == "ok"
    assert run(paid).unchanged
