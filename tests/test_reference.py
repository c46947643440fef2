"""docs/reference says what the code says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_reference_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.stale() == [], "run: python tools/reference.py"


def documented():
    """All that the page on Python shows: its name and what it is."""
    import inspect

    import bakeoff

    for name in bakeoff.__all__:
        each = getattr(bakeoff, name)
        if isinstance(each, str):
            continue
        yield name, each
        if inspect.isclass(each) and not issubclass(each, Exception):
            for member, value in vars(each).items():
                function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                if not member.startswith("_") and (inspect.isfunction(function) or isinstance(value, property)):
                    yield f"{name}.{member}", function


def test_everything_public_has_a_docstring_and_what_is_called_an_example():
    names = dict(documented())
    assert {"Project.predict", "ProjectOutcome.leaderboard", "Estimator.predict_proba", "compare"} <= names.keys()
    assert [name for name, each in names.items() if not (each.__doc__ or "").strip()] == []
    called = {name: each for name, each in names.items() if not isinstance(each, property)}
    assert [name for name, each in called.items() if ">>> " not in each.__doc__] == []


def test_every_key_of_the_project_file_is_in_it():
    from bakeoff.config.sections import DataConfig, DecideConfig

    page = (ROOT / "docs" / "reference" / "config.md").read_text("utf-8")
    assert all(f"| `{key}` |" in page for key in (*DataConfig.model_fields, *DecideConfig.model_fields))
