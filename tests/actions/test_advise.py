import html
import json

import jsonschema
import numpy as np
import pytest

from bakeoff import Project
from bakeoff.cli.documents import schema_of
from bakeoff.core import plugins


@pytest.fixture
def few_families(monkeypatch):
    """Only the third party's family and one that lacks a package."""
    listed = ("firstword", "linear", "blend")
    monkeypatch.setattr(plugins, "names", lambda group: listed if group == "bakeoff.families" else ())


def advise(folder, lines=None, **how):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.advise(**{"seconds": 4.0, **how}).to_json()


def test_advice_is_typed_and_its_document_has_the_same(films_project, few_families):
    with Project(films_project, progress=[].append) as project:
        advice = project.advise(seconds=4.0)
        stored = project.records.documents.get("advice", "last").body
    document = json.loads(json.dumps(advice.to_json()))
    jsonschema.validate({"format": 1, **document}, schema_of("advise"))
    assert document == {**stored, "compared": []}
    first = advice.option("first")
    stated = next(each for each in document["options"] if each["name"] == "first")
    assert first.expected("f1_macro")["f1_macro"].value == stated["expected"]["f1_macro"]["value"]
    assert (advice.data.label.classes, advice.data.inputs["text"]) == (2, ("review",))
    assert advice.run.seconds.least < advice.run.seconds.value
    assert (advice.option("third"), advice.hardware.cores) == (None, document["hardware"]["cores"])
    assert repr(advice).startswith("Advice('films': try first ")
    assert len(repr(advice)) < 150
    page = advice._repr_html_()
    assert page.count("<div") == page.count("</div>") == 1
    assert "films: what to try" in page
    assert f"<td>{html.escape(first.reasons[0])}" in page


def test_what_to_try_is_told_and_compared_with_the_run_after_it(films_project, few_families, monkeypatch):
    monkeypatch.setattr("bakeoff.families.linear.LinearFamily.requires", ("numpy", "no-such-distribution"))
    lines = []
    found = advise(films_project, lines)
    options = {each["name"]: each for each in found["options"]}
    assert set(options) == {"first", "second", "linear"}
    assert options["linear"]["call"] == "cannot say"
    assert "no-such-distribution is not installed" in options["linear"]["reasons"][0]
    assert found["options"][0]["call"] == "try first"
    first = options["first"]
    assert [point["rows"] for point in first["points"]][1] == 2 * first["points"][0]["rows"]
    assert set(first["expected"]) >= {"f1_macro", "train_s", "latency_p95_ms", "cost_usd_per_1k", "size_bytes"}
    assert first["expected"]["f1_macro"]["low"] < 0.9 < first["expected"]["f1_macro"]["high"] <= 1
    assert first["reasons"]
    assert first["evidence"]
    assert found["rows"] == found["data"]["rows"] == 240
    assert found["data"]["label"]["classes"] == 2
    assert found["data"]["texts"]["review"]["words_p50"] > 1
    assert found["hardware"]["cores"] >= 1
    assert found["compared"] == []

    again = []
    assert advise(films_project, again)["options"] == found["options"]
    assert not any("probing" in line for line in again)

    with Project(films_project) as project:
        assert project.models() == []
        document = project.run().document
    told = {(each["name"], each["quantity"]): each for each in document["advice"]}
    quality = told["first", "f1_macro"]
    assert quality["measured"] == document["candidates"][0]["metrics"]["f1_macro"]["value"]
    assert quality["factor"] >= 1
    assert quality["inside"] is (quality["low"] <= quality["measured"] <= quality["high"])
    assert advise(films_project)["compared"] == document["advice"]


def test_test_rows_are_never_read(films_project, few_families, monkeypatch):
    kept = []
    savez = np.savez

    def remembering(path, **arrays):
        kept.append(arrays)
        savez(path, **arrays)

    monkeypatch.setattr(np, "savez", remembering)
    advise(films_project)
    rows, probe = (next(each for each in kept if name in each) for name in ("test", "pool"))
    assert not set(rows["test"]) & ({*probe["pool"].tolist()} | {*probe["held"].tolist()})
    assert not {*probe["pool"].tolist()} & {*probe["held"].tolist()}


@pytest.mark.processes
@pytest.mark.parametrize(("crash", "told"), [("error", "made to fail"), ("kill", "signal 9")])
def test_a_family_that_fails_or_hangs_is_told(films_project, few_families, monkeypatch, crash, told):
    toml = films_project / "bakeoff.toml"
    toml.write_text(toml.read_text().replace("smooth = 5.0", f'crash = "{crash}"'))
    second = next(each for each in advise(films_project)["options"] if each["name"] == "second")
    assert second["call"] == "cannot say"
    assert told in second["reasons"][0]


def test_a_service_elsewhere_is_not_asked(films_project, few_families):
    from bakeoff.actions.advise import _elsewhere
    from bakeoff.loop.context import Contender

    def elsewhere(service):
        params = {"name": "far", "family_name": "remote", "requires": (), "params": None, "code": ""}
        return _elsewhere(Contender(**params, service=service))

    assert elsewhere("https://models.example.org/v1") == "https://models.example.org/v1"
    assert elsewhere("http://127.0.0.1:8000/v1") is None
    assert elsewhere(None) is None


def test_prices_are_at_the_utilisation_as_those_of_runs(films_project, few_families):
    def price():
        return {each["name"]: each for each in advise(films_project)["options"]}["first"]["expected"]["cost_usd_per_1k"]

    before = price()
    project = films_project / "bakeoff.toml"
    project.write_text(project.read_text() + "\n[cost]\nutilisation = 0.5\n")
    assert price()["value"] == pytest.approx(2 * before["value"])


def test_each_beginning_of_the_rows_has_every_class_in_its_share():
    from bakeoff.actions.advise import _stratified

    rng = np.random.default_rng(0)
    label_n = np.repeat(np.arange(77), 100)
    drawn = _stratified(np.arange(7700), label_n, rng)
    assert sorted(drawn.tolist()) == list(range(7700))
    for size in (154, 308, 3080):
        counts = np.bincount(label_n[drawn[:size]], minlength=77)
        assert counts.min() >= size // 77 - 1
        assert counts.max() <= size // 77 + 1


def test_what_reads_texts_is_not_tried_on_numbers(films_project, monkeypatch):
    listed = ("firstword", "linear", "embedding")
    monkeypatch.setattr(plugins, "names", lambda group: listed if group == "bakeoff.families" else ())
    toml = films_project / "bakeoff.toml"
    toml.write_text(toml.read_text().replace('text = ["review"]', 'categorical = ["review"]'))
    options = {each["name"]: each for each in advise(films_project, seconds=2.0)["options"]}
    assert options["embedding"]["call"] == "cannot say"
    assert "it reads texts" in options["embedding"]["reasons"][0]
    assert "it reads texts" not in options["linear"]["reasons"][0]


def test_the_run_is_foretold_and_the_advice_after_it_knows_how_good_it_was(films_project, few_families):
    before = advise(films_project)
    assert before["past"] == []
    assert before["run"]["seconds"]["low"] < before["run"]["seconds"]["value"] < before["run"]["seconds"]["high"]
    with Project(films_project) as project:
        outcome = project.run().results
    whole = next(each for each in outcome.advice if each.name == "run")
    assert (whole.quantity, whole.measured) == ("seconds", outcome.seconds)
    after = advise(films_project)
    past = {each["quantity"]: each for each in after["past"]}
    assert past["seconds"]["pairs"] == 1
    assert past["f1_macro"]["pairs"] == 2
    assert not any("'bakeoff advise --seconds 4'" in line for each in after["options"] for line in each["evidence"])


def test_few_rows_that_are_sorted_by_class_are_scored_on_some_of_each(films_project, few_families, monkeypatch):
    drawn = []
    savez = np.savez

    def remembering(path, **arrays):
        drawn.append(arrays)
        savez(path, **arrays)

    lines = (films_project / "films.csv").read_text().splitlines()
    rows = sorted(lines[1:61], key=lambda line: line.rsplit(",", 1)[1])
    (films_project / "films.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    monkeypatch.setattr(np, "savez", remembering)
    advise(films_project, seconds=1.0)
    probe = next(each for each in drawn if "pool" in each)
    label_n = np.asarray([row.endswith("yes") for row in rows])
    assert 0 < label_n[probe["held"]].mean() < 1
    assert not {*probe["pool"].tolist()} & {*probe["held"].tolist()}
