"""HTML to text, for texts that are HTML; all others stay as they are.

A text is judged first, by tags of known elements with well-formed attributes, outside of code. What holds a whole page
or blocks (paragraphs, lists, tables) goes through a parser. What only has marks within lines (bold, links, breaks)
loses these and keeps its lines. What has neither keeps every character but for character references such as `&amp;`.

Sources: WHATWG, "HTML Living Standard", §3.1.3 and §4 (elements), §13.1.2.4 (end tags that may be left out), §13.5
(named character references; here those that end in a semicolon, as a link's `&copy=1` holds none).
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.entities import html5
from typing import Literal, TypeAlias

from bakeoff.core.errors import MissingExtraError
from bakeoff.prepare.text.cleaning import Rewrite, TextStep, each

__all__ = ["HtmlForm", "StripHtmlParams", "form_of", "strip_html"]

HtmlForm: TypeAlias = Literal["page", "marks", "references", "none"]
"""What a text is: a page or its blocks, text with marks within lines, text with character references, or neither."""
Extra: TypeAlias = Literal["title", "noscript", "alt"]

PAGE = frozenset({"html", "head", "body", "title", "meta", "link", "script", "style", "template", "noscript", "base"})
BLOCKS = frozenset(
    {
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "caption",
            "center",
            "col",
            "colgroup",
            "dd",
            "details",
            "dialog",
        ),
        *("div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("header", "hr", "iframe", "legend", "li", "main", "nav", "ol", "optgroup", "option", "p", "pre", "section"),
        *("select", "summary", "svg", "table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul", "video"),
    }
)
MARKS = frozenset(
    {
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "button", "cite", "code", "data", "del", "dfn", "em"),
        *("font", "i", "img", "input", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small"),
        *("span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    }
)
ALONE = frozenset({"br", "hr", "img", "wbr"})
"""Elements that never have an end tag, and say by themselves that a text is HTML."""
UNENDED = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "option"})
"""Elements whose end tag may be left out."""

ATTRIBUTE = (
    r"""[a-zA-Z_:@][\w:.@-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'|[^\s"'<>=`]+)|data-[\w-]+|aria-[\w-]+"""
    r"""|(?:async|autofocus|checked|controls|defer|disabled|hidden|itemscope|loop|multiple|muted|nowrap|open|readonly"""
    r"""|required|reversed|selected)(?=[\s/>])"""
)
# Elements with hyphens are the page author's own; they hold text, but do not say by themselves what a text is.
TAG = re.compile(rf"<(/?)([a-zA-Z][a-zA-Z0-9]*(?:-[a-zA-Z0-9-]+)?)((?:\s+(?:{ATTRIBUTE}))*)\s*/?>")
WHOLE = re.IGNORECASE | re.DOTALL
DOCUMENT = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html)\b", WHOLE)
# A whole page, or a block without attributes that begins the text.
BEGINS = re.compile(rf"{DOCUMENT.pattern}|\s*<({'|'.join(sorted(BLOCKS))})>", WHOLE)
HIDES = re.compile(r"<(?:script|style)\b|<!--", re.IGNORECASE)
# Other languages with tags, components of programs, differences between files, catalogues of translations.
OTHERS = re.compile(
    r"\A\s*(?:<!--.{0,2000}?-->\s*)*(?:<\?(?:xml|php|=)|<!doctype\s+(?!html)|<(?:rss|feed|svg|urlset|kml|gpx|template)\b"
    r"|<script\b(?=.*^<template\b))|^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@|^msgid \"",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
# Marks of language models: where they are, "<s>" is one of them.
MODEL_MARKS = re.compile(r"<(?:unk|pad|mask|bos|eos|sep|cls)>|\[/?INST\]|\A\s*<s>.*</s>\s*\Z", re.DOTALL)
# What begins again before it ends is taken to end there, which keeps the time linear.
HIDDEN = re.compile(r"<(script|style)\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>|<!--(?:(?!<!--).)*?-->", WHOLE)
VERBATIM = re.compile(r"<(pre|code|textarea)\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>", WHOLE)
TITLE = re.compile(r"<title\b[^<>]*>([^<]*)</title\s*>", re.IGNORECASE)
# Code within text: fences and backticks of Markdown, and markup within the quotes of a program.
QUOTED = re.compile(
    r"^(?P<fence>```|~~~).*?(?:^(?P=fence)[^\S\n]*$|\Z)|(?P<ticks>`{1,2})(?!`)[^\n]{1,500}?(?P=ticks)"
    r"|^[^\S\n]*\"(?=[^\n\"]{0,200}[<&])[^\n]{0,500}?\"(?=\s*:)"
    r"|(?<=[=(,+:\[{])\s?(?P<quote>[\"'`])(?=[^\n\"'`]{0,200}[<&])[^\n]{0,500}?(?P=quote)(?=\s*(?:[;:),+\]}\n.]|$))",
    re.MULTILINE | re.DOTALL,
)
PROSE = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)\s*/?>(?=['\"]?\s+(?:tags?|elements?)\b)")
CODE_LINE = re.compile(
    r"^\s*(?:(?:def|class|import|from|function|const|let|var|public|private|protected|static|return|if|for|while|switch"
    r"|using|namespace|package|fn|func|impl|struct|enum|template|typedef|export|async|await|elif|else|try|SELECT|INSERT"
    r"|UPDATE|CREATE|WHERE)\b.*[;{}():=>,]\s*$|#include\b|#define\b|@\w+\(|//\s|<\?php|\}\s*[;,)]*\s*$|.*[;{]\s*$|.*=>.*"
    r"|.*className=)"
)
CODE_SHARE = 0.25
CODE_SIGNS, LEAST_CODE = 0.06, 300
"""Of the characters, as in programs that were made small: a line without end."""
MOST_ROW = 2000
"""Characters of a row of a Markdown table."""
# Signs of Markdown at the beginning of a line: its lines mean something, which a page's do not.
MARKDOWN = re.compile(r"^(?:#{1,6} \S|```|~~~|\[[^\]\n]+\]: |\|.*\|[^\S\n]*$|.*\S\]\([^\s)]+\))", re.MULTILINE)
REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
SIGNS = r"<[a-zA-Z/!?]|&[a-zA-Z#]"
FIELDS = re.compile(r"<(/?)(?:textarea|button|option|label|output)\b[^<>]*>", re.IGNORECASE)
CELLS = re.compile(r"<(/?)t[dh]\b[^<>]*>", re.IGNORECASE)
# Blocks in a browser that the parser takes for parts of a line, or for none of its business.
AS_BLOCKS = re.compile(
    r"<(/?)(?:select|summary|details|dialog|legend|figure|figcaption|caption|optgroup|address|search|hgroup|menu)\b[^<>]*>",
    re.IGNORECASE,
)
SCRIPTS = re.compile(r"<(sup|sub)\b[^<>]*>([^<>]{1,40})</\1\s*>", re.IGNORECASE)
ABOVE = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
BELOW = str.maketrans("0123456789+-−=()aeoxhklmnpst", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₒₓₕₖₗₘₙₚₛₜ")
RAISED = frozenset({"st", "nd", "rd", "th", "er", "re", "e", "o", "a", "tm", "sm", "r"})
"""What is raised by custom and reads the same on the line: 1st, 2nd, No, TM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripHtmlParams:
    """`also`: what a page does not show and that is to be kept too: its `title`, `noscript` parts, `alt` texts.

    `force` takes every text for HTML.
    """

    also: tuple[Extra, ...] = ()
    force: bool = False


def form_of(text: str) -> HtmlForm:
    """What a text is to HTML.

    >>> [form_of(t) for t in ("<p>One<p>Two", "so <b>bold</b>", "fish &amp; chips", "List<String> a<b && b>c")]
    ['page', 'marks', 'references', 'none']
    """
    begins = BEGINS.match(text)
    if begins and (not begins[1] or f"</{begins[1]}>" in text):
        return "page"  # the most frequent case, and sure
    if OTHERS.search(text):
        return "none"
    plain = QUOTED.sub(" ", text) if _has_quotes(text) else text
    shown = HIDDEN.sub("<!>", plain) if HIDES.search(plain) else plain
    shown = VERBATIM.sub(r"<\1></\1>", shown) if "</" in shown else shown
    tags = _evidence(shown)
    references = not tags and any(_is_known(found[0]) for found in REFERENCE.finditer(shown))
    hides = not tags and shown.count("<!>") > plain.count("<!>")
    if not (tags or references or hides) or _is_code(shown):
        return "none"
    if tags & (PAGE | BLOCKS) or hides:
        return "marks" if len(MARKDOWN.findall(text)) > 1 else "page"
    return "marks" if tags else "references"


def _has_quotes(text: str) -> bool:
    return any(mark in text for mark in ("`", "~~~", '"<', "'<", '"&', "'&", '":'))


def _is_code(text: str) -> bool:
    if "\n" not in text and not re.search(r"[;{}]\s*$", text):
        return False
    bare = REFERENCE.sub("", text)  # which end in a semicolon too
    if len(bare) > LEAST_CODE and sum(map(bare.count, "{};()")) > CODE_SIGNS * len(bare):
        return True
    lines = [line for line in bare.split("\n") if line.strip()]
    return sum(CODE_LINE.match(line) is not None for line in lines) > CODE_SHARE * len(lines)


def _evidence(text: str) -> set[str]:
    """The known elements of which a text surely has tags."""
    spoken_of = {found.start() for found in PROSE.finditer(text)} if " tag" in text or " element" in text else ()
    begins = len(text) - len(text.lstrip())
    opened: dict[str, int] = {}
    surely: set[str] = set()
    unended: list[str] = []
    glued: list[str] = []
    for tag in TAG.finditer(text):
        closing, name, attributes = tag[1], tag[2].lower(), tag[3]
        if tag.start() in spoken_of or name not in PAGE | BLOCKS | MARKS:
            continue
        if closing:
            if opened.get(name, 0):
                opened[name] -= 1
                surely.add(name)
        elif name in ALONE or (attributes and "=" in attributes):
            surely.add(name)
        else:
            opened[name] = opened.get(name, 0) + 1
            if name in PAGE | BLOCKS and tag.start() == begins:
                surely.add(name)  # a text that begins with a block
            if name in UNENDED:
                (glued if text[max(0, tag.start() - 1) : tag.start()].isalnum() else unended).append(name)
    # Several that need no end, or one beside other tags; one after a word alone may be the type of a program.
    if surely or len(unended) > 1:
        surely.update(unended)
        surely.update(glued if surely else ())
    return set() if surely == {"s"} and MODEL_MARKS.search(text) else surely


def _is_known(reference: str) -> bool:
    return reference.startswith("&#") or reference[1:] in html5


def _strip_html(params: StripHtmlParams) -> Rewrite:
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ModuleNotFoundError:
        raise MissingExtraError.of("The step 'strip_html'", "text", "resiliparse") from None
    hidden = ["script", "style", "template", *(["noscript"] if "noscript" not in params.also else []), "head"]

    def page(text: str) -> str:
        title = TITLE.search(text) if "title" in params.also else None
        # What a form shows is text as well; the parser would leave it out or put it in brackets.
        shown = FIELDS.sub(r" <\1span> ", text)
        shown = AS_BLOCKS.sub(r"<\1div>", shown)
        if "<table" not in shown.lower():
            shown = CELLS.sub(r" <\1span> ", shown)  # a parser drops cells that stand in no table
        body = extract_plain_text(
            SCRIPTS.sub(_script, shown.encode("utf-8", "replace").decode()),
            preserve_formatting=True,
            list_bullets=False,
            alt_texts="alt" in params.also,
            noscript="noscript" in params.also,
            skip_elements=hidden,
        ).strip()
        return f"{html.unescape(title[1]).strip()}\n\n{body}" if title and title[1].strip() else str(body)

    def strip(text: str) -> str:
        form = "page" if params.force else form_of(text)
        if form == "page":
            return page(text)
        if form == "marks":
            return _without_marks(text, alt="alt" in params.also)
        return _outside_code(text, _decoded) if form == "references" else text

    return each(strip, where=SIGNS if not params.force else None)


def _script(found: re.Match[str]) -> str:
    """What is raised or lowered, on the line: x², H₂O, 1st, x^(ab), x_(ab)."""
    above = found[1].lower() == "sup"
    inner = found[2].strip()
    signs = ABOVE if above else BELOW
    if inner and all(ord(character) in signs for character in inner):
        return inner.translate(signs)
    if not inner[:1].isalnum() or (above and inner.lower() in RAISED):
        return inner
    return f"{'^' if above else '_'}({inner})"


def _without_marks(text: str, *, alt: bool) -> str:
    """The text without its tags, its lines as they are; breaks are line breaks, blocks stand on lines of their own."""

    def replaced(tag: re.Match[str]) -> str:
        name, start, after = tag[2].lower(), tag.start(), tag.string[tag.end() : tag.end() + 1]
        if name == "br":
            line = tag.string.rfind("\n", max(0, start - MOST_ROW), start) + 1
            return "" if after == "\n" else " " if tag.string.startswith("|", line) else "\n"
        if name == "img" and alt:
            said = re.search(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", tag[3], re.IGNORECASE)
            return (said[1] or said[2] or "") if said else ""
        if name not in BLOCKS | PAGE:
            return "" if name in MARKS else tag[0]
        if name in {"td", "th"}:
            return "" if tag[1] else "\t"
        is_apart = "\n" in (tag.string[max(0, start - 1) : start] or "\n", after or "\n")
        return "" if is_apart else "\n"

    return _outside_code(text, lambda part: _decoded(TAG.sub(replaced, SCRIPTS.sub(_script, HIDDEN.sub("", part)))))


def _decoded(text: str) -> str:
    return REFERENCE.sub(lambda found: html.unescape(found[0]) if _is_known(found[0]) else found[0], text)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    pieces: list[str] = []
    end = 0
    for quoted in QUOTED.finditer(text):
        pieces += [change(text[end : quoted.start()]), quoted[0]]
        end = quoted.end()
    return "".join([*pieces, change(text[end:])])


strip_html = TextStep(name="strip_html", version=5, make=_strip_html, params=StripHtmlParams, requires=("resiliparse",))
"""The visible text of HTML, blocks on lines of their own (resiliparse); texts that are none stay as they are."""
