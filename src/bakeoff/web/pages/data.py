"""Data: versions of the dataset, how two of them differ, and the card of one."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from bakeoff.core.records import Version
from bakeoff.report.card_html import html
from bakeoff.web.pages.calls import PageCall, Shown
from bakeoff.web.pages.site import one_file

__all__ = ["card", "listing"]

SHOWN = ("rows", "train", "validation", "test", "split", "classes", "set_aside", "notes")
"""Of the summary of a dataset version, in this order."""


def listing(call: PageCall) -> Shown:
    """All versions; and of two that are named, what differs."""
    project = call.project("experiment")
    versions = project.datasets()
    by_number = {str(each.number): each for each in versions}
    first, second = (by_number.get(call.query.get(name, "")) for name in ("first", "second"))
    if first is None and len(versions) > 1:
        second, first = versions[0], versions[1]
    different = None if first is None or second is None else _different(first, second)
    return Shown(
        template="data.html",
        values={
            "title": "Data",
            "versions": [(each, each.dataset_origin) for each in versions],
            "first": first,
            "second": second,
            "different": different,
            "config": project.config.data,
        },
    )


def _different(first: Version, second: Version) -> list[tuple[str, Any, Any]]:
    """What the two say of themselves, where it is not the same."""
    sides: list[Mapping[str, Any]] = [each.dataset_origin.summary for each in (first, second)]
    keys = dict.fromkeys((*SHOWN, *sides[0], *sides[1]))
    stated = [(key, sides[0].get(key), sides[1].get(key)) for key in keys if key not in {"warnings", "contract"}]
    rows = [each for each in stated if each[1] != each[2]]
    columns = [_columns(each) for each in (first, second)]
    rows += [
        (f"column {name}", columns[0].get(name), columns[1].get(name))
        for name in dict.fromkeys((*columns[0], *columns[1]))
        if columns[0].get(name) != columns[1].get(name)
    ]
    return rows


def _columns(version: Version) -> Mapping[str, str]:
    gathered: Mapping[str, Any] = version.dataset_origin.gathered or {}
    schema: Mapping[str, Any] = gathered.get("schema") or {}
    return {each["name"]: f"{each['kind']}, {each.get('missing', 0):,} missing" for each in schema.get("columns", [])}


def card(call: PageCall) -> Response:
    """The card of a version as one file."""
    project = call.project("experiment")
    return one_file(html(project.data_card(version=call.path["number"])))
