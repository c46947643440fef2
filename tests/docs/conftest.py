"""A project to read about: the notebook of the scientist's tutorial, run once."""

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "scientist.md"
FEWER = "[candidates.linear]\n[combine]\nblends = false\ncascades = false\n"
"""One candidate is enough to see that the cells run; the pages quote a run of two."""


@pytest.fixture(scope="session")
def tickets(tmp_path_factory):
    """The scientist's notebook, run: its folder, its variables, and what each cell printed."""
    folder = tmp_path_factory.mktemp("tickets")
    cells = re.findall(r"^```python\n(.*?)^```", NOTEBOOK.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    before, printed, names = Path.cwd(), [], {}
    os.chdir(folder)
    explain = os.environ.pop("BAKEOFF_DECIDE__EXPLAIN", None)  # a scientist's runs are explained
    try:
        for number, cell in enumerate(cells):
            if number == 2:
                text = re.sub(r"\[candidates\.(embedding|boosting)\]\n", "", Path("bakeoff.toml").read_text())
                Path("bakeoff.toml").write_text(text.replace("[candidates.linear]\n", FEWER))
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(cell, f"cell {number}", "exec"), names)
            printed.append(out.getvalue())
    finally:
        os.chdir(before)
        if explain is not None:
            os.environ["BAKEOFF_DECIDE__EXPLAIN"] = explain
    return folder, names, printed
