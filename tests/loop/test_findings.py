import json

import pytest

from bakeoff import Project
from bakeoff.cli.run_page import full_report
from bakeoff.core.errors import ConfigError
from bakeoff.results.outcome import RunOutcome

METRICS = """
def regret(truth, predicted):
    return 2.0 * float((truth != predicted).mean())

regret.higher_is_better = False
"""
ALONE = "[combine]\nblends = false\ncascades = false"


def run(folder):
    with Project(folder) as project:
        return project.run()


def edit(folder, old, new):
    file = folder / "bakeoff.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_every_candidate_comes_with_what_was_found_beside_its_scorecard(films_project):
    header, *rows = (films_project / "films.csv").read_text().splitlines()
    more = [row.replace("number", f"number {i}") for i in range(3) for row in rows]
    (films_project / "films.csv").write_text("\n".join([header, *more]) + "\n")
    document = run(films_project).document
    json.dumps(document, allow_nan=False)
    first = document["candidates"][0]
    assert {each["column"] for each in first["slices"]} == {"review", "year"}
    names = [each["name"] for each in first["robustness"]]
    assert names[0] == "typos"
    assert names[-2:] == ["noise", "missing"]
    upper = next(each for each in first["robustness"] if each["name"] == "upper_case")
    assert upper["drop"] > 0.2  # its words are all unknown then
    assert first["calibration"]["temperature"] > 0
    assert first["calibration"]["validation_rows"] == document["dataset"]["validation"]
    assert first["predict_memory_bytes"] > 0
    assert {"p50", "p95", "p99"} == set(first["batch_latency_ms"])
    page = full_report(RunOutcome.from_json(document))
    assert "all in capitals" in page


def test_a_projects_own_metric_and_price_decide(films_project):
    (films_project / "measure.py").write_text(METRICS)
    gates = 'metrics_file = "measure.py"\nmetric = "regret"\ngates = { regret = { max = 1.0 } }'
    edit(films_project, "resamples = 200", f"resamples = 200\n{gates}\n[cost]\nprice_per_hour_usd = 3600.0\n{ALONE}")
    outcome = run(films_project)
    document = outcome.document
    assert document["verdict"]["metric"] == "regret"
    assert document["verdict"]["winner"] is not None
    assert all(gate["passed"] for gate in document["verdict"]["gates"])
    first = document["candidates"][0]["metrics"]
    assert first["regret"]["value"] == pytest.approx(2 * (1 - first["accuracy"]["value"]))
    priced = document["candidates"][0]
    assert priced["cost_usd_per_1k"] == pytest.approx(1000 / priced["throughput_rows_s"], rel=1e-6)
    assert run(films_project).unchanged
    (films_project / "measure.py").write_text(METRICS.replace("2.0", "3.0"))
    again = run(films_project)
    assert not again.unchanged
    assert again.document["candidates"][0]["metrics"]["regret"]["value"] == pytest.approx(
        1.5 * first["regret"]["value"]
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('metrics_file = "none.py"', "none.py"),
        ('champion = "non_inferior"\nmargin = 0.0', "decide.margin"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(films_project, lines, expected):
    edit(films_project, "resamples = 200", f"resamples = 200\n{lines}")
    with pytest.raises(ConfigError, match=expected):
        run(films_project)
