"""What is installed here: the licence of each package as it states it, and whether its files are those of its record.

Source: the packaging specifications "Core metadata" (2.4, License-Expression of PEP 639) and "Recording installed
projects" (RECORD).
"""

import base64
import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from bakeoff.environment.capture import named

__all__ = ["Installed", "installed"]

STRONG = re.compile(r"\b(?:A?GPL|GNU (?:Affero )?General Public|SSPL|Server Side Public|BUSL|CC-BY-NC)", re.IGNORECASE)
WEAK = re.compile(r"\b(?:LGPL|Lesser General Public|MPL|Mozilla|EPL|Eclipse|EUPL|CDDL)", re.IGNORECASE)
FREE = re.compile(
    r"\b(?:MIT|BSD|0BSD|Apache|ISC|PSF|Python Software|PYTHON-2|Zlib|Unlicense|CC0|HPND|Historical|Public Domain|"
    r"BSL-1)",
    re.IGNORECASE,
)
OPEN = re.compile(r"with[- ](?:classpath|gcc|linking)|exception", re.IGNORECASE)
LONGEST = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A package that is installed.

    Attributes:
        name, version: its own.
        licence: as it states it; nothing when it states none.
        terms: "free" (of few conditions), "weak" or "strong" (copyleft), "unknown".
        changed: files that are not what was installed, or are gone.
        recorded: whether it has a record of its files at all.
    """

    name: str
    version: str
    licence: str
    terms: str
    changed: tuple[str, ...] = ()
    recorded: bool = True


def installed(*, files: bool = True) -> list[Installed]:
    """All packages on the path, by name; of several of one name, the one that is imported. `files`: compare them."""
    known: dict[str, Installed] = {}
    for each in distributions():
        name, version = named(each)
        if name and version and name not in known:
            licence = _licence(each)
            known[name] = Installed(
                name=name,
                version=version,
                licence=licence,
                terms=_terms(licence),
                changed=tuple(_changed(each)) if files else (),
                recorded=each.read_text("RECORD") is not None,
            )
    return [known[name] for name in sorted(known)]


def _licence(distribution: Distribution) -> str:
    """The expression; else what classifiers say; else the first line of the text; nothing of what cannot be read."""
    try:
        metadata = distribution.metadata
    except UnicodeDecodeError:
        return ""
    expression = next(iter(metadata.get_all("License-Expression") or ()), "")
    if expression:
        return str(expression)
    classifiers = metadata.get_all("Classifier") or []
    named = [str(each).rpartition(" :: ")[2] for each in classifiers if str(each).startswith("License :: ")]
    named = [each for each in named if each != "OSI Approved"]
    text = str(next(iter(metadata.get_all("License") or ()), "")).strip()
    return " AND ".join(named) or (text.splitlines()[0][:LONGEST] if text else "")


def _terms(licence: str) -> str:
    """By the strictest of the licences that all hold; where one may choose, by the most open."""
    choices = [each for each in re.split(r"\bOR\b", licence) if each.strip()]
    ranks = ["free", "weak", "strong", "unknown"]
    return min(map(_strictest, choices), key=ranks.index, default="unknown")


def _strictest(licence: str) -> str:
    if STRONG.search(re.sub(r"\bL(?:GPL|esser General Public)", "", licence)) and not re.search(
        r"\bLGPL|Lesser", licence
    ):
        return "weak" if OPEN.search(licence) else "strong"
    if WEAK.search(licence):
        return "weak"
    return "free" if FREE.search(licence) else "unknown"


def _changed(distribution: Distribution) -> Iterator[str]:
    # Not by `distribution.files`: newer versions of importlib leave out those that are gone.
    for name, hashed, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        mode, _, value = hashed.partition("=")
        if mode != "sha256":
            continue
        path = Path(str(distribution.locate_file(name)))
        try:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").digest()
        except OSError:
            yield name
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != value.rstrip("="):
            yield name
