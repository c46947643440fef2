"""Steps that are fitted on training rows, through the whole loop: the model sees the same features everywhere."""

import json
import random
import shutil
import textwrap

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.core.errors import ConfigError
from bakeoff.data.cast import conform
from bakeoff.data.snapshot import row_hashes
from bakeoff.project import wiring
from bakeoff.results.outcome import RunOutcome
from bakeoff.web.client import Client
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

FAMILY = '''
"""A family that writes down a hash of every row of features that it is given."""

import json
from dataclasses import dataclass
from pathlib import Path

import firstword
from bakeoff.data.snapshot import row_hashes


@dataclass(frozen=True)
class Params:
    notes: str = ""


def note(folder, what, table):
    with (Path(folder) / f"{what}.jsonl").open("a") as file:
        file.write(json.dumps([f"{each:016x}" for each in row_hashes(table).tolist()]) + "\\n")


class Model(firstword.Model):
    notes = ""

    def predict(self, table):
        note(self.notes, "predict", table)
        return super().predict(table)

    def save(self, folder):
        super().save(folder)
        (folder / "notes.json").write_text(json.dumps(self.notes))


class NotingFamily(firstword.FirstWordFamily):
    name = "noting"
    tasks = frozenset({"classification", "generation"})
    params = Params

    def fit(self, job):
        from dataclasses import replace

        found = super().fit(replace(job, params=firstword.Params()))
        note(job.params.notes, "fit", job.train.select(job.schema.inputs))
        model = Model(found.signature, found.column, found.counts, {"rows": len(job.train)})
        model.notes = job.params.notes
        return model

    def load(self, folder, threads, cache=None):
        found = super().load(folder, threads)
        model = Model(found.signature, found.column, found.counts, found.chosen)
        model.notes = json.loads((folder / "notes.json").read_text())
        return model
'''

PLAIN = ["drop_duplicates", {"name": "impute", "numeric": "mean"}, "group_rare", "clip_outliers", "scale"]
ENCODED = [*PLAIN, "datetime_parts", "drop_constant", "encode_target"]


@pytest.fixture
def noting(third_party):
    """The family `noting`, installed beside `firstword`."""
    from bakeoff.core import plugins

    (third_party / "noting.py").write_text(textwrap.dedent(FAMILY))
    info = third_party / "noting-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bakeoff.families]\nnoting = noting:NotingFamily\n")
    plugins._registered.cache_clear()
    yield
    shutil.rmtree(info)
    plugins._registered.cache_clear()


def shop(rows=600, seed=1):
    """CSV text: gaps of every kind, categories that only some rows have, dates, a constant."""
    rng = random.Random(seed)
    lines = ["town,age,when,colour,member,bought"]
    for number in range(rows):
        bought = rng.random() < 0.4
        town = "" if number % 11 == 2 else f"once{number}" if number % 17 == 0 else rng.choice("ab" if bought else "bc")
        age = "" if number % 7 == 3 else f"{rng.gauss(40, 10):.3f}" if number % 97 else "1e12"
        when = (
            ""
            if number % 13 == 5
            else f"2024-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:07:00"
        )
        lines.append(f"{town},{age},{when},red,{rng.choice(['true', 'false', ''])},{'yes' if bought else 'no'}")
    return "\n".join(lines) + "\n"


def shop_project(folder, steps, *, candidates=1, more=""):
    folder.mkdir(exist_ok=True)
    (folder / "shop.csv").write_text(shop())
    notes = [folder / f"notes{at}" for at in range(candidates)]
    for each in notes:
        each.mkdir()
    toml = [
        '[project]\nname = "shop"\n[data]\nsource = "shop.csv"\ntarget = "bought"\ncategorical = ["town", "colour"]',
        f"[prepare]\nsteps = {steps_toml(steps)}",
        *(f'[candidates.c{at}]\nfamily = "noting"\nnotes = "{each}"' for at, each in enumerate(notes)),
        f"[decide]\nresamples = 200\nfindings = false\n{more}",
    ]
    (folder / "bakeoff.toml").write_text("\n".join(toml))
    return folder


def steps_toml(steps):
    def told(step):
        if isinstance(step, str):
            return json.dumps(step)
        return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in step.items()) + "}"

    return "[" + ", ".join(map(told, steps)) + "]"


def edit(folder, old, new):
    text = (folder / "bakeoff.toml").read_text()
    assert old in text
    (folder / "bakeoff.toml").write_text(text.replace(old, new))


def run(folder, lines=None):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.run()


def noted(folder, what, at=0):
    """All that was noted: a list of hashes for each call."""
    return [json.loads(line) for line in (folder / f"notes{at}" / f"{what}.jsonl").read_text().splitlines()]


def hashes(table):
    return [f"{each:016x}" for each in row_hashes(table).tolist()]


def sent(rows):
    """Rows as a client sends them."""
    times = [name for name, dtype in rows.schema.items() if dtype == pl.Datetime]
    return rows.with_columns(pl.col(times).dt.to_string("iso:strict")).to_dicts()


def test_served_rows_have_the_features_of_evaluation(tmp_path, noting):
    folder = shop_project(tmp_path / "shop", ENCODED, more=AS_EVALUATED)
    document = run(folder).document
    evaluated = next(call for call in noted(folder, "predict") if len(call) == document["dataset"]["test"])
    with Project(folder) as project:
        test, train = (project.rows(part).drop("bought") for part in ("test", "train"))
        (folder / "notes0" / "predict.jsonl").unlink()
        app = create_app(project.plane(), project.feedback, hosts=local_hosts("127.0.0.1"))
        with Server(app) as server, Client(server.url) as client:
            client.predict(sent(test))
            for row in sent(test[:20]):
                client.predict([row])
            client.predict(sent(train))
            empty = dict.fromkeys(test.columns)
            strange = [empty, {"town": "unseen", "age": -1e300, "when": "1969-07-20"}, {"age": None, "town": ""}]
            assert len(client.predict(strange)["predictions"]) == 3
        whole, *single, of_train, of_strange = noted(folder, "predict")
        assert whole == evaluated
        assert [call[0] for call in single] == evaluated[:20]
        assert len(of_strange) == 3
        fitted_on = noted(folder, "fit")[0]
        assert of_train != fitted_on  # training rows are encoded by folds that lack them
        model = project.model().model
        assert hashes(model.features(test)) == evaluated


AS_EVALUATED = "[loop]\nrefit = false\n"
"""What is served is what was evaluated: steps that are fitted on more rows make other features."""
PLAIN_FITTED = ["impute", "group_rare", "clip_outliers", "scale"]


def test_a_changed_step_is_fitted_anew_without_reading_or_preparing_again(tmp_path, noting):
    folder = shop_project(tmp_path / "shop", PLAIN, more=AS_EVALUATED)
    before = run(folder).document
    with Project(folder) as project:
        records_tell_the_family_its_parameters_and_the_steps(project, before["candidates"][0], folder)
        served = project.model().model.features(conform(sent(project.rows("train")), project.model().signature.inputs))
        assert hashes(served) == noted(folder, "fit")[0]
    edit(folder, '"mean"', '"median"')
    lines = []
    after = run(folder, lines).document
    assert [line for line in lines if "fitted in" in line]
    assert not [line for line in lines if "reading" in line or "preparing" in line or line.startswith("data:")]
    assert after["dataset"] == before["dataset"]
    assert after["candidates"][0]["model_version"] != before["candidates"][0]["model_version"]
    assert after["verdict"]["champion"] == before["candidates"][0]["model_version"]
    assert "unseen rows" in after["verdict"]["contest"]  # the champion was asked, behind its own steps
    assert run(folder).unchanged


def records_tell_the_family_its_parameters_and_the_steps(project, candidate, folder):
    assert candidate["family"] == "noting"
    told = project.records.runs.get(candidate["run_id"])
    assert told.tags["bakeoff.family"] == "noting"
    assert told.params["notes"] == str(folder / "notes0")
    assert [step["name"] for step in json.loads(told.params["prepare.steps"])] == PLAIN_FITTED
    made = project.lineage().model.lineage
    assert made["params"]["family"] == "noting"
    assert [step["name"] for step in made["params"]["steps"]] == PLAIN_FITTED
    assert {column["name"] for column in made["signature"]["inputs"]} == {"town", "age", "when", "colour", "member"}


def test_held_out_fits_see_training_rows_and_refits_all(tmp_path, noting, ships_all):
    more = '[split]\nby = "time"\n[loop]\nrefit = true\n'
    folder = shop_project(tmp_path / "shop", ENCODED, candidates=2, more=more)
    # Labels are nearly random: by chance last week's had a better f1_macro.
    edit(folder, 'target = "bought"', 'target = "bought"\ntime = "when"\nhorizon = "2y"')
    data = run(folder).document["dataset"]
    sizes = {at: [len(call) for call in noted(folder, "fit", at)] for at in (0, 1)}
    assert data["train"] == sizes[0][0] == sizes[1][0]
    assert sizes[0][1] == sizes[1][1] == data["train"]  # held out, to look for combinations
    assert sorted(sizes[0][2:] + sizes[1][2:]) == [data["prepared_rows"]]  # the winner, on all rows
    with Project(folder) as project:
        champion = project.lineage().model
        assert champion.lineage["rows"] == "all"
        assert len(project.predict(sent(project.rows("test").drop("bought"))[:3])) == 3


def test_what_is_wrong_with_steps_is_told_once_and_before_anything_runs(tmp_path, noting):
    folder = shop_project(tmp_path / "shop", ["impute", "drop_empty", {"name": "scale", "by": "hand"}], candidates=2)
    with pytest.raises(ConfigError) as caught:
        run(folder)
    assert [problem.key for problem in caught.value.problems] == ["prepare.steps.1", "prepare.steps.2.by"]
    edit(folder, steps_toml(["impute", "drop_empty", {"name": "scale", "by": "hand"}]), '["scale"]')
    edit(folder, 'name = "shop"', 'name = "shop"\ntask = "generation"')
    with pytest.raises(ConfigError, match="steps that learn from training rows for classification or regression only"):
        run(folder)


def test_a_step_may_stand_before_some_candidates_only(tmp_path, noting):
    folder = shop_project(tmp_path / "shop", ["impute", {"name": "scale", "only": ["c1"]}], candidates=2)
    with Project(folder) as project:
        one, two = wiring.contenders(project.loaded)
    assert [step.name for step in one.params.steps] == ["impute"]
    assert [step.name for step in two.params.steps] == ["impute", "scale"]
    assert (one.shown.family_name, one.family_name) == ("noting", "prepared")
    edit(folder, '"c1"]', '"c7", "d"]')
    with pytest.raises(ConfigError, match=r"steps\.1\.only: expected candidates among c0, c1, found 'c7'") as caught:
        run(folder)
    assert len(caught.value.problems) == 2
    edit(folder, steps_toml(["impute", {"name": "scale", "only": ["c7", "d"]}]), '[{ name = "scale", only = ["c1"] }]')
    with Project(folder) as project:
        one, two = wiring.contenders(project.loaded)
    assert (one.family_name, two.family_name) == ("noting", "prepared")


def test_a_step_over_a_column_that_is_not_there_fails_its_candidates(tmp_path, noting):
    folder = shop_project(tmp_path / "shop", [{"name": "scale", "columns": ["agee"]}])
    (candidate,) = run(folder).document["candidates"]
    assert candidate["status"] == "failed"
    assert "received 'agee'. Did you mean 'age'?" in candidate["error"]


# --- findings about the data --------------------------------------------------------------------


def test_what_was_found_about_the_data_stands_in_the_document_and_the_pages(tmp_path, noting):
    from bakeoff.cli.run_page import leaderboard
    from bakeoff.report.markdown import markdown

    folder = shop_project(tmp_path / "shop", ["drop_duplicates"])
    table = pl.read_csv(folder / "shop.csv", infer_schema=False)
    refund = pl.when(pl.col("bought") == "yes").then(pl.lit("1.5")).otherwise(pl.lit(""))
    table.with_columns(refund=refund).write_csv(folder / "shop.csv")
    lines = []
    document = run(folder, lines).document
    found = {(each["kind"], each["column"]) for each in document["dataset"]["warnings"]}
    assert found - {("dependence", "town")} == {("leak", "refund"), ("constant", "colour")}
    assert [each["name"] for each in document["dataset"]["classes"]] == ["no", "yes"]
    assert any(line.startswith("data: column 'refund' alone tells 'bought'") for line in lines)
    assert "warning: column 'refund' alone tells 'bought'" in leaderboard(RunOutcome.from_json(document))
    with Project(folder) as project:
        report = project.report()
        assert "⚠ column 'refund' alone tells 'bought'" in markdown(report)
        assert {each.kind for each in report.dataset.warnings} - {"dependence"} == {"leak", "constant"}
    html = pytest.importorskip("bakeoff.report.html")
    pytest.importorskip("vl_convert")
    page = html.html(report)
    assert "warnings about the data" in page
    assert "column &#39;refund&#39; alone tells &#39;bought&#39;" in page
