"""Personal data and secrets: find them, count them, put a mark in their place."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from bakeoff.core.types import Column, Json
from bakeoff.prepare.personal_data import addresses, documents, emails, national_ids, phones, secrets, wallets
from bakeoff.prepare.personal_data import kinds as pii_kinds
from bakeoff.prepare.personal_data.kinds import PATTERN_KINDS, PatternKind
from bakeoff.prepare.text.cleaning import Rewrite, TextStep, digest, each
from bakeoff.prepare.text.marks import (
    EntityKind,
    Marks,
    PersonalMark,
    PiiKind,
    apart,
    find_pii,
    marked,
    replaced,
    signs_of,
)
from bakeoff.prepare.text.plain_text import plain, plain_texts

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PersonalMark", "PiiKind", "RedactPiiParams", "count_pii", "find_pii", "marked", "redact_pii"]
__all__ += ["redacting", "redactor"]

# The labels of spaCy's pipelines: OntoNotes (English, …) and WikiNER (most other languages).
ENTITY_LABELS: dict[str, EntityKind] = {
    "PERSON": "name",
    "PER": "name",
    "GPE": "place",
    "LOC": "place",
    "FAC": "place",
}


LEAST_KEY = 16


def redacting(steps: Sequence[Json]) -> list[Json]:
    """Those of the steps that redact personal data."""
    return [step for step in steps if (step.get("name") if isinstance(step, dict) else step) == redact_pii.name]


def redactor(steps: Sequence[Json]) -> Callable[[Json], Json]:
    """What the steps `redact_pii` among these do to texts, for any value of JSON and every text within it.

    So what a project redacts before it learns does not stand in its logs either. All texts of a value are redacted at
    once, which takes a hundredth of the time that one by one does.
    """
    from bakeoff.prepare.steps import preparation

    own = redacting(steps)
    if not own:
        return lambda value: value
    column = Column(name="text", kind="text", dtype="String")

    def redact(value: Json) -> Json:
        import polars as pl

        texts: list[str] = []

        def collect(text: str) -> str:
            texts.append(text)
            return text

        _mapped(value, collect)
        if not texts:
            return value
        table = pl.DataFrame({"text": texts}, schema={"text": pl.String})
        redacted = iter(preparation(own).apply_columns(table, (column,))["text"].fill_null("").to_list())
        return _mapped(value, lambda _: next(redacted))

    return redact


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    """The value with every text in it changed, empty ones aside."""
    if isinstance(value, dict):
        return {name: _mapped(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    return change(value) if isinstance(value, str) and value else value


def count_pii(texts: "pl.Series", kinds: Sequence[PatternKind] = PATTERN_KINDS) -> dict[PatternKind, int]:
    """How many of each kind the texts hold."""
    marked = [(texts.gather(places).to_list(), some) for places, some in _suspects(texts, kinds)]
    counted = Counter(found.kind for part, some in marked for text in part for found in find_pii(text, some))
    return {kind: counted[kind] for kind in kinds}


def _suspects(texts: "pl.Series", kinds: Sequence[PatternKind]) -> "Iterator[tuple[pl.Series, list[PatternKind]]]":
    """Places of the texts that may hold something, by the kinds that they show signs of."""
    import polars as pl

    signs = signs_of(plain_texts(texts), kinds).fill_null(value=False)
    shown = signs.with_row_index("place").filter(pl.any_horizontal(kinds))
    for found, places in shown.group_by(kinds, maintain_order=True):
        yield places["place"], [kind for kind, is_shown in zip(kinds, found, strict=True) if is_shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactPiiParams:
    """`kinds` to redact; `template` is what stands for one, with `{kind}` in it, and `{id}` for a pseudonym.

    A pseudonym is the same for the same value wherever it stands, and without the key nobody can tell whose it is:
    eight hexadecimal digits of keyed BLAKE3. `key` names the environment variable that holds the key.
    The kinds "name" and "place" need `model`, the name of an installed spaCy pipeline that finds entities.
    """

    kinds: tuple[PiiKind, ...] = PATTERN_KINDS
    template: str = "[{kind}]"
    model: str | None = None
    key: str | None = None


def _marks(params: RedactPiiParams) -> Marks:
    if "{id}" not in params.template:
        return lambda kind, _: params.template.replace("{kind}", kind)
    secret = os.environ.get(params.key or "", "")
    if len(secret) < LEAST_KEY:
        raise ValueError(
            f"pseudonyms need a 'key': the name of an environment variable that holds at least {LEAST_KEY} characters"
        )
    key = blake3(secret.encode(), derive_key_context="bakeoff 2026 pseudonyms of personal data").digest()

    def mark(kind: PiiKind, value: str) -> str:
        same = "".join(character for character in plain(value).casefold() if character.isalnum() or character in "@.+")
        pseudonym = blake3(f"{kind}:{same}".encode(), key=key).hexdigest(length=4)
        return params.template.replace("{kind}", kind).replace("{id}", pseudonym)

    return mark


def _redact_pii(params: RedactPiiParams) -> Rewrite:
    marks = _marks(params)
    patterns: tuple[PatternKind, ...] = tuple(kind for kind in PATTERN_KINDS if kind in params.kinds)
    entities: dict[str, EntityKind] = {label: kind for label, kind in ENTITY_LABELS.items() if kind in params.kinds}
    by_pattern = _patterns(patterns, marks)
    if not entities:
        return by_pattern
    if params.model is None:
        raise ValueError("names and places need a 'model': the name of an installed spaCy pipeline")
    by_model = _entities(params.model, entities, marks, params.template)
    # Patterns first: what they know for sure should not be torn apart by what a model guesses.
    return lambda texts: by_model(by_pattern(texts))


def _patterns(kinds: tuple[PatternKind, ...], marks: Marks) -> Rewrite:
    def redact(texts: "pl.Series") -> "pl.Series":
        redacted = texts.clone()
        for places, some in _suspects(texts, kinds) if kinds else ():
            rewrite = each(lambda text, some=some: replaced(text, find_pii(text, some), marks))
            redacted = redacted.scatter(places, rewrite(texts.gather(places)))
        return redacted

    return redact


def _entities(model: str, labels: dict[str, EntityKind], marks: Marks, template: str) -> Rewrite:
    from bakeoff.prepare.text.linguistics import pipeline

    find: Callable[[str], Any] = pipeline(model, needs=("ner",))
    mark = re.compile(_pattern_of(template))

    def redact(text: str) -> str:
        document = find(text)
        taken = [found.span() for found in mark.finditer(text)]  # a model takes marks for entities, or parts of them
        found = [
            PersonalMark(kind=labels[entity.label_], start=entity.start_char, end=entity.end_char)
            for entity in document.ents
            if entity.label_ in labels
            and not any(start < entity.end_char and entity.start_char < end for start, end in taken)
        ]
        return replaced(text, apart(found), marks)

    return each(redact)


def _pattern_of(template: str) -> str:
    """A pattern of the marks that a template gives."""
    return re.escape(template).replace(r"\{kind\}", "[a-z_]{2,12}").replace(r"\{id\}", "[0-9a-f]{8}")


def _all_patterns() -> Iterator[str]:
    for module in (addresses, documents, emails, national_ids, phones, pii_kinds, secrets, wallets):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}={value.pattern}"
    yield from (pattern.pattern for pattern in documents.PATTERNS.values())


redact_pii = TextStep(
    name="redact_pii",
    version=4,
    make=_redact_pii,
    params=RedactPiiParams,
    requires=("phonenumbers", "spacy"),
    content=digest(_all_patterns()),
)
"""Personal data and secrets by patterns and checks (and names, places by a model) as `[kind]`."""
