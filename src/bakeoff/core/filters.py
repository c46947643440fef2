"""MLflow's grammar of filters and orders, read into conditions of `bakeoff.core.queries`; refusals in MLflow's words.

`metrics.loss < 0.5 AND params."learning rate" = '0.1' AND tags.kind IN ('a', 'b')`; beyond MLflow, OR and parentheses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bakeoff.core.errors import UsageError
from bakeoff.core.queries import AllOf, AnyOf, Expr, Kind, Operator, Order, Predicate, QueryField

__all__ = ["METRICS", "PARAMS", "RUNS", "TAGS", "Grammar", "Name", "filter_of", "order_of", "unquoted", "within"]

TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<compare><=|>=|!=|<>|=|<|>)
      | (?P<sign>[(),])
      | (?P<name>`[^`]*`(?:\.(?:`[^`]*`|"[^"]*"|[\w./-]+))?
        |[A-Za-z_][\w]*(?:\s*\.\s*(?:`[^`]*`|"[^"]*"|'[^']*'|[\w./\-:]+))*)
    )""",
    re.VERBOSE,
)
WORDS = frozenset({"AND", "OR", "IN", "LIKE", "ILIKE", "NOT", "IS", "NULL"})
DEEPEST = 50
TAGS: Mapping[str, Kind] = {"tag": "tag", "tags": "tag"}
PARAMS: Mapping[str, Kind] = {"param": "param", "params": "param", "parameter": "param", "parameters": "param"}
METRICS: Mapping[str, Kind] = {"metric": "metric", "metrics": "metric"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What an attribute of MLflow's is here, and of what shape its values are; `value` reads them."""

    field: QueryField
    number: bool = False
    value: Callable[[str | float], str | float] | None = None

    @classmethod
    def of(cls, key: str, *, number: bool = False) -> "Name":
        """An attribute, by what it is called here."""
        return cls(field=QueryField(kind="attribute", key=key), number=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What can be asked of one noun: its attributes, and what stands beside by prefix."""

    attributes: Mapping[str, Name]
    kinds: Mapping[str, Kind] = field(default_factory=dict[str, "Kind"])
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """What keys are called here."""
    marks: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands before the keys of some prefixes."""
    prefixes: frozenset[str] = frozenset({"attribute", "attributes", "attr", "run"})

    def field_of(self, name: str) -> Name:
        """The field that a name of a filter means.

        Raises:
            UsageError: there is no such field.
        """
        prefix, dot, key = _split(name)
        if dot and prefix.lower() in self.kinds:
            kind = self.kinds[prefix.lower()]
            key = self.marks.get(prefix.lower(), "") + self.keys.get(key, key)
            return Name(field=QueryField(kind=kind, key=key), number=kind == "metric")
        if dot and prefix.lower() in self.prefixes:
            return self._attribute(key)
        if dot:
            known = sorted({*self.kinds, "attributes"})
            raise UsageError(f"Invalid entity type '{prefix}'. Valid values are {known}")
        return self._attribute(prefix)

    def _attribute(self, key: str) -> Name:
        known = self.attributes.get(key) or self.attributes.get(key.lower())
        if known is None:
            raise UsageError(f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(self.attributes)}'")
        return known


RUNS = Grammar(
    attributes={
        **dict.fromkeys(("run_name", "run name", "Run name", "Run Name", "name"), Name.of("name")),
        **dict.fromkeys(("start_time", "created", "Created"), Name.of("start_ms", number=True)),
        "end_time": Name.of("end_ms", number=True),
        **{key: Name.of(key) for key in ("run_id", "status", "experiment_id")},
        "artifact_uri": Name.of("location"),
        "user_id": Name(field=QueryField(kind="tag", key="mlflow.user")),
    },
    kinds={**METRICS, **PARAMS, **TAGS, "dataset": "input", "datasets": "input"},
    keys={"digest": "version"},
)
"""What can be asked of runs."""


def _split(name: str) -> tuple[str, bool, str]:
    """Prefix and key of a name; quotes around either are taken off."""
    if name.startswith("`") and "." not in name.rpartition("`")[2]:
        return name.strip("`"), False, ""
    prefix, dot, key = name.partition(".")
    return _bare(prefix), bool(dot), _bare(key)


def _bare(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "`\"'":
        return name[1:-1]
    return name


def unquoted(text: str) -> str:
    """The text that a filter writes within quotes; a quote in it is doubled or has a backslash before it.

    >>> unquoted("'it''s'")
    "it's"
    """
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote).replace("\\" + quote, quote)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def filter_of(text: str | None, grammar: Grammar) -> Expr | None:
    """The condition that a filter says; None for an empty one.

    Raises:
        UsageError: it cannot be read, or asks for what there is none of.
    """
    if not text or not text.strip():
        return None
    parser = _Parser(text, grammar)
    condition = parser.either(0)
    parser.end()
    return condition


def within(*conditions: Expr | None) -> Expr:
    """All of these conditions, as far as there are any."""
    return AllOf(parts=tuple(each for each in conditions if each is not None))


def order_of(texts: Sequence[str], grammar: Grammar) -> tuple[Order, ...]:
    """The order that a list of `FIELD [ASC|DESC]` says."""
    return tuple(_order(text, grammar) for text in texts)


def _order(text: str, grammar: Grammar) -> Order:
    parts = text.strip().rsplit(None, 1)
    descending = len(parts) > 1 and parts[1].lower() == "desc"
    name = parts[0] if len(parts) > 1 and parts[1].lower() in {"asc", "desc"} else text.strip()
    if not name:
        raise UsageError(f"Invalid order_by clause '{text}'.")
    try:
        return Order(field=grammar.field_of(_bare(name) if "." not in name else name).field, descending=descending)
    except UsageError as error:
        raise UsageError(f"Invalid order_by clause '{text}': {error}") from None


class _Parser:
    """A filter's tokens, and how far they are read."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        self._text, self._grammar, self._at = text, grammar, 0
        self._tokens: list[_Token] = []
        place = 0
        while place < len(text.rstrip()):
            match = TOKEN.match(text, place)
            if match is None:
                raise self._wrong(text[place:].strip())
            kind = str(match.lastgroup)
            word = match.group(kind)
            self._tokens.append(_Token("word" if kind == "name" and word.upper() in WORDS else kind, word))
            place = match.end()

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"Invalid clause(s) in filter string: '{what}' of '{self._text}'")

    def end(self) -> None:
        """See that all has been read."""
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at].text)

    def _peek(self, *words: str) -> bool:
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        return token is not None and token.kind in {"word", "sign"} and token.text.upper() in words

    def _take(self, *kinds: str) -> _Token:
        if self._at >= len(self._tokens) or self._tokens[self._at].kind not in kinds:
            raise self._wrong(self._tokens[self._at].text if self._at < len(self._tokens) else self._text)
        self._at += 1
        return self._tokens[self._at - 1]

    def _next(self, *words: str) -> bool:
        if self._peek(*words):
            self._at += 1
            return True
        return False

    def either(self, depth: int) -> Expr:
        """Conditions with OR between them."""
        parts = [self._both(depth)]
        while self._next("OR"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else AnyOf(parts=tuple(parts))

    def _both(self, depth: int) -> Expr:
        parts = [self._one(depth)]
        while self._next("AND"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else AllOf(parts=tuple(parts))

    def _one(self, depth: int) -> Expr:
        if depth > DEEPEST:
            raise UsageError(f"Invalid filter: more than {DEEPEST} parentheses inside each other")
        if self._next("("):
            inner = self.either(depth + 1)
            if not self._next(")"):
                raise self._wrong(self._text)
            return inner
        return self._compared()

    def _compared(self) -> Expr:
        name = self._grammar.field_of(self._take("name").text)
        if self._next("IS"):
            operator: Operator = "is not null" if self._next("NOT") else "is null"
            if not self._next("NULL"):
                raise self._wrong(self._text)
            return Predicate(field=name.field, operator=operator)
        negated = self._next("NOT")
        if self._next("IN"):
            return Predicate(field=name.field, operator="not in" if negated else "in", value=self._values(name))
        for word, like in (("LIKE", "like"), ("ILIKE", "ilike")):
            if not negated and self._next(word):
                return Predicate(field=name.field, operator=like, value=self._text_of(self._take("text")))  # pyright: ignore[reportArgumentType]
        sign = self._take("compare").text
        operator = "!=" if sign == "<>" else sign  # pyright: ignore[reportAssignmentType]
        return Predicate(field=name.field, operator=operator, value=self._value(name))

    def _values(self, name: Name) -> tuple[str | int, ...]:
        if not self._next("("):
            raise self._wrong(self._text)
        values = [self._value(name)]
        while self._next(","):
            values.append(self._value(name))
        if not self._next(")"):
            raise self._wrong(self._text)
        return tuple(values)  # pyright: ignore[reportReturnType]

    def _value(self, name: Name) -> str | float:
        token = self._take("text", "number", "name")
        text = self._text_of(token)
        if not name.number:
            if token.kind != "text":
                raise UsageError(f"Expected a quoted string value for '{name.field.key}'. Got value {token.text}")
            return name.value(text) if name.value else text
        try:
            value = float(text) if any(sign in text for sign in ".eEnN") else int(text)
        except ValueError:
            raise UsageError(f"Expected a numeric value for '{name.field.key}'. Got value {token.text}") from None
        return name.value(value) if name.value else value

    def _text_of(self, token: _Token) -> str:
        return unquoted(token.text) if token.kind == "text" else token.text
