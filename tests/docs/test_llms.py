"""What programs read of the documentation: an index with a line for each page, and the pages as Markdown."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_page_is_in_the_index_and_beside_the_site(tmp_path):
    subprocess.run([sys.executable, ROOT / "tools" / "llms.py", tmp_path], check=True)
    text = (tmp_path / "llms.txt").read_text()
    assert text.startswith("# bakeoff\n\n> ")
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): (.*)$", text, re.MULTILINE)
    assert {"index.md", "pages.md", "reference/cli.md"} <= {path for path, _ in links}
    assert [path for path, told in links if not told] == []
    for path, _ in links:
        assert (tmp_path / path).read_text() == (ROOT / "docs" / path).read_text()
