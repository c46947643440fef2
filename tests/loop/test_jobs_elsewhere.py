"""A whole run whose jobs work in another folder and know no path of the project."""

import json

import msgspec
import pytest

from bakeoff import Project
from bakeoff.compute.local import LocalCompute
from bakeoff.project import wiring


@pytest.mark.parametrize("split", ["", "[split]\nfolds = 2\n"])
def test_a_run_needs_nothing_of_the_project_but_its_blobs(films_project, tmp_path, monkeypatch, split):
    (films_project / "metrics.py").write_text(
        "def cost(truth, predicted):\n    return float((truth != predicted).mean())\ncost.higher_is_better = False\n"
    )
    file, more = films_project / "bakeoff.toml", 'metrics_file = "metrics.py"\nmetrics = ["cost"]\n'
    file.write_text(file.read_text().replace("[decide]\n", f"{split}[decide]\n{more}"))
    assert more in file.read_text()
    there, sent = tmp_path / "there", []
    there.mkdir()
    monkeypatch.chdir(there)

    class Elsewhere(LocalCompute):
        def run(self, jobs, *, progress, exclusive=False):
            def noted():
                for job in jobs:
                    sent.append((job.function, json.dumps(msgspec.to_builtins(job.argument)), dict(job.inputs)))
                    yield job

            return super().run(noted(), progress=progress, exclusive=exclusive)

    def elsewhere(_config, blobs, *, work, cache, jobs):
        return Elsewhere(blobs=blobs, work=there / "work", cache=there / "cache", workers=2, jobs=jobs)

    monkeypatch.setattr(wiring, "compute", elsewhere)
    with Project(films_project) as project:
        document = project.run().document
    assert {function.partition(":")[2] for function, _, _ in sent} >= {"fit", "evaluate"}
    assert [argument for _, argument, _ in sent if str(films_project) in argument] == []
    assert all(len(blob) == 64 for _, _, inputs in sent for blob in inputs.values())
    assert all("cost" in each["metrics"] for each in document["candidates"])
    assert all(each["status"] == "ok" for each in document["candidates"])
    assert not list((there / "work").iterdir())
