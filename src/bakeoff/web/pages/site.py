"""How pages become HTML: the templates with their filters, and the two files that pages ask for."""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from bakeoff.report import numbers
from bakeoff.report.lineage_picture import telling
from bakeoff.web.pages import drawing
from bakeoff.web.pages.calls import PageCall, Shown, address
from bakeoff.web.pages.runs import cell
from bakeoff.web.sessions import FILE_HEADERS, PAGE_HEADERS

__all__ = ["PAGES", "POLICY", "Site", "one_file"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {**PAGE_HEADERS, "Content-Security-Policy": POLICY}
ASSETS = {"pages.css": "text/css; charset=utf-8", "pages.js": "text/javascript; charset=utf-8"}
YEAR_S = 31_536_000
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC", re.ASCII)
FILTERS = (
    *("chance", "count", "dollars", "duration", "interval", "limits", "milliseconds", "number"),
    *("moment", "share", "signed"),
)
PAGES = (
    ("o", "Overview", "/", True),
    ("r", "Runs", "/runs", False),
    ("v", "Verdict", "/verdict", True),
    ("e", "Endpoints", "/endpoints", True),
    ("m", "Models", "/models", True),
    ("q", "Review", "/review", True),
    ("d", "Data", "/data", True),
    ("t", "Traces", "/traces", False),
    ("l", "Loop", "/loop", True),
)
"""The key behind `g`, the name, the address, and whether it needs a project."""
PARTS = (
    *("compare_curves.html", "compare_paired.html", "compare_rows.html", "endpoint_answer.html"),
    *("lineage_graph.html", "policy_change.html", "policy_preview.html", "runs_groups.html"),
)
"""Templates of parts of pages that may be opened by themselves, where no script runs."""
BELONGS = {"/compare": "/runs", "/predictions": "/endpoints", "/lineage": "/models", "/report": "/verdict"}
"""Pages that are part of another one."""


class Site:
    """The templates and the files of the pages."""

    def __init__(self) -> None:
        self._assets = {name: files("bakeoff.web.pages").joinpath(name).read_bytes() for name in ASSETS}

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("bakeoff.web.pages", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        filters: dict[str, Any] = {name: getattr(numbers, name) for name in FILTERS}
        filters |= {"when": when, "clean": clean, "plain": plain, "measured": measured, "fact": fact}
        environment.filters.update(filters)
        shared: dict[str, Any] = {"address": address, "draw": drawing, "cell": cell, "telling": telling}
        shared |= {"style": self._hashed("pages.css"), "script": self._hashed("pages.js")}
        environment.globals.update(shared)
        return environment

    def warm(self) -> None:
        """Compile all templates."""
        for name in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(name)

    def html(self, call: PageCall, shown: Shown) -> str:
        """A template as HTML."""
        first = "/" + call.path["here"].split("/")[1]
        here = BELONGS.get(first, first)
        listed = [page for page in PAGES if call.of_project is not None or not page[3]]
        values: Mapping[str, Any] = {
            "call": call,
            "pages": listed,
            "here": here,
            "done": call.query.get("done", ""),
            "csrf": _csrf(call),
            "title": "",
            **shown.values,
        }
        if call.alone and shown.template in PARTS:
            return self._environment.get_template("part.html").render(values, part=shown.template)
        return self._environment.get_template(shown.template).render(values)

    def response(self, call: PageCall, shown: Shown, *, status: int = 200, seen: str | None = None) -> Response:
        """A template as an answer; one that the reader has already (`seen`) is not sent again."""
        body = self.html(call, shown).encode("utf-8", "surrogatepass")
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        if seen == tag and status == 200:  # noqa: PLR2004
            return Response(status_code=304, headers={**HEADERS, "etag": tag})
        return Response(
            body, status_code=status, headers={**HEADERS, "etag": tag}, media_type="text/html; charset=utf-8"
        )

    def asset(self, name: str) -> Response | None:
        """A file of the pages; None where there is none of this name."""
        if name not in self._assets:
            return None
        headers = {"cache-control": f"public, max-age={YEAR_S}, immutable", "x-content-type-options": "nosniff"}
        return Response(self._assets[name], media_type=ASSETS[name], headers=headers)

    def _hashed(self, name: str) -> str:
        return f"/pages/{name}?{hashlib.blake2b(self._assets[name], digest_size=6).hexdigest()}"


def one_file(html: str) -> Response:
    """A page that is whole in itself, which brings its own policy."""
    return Response(html.encode("utf-8", "surrogatepass"), headers=FILE_HEADERS, media_type="text/html; charset=utf-8")


def _csrf(call: PageCall) -> Markup | str:
    """What each form of somebody who signed in holds, so that no other site's page can send one."""
    token = call.principal.form_token
    return "" if token is None else Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def when(time_ms: float | None) -> Markup | str:
    """A time, which the script tells in the reader's zone: of the same width in any."""
    if time_ms is None:
        return "–"
    time = numbers.utc(time_ms)
    if time is None:
        return numbers.day(time_ms)
    text, stamp = f"{time:%Y-%m-%d %H:%M:%S}", f"{time:%Y-%m-%dT%H:%M:%SZ}"
    return Markup('<time datetime="{0}" title="{1} UTC">{1}</time>').format(stamp, text)


def ago(time_ms: float | None, now_ms: float) -> str:
    """How long ago, in one unit.

    >>> ago(0, 5_000), ago(0, 7_200_000), ago(None, 0)
    ('5 s ago', '2 h ago', '–')
    """
    if time_ms is None:
        return "–"
    seconds = max(0.0, (now_ms - time_ms) / 1000)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def clean(text: object, longest: int = 200) -> str:
    """Text of a client: cut, and without what turns the direction of writing or is no character."""
    shown = "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in str(text))
    return numbers.cut(shown, longest)


def plain(value: Any) -> str:
    """A value as people write it: of a mapping what there is, of a list its items.

    >>> plain({"drift": 0.25, "quality": None}), plain(["a", "b"]), plain(True), plain([]), plain("x")
    ('drift 0.2500', 'a, b', 'yes', '–', 'x')
    >>> plain([{"name": "yes", "rows": 12808}, {"name": "no", "rows": 7}])
    'name yes, rows 12,808; name no, rows 7'
    """
    if isinstance(value, Mapping):
        pairs = value.items()
        return ", ".join(f"{key} {plain(of)}" for key, of in pairs if of is not None) or "–"
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(each, Mapping) for each in value) else ", ").join(map(plain, value)) or "–"
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int) and 10_000 <= abs(value) < 1e15:  # noqa: PLR2004 - less may be a year, more an id
        return f"{value:,}"
    return numbers.number(value) if isinstance(value, float) else str(value)


def fact(value: Any, longest: int = 400) -> Markup | str:
    """What is known of a thing; a time that was written down in UTC is told in the reader's zone."""
    if isinstance(value, str) and (parts := MOMENT.fullmatch(value)):
        return Markup('<time datetime="{0}T{1}Z" title="{0} {1} UTC">{0} {1}</time>').format(*parts.groups())
    return clean(plain(value), longest)


def measured(value: float | None, signal: str) -> str:
    """The value of a signal, or its limit, with its unit.

    >>> measured(2.92, "latency"), measured(0.0004, "errors"), measured(500.0, "volume"), measured(1.5e-6, "cost")
    ('2.92 ms', '< 0.1%', '500', '$0.0000015')
    """
    if value is None:
        return "–"
    match signal:
        case "latency":
            return numbers.milliseconds(value)
        case "errors" | "contract" | "inputs" | "outliers":
            return numbers.part(value)
        case "volume" | "tokens":
            return f"{value:,.0f}"
        case "cost":
            return numbers.dollars(value / 1000)
        case _:
            return numbers.number(value)
