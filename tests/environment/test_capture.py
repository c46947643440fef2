import re
import subprocess
from importlib.metadata import distributions

from bakeoff.environment.capture import capture, code_state, versions_of


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_environment_names_packages_and_is_stable():
    first, second = capture(), capture()
    assert first == second
    assert first.packages["polars"]
    assert len(first.digest) == 64


def test_names_and_versions_are_those_of_the_whole_metadata():
    names: dict[str, str] = {}
    for each in distributions():
        names.setdefault(re.sub(r"[-_.]+", "-", each.name).lower(), each.version)
    assert capture().packages == dict(sorted(names.items()))


def test_versions_of_missing_distributions_are_none():
    found = versions_of(["polars", "no-such-thing-at-all"])
    assert found["polars"]
    assert found["no-such-thing-at-all"] is None
    assert found["python"].startswith("3.")


def test_code_state_follows_the_repository(tmp_path):
    assert code_state(tmp_path).commit is None
    git(tmp_path, "init")
    (tmp_path / "a.txt").write_text("a")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "a")
    clean = code_state(tmp_path)
    assert clean.dirty is False
    (tmp_path / "a.txt").write_text("b")
    dirty = code_state(tmp_path)
    assert dirty.dirty is True
    assert dirty.commit == clean.commit
