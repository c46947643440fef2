"""Registered models, versions, stages and aliases as MLflow's clients use them."""

import pytest

NAMES, VERSIONS = "2.0/mlflow/registered-models", "2.0/mlflow/model-versions"


@pytest.fixture
def model(client):
    client("POST", f"{NAMES}/create", name="m", description="first", tags=[{"key": "team", "value": "a"}])
    for at in range(3):
        client("POST", f"{VERSIONS}/create", name="m", source=f"s3://b/{at}", run_id=f"r{at}", tags=[])
    return client


def test_names_are_made_once_changed_and_removed(model):
    assert "already exists" in model.refused("POST", f"{NAMES}/create", "RESOURCE_ALREADY_EXISTS", name="m")
    model("PATCH", f"{NAMES}/update", name="m", description="second")
    model("POST", f"{NAMES}/rename", name="m", new_name="n")
    found = model("GET", f"{NAMES}/get", name="n")["registered_model"]
    assert (found["description"], found["tags"]) == ("second", [{"key": "team", "value": "a"}])
    assert [each["version"] for each in found["latest_versions"]] == ["3"]
    assert (
        model.refused("GET", f"{NAMES}/get", "RESOURCE_DOES_NOT_EXIST", 404, name="m")
        == "Registered Model with name=m not found"
    )
    model("DELETE", f"{NAMES}/delete", name="n")
    assert model("GET", f"{NAMES}/search")["registered_models"] == []


def test_versions_count_on_and_are_never_numbered_again(model):
    model("DELETE", f"{VERSIONS}/delete", name="m", version="3")
    new = model("POST", f"{VERSIONS}/create", name="m", source="s3://b/0", run_id="r0")["model_version"]
    assert new["version"] == "4"
    found = model("GET", f"{VERSIONS}/search", filter="name = 'm'")["model_versions"]
    assert [each["version"] for each in found] == ["4", "2", "1"]
    assert model.refused("GET", f"{VERSIONS}/get", "RESOURCE_DOES_NOT_EXIST", 404, name="m", version="3")
    assert model("GET", f"{VERSIONS}/get-download-uri", name="m", version="2")["artifact_uri"] == "s3://b/1"


def test_stages_are_taken_over(model):
    model("POST", f"{VERSIONS}/transition-stage", name="m", version="1", stage="Production")
    model(
        "POST",
        f"{VERSIONS}/transition-stage",
        name="m",
        version="2",
        stage="production",
        archive_existing_versions=True,
    )
    latest = model("POST", f"{NAMES}/get-latest-versions", name="m")["model_versions"]
    assert {each["current_stage"]: each["version"] for each in latest} == {
        "None": "3",
        "Production": "2",
        "Archived": "1",
    }
    message = model.refused(
        "POST", f"{VERSIONS}/transition-stage", "INVALID_PARAMETER_VALUE", name="m", version="1", stage="Live"
    )
    assert "Invalid Model Version stage: Live" in message


def test_aliases_move(model):
    model("POST", f"{NAMES}/alias", name="m", alias="best", version="1")
    model("POST", f"{NAMES}/alias", name="m", alias="best", version="2")
    assert model("GET", f"{NAMES}/alias", name="m", alias="best")["model_version"]["version"] == "2"
    assert model("GET", f"{VERSIONS}/get", name="m", version="1")["model_version"]["aliases"] == []
    model("DELETE", f"{NAMES}/alias", name="m", alias="best")
    assert "not found" in model.refused("GET", f"{NAMES}/alias", "INVALID_PARAMETER_VALUE", name="m", alias="best")
    for alias, why in (("latest", "reserved"), ("v3", "reserved"), ("a b", "Invalid alias name")):
        assert why in model.refused(
            "POST", f"{NAMES}/alias", "INVALID_PARAMETER_VALUE", name="m", alias=alias, version="1"
        )


def test_prompts_stand_apart_from_models(model):
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    model("POST", f"{NAMES}/create", name="ask", tags=tags)
    models = model("GET", f"{NAMES}/search")["registered_models"]
    prompts = model("GET", f"{NAMES}/search", filter="tags.`mlflow.prompt.is_prompt` = 'true'")["registered_models"]
    assert ([each["name"] for each in models], [each["name"] for each in prompts]) == (["m"], ["ask"])


@pytest.mark.parametrize(
    "source", ["/tmp", "file:///tmp", "http://h/../x", "mlflow-artifacts:/a/..%2f..%2fb", "a/b", "s3://b/%00"]
)
def test_a_version_is_made_of_no_files_that_nobody_gave(model, source):
    message = model.refused("POST", f"{VERSIONS}/create", "INVALID_PARAMETER_VALUE", name="m", source=source)
    assert message.startswith(f"Invalid model version source: '{source}'")


def test_a_copy_takes_the_files_of_its_source(model):
    model("POST", f"{NAMES}/create", name="copy")
    made = model("POST", f"{VERSIONS}/create", name="copy", source="models:/m/2")["model_version"]
    assert made["source"] == "models:/m/2"
    assert model("GET", f"{VERSIONS}/get-download-uri", name="copy", version="1")["artifact_uri"] == "s3://b/1"
