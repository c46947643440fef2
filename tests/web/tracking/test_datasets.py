"""Evaluation datasets: their records are counted, merged and kept apart, whoever writes at the same time."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

DATASETS = "3.0/mlflow/datasets"


@pytest.fixture
def dataset(client):
    def call(method, path="", expected=200, /, **given):
        return client(method, f"{DATASETS}/{dataset_id}{path}", expected, **given)

    made = client("POST", f"{DATASETS}/create", name="questions", experiment_ids=["0"], tags='{"team": "a"}')
    dataset_id = made["dataset"]["dataset_id"]
    return call


def upsert(dataset, *records):
    return dataset("POST", "/records", records=json.dumps(records))


def records(dataset):
    return json.loads(dataset("GET", "/records")["records"])


def size(dataset):
    return json.loads(dataset("GET")["dataset"]["profile"])["num_records"]


def test_records_with_the_same_inputs_are_merged(dataset):
    first = upsert(dataset, {"inputs": {"q": 1}, "expectations": {"a": 1}}, {"inputs": {"q": 2}})
    assert first == {"inserted_count": 2, "updated_count": 0}
    again = upsert(dataset, {"inputs": {"q": 1}, "expectations": {"b": 2}, "tags": {"t": "x"}}, {"inputs": {"q": 3}})
    assert again == {"inserted_count": 1, "updated_count": 1}
    known = records(dataset)
    assert [each["inputs"]["q"] for each in known] == [1, 2, 3]
    assert known[0]["expectations"] == {"a": 1, "b": 2}
    assert known[0]["tags"] == {"t": "x"}
    assert size(dataset) == 3


def test_records_removed_are_counted_off_and_later_ones_come_last(dataset):
    upsert(dataset, *({"inputs": {"q": number}} for number in range(4)))
    gone = [each["dataset_record_id"] for each in records(dataset)[:2]]
    assert dataset("DELETE", "/records", dataset_record_ids=[*gone, "dr-none"]) == {"deleted_count": 2}
    assert size(dataset) == 2
    upsert(dataset, {"inputs": {"q": 9}})
    assert [each["inputs"]["q"] for each in records(dataset)] == [2, 3, 9]
    assert size(dataset) == 3


def test_all_that_write_at_once_are_kept(client, dataset):
    experiments = [client("POST", "2.0/mlflow/experiments/create", name=f"e{at}")["experiment_id"] for at in range(8)]

    def write(at):
        upsert(dataset, {"inputs": {"q": at}}, {"inputs": {"q": "shared"}, "tags": {f"t{at}": "x"}})
        dataset("PATCH", "/tags", tags=json.dumps({f"t{at}": "x"}))
        dataset("POST", "/add-experiments", experiment_ids=[experiments[at]])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    known = records(dataset)
    shared = next(each for each in known if each["inputs"]["q"] == "shared")
    assert (len(known), size(dataset)) == (9, 9)
    assert shared["tags"] == {f"t{at}": "x" for at in range(8)}
    shown = dataset("GET")["dataset"]
    assert json.loads(shown["tags"]) == {"team": "a", **{f"t{at}": "x" for at in range(8)}}
    assert sorted(shown["experiment_ids"]) == sorted(["0", *experiments])


def test_tags_go_and_a_dataset_is_found_by_those_left(client, dataset):
    dataset("PATCH", "/tags", tags='{"team": null, "kind": "eval"}')
    assert json.loads(dataset("GET")["dataset"]["tags"]) == {"kind": "eval"}
    for text, count in (("tags.kind = 'eval'", 1), ("tags.team = 'a'", 0), ("name LIKE 'quest%'", 1)):
        found = client("POST", f"{DATASETS}/search", filter_string=text, experiment_ids=["0"])
        assert len(found["datasets"]) == count, text
    dataset("DELETE", "/tags/kind")
    dataset("POST", "/remove-experiments", experiment_ids=["0"])
    assert client("POST", f"{DATASETS}/search", experiment_ids=["0"])["datasets"] == []
    assert len(client("GET", f"{DATASETS}/search")["datasets"]) == 1


def test_a_dataset_goes_with_its_records(dataset):
    upsert(dataset, {"inputs": {"q": 1}})
    dataset("DELETE")
    assert dataset("GET", "", 404)["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert dataset("GET", "/records", 404)["error_code"] == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"inputs": 3}]', "[{}]"])
def test_what_are_no_records_is_refused_and_nothing_written(dataset, text):
    answer = dataset("POST", "/records", 400, records=text)
    assert answer["error_code"] == "INVALID_PARAMETER_VALUE"
    assert records(dataset) == []
