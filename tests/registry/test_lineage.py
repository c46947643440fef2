import pytest

from bakeoff.core.errors import NotFoundError
from bakeoff.core.lineage import DatasetOrigin, ModelOrigin
from bakeoff.core.refs import BlobRef
from bakeoff.registry.lineage import find_version, label, lineage
from bakeoff.registry.register import promote, register_once
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.memory import MemoryRecords


@pytest.fixture
def versions():
    return MemoryRecords(FakeClock()).versions


def registered(versions, content):
    return register_once(versions, "model", "films", content, run_id="r", made_from=ModelOrigin(dataset_version="d"))


def test_the_same_content_is_registered_once(versions):
    first = registered(versions, "a" * 64)
    assert registered(versions, "a" * 64) == first
    assert registered(versions, "b" * 64).number == 2


def test_a_version_is_found_by_number_label_alias_or_as_champion(versions):
    registered(versions, "a" * 64)
    second = promote(versions, registered(versions, "b" * 64))
    assert "champion" in second.aliases
    for which in (None, "champion", "2", "films/2", "films/champion"):
        assert label(find_version(versions, "films", which)) == "films/2"
    assert label(find_version(versions, "films", "1")) == "films/1"


@pytest.mark.parametrize("which", ["3", "films/3", "nobody", "other/1", "../x", "\u00b2", "9" * 30, "-1", "0"])
def test_what_is_no_version_names_those_that_are(versions, which):
    registered(versions, "a" * 64)
    with pytest.raises(NotFoundError, match=r"versions: (films/1|none yet)"):
        find_version(versions, "films", which)


def test_lineage_leads_to_the_dataset_and_the_environment(versions):
    origin = DatasetOrigin(sources={}, query=None, summary={"rows": 3})
    data = register_once(versions, "dataset", "films", "d", run_id="r", made_from=origin)
    found = lineage(versions, registered(versions, "a" * 64))
    assert found.dataset == data
    assert found.environment is None
    assert found.to_json()["dataset"]["rows"] == 3


@pytest.mark.parametrize(
    ("origin", "judged_by"),
    [
        (ModelOrigin(), "this model, which did not learn from them"),
        (ModelOrigin(rows="all"), "its twin, which was fitted without them"),
        (ModelOrigin(rows="all", fold_trees=(BlobRef("a"), BlobRef("b"))), "its like of 2 folds, each fitted without"),
    ],
)
def test_a_model_that_learned_from_the_test_rows_did_not_answer_them(origin, judged_by):
    assert origin.judged_by.startswith(judged_by)
