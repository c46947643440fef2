"""The code that a job runs, over the real import graph: found again by another way, Python's own parser."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

import bakeoff
from bakeoff.core import closure, plugins
from bakeoff.core.closure import code_of, modules_of
from bakeoff.core.families import families_code
from bakeoff.loop.dataset import DATA_CODE

ROOT = Path(bakeoff.__file__).parent
JOBS = {
    "fit": ("bakeoff.train.worker",),
    "evaluate": ("bakeoff.evaluate.score.worker",),
    "verify": ("bakeoff.engines.verifying",),
    "data": DATA_CODE,
    **{
        name: (plugins.module_of("bakeoff.families", name),)
        for name in ("linear", "boosting", "embedding", "lora", "blend")
    },
}


def module_name(path):
    parts = ("bakeoff", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed_imports(path):
    """What a file imports outside of blocks for type checkers, as Python's parser sees it."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def walk(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for each in node.orelse:
                yield from walk(each)
            return
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        if isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield origin
            yield from (f"{origin}.{each.name}" for each in node.names)
        for block in ("body", "orelse", "handlers", "finalbody", "cases"):  # where statements stand
            for each in getattr(node, block, ()):
                yield from walk(each)

    return {each for each in walk(ast.parse(path.read_text())) if each.split(".")[0] == "bakeoff"}


def test_imports_are_read_as_python_reads_them():
    for path in ROOT.rglob("*.py"):
        source = closure._Source(module_name(path), path)
        if path.name != "__init__.py":
            assert {each for each in source.imports if each.split(".")[0] == "bakeoff"} == parsed_imports(path), path


@pytest.mark.parametrize("job", JOBS)
def test_no_page_or_command_is_in_a_key(job):
    rooms = {name.split(".")[1] for name in modules_of(*JOBS[job]) if "." in name}
    assert not rooms & {"report", "cli", "web", "project"}


@pytest.mark.parametrize(
    ("job", "file"),
    [
        ("lora", "families.features.targets"),
        ("lora", "families.features.columns"),
        ("lora", "chat.prompts"),
        ("lora", "engines.llamacpp"),
        ("linear", "metrics.value"),
        ("linear", "families.features.heads"),
        ("embedding", "families.features.onnx_encoder"),
        ("blend", "metrics.combined"),
        ("fit", "core.protocols"),
        ("evaluate", "metrics.bootstrap"),
        ("evaluate", "chat.client"),
        ("data", "data.values"),
        ("data", "prepare.personal_data.pii"),
    ],
)
def test_what_a_job_imports_is_in_its_key(job, file):
    assert f"bakeoff.{file}" in modules_of(*JOBS[job])


def test_another_family_is_not_in_the_key_of_a_family():
    assert not {"bakeoff.families.boosting", "bakeoff.families.language.lora"} & set(modules_of(*JOBS["linear"]))


@pytest.fixture
def edited(monkeypatch):
    """The code of modules when one file's content is another."""

    def edited(file, *modules):
        real = closure._source

        def source(name):
            found = real(name)
            if found is not None and name == file:
                changed = closure._Source(name, closure._path(name))
                changed.content = "edited"
                return changed
            return found

        with monkeypatch.context() as patch:
            patch.setattr(closure, "_source", source)
            return code_of(*modules)

    return edited


@pytest.mark.parametrize("job", JOBS)
def test_an_edit_changes_a_key_just_when_the_job_imports_the_file(job, edited):
    before, files = code_of(*JOBS[job]), set(modules_of(*JOBS[job]))
    for name in sorted(files)[::7]:
        assert edited(name, *JOBS[job]) != before, name
    for path in [*(ROOT / "report").glob("*.py"), *(ROOT / "cli").glob("*.py")][::5]:
        assert edited(module_name(path), *JOBS[job]) == before, path


def test_a_third_party_counts_with_its_own_files_and_ours_that_it_imports(tmp_path, monkeypatch, register_family):
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("from theirs.early import x\n\ndef late():\n    import theirs.never\n")
    for name, text in {
        "family": "from . import helper\nfrom bakeoff.metrics import (\n    drift,  # a comment\n)\nimport numpy\n",
        "helper": "def f():\n    from theirs.lazy import x\n",
        "lazy": '"""\nfrom theirs.never import x\n"""\nx = 1\n',
        "early": "x = 1\n",
        "never": "",
    }.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "theirs", raising=False)  # another test may have imported one of this name
    closure._source.cache_clear()
    closure._path.cache_clear()
    register_family("theirs", "theirs.family:Family")
    names = set(modules_of("theirs.family"))
    assert {name for name in names if name.startswith("theirs")} == {
        "theirs",
        "theirs.family",
        "theirs.helper",
        "theirs.lazy",
        "theirs.early",
    }
    assert "bakeoff.metrics.drift" in names
    before = families_code("theirs")
    (package / "lazy.py").write_text("x = 2\n")
    closure._source.cache_clear()
    assert families_code("theirs") != before
    closure._source.cache_clear()
    closure._path.cache_clear()


def test_a_module_of_ours_that_is_not_there_is_an_error():
    """A name that a move left behind would otherwise leave its code out of all keys."""
    with pytest.raises(ModuleNotFoundError, match="splitting"):
        code_of("bakeoff.loop.splitting")
