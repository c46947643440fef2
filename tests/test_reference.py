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


def test_every_key_of_the_project_file_is_in_it():
    from bakeoff.config.sections import DataConfig, DecideConfig

    page = (ROOT / "docs" / "reference" / "config.md").read_text("utf-8")
    assert all(f"| `{key}` |" in page for key in (*DataConfig.model_fields, *DecideConfig.model_fields))
