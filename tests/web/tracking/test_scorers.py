"""Scorers in versions: each is kept, and those that come at once have numbers of their own."""

from concurrent.futures import ThreadPoolExecutor

SCORERS = "3.0/mlflow/scorers"


def register(client, text="s"):
    return client("POST", f"{SCORERS}/register", experiment_id="0", name="tone", serialized_scorer=text)


def test_versions_count_on(client):
    first, second = register(client, "a"), register(client, "b")
    # The protocol's message has a text here and a number in lists: a client cannot read another.
    assert (first["version"], second["version"], first["experiment_id"]) == (1, 2, "0")
    assert first["scorer_id"] == second["scorer_id"]
    newest = client("GET", f"{SCORERS}/get", experiment_id="0", name="tone")["scorer"]
    assert (newest["scorer_version"], newest["serialized_scorer"], newest["experiment_id"]) == (2, "b", 0)
    assert client("GET", f"{SCORERS}/get", experiment_id="0", name="tone", version=1)["scorer"]["scorer_version"] == 1
    assert [each["scorer_version"] for each in client("GET", f"{SCORERS}/list", experiment_id="0")["scorers"]] == [2]


def test_those_that_come_at_once_are_all_kept(client):
    with ThreadPoolExecutor(8) as pool:
        versions = {each["version"] for each in pool.map(lambda at: register(client, str(at)), range(8))}
    assert versions == set(range(1, 9))
    listed = client("GET", f"{SCORERS}/versions", experiment_id="0", name="tone")["scorers"]
    assert {each["serialized_scorer"] for each in listed} == {str(at) for at in range(8)}


def test_one_version_goes_or_all(client):
    register(client), register(client)
    client("DELETE", f"{SCORERS}/delete", experiment_id="0", name="tone", version=1)
    message = client.refused(
        "GET", f"{SCORERS}/get", "RESOURCE_DOES_NOT_EXIST", 404, experiment_id="0", name="tone", version=1
    )
    assert message == "Scorer with name 'tone' and version 1 not found for experiment 0."
    client("DELETE", f"{SCORERS}/delete", experiment_id="0", name="tone")
    client.refused("GET", f"{SCORERS}/versions", "RESOURCE_DOES_NOT_EXIST", 404, experiment_id="0", name="tone")
