"""Packages that are started: their answers are those of the release."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bakeoff import Project
from bakeoff.actions.packages import layers
from bakeoff.actions.packages.check import _difference
from bakeoff.actions.packages.package import PYTHON
from bakeoff.core.errors import CandidateError, NotFoundError, UsageError
from bakeoff.core.types import Predictions

pytestmark = pytest.mark.slow

LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libdl.so.2", "libpthread.so.0", "librt.so.1")


@pytest.fixture
def base(tmp_path):
    """A root filesystem with the Python of this machine, the libraries of C that it needs, and nothing else."""
    if sys.platform != "linux" or shutil.which("ldd") is None or shutil.which("ldconfig") is None:
        pytest.skip("needs Linux with ldd and ldconfig")
    place, standard = tmp_path / "base", Path(sysconfig.get_path("stdlib"))
    (place / "usr/local/bin").mkdir(parents=True)
    shutil.copy(Path(sys.base_prefix) / "bin" / PYTHON, place / "usr/local/bin")
    left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a", "config-*", "ensurepip")
    shutil.copytree(standard, place / "usr/local/lib" / standard.name, ignore=left_out)
    asked = ["ldd", Path(sys.base_prefix) / "bin" / PYTHON, *(standard / "lib-dynload").glob("*.so")]
    needed = re.findall(r"(/\S+) \(0x", subprocess.run(asked, capture_output=True, text=True, check=False).stdout)
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    needed += [path for name in LIBRARIES for path in re.findall(rf"{re.escape(name)} .* => (\S+)", known)[:1]]
    for path in set(needed):
        target = place / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return place


@pytest.mark.processes
def test_an_image_serves_in_its_own_root(ran, base, tmp_path, monkeypatch):
    if os.getuid() != 0:
        pytest.skip("needs root for chroot")
    monkeypatch.setattr(layers, "LEVEL", 0)  # to compress takes half of the time
    with Project(ran) as project:
        made = project.package(tmp_path / "image", form="oci", base=base)
        checked = project.check_package(made)
    assert (checked.rows, checked.greatest_difference) == (60, 0.0)
    assert checked.ran == "in its own root, as 65532:65532"


def test_a_wheel_is_installed_and_serves(ran, tmp_path):
    with Project(ran) as project:
        checked = project.check_package(project.package(tmp_path / "out", form="wheel"))
    assert (checked.rows, checked.greatest_difference) == (60, 0.0)
    (wheel,) = (tmp_path / "out").iterdir()
    with zipfile.ZipFile(wheel) as files:
        info = next(name.partition("/")[0] for name in files.namelist() if ".dist-info/" in name)
        metadata = files.read(f"{info}/METADATA").decode()
        files.extractall(tmp_path / "installed")
    assert "Requires-Dist: firstword==1.0\n" in metadata
    with Project(ran) as project:
        live = project.release().model_version
        rows = [{"review": "good film", "year": 2001}, {"review": "awful film", "year": 1999}]
        expected = [(each.label, each.probabilities) for each in project.predict(rows)]
    script = (
        "import json, films\n"
        f"answers = films.predict({rows!r})\n"
        "print(json.dumps([films.model_version, [(each.label, each.probabilities) for each in answers]]))"
    )
    paths = os.pathsep.join([str(tmp_path / "installed"), os.environ["PYTHONPATH"]])
    out = subprocess.check_output([sys.executable, "-c", script], text=True, env={**os.environ, "PYTHONPATH": paths})
    version, answers = json.loads(out)
    assert version == live
    assert [tuple(each) for each in answers] == expected


def test_answers_are_compared_number_by_number():
    expected = Predictions.of_probabilities(np.array([[0.25, 0.75], [0.5, 0.5]]), ("no", "yes"))
    answers = [
        {"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}},
        {"label": "no", "probabilities": {"no": 0.5, "yes": 0.5}},
    ]
    assert _difference(expected, answers) == 0
    answers[0]["probabilities"]["no"] = 0.375
    assert _difference(expected, answers) == 0.125
    assert _difference(expected, [answers[0], {**answers[1], "label": "yes"}]) == float("inf")
    assert _difference(expected, answers[:1]) == float("inf")
    numbers = Predictions(values_n=np.array([4.0, -8.0]))
    assert _difference(numbers, [{"label": None, "value": 4.0}, {"label": None, "value": -10.0}]) == 0.25


def test_a_package_that_does_not_serve_is_told(ran, tmp_path):
    with Project(ran) as project:
        made = project.package(tmp_path / "out", form="wheel")
        (wheel,) = (tmp_path / "out").iterdir()
        with zipfile.ZipFile(wheel) as files:
            contents = {name: files.read(name) for name in files.namelist()}
        with zipfile.ZipFile(wheel, "w") as files:
            for name, content in contents.items():
                files.writestr(name, b"raise SystemExit('broken')" if name == "films/__main__.py" else content)
        with pytest.raises(CandidateError, match=r"expected the package to serve within .* 'broken'"):
            project.check_package(made)


def test_what_cannot_be_packaged_is_told(ran, tmp_path):
    with Project(ran) as project:
        with pytest.raises(NotFoundError, match=r"expected an endpoint with a release \(films\), received 'fims'"):
            project.package(tmp_path / "out", endpoint="fims")
        with pytest.raises(UsageError, match="a module's name of small letters"):
            project.package(tmp_path / "out", name="My-Module")
        (tmp_path / "full").mkdir()
        (tmp_path / "full/file").touch()
        with pytest.raises(UsageError, match="expected an empty or new folder"):
            project.package(tmp_path / "full")
