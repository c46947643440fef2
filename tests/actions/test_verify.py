import importlib.util
import json
import random
import shutil
import sys
from pathlib import Path

import pytest

from bakeoff import Project
from bakeoff.core import plugins
from bakeoff.core.errors import CorruptError

TOOL = Path(__file__).parents[2] / "tools" / "damage.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("damage", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def served(ran):
    """A finished run whose release has answered and been told the truth."""
    with Project(ran) as project:
        answers = project.predict([{"review": f"good film {n}", "year": 1990} for n in range(20)])
        project.feedback([{"id": answer.id, "label": "yes"} for answer in answers])
    return ran


def blobs(folder):
    return sorted((folder / ".bakeoff" / "blobs").glob("[wlt]*/??/??/*"))


def flip(path):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def run(folder):
    with Project(folder) as project:
        return project.run()


def verify(folder, *, repair=False):
    with Project(folder) as project:
        return project.verify(repair=repair)


def test_what_is_whole_is_said_to_be(served):
    assert verify(served) == []


@pytest.mark.parametrize("how", ["flip", "cut", "delete"])
def test_a_damaged_table_is_made_again_by_the_next_run(served, steady, tool, how):
    with Project(served) as project:
        table = project.records.documents.get("passes", "last").body["gathered"]["table_blob"]
        before = project.last().document
    (path,) = (path for path in blobs(served) if path.name == table)
    content = path.read_bytes()
    tool.damage(path, how, len(content) // 2)
    after = run(served)
    assert not after.unchanged
    assert steady(after.document) == steady(before)
    assert path.read_bytes() == content
    assert verify(served) == []


def test_any_damaged_blob_is_whole_after_a_repair_and_a_run(served, steady):
    def found(document):  # of two that are as good the cheaper wins, by the clock
        candidates, combinations, _, dataset = steady(document)
        return candidates, combinations, dataset

    before = run(served).document
    for path in random.Random(0).sample(blobs(served), 6):
        flip(path)
        seen = verify(served)
        assert any(str(path) == each.place for each in seen)
        repaired = verify(served, repair=True)
        assert {each.blob for each in repaired} >= {path.name}
        assert found(run(served).document) == found(before)
        # What an older run measured, such as its latencies, is measured once.
        assert all("is gone, and run" in each.problem for each in verify(served)), path


def test_a_model_is_healed_from_the_copy_that_serves(served):
    with Project(served) as project:
        live = project.release()
        project.predict([{"review": "good film", "year": 1990}])
    (path,) = (path for path in blobs(served) if path.name == live.blob_id)
    path.unlink()
    repaired = verify(served, repair=True)
    assert [each.remedy for each in repaired if each.blob == live.blob_id] == ["taken from the cache"]
    assert verify(served) == []


def test_a_damaged_copy_of_a_model_is_not_served(served):
    with Project(served) as project:
        (expected,) = project.predict([{"review": "good film", "year": 1990}])
        (copy,) = (served / ".bakeoff" / "cache" / "models").iterdir()
        content = (copy / "model.json").read_bytes()
        (copy / "model.json").write_bytes(content.replace(b"5", b"6", 1))
    with Project(served) as project:
        (answer,) = project.predict([{"review": "good film", "year": 1990}])
    assert answer.probabilities == expected.probabilities
    assert (copy / "model.json").read_bytes() == content


def test_what_no_run_makes_again_is_named_with_who_needs_it(served):
    with Project(served) as project:
        (version, *_) = project.datasets()
        snapshot = version.lineage["gathered"]["snapshot_blob"]
    shutil.rmtree(served / ".bakeoff" / "blobs")
    seen = {each.blob: each for each in verify(served, repair=True)}
    assert "dataset films/1" in seen[snapshot].problem
    assert "is gone" in seen[snapshot].problem
    assert not seen[snapshot].repaired


def records(folder):
    return folder / ".bakeoff" / "records.db"


def test_a_changed_value_in_the_records_stops_the_run_and_is_taken_from_the_copy(served):
    content = records(served).read_bytes()
    at = content.index(b'"outcome_blob":"') + len(b'"outcome_blob":"')
    records(served).write_bytes(content[:at] + b"X" + content[at + 1 :])
    with pytest.raises(CorruptError, match=r"records\.db are damaged: row .* of documents .*bakeoff verify --repair"):
        run(served)
    (repaired,) = verify(served, repair=True)
    assert repaired.remedy == "taken from the copy"
    assert verify(served) == []
    assert run(served).unchanged
    assert (served / ".bakeoff" / "damaged" / "records.db").exists()


@pytest.mark.parametrize("page", [0, 3, 7])
def test_a_zeroed_page_of_records_is_named(served, page):
    content = records(served).read_bytes()
    records(served).write_bytes(content[: page * 4096] + bytes(4096) + content[(page + 1) * 4096 :])
    with pytest.raises(CorruptError, match="verify --repair"):
        run(served)
    repaired = verify(served, repair=True)
    assert all(each.repaired for each in repaired)
    assert verify(served) == []
    assert run(served).document["verdict"]["winner"] is not None


def test_what_was_recorded_since_the_copy_is_said_to_be_lost(served):
    with Project(served) as project:
        experiment = project.records.experiments.open("films")
        project.records.runs.start(experiment.experiment_id, "of a colleague", run_id="f" * 32)
    content = records(served).read_bytes()
    records(served).write_bytes(content.replace(b"of a colleague", b"of a colleagux"))
    (repaired,) = verify(served, repair=True)
    assert "of a colleagux" in repaired.lost
    assert verify(served) == []


def test_records_that_are_gone_come_from_the_copy(served):
    records(served).unlink()
    (repaired,) = verify(served, repair=True)
    assert (repaired.problem, repaired.repaired) == ("is gone", True)
    assert run(served).unchanged


def test_damaged_records_never_take_the_place_of_the_copy(served):
    copy = records(served).with_name("records.db.backup")
    before = copy.read_bytes()
    content = records(served).read_bytes()
    at = content.index(b'"outcome_blob":"')
    records(served).write_bytes(content[:at] + b"x" + content[at + 1 :])
    with Project(served) as project:
        project._back_up()
    assert copy.read_bytes() == before


def test_random_damage_of_all_kinds(tool, capsys, monkeypatch):
    """A sample of `tools/damage.py`, which is run with 500 places by hand."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugins._registered.cache_clear()
    code = tool.main(["--trials", "8", "--seed", "7"])
    plugins._registered.cache_clear()
    out = capsys.readouterr().out
    assert code == 0, out
    assert "0 of 8 failed" in out


def test_the_command(bakeoff_command, served):
    code, out = bakeoff_command("verify", "-C", str(served))
    assert (code, out.strip()) == (0, "All that is stored is what was written.")
    flip(blobs(served)[0])
    code, out = bakeoff_command("verify", "--json", "-C", str(served))
    assert code == 1
    assert json.loads(out)["damages"][0]["place"] == str(blobs(served)[0])


@pytest.fixture
def bakeoff_command():
    from typer.testing import CliRunner

    from bakeoff.cli.main import app

    def command(*arguments):
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, result.stdout

    return command
