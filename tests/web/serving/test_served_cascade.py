"""A cascade behind one endpoint: a small model here answers what it is sure of, a service the rest; and a router."""

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from bakeoff import Project
from bakeoff.data.row_router import RowFeatures, RowRouter
from bakeoff.testing.service import serving
from bakeoff.web.serving.app import create_app

CASCADE = """
[candidates.both]
family = "cascade"
thresholds = [0.8]
members = [
    {{ name = "here", family = "firstword", params = {{}} }},
    {{ name = "far", family = "remote", params = {{ url = "{url}", model = "large" }} }},
]
"""


@pytest.fixture
def service():
    """Says "yes" of every film."""
    with serving(lambda _: "yes") as running:
        yield running


def test_only_what_the_small_model_doubts_goes_to_the_service(films_project, service):
    file = films_project / "bakeoff.toml"
    file.write_text(
        file.read_text().replace("[candidates.second]", CASCADE.format(url=service.url) + "[candidates.second]")
    )
    with Project(films_project) as project:
        project.run()
        project.endpoints.create("films-cascade")
        project.endpoints.release("both", endpoint="films-cascade")
        service.asked.clear()
        with TestClient(create_app(project.plane(), project.feedback, hosts=None)) as client:
            rows = [{"review": "awful film", "year": 2001}, {"review": "unheard of film", "year": 2001}]
            answer = client.post("/predict/films-cascade", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    assert [each["label"] for each in answer.json()["predictions"]] == ["no", "yes"]
    assert len(service.asked) == 1
    assert "unheard of film" in service.asked[0].said


ROUTER = """
[candidates.either]
family = "router"
rule = {{ features = {{ texts = ["review"] }}, weights = "{weights}", bias = 0.0, threshold = 0.1 }}
members = [
    {{ name = "here", family = "firstword", params = {{}} }},
    {{ name = "far", family = "remote", params = {{ url = "{url}", model = "large" }} }},
]
"""


def test_a_router_asks_the_service_about_rows_that_say_so_and_the_small_model_about_no_others(films_project, service):
    words_nd = RowFeatures(texts=("review",)).matrix(pl.DataFrame({"review": ["unheard of film", "awful film"]}))
    weights_d = np.where((words_nd[0] > 0) & (words_nd[1] == 0), 1.0, 0.0)
    text = ROUTER.format(weights=RowRouter.packed(weights_d), url=service.url)
    file = films_project / "bakeoff.toml"
    file.write_text(file.read_text().replace("[candidates.second]", text + "[candidates.second]"))
    with Project(films_project) as project:
        project.run()
        project.endpoints.create("films-router")
        project.endpoints.release("either", endpoint="films-router")
        service.asked.clear()
        with TestClient(create_app(project.plane(), project.feedback, hosts=None)) as client:
            rows = [{"review": "awful film", "year": 2001}, {"review": "unheard of film", "year": 2001}]
            answer = client.post("/predict/films-router", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    assert [each["label"] for each in answer.json()["predictions"]] == ["no", "yes"]
    assert [each.said.count("unheard") for each in service.asked] == [1]
