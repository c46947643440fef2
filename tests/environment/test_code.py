import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakeoff.environment.code import code_state, notebook, project_files


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True).stdout


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-b", "trunk")
    (folder / "a.txt").write_text("a\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "a")
    return folder


def test_outside_of_a_repository_nothing_is_known(tmp_path):
    state = code_state(tmp_path)
    assert (state.commit, state.dirty, state.patch) == (None, None, None)


def test_the_patch_makes_the_dirty_tree_of_its_commit(repository, tmp_path):
    clean = code_state(repository)
    assert (clean.dirty, clean.branch, clean.remote, clean.patch) == (False, "trunk", None, None)
    (repository / "a.txt").write_text("b\n")
    (repository / "n\u00e9w.bin").write_bytes(bytes(range(256)))
    (repository / "data.csv").write_text("x,y\n")
    (repository / ".env").write_text("TOKEN=1\n")
    before = git(repository, "status", "--porcelain")
    dirty = code_state(repository, without=[repository / "data.csv"])
    assert (dirty.dirty, dirty.commit) == (True, clean.commit)
    assert git(repository, "status", "--porcelain") == before  # nothing was added
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(repository), str(again))
    (tmp_path / "patch").write_bytes(dirty.patch)
    git(again, "apply", str(tmp_path / "patch"))
    assert (again / "a.txt").read_text() == "b\n"
    assert (again / "n\u00e9w.bin").read_bytes() == bytes(range(256))
    assert not (again / "data.csv").exists()
    assert b"TOKEN" not in dirty.patch


def test_an_address_is_recorded_without_its_token(repository):
    git(repository, "remote", "add", "origin", "https://me:secret@example.org/code.git")
    assert code_state(repository).remote == "https://example.org/code.git"


@pytest.mark.parametrize("in_git", [True, False])
def test_files_of_a_project_without_its_data_and_secrets(repository, tmp_path, in_git):
    folder = repository if in_git else tmp_path / "plain"
    folder.mkdir(exist_ok=True)
    for name in ("bakeoff.toml", "prompts/ask.md", ".env", "key.pem", "data.csv", "__pycache__/x.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "large.bin").write_bytes(bytes(2 << 20))
    (folder / ".gitignore").write_text("__pycache__\n")
    files = project_files(folder, without=[folder / "data.csv"])
    expected = {"bakeoff.toml", "prompts/ask.md", *(["a.txt", ".gitignore"] if in_git else [])}
    assert set(files.files) == expected
    assert files.left_out == ("large.bin",)


def test_what_git_ignores_is_no_part_but_for_the_project_file_and_a_folder_that_it_ignores_as_a_whole(repository):
    (repository / ".gitignore").write_text("bakeoff.toml\nlocal.py\nideas/\n")
    for name in ("bakeoff.toml", "local.py", "ideas/bakeoff.toml", "ideas/metric.py"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(name)
    assert set(project_files(repository, always=("bakeoff.toml",)).files) == {"a.txt", ".gitignore", "bakeoff.toml"}
    assert set(project_files(repository).files) == {"a.txt", ".gitignore"}
    assert set(project_files(repository / "ideas").files) == {"bakeoff.toml", "metric.py"}
    assert set(project_files(repository / "ideas", always=("none.toml",)).files) == {"bakeoff.toml", "metric.py"}


@pytest.mark.parametrize("in_git", [True, False])
def test_a_name_that_is_no_utf8_is_left_out(repository, tmp_path, in_git):
    folder = repository if in_git else tmp_path / "plain"
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("a\n")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("x")
    files = project_files(folder)
    assert (list(files.files), files.left_out) == (["a.txt"], ("caf\\udce9.txt",))


def test_cells_of_a_notebook(monkeypatch):
    assert notebook() is None
    shell = SimpleNamespace(kernel=object(), user_ns={"In": ["", "x = 1", "project.run()"]})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    body = json.loads(notebook())
    assert [each["source"] for each in body["cells"]] == ["x = 1", "project.run()"]
    assert (body["nbformat"], body["nbformat_minor"]) == (4, 5)
