"""Environments from their records: pins, differences, and one that is made again by uv where the index answers."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.lineage import EnvironmentOrigin
from bakeoff.environment.capture import capture
from bakeoff.environment.rebuild import build, pins
from bakeoff.environment.sbom import Material, sbom
from bakeoff.environment.system import system

PYTHON = ".".join(map(str, sys.version_info[:3]))


def origin(**packages: str) -> EnvironmentOrigin:
    return EnvironmentOrigin(python=PYTHON, platform="linux-x86_64", packages=packages, local=("mine",))


def test_what_was_installed_from_a_folder_is_no_pin():
    lines = pins(origin(six="1.17.0", mine="0.1")).splitlines()
    assert lines == [
        f"# Python {PYTHON}, linux-x86_64",
        "# mine==0.1: installed from a folder or an address",
        "six==1.17.0",
    ]
    assert set(capture().local) <= capture().packages.keys()


def test_an_environment_is_made_again(tmp_path):
    """No package is fetched: the Python alone is made."""
    pytest.importorskip("uv")
    built = build(origin(mine="0.1"), tmp_path / "again")
    assert (built.packages, built.left_out) == (0, ("mine",))
    python = tmp_path / "again" / "bin" / "python"
    ran = subprocess.run([python, "-c", "import sys; print(sys.version.split()[0])"], capture_output=True, check=True)
    assert ran.stdout.decode().strip() == PYTHON
    with pytest.raises(UsageError, match="new or empty folder"):
        build(origin(), tmp_path / "again")


def test_a_version_that_nobody_has_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("uv")
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(StoreError, match="uv could not make this environment"):
        build(origin(six="99.0"), tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_python_that_nobody_has_is_named_with_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("uv")
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(StoreError, match=r"have Python 3\.11\.99 on the PATH, or .* here"):
        build(replace(origin(), python="3.11.99"), tmp_path / "again")


def test_without_uv_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(UsageError, match="pip install uv"):
        build(origin(), tmp_path / "again")


def test_a_bill_of_materials_is_valid_and_the_same_again():
    model = Material(name="films", version="2", content="ab" * 32, is_model=True)
    data = Material(name="films", version="1", content="cd" * 32, is_model=False)
    first, second = (sbom("films", origin(six="1.17.0"), [model, data], tool="0.1", time_ms=at) for at in (0, 1000))
    assert first["serialNumber"] == second["serialNumber"]
    assert [each["type"] for each in first["components"]] == ["library", "machine-learning-model", "data"]
    assert first["components"][0]["purl"] == "pkg:pypi/six@1.17.0"
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    problem = validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(json.dumps(first))
    assert problem is None


def test_what_of_the_machine_counts():
    facts = system()
    assert facts["openssl"].startswith("OpenSSL")
    assert {"cpu", "cores", "libc"} <= facts.keys()
    assert all(isinstance(value, str) and value for value in facts.values())
    assert Path("/proc/cpuinfo").exists() is False or facts["cpu"]
