"""The graph of lineage: from a prediction up to its source file, and down to what came of it."""

import json
import uuid
from xml.etree import ElementTree as ET

import pytest

from bakeoff import Project
from bakeoff.core.errors import NotFoundError
from bakeoff.core.events import FeedbackEvent, KeyEvent, key_id
from bakeoff.core.graph import KINDS, LineageGraph, LineageNode
from bakeoff.core.hashing import digest_file
from bakeoff.registry.lineage import label
from bakeoff.report.lineage_picture import lineage_svg

pytestmark = pytest.mark.slow

ROW = {"review": "good film, see it", "year": 1999}


@pytest.fixture
def served(ran):
    """A project with a live model, the id of an answer, and feedback that joined its next dataset."""
    with Project(ran) as project:
        answer = project.predict([ROW])[0]
        project.feedback([{"id": answer.id, "label": "yes"}])
        yield project, answer


def champion(project):
    return label(project.lineage().model)


def kinds(nodes):
    return sorted(node.kind for node in nodes)


def test_a_prediction_leads_up_to_data_code_environment_and_parameters(served):
    project, answer = served
    graph = project.lineage_of(answer.id, direction="up")
    (model,), (dataset,) = graph.of_kind("model"), graph.of_kind("dataset")
    known = project.lineage()
    assert model.label == answer.model_version == champion(project)
    assert model.facts["params"] == dict(known.model.model_origin.params)
    assert model.facts["fitted_on"] == "240 rows"
    assert (dataset.facts["version"], dataset.facts["rows"]) == (known.dataset.content, 300)
    assert graph.of_kind("source")[0].facts["hash"] == digest_file(project.folder / "films.csv")
    assert graph.of_kind("environment")[0].facts["packages"] == len(project.environment(champion(project)).packages)
    assert graph.of_kind("code")[0].facts["files"] == known.model.model_origin.code.tree_blob
    assert kinds(graph.origins(graph.of_kind("run")[0].id)) == ["code", "dataset", "environment"]
    assert graph.node(graph.start).facts["row"] == ROW
    assert not graph.of_kind("feedback")  # that came of it


def test_a_source_file_leads_down_to_the_release_and_feedback_to_the_dataset_that_took_it_in(served):
    project, answer = served
    down = project.lineage_of("films.csv", direction="down")
    assert {node.kind for node in down.nodes} == {"source", "dataset", "run", "model", "release"}
    assert kinds(project.lineage_of(answer.id, direction="down").nodes) == ["feedback", "prediction"]
    project.predict([ROW])
    project.take_in()
    project.run()
    joined = project.datasets()[0]
    assert joined.lineage["from_feedback"] == 1
    graph = project.lineage_of(answer.id, direction="down")
    (feedback,) = graph.of_kind("feedback")
    assert feedback.facts["truth"] == "yes"
    assert [each.id for each in graph.results(feedback.id)] == [f"dataset:films/{joined.number}"]
    assert {f"films/{each.number}" for each in project.models() if each.run_id == joined.run_id} <= {
        each.label for each in graph.of_kind("model")
    }


def test_each_thing_that_was_said_of_a_prediction_is_a_node_of_its_own(served):
    """Also of one time, as of one call; what names a key of the caller's own leads up to its predictions."""
    project, answer = served
    project.feedback([{"id": answer.id, "label": "no", "source": each} for each in ("ann", "bob")])
    nodes = project.lineage_of(answer.id, direction="down").of_kind("feedback")
    assert [node.facts.get("source") for node in nodes] == [None, "ann", "bob"]
    for node in nodes:
        again = project.lineage_of(node.id)
        assert again.start == node.id
        assert again.node(again.start) == node
        assert [each.id for each in again.of_kind("prediction")] == [f"prediction:{answer.id}"]
    key = key_id("films", "ada@example.org")
    project.events.append(
        [KeyEvent(id=key, prediction_id=answer.id, time_ms=5), FeedbackEvent(id=key, label="yes", time_ms=7)]
    )
    for name in (f"feedback:{key}", f"feedback:{key}@7"):
        graph = project.lineage_of(name, direction="up")
        assert graph.start == f"feedback:{key}@7"
        assert [each.id for each in graph.of_kind("prediction")] == [f"prediction:{answer.id}"]
    with pytest.raises(NotFoundError):
        project.lineage_of(f"feedback:{key}@8")


def test_things_are_known_by_their_names(served):
    project, answer = served
    run_id, release = project.last().run_id, project.release()
    names = {
        None: f"model:{champion(project)}",
        "champion": f"model:{champion(project)}",
        "films/1": "model:films/1",
        "dataset:1": "dataset:films/1",
        project.datasets()[0].content[:8]: "dataset:films/1",
        run_id: f"run:{run_id}",
        f"run:{run_id[:6]}": f"run:{run_id}",
        release.release_id: f"release:films/{release.release_id}",
        answer.id: f"prediction:{answer.id}",
        "environment:films/1": "environment:films/1",
        "source:films.csv": f"source:{digest_file(project.folder / 'films.csv')}",
    }
    assert {name: project.lineage_of(name, direction="up").start for name in names} == names
    assert project.lineage_of(release.release_id, direction="up").of_kind("model")
    for name in ("nobody", "films/9", "model:x", "prediction:0", "0" * 32, "prompt:", "source:nowhere.csv"):
        with pytest.raises(NotFoundError, match="which none of these is"):
            project.lineage_of(name)


def test_the_picture_has_a_box_for_each_thing(served):
    project, answer = served
    graph = project.lineage_of(answer.id)
    drawn = ET.fromstring(lineage_svg(graph))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in KINDS] == [node.kind for node in graph.nodes]
    boxes = {
        title.text: float(group.find("{*}rect").get("x"))
        for group in drawn.iter("{http://www.w3.org/2000/svg}g")
        for title in group.iter("{http://www.w3.org/2000/svg}title")
    }
    left_to_right = [
        next(x for title, x in boxes.items() if key in title) for key in ("location:", "split:", "winner:")
    ]
    assert left_to_right == sorted(left_to_right)
    assert len(set(left_to_right)) == 3


def test_events_of_open_lineage(served):
    project, answer = served
    events = {event["job"]["name"]: event for event in project.open_lineage(project.lineage_of(answer.id))}
    assert set(events) == {"bake-off", "gather", "release", "predict"}
    run = events["bake-off"]
    assert uuid.UUID(run["run"]["runId"]).hex == project.last().run_id
    assert [each["name"] for each in run["inputs"]] == ["dataset:films/1"]
    assert run["inputs"][0]["facets"]["version"]["datasetVersion"] == project.datasets()[0].content
    fields = {each["name"]: each["type"] for each in run["inputs"][0]["facets"]["schema"]["fields"]}
    assert fields == {"review": "text", "year": "numeric", "liked": "categorical"}
    assert "model:films/1" in {each["name"] for each in run["outputs"]}
    assert [each["name"] for each in events["predict"]["outputs"]] == [f"prediction:{answer.id}"]
    for event in events.values():
        assert {"eventTime", "eventType", "producer", "schemaURL", "run", "job", "inputs", "outputs"} == set(event)
        assert json.loads(json.dumps(event)) == event


def test_training_rows_near_to_a_prediction(served):
    project, _ = served
    row = project.rows("train").row(7, named=True)
    answer = project.predict([{"review": row["review"], "year": row["year"]}])[0]
    near = project.training_rows_near(answer.id, most=3)
    assert near[0].distance == pytest.approx(0, abs=1e-9)
    assert dict(near[0].values) == row
    assert [each.distance for each in near] == sorted(each.distance for each in near)
    with pytest.raises(NotFoundError, match="id of a prediction"):
        project.training_rows_near("0" * 32)


def test_the_name_of_a_thing_makes_no_mark_of_the_picture():
    """It stands in an attribute, which a quote would end; and XML holds no control characters."""
    hostile = 'snapshot:x" onload="alert(1)\x1b<b>/1'
    graph = LineageGraph(start=hostile, nodes=(LineageNode(id=hostile, kind="snapshot", label=hostile),), edges=())
    drawn = ET.fromstring(lineage_svg(graph))
    assert "onload" not in drawn.attrib
    assert drawn.attrib["aria-label"] == 'Lineage of snapshot:x" onload="alert(1)\N{REPLACEMENT CHARACTER}<b>/1'
