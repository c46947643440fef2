"""Every relative link and anchor in the documents leads somewhere, and every page can be reached."""

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
CODE = re.compile(r"^(```+|~~~+).*?^\1`*$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")


def slug(heading):
    """The anchor of a heading, as GitHub and mkdocs make it of plain words."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", lambda link: link[1] or "", heading.strip())
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text)).strip("-")


def anchors(page):
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {slug(heading) for heading in re.findall(r"^#{1,6} (.*)$", text, re.MULTILINE)}


def links(page):
    return LINK.findall(CODE.sub("", page.read_text("utf-8")))


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    wrong = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("home", ["README.md", "docs/index.md"])
def test_every_page_can_be_reached(home):
    waiting, reached = [ROOT / home], set()
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ":" not in link]
        waiting += [target for target in targets if target.suffix == ".md" and target.exists()]
    notes = set((ROOT / "docs" / "decisions").glob("*.md"))
    outside = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "index.md"}
    assert [name(page) for page in PAGES if page not in reached | notes | outside] == []


def test_the_site_has_every_page():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"^ +- .*: (\S+\.md)$", settings, re.MULTILINE))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith("decisions/")} <= listed <= pages


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](#one-thing) [b](#two) [c](other.md) `[d](no.md)`\n```\n[e](no.md)\n```\n")
    assert links(page) == ["#one-thing", "#two", "other.md"]
    assert anchors(page) == {"one-thing"}
