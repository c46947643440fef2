"""The verdict by other rules: the run's own again, another metric, margin, gates and price; rows of disagreement."""

import json

import pytest

from bakeoff import Project
from bakeoff.actions.disagreement import disagreement
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.records import RunChange


def test_the_same_rules_give_the_same_verdict(ran):
    with Project(ran) as project:
        decided, again = project.last().verdict, project.what_if()
    assert again.verdict.reason == decided.reason
    assert (again.verdict.winner, again.verdict.value) == (decided.winner, decided.value)
    assert again.verdict.yardstick == decided.yardstick  # the run kept what its baselines answered
    assert again.verdict.comparisons == decided.comparisons
    assert (again.changed, again.notes) == ((), ())


def test_other_rules_are_named_and_count(ran):
    with Project(ran) as project:
        price = project.config.cost.price_per_hour_usd
        wide = project.what_if(metric="accuracy", margin=0.5, price_per_hour_usd=10 * price)
        usual = project.what_if()
        nobody = project.what_if(gates={"f1_macro": {"min": 1.01}})
        cheap = project.what_if(gates={"train_s": {"max": 1e9}})
    assert (wide.verdict.metric, wide.verdict.margin) == ("accuracy", 0.5)
    assert repr(wide).startswith(
        "WhatIf(What if the metric is accuracy, the margin is 0.5, an hour of the machine costs"
    )
    assert repr(usual) == f"WhatIf(The rules of the run. {usual.verdict.winner} wins)"
    assert repr(nobody) == "WhatIf(What if the gates are others? Nobody wins)"
    assert usual.verdict.reason[:40] in usual._repr_html_()
    assert f"In the run {usual.verdict.winner} won; nothing is changed." in nobody._repr_html_()
    assert wide.verdict.best_set == tuple(wide.cards)
    assert len(wide.changed) == 3
    for name, card in usual.cards.items():
        assert wide.prices[name] == pytest.approx(10 * card.cost_usd_per_1k)
    assert nobody.verdict.winner is None
    assert {gate.passed for gate in nobody.verdict.gates} == {False}
    assert {gate.metric for gate in cheap.verdict.gates} == {"train_s"}
    assert cheap.verdict.winner == usual.verdict.winner


def test_a_margin_of_one_metric_is_none_of_another(films_project):
    file = films_project / "bakeoff.toml"
    file.write_text(file.read_text().replace("[decide]", '[decide]\nmetric = "f1_macro"\nmargin = 0.2'))
    with Project(films_project) as project:
        project.run()
        assert project.what_if(metric="f1_macro").verdict.margin == 0.2
        assert project.what_if(metric="log_loss").verdict.margin != 0.2


def test_the_rules_of_the_run_are_those_that_it_had(ran):
    """What the settings are by now is no part of the question."""
    with Project(ran) as project:
        before, price = project.what_if(), project.config.cost.price_per_hour_usd
    file = ran / "bakeoff.toml"
    file.write_text(f"{file.read_text()}margin = 0.4\ntest = 'permutation'\n[cost]\nprice_per_hour_usd = {7 * price}\n")
    with Project(ran) as project:
        after, dear = project.what_if(), project.what_if(price_per_hour_usd=7 * price, margin=0.4)
        assert (after.verdict, after.prices, after.changed) == (before.verdict, before.prices, ())
        assert len(dear.changed) == 2
        for name, usd in before.prices.items():
            assert dear.prices[name] == pytest.approx(7 * usd)
        run = project.records.runs.get(before.outcome.run_id)
        rules = json.loads(project.blobs.get(run.artifacts["rules.json"]))
        assert rules["cost"]["price_per_hour_usd"] == price
        rules["decide"]["of_a_later_version"] = 1
        changes = [{"rules.json": project.blobs.put(json.dumps(rules).encode())}]
        changes.append({"rules.json": project.blobs.put(json.dumps(rules | {"format": 2}).encode())})
        project.records.runs.apply([RunChange(run_id=run.run_id, artifacts=changes[0])])
        assert project.what_if().prices == before.prices
        project.records.runs.apply([RunChange(run_id=run.run_id, artifacts=changes[1])])
        with pytest.raises(NotFoundError, match="rules of format 1 or less, found 2"):
            project.what_if()


def test_a_run_of_before_has_the_present_rules_and_says_so(ran, monkeypatch):
    monkeypatch.setattr("bakeoff.loop.stored_outcome.RULES", "nowhere.json")
    with Project(ran) as project:
        assert project.what_if().notes == (
            "this run kept no settings: the present ones stand for them; a new run keeps them",
        )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"metric": "acuracy"}, "accuracy"),
        ({"gates": {"nothing": {"min": 1}}}, "gate: expected one of"),
        ({"metric": "bogus"}, "log_loss, brier"),
        ({"price_per_hour_usd": 0.0}, "expected a price over 0"),
        ({"margin": -1.0}, "margin: expected a finite number of at least 0, received -1"),
        ({"margin": float("nan")}, "margin: expected a finite number"),
        ({"gates": {"f1_macro": {"min": 0.5, "confidence": 2.0}}}, r"gate 'f1_macro': .*; received confidence = 2"),
    ],
)
def test_what_no_candidate_has_is_refused(ran, asked, told):
    with Project(ran) as project, pytest.raises(UsageError, match=told):
        project.what_if(**asked)


def test_rows_on_which_two_candidates_disagree(ran):
    with Project(ran) as project:
        first, second = (each.run_id for each in project.last().fine)
        rows = project.last().rows(inputs=False)
        names = [each.name for each in project.last().fine]
        right = [rows[f"{name}_right"] for name in names]
        for side, expected in (("first", right[0] & ~right[1]), ("second", right[1] & ~right[0])):
            found = disagreement(project.records, project.blobs, first, second, side=side, data=project.config.data)
            assert (found.counts[side], found.rows) == (expected.sum(), rows.height)
            assert len(found.shown) == min(50, expected.sum())
            for row in found.shown:
                says = (row.first == row.truth, row.second == row.truth)
                assert says == ((True, False) if side == "first" else (False, True))
                assert {"review", "year"} <= set(row.inputs)
                assert project.config.data.target not in row.inputs
        same = disagreement(project.records, project.blobs, first, first)
        assert dict(same.counts) == {"first": 0, "second": 0, "neither": 0}
        with pytest.raises(UsageError, match="side: expected one of"):
            disagreement(project.records, project.blobs, first, second, side="both")
