"""What tasks of the LM Evaluation Harness came to, for programs, notebooks and documents."""

import json

import jsonschema

from bakeoff.actions.harness import HarnessReport
from bakeoff.cli.documents import schema_of
from bakeoff.cli.harness import _page
from bakeoff.families.language.harness import HarnessMetric, HarnessTask


def test_a_report_is_typed_and_its_document_has_the_same(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    accuracy = HarnessMetric(name="acc", filter="none", value=0.5, stderr=0.1, higher_is_better=True)
    nothing = HarnessMetric(name="exact_match", filter="strict", value=None, stderr=None, higher_is_better=None)
    report = HarnessReport(
        candidate="lora",
        family="lora",
        run_id="r1" * 16,
        model_version="films/2",
        harness="0.4.13",
        precision="fp32",
        chat=False,
        limit=None,
        seed=0,
        tasks=(HarnessTask(name="<letters>", version="2.5", shots=1, rows=1200, metrics=(accuracy, nothing)),),
    )
    document = json.loads(json.dumps(report.to_json()))
    names = ["candidate", "family", "run_id", "model_version", "harness", "precision", "chat", "limit", "seed", "tasks"]
    assert list(document) == names
    assert document["tasks"][0]["metrics"][1] == {
        "name": "exact_match",
        "filter": "strict",
        "value": None,
        "stderr": None,
        "higher_is_better": None,
    }
    jsonschema.validate({"format": 1, **document}, schema_of("models harness"))
    assert repr(report) == "HarnessReport('lora', films/2: <letters>)"
    assert '<td>&lt;letters&gt;</td><td>2.5</td><td class="n">1</td><td class="n">1,200</td>' in report._repr_html_()
    assert "exact_match (strict)" in _page(report)
