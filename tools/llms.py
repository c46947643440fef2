"""For readers that are programs: `llms.txt`, and each page's Markdown beside its HTML (https://llmstxt.org).

python tools/llms.py build/site
"""

import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE = re.compile(r"^\s*- (?:(?P<title>[^:]+): )?(?P<path>[\w/.-]+\.md)\s*$")
SECTION = re.compile(r"^  - (?P<title>[^:]+):\s*$")


def first_sentence(text: str) -> str:
    """Of the first paragraph that is prose."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for paragraph in text.split("\n\n"):
        line = " ".join(paragraph.split())
        if line and not line.startswith(("#", "|", "!", "- ", "<", "* ", ">")):
            plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", line)
            return re.split(r"(?<=[.:])\s", plain)[0].rstrip(":")
    return ""


def llms(settings: str) -> tuple[str, list[str]]:
    """The text of `llms.txt` by the navigation of the site, and the pages in it."""
    name, about = (re.search(rf"^{key}: (.+)$", settings, re.MULTILINE)[1] for key in ("site_name", "site_description"))
    lines, pages = [f"# {name}", "", f"> {about}", ""], []
    for line in settings[settings.index("\nnav:") :].splitlines():
        if section := SECTION.match(line):
            lines += ["", f"## {section['title']}", ""]
        elif page := PAGE.match(line):
            pages.append(page["path"])
            text = (DOCS / page["path"]).read_text()
            title = page["title"] or text.splitlines()[0].lstrip("# ")
            lines.append(f"- [{title}]({page['path']}): {first_sentence(text)}")
    return "\n".join(lines) + "\n", pages


def main() -> None:
    site = Path(sys.argv[1])
    text, _ = llms((DOCS.parent / "mkdocs.yml").read_text())
    site.mkdir(parents=True, exist_ok=True)
    (site / "llms.txt").write_text(text)
    for page in DOCS.rglob("*.md"):
        target = site / page.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)


if __name__ == "__main__":
    main()
