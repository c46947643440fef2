"""What stands in the project file reaches what it names."""

from pathlib import Path

import pytest

from bakeoff.config.file import load
from bakeoff.config.sections import Config
from bakeoff.project import wiring
from bakeoff.testing.memory import MemoryBlobs


@pytest.mark.parametrize(
    ("backend", "name", "address"),
    [
        ("mine", "mine", None),
        ("ray", "ray", None),
        ("ray:10.0.0.1:6379", "ray", "ray:10.0.0.1:6379"),
        ("ray://head:10001", "ray", "ray://head:10001"),
    ],
)
def test_a_backend_gets_its_address_where_it_has_one(monkeypatch, backend, name, address):
    made = {}
    monkeypatch.setattr(wiring.plugins, "load", lambda _, name: lambda **given: made.update(given, name=name))
    sections = {
        "project": {"name": "x", "task": "classification"},
        "data": {"source": "x.csv", "target": "y"},
        "candidates": {"linear": {}},
        "compute": {"backend": backend, "workers": 3},
    }
    blobs = MemoryBlobs()
    wiring.compute(Config.model_validate(sections), blobs, work=Path("w"), cache=Path("c"), jobs=2)
    expected = {"blobs": blobs, "work": Path("w"), "cache": Path("c"), "workers": 3, "threads": 0, "jobs": 2}
    assert made == expected | {"name": name} | ({} if address is None else {"address": address})


def test_a_candidate_made_of_others_depends_on_their_packages_and_code(tmp_path):
    (tmp_path / "bakeoff.toml").write_text(
        """
        [project]
        name = "x"
        task = "classification"
        [data]
        source = "x.csv"
        target = "y"
        [candidates.first]
        family = "stacked"
        members = [{ name = "a", family = "linear" }]
        second = { name = "second", family = "neighbours" }
        [candidates.other]
        family = "stacked"
        members = [{ name = "a", family = "linear" }]
        second = { name = "second", family = "boosting" }
        """
    )
    first, other = wiring.contenders(load(tmp_path / "bakeoff.toml", environ={}))
    assert "lightgbm" in other.requires
    assert "lightgbm" not in first.requires
    assert {"scikit-learn", "numpy"} <= {*first.requires}
    assert first.code != other.code
