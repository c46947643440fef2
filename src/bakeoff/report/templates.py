"""What our HTML pages share: their templates, and styles and scripts that stand within the page."""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from bakeoff.core.errors import MissingExtraError

__all__ = ["inline", "templates"]


def templates(what: str, filters: Mapping[str, Any]) -> tuple[Any, Any]:
    """The environment of our templates with these filters, and `Markup`, which marks what is HTML already.

    Raises:
        MissingExtraError: jinja2, which `what` needs, is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError.of(what, "report", "jinja2") from error
    environment = Environment(
        loader=PackageLoader("bakeoff.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment, Markup


def inline(markup: Any, *styles: str) -> dict[str, Any]:
    """Our styles and our script as text of the page, and the hash by which its policy allows the script."""
    style, script = "".join(map(_own, styles)), _own("page.js")
    return {
        "style": markup(style),
        "script": markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _own(name: str) -> str:
    return files("bakeoff.report").joinpath(name).read_text(encoding="utf-8")
