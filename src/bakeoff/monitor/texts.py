"""Signals of texts on a sample, once a day: which languages they are in, and what they are about.

Both compare texts of the reference's `rows` with those of the window's sample. A text that comes again counts once: who
sends the same a thousand times has not changed what others send.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.conversation import plain_text
from bakeoff.core.errors import BakeoffError
from bakeoff.core.types import Json
from bakeoff.metrics.discoveries import discovered
from bakeoff.metrics.domain import LEAST_DAYS, mean_of_days, vector_separation
from bakeoff.monitor.look import MonitorLook, top
from bakeoff.monitor.shift import LEAST_SAMPLE, LOOKS_A_DAY, days_of
from bakeoff.monitor.signals import Signal, SignalName
from bakeoff.monitor.sums import PredictionSums

__all__ = ["TextReaders", "language", "meaning"]

MOST_TEXTS, MOST_CHARACTERS = 300, 2_000
"""Texts of a side and column that are read, and how much of each."""
UNKNOWN = "unknown"
WORST = 5

Languages: TypeAlias = Callable[[Sequence[str]], Sequence[str | None]]
Vectors: TypeAlias = Callable[[Sequence[str]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReaders:
    """What reads texts: each is called with a few hundred, once a day, and may raise a `BakeoffError`.

    Attributes:
        languages: the code (ISO 639) of each text's language, None where it has no letters.
        vectors: what each text is about, (n, d); None: the project has no encoder.
    """

    languages: Languages | None = None
    vectors: Vectors | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """The texts of a column: those of the reference, those of the window, and the days of these, if they are known."""

    column: str
    before: Sequence[str]
    now: Sequence[str]
    days: Sequence[int]


def language(
    sums: PredictionSums, look: MonitorLook, readers: TextReaders, days: Sequence[PredictionSums] = ()
) -> Signal:
    """The largest change of a language's share of texts; an alert when surely none of chance, and over the limit."""
    limit, sides = look.config.language_share, _sides(sums, look, days)
    if isinstance(sides, str) or readers.languages is None:
        reason = sides if isinstance(sides, str) else "nothing here tells languages"
        return look.signal("language", None, limit=limit, rows=0, detail={"reason": reason})
    tested: list[tuple[float, float, str, str]] = []
    shares: dict[str, Json] = {}
    rows = min(len(side.now) for side in sides)
    for side in sides:
        try:
            codes = [np.asarray([c or UNKNOWN for c in readers.languages(t)]) for t in (side.before, side.now)]
        except BakeoffError as error:
            return _unread(look, "language", limit, rows, error)
        before, now = (Counter(each.tolist()) for each in codes)
        shares[side.column] = {"now": dict(top(now, WORST)), "reference": dict(top(before, WORST))}
        for code in sorted({*before, *now}):
            is_of_n, is_of_m = (each == code for each in codes)
            change = float(is_of_m.mean() - is_of_n.mean())
            tested.append((change, _change_p(is_of_n, is_of_m, side.days), code, side.column))
    sure = discovered([p for _, p, _, _ in tested], look.level * LOOKS_A_DAY)
    over = [each for each, is_sure in zip(tested, sure, strict=True) if is_sure and abs(each[0]) > limit]
    change, p, code, column = max(over or tested, key=lambda each: abs(each[0]))
    reason = f"{change:+.1%} of the texts of {column!r} are in {code!r} (p = {p:.2g}; {rows} texts read)"
    detail: dict[str, Json] = {"columns": shares, "p": p, "reason": reason}
    return look.signal("language", abs(change), limit=limit, rows=rows, alert=bool(over), detail=detail)


def _change_p(is_of_n: NDArray[np.bool_], is_of_m: NDArray[np.bool_], days: Sequence[int]) -> float:
    """How likely texts of a language are so much more or less frequent by chance (n before, m now), or by days' own."""
    from scipy.stats import hypergeom, t

    n, m, before, now = len(is_of_n), len(is_of_m), int(is_of_n.sum()), int(is_of_m.sum())
    where = (n + m, before + now, m)
    p = 2 * float(min(hypergeom.cdf(now, *where), hypergeom.sf(now - 1, *where)))
    if (of_days := len({*days})) >= LEAST_DAYS:
        mean, variance = mean_of_days(is_of_m.astype(np.float64), np.asarray(days))
        spread = (variance + float(is_of_n.var()) / n) ** 0.5
        p = max(p, 2 * float(t.sf(abs(mean - is_of_n.mean()) / spread, of_days - 1))) if spread > 0 else p
    return min(1.0, p)


def meaning(
    sums: PredictionSums, look: MonitorLook, readers: TextReaders, days: Sequence[PredictionSums] = ()
) -> Signal:
    """How well texts of now are told from the reference's by what they are about (ROC AUC); an alert over `joint_auc`.

    It is what an encoder's vectors show, and words may not: the same said of other things, other things said alike.
    """
    limit, sides = look.config.joint_auc, _sides(sums, look, days)
    if isinstance(sides, str) or readers.vectors is None:
        none = "no candidate of the project has an encoder (families words, embedding)"
        reason = sides if isinstance(sides, str) else none
        return look.signal("meaning", None, limit=limit, rows=0, detail={"reason": reason})
    tested: list[tuple[float, float, str]] = []
    rows = min(len(side.now) for side in sides)
    for side in sides:
        try:
            vectors = [np.asarray(readers.vectors(texts), dtype=np.float64) for texts in (side.before, side.now)]
        except BakeoffError as error:
            return _unread(look, "meaning", limit, rows, error)
        tested.append((*vector_separation(vectors[0], vectors[1], days=side.days, seed=look.seed), side.column))
    sure = discovered([p for _, p, _ in tested], look.level * LOOKS_A_DAY)
    over = [each for each, is_sure in zip(tested, sure, strict=True) if is_sure and each[0] > limit]
    auc, p, column = max(over or tested)
    reason = f"texts of {column!r} are told from those of the reference by what they are about with an AUC of {auc:.3f}"
    detail: dict[str, Json] = {"p": p, "columns": {name: auc for auc, _, name in tested}, "reason": reason}
    return look.signal("meaning", auc, limit=limit, rows=rows, alert=bool(over), detail=detail)


def _unread(look: MonitorLook, name: SignalName, limit: float, rows: int, error: BakeoffError) -> Signal:
    """That texts could not be read; not tried again that day."""
    return look.signal(name, None, limit=limit, rows=rows, detail={"reason": str(error), "unread": True})


def _sides(sums: PredictionSums, look: MonitorLook, days: Sequence[PredictionSums]) -> "list[_Sides] | str":
    """The texts of each column that has enough of them; why there are none."""
    known = {name: narrow.json_object(each) for name, each in look.reference.inputs.items()}
    names = [name for name, each in known.items() if each["kind"] == "text"]
    if not names:
        return "no texts come"
    drawn = sorted(sums.sample, key=lambda each: each.draw)
    of_days = days_of(drawn, days)
    sides: list[_Sides] = []
    for name in names:
        before, now = _texts(look.reference.rows, name), _texts([each.row for each in drawn], name)
        of_texts = [of_days[at] for at in now.values()] if of_days else []
        sides.append(_Sides(column=name, before=list(before), now=list(now), days=of_texts))
    enough = [side for side in sides if min(len(side.before), len(side.now)) >= LEAST_SAMPLE]
    if enough:
        return enough
    most = max(sides, key=lambda side: min(len(side.before), len(side.now)))
    return f"{len(most.now)} sampled texts beside {len(most.before)}, at least {LEAST_SAMPLE} different ones needed"


def _texts(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    """The first different texts of a column, the beginning of each; in which row each stands first."""
    texts: dict[str, int] = {}
    for at, row in enumerate(rows):
        text = _text(row.get(name)).strip()[:MOST_CHARACTERS]
        if text:
            texts.setdefault(text, at)
        if len(texts) == MOST_TEXTS:
            break
    return texts


def _text(value: object) -> str:
    """A text or a conversation as people read it."""
    if isinstance(value, list):
        value = msgspec.json.encode(value).decode()
    return "" if value is None else plain_text(str(value))
