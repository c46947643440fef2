"""Reading what language models say: which of some choices an answer names, or which number.

An answer is read by a grammar, the plainest form first: the choice alone; JSON (also in a code block, or behind a
sentence) with a value that is a choice; what is declared ("Final answer: B", `[[B]]`, `<answer>B</answer>`); a first or
last line that is a choice; and a text that names one choice and does not deny it. What names several choices, or is
reasoning that was cut off, says nothing: it is never guessed.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from bakeoff.core import narrow
from bakeoff.core.generation import Piece

__all__ = ["AnswerChoices", "answer_pieces", "number_in", "without_reasoning"]

_TAGS = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad"
_THOUGHT = re.compile(rf"<({_TAGS})>.*?</\1>|◁think▷.*?◁/think▷|\[THINK\].*?\[/THINK\]", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(rf"<(?:{_TAGS})>|◁think▷|\[THINK\]", re.IGNORECASE)
_OPENINGS = (*(f"<{tag}>" for tag in _TAGS.split("|")), "◁think▷", "[think]")
_CLOSED = re.compile(rf"^.*(?:</(?:{_TAGS})>|◁/think▷|\[/THINK\])", re.DOTALL | re.IGNORECASE)
_FINAL = re.compile(r"^.*<\|channel\|>final(?:<\|constrain\|>\w+)?<\|message\|>", re.DOTALL)
_CHANNEL = re.compile(r"<\|channel\|>")
_CONTROL = re.compile(r"<\|(?:return|end|im_end|eot_id|end_of_text|endoftext)\|>|</s>")
_FENCE = re.compile(r"```(?:\w+\n)?(.*?)```", re.DOTALL)
_EDGES = " \t\n\r\"'`“”‘’«».:;,!*_()[]{}<>"
_BULLET = re.compile(r"^\s*(?:[-*•>]|#+)\s+")
_OUT_OF = re.compile(r"^(\d+)\s*(?:/|out of)\s*\d+$")
_DENIED = re.compile(
    r"(?:\b(?:than|neither|nor|without)\W*"
    r"|(?:\b(?:not|no|never|none|nothing|cannot|hardly)|n['’]t)\b(?!\s+(?:only|just|doubt|question)\b)"
    r"(?:\s+(?!but\b)[\w'’]+){0,5}\W*)$"
)
"""What denies the choice that follows: a denial in the same clause, a few words before it."""
_PAIR = re.compile(r'"(\w+)"\s*:\s*"([^"\\]*)"\s*[,}]')
"""A name with a whole text, in JSON that was cut off behind it."""
_DECLARED = re.compile(
    r"(?:\b(?:answer|label|class|category|classification|sentiment|verdict|winner|choice|preference|prediction|result"
    r"|conclusion|rating|score|grade|value|intent|topic|therefore|thus|overall)\b"
    r"[^\w\n]{0,4}(?:\b(?:is|would be|should be)\b|[:=→])[^\w+\-]{0,4}"
    r"|\\boxed\{(?:\\text\{)?|\[\[|<(?:answer|label|verdict|output|final)>)\s*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OTHER_NUMBER = re.compile(r"\d\.\d{3},\d|\d(?:\s?[-–—]\s?|:)\d|(?<!\d)\d{1,3} \d{3}(?!\d)")
"""Ranges, dates, times and ways to write a number that could be two: what they begin with is not what they say."""
KEYS = (
    "label",
    "answer",
    "final_answer",
    "class",
    "category",
    "classification",
    "sentiment",
    "verdict",
    "winner",
    "choice",
    "preference",
    "prediction",
    "result",
    "value",
)
"""Where JSON answers have what was asked for."""


def without_reasoning(text: str) -> str | None:
    """What an answer says after its reasoning; None when it was cut off in the midst of it.

    >>> without_reasoning("<think>It may be bad.</think> good"), without_reasoning("<think>It may be")
    ('good', None)
    """
    if _CHANNEL.search(text):
        final = _FINAL.match(text)
        if final is None:
            return None
        text = text[final.end() :]
    text = _THOUGHT.sub("", text)
    closed = _CLOSED.match(text)  # a template may have opened it
    text = text[closed.end() :] if closed else text
    return None if _OPEN.search(text) else _CONTROL.sub("", text).strip()


def _bare(text: str) -> str:
    """A text without what may stand around it, whatever its case; one of signs alone stays as it is."""
    text = _BULLET.sub("", text)
    return _OUT_OF.sub(r"\1", (text.strip(_EDGES) or text.strip()).lower())


_FORMS = (str.strip, lambda text: str(text).strip().lower(), _bare)


def answer_pieces(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces of an answer without the reasoning that it begins with, so that what is served is what is measured.

    >>> parts = (Piece(text=text) for text in ("<th", "ink>Hm.</thi", "nk> ", "Yes", "."))
    >>> [piece.text for piece in answer_pieces(parts)]
    ['Yes', '.']
    """
    begun, waiting = False, ""
    for piece in pieces:
        if begun:
            yield piece
            continue
        waiting += piece.text
        rest = _after_reasoning(waiting)
        if rest:
            begun, waiting = True, ""
            yield replace(piece, text=rest)
        elif piece.calls or piece.finish is not None:
            # A single piece that might have begun a tag, and was all there is, is an answer.
            yield replace(piece, text="" if _OPEN.match(waiting.lstrip()) else waiting)
            waiting = ""


def _after_reasoning(text: str) -> str:
    """What follows the reasoning at the beginning of a text; nothing while that goes on, or may still begin."""
    opening = _OPEN.match(text.lstrip())
    if opening is not None:
        closed = _THOUGHT.match(text.lstrip())
        return "" if closed is None else _after_reasoning(text.lstrip()[closed.end() :].lstrip())
    bare = text.lstrip().lower()
    begins = any(tag.startswith(bare) for tag in _OPENINGS)
    return "" if begins else text


@dataclass(frozen=True)
class AnswerChoices:
    """Choices, each by its name or by several spellings; `cased`: capitals matter in running text (A, not a)."""

    spellings: tuple[tuple[str, ...], ...]
    cased: bool = False

    @classmethod
    def of(cls, names: Sequence[str]) -> "AnswerChoices":
        """Choices that are known by their names alone."""
        return cls(tuple((name,) for name in names))

    def read(self, text: str, *, running: bool = True) -> int | None:
        """The position of the choice that an answer names; None when it names none, or several.

        Without `running`, one that is merely named in a running text does not count.

        >>> labels = AnswerChoices.of(["bad", "not bad"])
        >>> [labels.read(text) for text in ('{"label": "bad"}', " Not bad.", "It is bad!", "hm", "bad or not bad?")]
        [0, 1, 0, None, None]
        """
        answer = without_reasoning(text)
        return None if not answer else next(self._readings(answer, running=running), None)

    def _readings(self, answer: str, *, running: bool) -> Iterator[int | None]:
        """What each form of the grammar reads, from the plainest on; None ends it."""
        for value in (answer, *_values(answer)):
            if (known := self._exact(value)) is not None:
                yield known
        if answer.startswith("{"):
            yield None  # JSON with something else, or cut off: words in it are not to be picked out
        yield from list(self._declared(answer))[-1:]
        lines = [line for line in answer.splitlines() if line.strip()]
        for line in (lines[0], lines[-1]) if len(lines) > 1 else ():
            if (known := self._exact(line)) is not None:
                yield known
        yield self._named(answer) if running else None

    @cached_property
    def _forms(self) -> list[dict[str, int | None]]:
        """Positions by spelling: as it is, in small letters, bare of signs; None where that is more than one's."""
        forms: list[dict[str, int | None]] = []
        for form in _FORMS:
            positions: dict[str, set[int]] = {}
            for at, names in enumerate(self.spellings):
                for name in names:
                    positions.setdefault(form(name), set()).add(at)
            forms.append({name: next(iter(ats)) if len(ats) == 1 else None for name, ats in positions.items()})
        return forms

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest = sorted((name for names in self.spellings for name in names if name), key=len, reverse=True)
        among = "|".join(re.escape(name) for name in longest)
        return re.compile(
            rf"(?<![\w'’])(?<!\w[-/])(?<!\d[.,])(?:{among or '(?!)'})(?!\w|[.,]\d|[-/]\w)",
            re.NOFLAG if self.cased else re.IGNORECASE,
        )

    def _exact(self, text: str) -> int | None:
        for form, positions in zip(_FORMS, self._forms, strict=True):
            if form(text) in positions:
                return positions[form(text)]
        return None

    def _declared(self, text: str) -> Iterator[int]:
        """Choices that follow right behind words which declare an answer."""
        for match in _DECLARED.finditer(text):
            found = self._pattern.match(text, match.end())
            rest = text[match.end() :].split("\n", 1)[0]
            if found is not None and not re.match(r"\s*(?:or|/|\|)\s*\w", text[found.end() :]):
                yield from () if (at := self._exact(found.group())) is None else (at,)
            elif (known := self._exact(rest)) is not None:
                yield known

    def _named(self, text: str) -> int | None:
        """The only choice that a running text names and does not deny; others it may deny ("bad, not good")."""
        named, denied = set[int | None](), set[int | None]()
        for match in self._pattern.finditer(text):
            clause = re.split(r"[.,;:!?\n]", text[: match.start()])[-1]
            (denied if _DENIED.search(clause.lower()) else named).add(self._exact(match.group()))
        return named.pop() if len(named) == 1 and not named & denied else None


def number_in(text: str) -> float | None:
    """The number that an answer gives: the only one in it, one that is declared, or the one that it begins with.

    >>> [number_in(text) for text in ("about 1,250.5 km", "-3", "none", "2 + 2 makes: the answer is 4", "from 3 to 5")]
    [1250.5, -3.0, None, 4.0, None]
    """
    answer = without_reasoning(text)
    if not answer:
        return None
    for value in _values(answer):
        if (known := _number(value)) is not None:
            return known
    declared = [_number(text) for text in _behind(answer)]
    if declared and declared[-1] is not None:
        return declared[-1]
    if _OTHER_NUMBER.search(answer):
        return None
    numbers = [value for match in _NUMBER.finditer(answer) if (value := _number(match.group())) is not None]
    begins = _NUMBER.match(answer.lstrip("$€£~≈ "))
    if begins and (first := _number(begins.group())) is not None:
        return first
    return numbers[0] if len(set(numbers)) == 1 else None


def _behind(text: str) -> Iterator[str]:
    """What stands right behind words that declare an answer, as far as it is a number."""
    for match in _DECLARED.finditer(text):
        found = _NUMBER.match(text[match.end() :].lstrip("$€£~≈ "))
        yield found.group() if found else ""


def _number(text: str) -> float | None:
    bare = text.strip().replace(",", "").replace("−", "-")
    try:
        value = float(bare)
    except ValueError:
        return None
    return value if math.isfinite(value) and any(character.isdigit() for character in bare) else None


def _values(text: str) -> Iterator[str]:
    """Values of JSON objects in a text that may be its answer: the whole, in a code block, or the last one in it."""
    blocks = [text, *_FENCE.findall(text)]
    start = text.rfind("{")
    if start > 0 and "}" in text[start:]:
        blocks.append(text[start : text.rfind("}") + 1])
    for block in blocks:
        body = _decoded(block.strip())
        if narrow.is_object(body):
            yield from _answers(body)
        elif block is not text and block.strip():
            yield block.strip()


def _answers(body: Mapping[str, object]) -> Iterator[str]:
    """What stands under a name that answers have, or under the only name; also one level deeper."""
    fields = {str(name).lower().replace(" ", "_"): value for name, value in body.items()}
    for name in (*(key for key in KEYS if key in fields), *(fields if len(fields) == 1 else ())):
        value = fields[name]
        yield from _answers(value) if narrow.is_object(value) else (_plain(value),)


def _decoded(text: str) -> object:
    """An object of JSON, of Python, or what is whole of one that was cut off."""
    if not text.startswith("{"):
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(text, strict=False)
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        return ast.literal_eval(text)
    pairs = _PAIR.findall(text)
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else None


def _plain(value: object) -> str:
    if narrow.is_array(value) and len(value) == 1:
        value = value[0]
    return json.dumps(value) if isinstance(value, bool) else str(value)
