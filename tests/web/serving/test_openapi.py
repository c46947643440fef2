"""The OpenAPI document: every route in it, valid, and no request made of it that ends in an error of ours."""

import warnings

import pytest
from starlette.routing import Route

from bakeoff.web.openapi import document, takes
from bakeoff.web.permissions import permission

schemathesis = pytest.importorskip("schemathesis")

SERVER_ERROR = 500
EXAMPLES = 4


def test_every_route_is_in_the_document(row_world) -> None:
    import httpx2

    made = httpx2.get(f"{row_world.server.url}/openapi.json").json()
    served = {route.path.replace(":path}", "}") for route in row_world.app.routes}
    assert set(made["paths"]) == served
    infer = made["paths"]["/v2/models/{model}/infer"]["post"]
    assert infer["x-permission"] == "predict"
    assert [each["name"] for each in infer["parameters"]] == ["model"]
    assert infer["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/InferenceRequest"
    }
    assert made["components"]["schemas"]["InferenceRequest"]["required"] == ["inputs"]


def test_bodies_of_other_media_types() -> None:
    @permission("run")
    @takes(None, "text/csv")
    async def upload(_request):
        """Keep a file.

        And more.
        """

    operation = document([Route("/files/{name}", upload, methods=["PUT"])])["paths"]["/files/{name}"]["put"]
    assert operation["summary"] == "Keep a file."
    assert operation["requestBody"] == {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}


@pytest.mark.slow
def test_nothing_that_can_be_asked_is_an_error_of_ours(row_world) -> None:
    """Requests made of the document, right ones and wrong ones; a longer run found nothing either."""
    from hypothesis import HealthCheck, given, settings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_url(f"{row_world.server.url}/openapi.json")
    statuses = set()
    for operation in (each.ok() for each in schema.get_all_operations()):

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def asked(case):
            response = case.call(timeout=10)
            statuses.add(response.status_code)
            assert response.status_code < SERVER_ERROR, (case.method, case.path, case.body, response.text)

        asked()
    assert {200, 400, 404} <= statuses
