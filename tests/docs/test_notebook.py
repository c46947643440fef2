"""The notebook tutorial runs in a real kernel, with pandas and with polars, and shows each picture."""

import base64
import re
import struct
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "notebook.md"
CELLS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
QUOTED = re.findall(r"^```text\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
OTHER = re.compile(r"^.*?  # polars: (.*)$", re.MULTILINE)
SMALLEST = 100
"""Pixels of a side of a picture that shows something."""

DRAWN = (
    "of each candidate with its 95% interval",
    "Quality against price",
    "Differences from",
    "The least true difference",
    "Calibration",
    "Confusion matrix",
    "loses when a column is shuffled",
    "What each column adds to answers",
    "ROC, and precision by recall",
    "by training rows",
)
"""Of the pictures; those of weak parts of the rows, and others, are there where there is something to draw."""


def notebook(library):
    """The page as a notebook; with polars, lines are those that their comments name."""
    cells = CELLS if library == "pandas" else [OTHER.sub(r"\1", cell) for cell in CELLS]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def size_of(picture):
    """Width and height of a PNG."""
    content = base64.b64decode(picture)
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">II", content[16:24])


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_whole_loop_in_a_notebook(library, tmp_path, monkeypatch, explained):
    pytest.importorskip(library)
    monkeypatch.setenv("BAKEOFF_SPLIT__FOLDS", "0")  # a sixth of the fits is enough to see that the cells run
    monkeypatch.setenv("BAKEOFF_DECIDE__RESAMPLES", "200")
    book = notebook(library)
    client = nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    (tmp_path / "book.ipynb").write_text(nbformat.writes(book))  # to look at
    cells = {cell.source.strip().splitlines()[-1]: cell.outputs for cell in book.cells}
    every = [output for outputs in cells.values() for output in outputs]
    assert not [output for output in every if output.output_type == "error"]
    assert not [output.text for output in every if output.get("name") == "stderr"]
    data = [output.data for output in every if "data" in output]

    pictures = [each for each in data if "application/vnd.vegalite.v5+json" in each]
    for beginning in DRAWN:
        assert [beginning in each["text/plain"] for each in pictures].count(True) == 1, beginning
    assert all(min(size_of(each["image/png"])) > SMALLEST for each in pictures)
    assert len({each["image/png"] for each in pictures}) == len(pictures)

    pages = [each["text/html"] for each in data if 'class="bakeoff"' in each.get("text/html", "")]
    titles = [re.search(r"<h4>(.*?)</h4>", page)[1] for page in pages]
    assert titles[0] == "customers"
    assert titles[1] == titles[2] == titles[3]  # the outcome, its verdict and its report
    assert titles[1].endswith(" wins")
    assert titles[4].startswith("Data card of customers, version")
    assert titles[5] == "Signals of customers"
    assert titles[6].endswith(" wins")

    shown = "\n".join(
        [*(each.get("text/plain", "") for each in data), *(each.get("text", "") for each in every if each.get("text"))]
    )
    assert "accuracy" in shown
    assert any("<progress" in str(each) or "customers: run:" in str(each) for each in data)
    if library == "pandas":
        quoted = {
            word for block in QUOTED for word in re.findall(r"[a-z][a-z_]{3,}", re.sub(r"\b[0-9a-f]{32}\b", "", block))
        }
        assert quoted <= set(re.findall(r"[a-z][a-z_]{3,}", shown))
