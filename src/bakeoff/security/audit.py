"""The audit log: who changed what, when, from where; append-only, each record chained to the one before.

The hash of a record is BLAKE3 of its canonical JSON, which holds the hash of the record before. So an edited record,
and one that was taken out, break the chain where they are; a cut end is known by the head, which counts the records
and has the last hash. What a record says of a thing (subject, before, after) enters the hash as a salted digest: it can
be erased, where it is of a person who is to be forgotten, and the chain stays whole; a later record names those that
were. Whoever can write the records can write a whole new chain: who must exclude that keeps the head that
`bakeoff audit verify` prints somewhere else, and gives it to the next one.
"""

import getpass
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from blake3 import blake3

from bakeoff.core import narrow
from bakeoff.core.erasure import ERASED
from bakeoff.core.errors import ConflictError, StoreError, UsageError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.queries import Order, Query, QueryField
from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.releases import EndpointChange
from bakeoff.core.types import Json

__all__ = ["AuditHead", "AuditLog", "AuditRecord", "apply_with", "as_cef", "current_user"]

AUDIT, HEADS = "audit", "audit_head"
HEAD = "head"
DIGITS = 12
TRIES = 100
FIRST = "0" * 64
CONTENT = ("subject", "before", "after", "salt")
"""What of a record its hash knows by a digest alone."""
ERASURE = "audit content erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One change: `who` did `action` to `subject`, coming from `origin`; `before` and `after` tell what changed."""

    number: int
    time_ms: int
    who: str
    action: str
    subject: str
    origin: str
    before: Json
    after: Json
    previous: str
    hash: str

    def to_json(self) -> dict[str, Json]:
        """As a JSON object, its time in ISO 8601 beside it."""
        return asdict(self) | {"time": datetime.fromtimestamp(self.time_ms / 1000, UTC).isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """How many records there are, and the last one's hash."""

    count: int
    hash: str

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"

    @classmethod
    def parsed(cls, text: str) -> "AuditHead":
        """A head as it was printed."""
        count, separator, digest = text.partition(":")
        if not separator or not count.isdigit() or len(digest) != len(FIRST):
            raise UsageError(f"expected a head as 'bakeoff audit verify' prints it (12:3fa…), received {text!r}")
        return cls(count=int(count), hash=digest)


class AuditLog:
    """The audit log of a project; safe to write from many processes.

    Args:
        documents: where it is.
        clock: milliseconds since 1970.
    """

    def __init__(self, documents: DocumentRecords, clock: Clock) -> None:
        self._documents, self._clock = documents, clock

    def add(
        self, action: str, subject: str, *, who: str, origin: str = "", before: Json = None, after: Json = None
    ) -> AuditRecord:
        """Write down a change, durably.

        Raises:
            ConflictError: too many others wrote at the same time.
        """
        for _ in range(TRIES):
            changes = self.changes(action, subject, who=who, origin=origin, before=before, after=after)
            try:
                self._documents.apply(changes)
            except ConflictError:
                continue
            assert changes[0].body is not None
            return _record(changes[0].body)
        raise ConflictError(f"expected to write to the audit log, but others did so {TRIES} times meanwhile; try again")

    def changes(
        self, action: str, subject: str, *, who: str, origin: str = "", before: Json = None, after: Json = None
    ) -> tuple[DocumentChange, DocumentChange]:
        """The record of a change and the new head, to be written in one commit with the change itself.

        Such a commit ends with `ConflictError` when another record was written meanwhile: make them again.
        """
        stored = self._documents.get(HEADS, HEAD)
        head = _head(stored)
        content: dict[str, Json] = {"subject": subject, "before": before, "after": after, "salt": secrets.token_hex(16)}
        fields: dict[str, Json] = {
            "number": head.count + 1,
            "time_ms": self._clock(),
            "who": who,
            "action": action,
            "origin": origin,
            "previous": head.hash,
            "content": _hash(content),
        }
        digest = _hash(fields)
        record: dict[str, Json] = {**fields, **content, "hash": digest}
        body: dict[str, Json] = {"count": head.count + 1, "hash": digest}
        return (
            DocumentChange(collection=AUDIT, key=_key(head.count + 1), body=record, expected=0),
            DocumentChange(collection=HEADS, key=HEAD, body=body, expected=stored.revision if stored else 0),
        )

    def erase(self, holds: Callable[[Json], bool], *, who: str) -> int:
        """Erase what records say of things, where that holds something; how many. A new record names them.

        Records of before the digest stay: their hash is of their content. Those of erasures stay: they name numbers
        alone, by which `verify` knows what was erased.
        """
        for _ in range(TRIES):
            matching = [
                each
                for each in self._documents.find(AUDIT)
                if "salt" in each.body
                and each.body["action"] != ERASURE
                and holds([each.body[name] for name in CONTENT])
            ]
            if not matching:
                return 0
            gone: dict[str, Json] = {"subject": ERASED, "before": None, "after": None}
            changes = [
                DocumentChange(
                    collection=AUDIT,
                    key=each.key,
                    body={key: value for key, value in each.body.items() if key not in CONTENT} | gone,
                    expected=each.revision,
                )
                for each in matching
            ]
            numbers = [narrow.whole(each.body["number"]) for each in matching]
            record = self.changes(ERASURE, "audit log", who=who, after={"numbers": list[Json](numbers)})
            try:
                self._documents.apply([*changes, *record])
            except ConflictError:
                continue
            return len(matching)
        raise ConflictError(f"expected to write to the audit log, but others did so {TRIES} times meanwhile; try again")

    def endpoint_moved(self, change: EndpointChange) -> tuple[DocumentChange, DocumentChange]:
        """The record of a change of an endpoint's routes."""
        return self.changes(
            f"endpoint {change.what}",
            f"endpoint {change.endpoint}",
            who=change.who,
            before=change.before.to_json(),
            after={**change.after.to_json(), "why": change.why},
        )

    def records(self) -> Iterator[AuditRecord]:
        """All records, oldest first."""
        for document in self._documents.find(AUDIT):
            yield _record(document.body)

    def last(self, count: int) -> list[AuditRecord]:
        """The newest records, oldest first: no others are read."""
        newest = Order(field=QueryField(kind="attribute", key="id"), descending=True)
        query = Query(order=(newest,), lifecycle=None, limit=count)
        return [_record(each.body) for each in reversed(self._documents.search(AUDIT, query).items)]

    def head(self) -> AuditHead:
        """How long the log is, and its last hash."""
        return _head(self._documents.get(HEADS, HEAD))

    def verify(self, known: AuditHead | None = None) -> list[str]:
        """What is wrong with the log, one sentence for each; nothing when all is as it was written.

        `known` is a head that was kept elsewhere: the log must begin with what it names.
        """
        faults, head = list[str](), AuditHead(count=0, hash=FIRST)
        try:
            head = self.head()
        except StoreError as error:
            faults.append(str(error))
        stored = self._stored(head.count)
        last = max([head.count, *(int(key) for key in stored if key.isdigit())])
        faults += [f"record {key!r} has no number" for key in sorted(stored) if not key.isdigit()]
        previous: str | None = FIRST
        erased = _erased(stored.values())
        for number in range(1, last + 1):
            body = stored.get(_key(number))
            if body is None:
                faults.append(f"record {number} is missing: it was deleted, or the end of the log was cut off")
                previous = None
                continue
            faults += _faults(number, body, previous, erased)
            previous = str(body.get("hash"))
        if last > head.count:
            faults.append(f"the head counts {head.count} records, but there are {last}: the head was set back")
        elif previous is not None and previous != head.hash:
            faults.append(f"the head's hash is not that of record {last}: one of them was edited")
        return [*faults, *_against(known, stored)]

    def _stored(self, count: int) -> dict[str, Mapping[str, Json]]:
        """The bodies of records by their key, empty for those that are no records any more."""
        try:
            found: dict[str, object] = {document.key: document.body for document in self._documents.find(AUDIT)}
        except StoreError:  # one of them cannot be read, and the others still tell which
            found = {_key(number): self._body(_key(number)) for number in range(1, count + 1)}
        return {key: body if narrow.is_mapping(body) else {} for key, body in found.items() if body is not None}

    def _body(self, key: str) -> object:
        try:
            document = self._documents.get(AUDIT, key)
        except StoreError:
            return {}
        return None if document is None else document.body


def current_user() -> str:
    """Who this process belongs to, as the operating system calls them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return f"user {os.getuid()}"


def apply_with(documents: DocumentRecords, changes: Callable[[], Sequence[DocumentChange]]) -> None:
    """Apply changes together with their record in the audit log; they are made again when others wrote meanwhile.

    Raises:
        ConflictError: too many others wrote at the same time.
    """
    for _ in range(TRIES):
        made = changes()
        try:
            documents.apply(made)
        except ConflictError:
            continue
        return
    raise ConflictError(f"expected to write to the records, but others did so {TRIES} times meanwhile; try again")


def as_cef(record: AuditRecord, version: str) -> str:
    """A record in the Common Event Format (ArcSight, revision 25), as collectors of security events read it."""
    head = "|".join(
        each.replace("\\", r"\\").replace("|", r"\|").replace("\n", " ")
        for each in ("bakeoff", "bakeoff", version, record.action, f"{record.action} {record.subject}")
    )
    values = {
        "rt": str(record.time_ms),
        "suser": record.who,
        "src": record.origin,
        "externalId": str(record.number),
        "cs1Label": "before",
        "cs1": json.dumps(record.before),
        "cs2Label": "after",
        "cs2": json.dumps(record.after),
    }
    plain = {
        key: value.replace("\\", r"\\").replace("=", r"\=").replace("\n", r"\n").replace("\r", r"\r")
        for key, value in values.items()
        if value
    }
    return f"CEF:0|{head}|3|" + " ".join(f"{key}={value}" for key, value in plain.items())


def _erased(bodies: Iterable[Mapping[str, Json]]) -> frozenset[int]:
    """The numbers of records whose content was erased, as records of that say."""
    bodies_of_erasure = [body.get("after") for body in bodies if body.get("action") == ERASURE and "salt" in body]
    numbers = [narrow.json_array(after.get("numbers", ())) for after in bodies_of_erasure if isinstance(after, Mapping)]
    return frozenset(number for each in numbers for number in each if isinstance(number, int))


def _faults(number: int, body: Mapping[str, Json], previous: str | None, erased: frozenset[int]) -> Sequence[str]:
    outside = {"hash", *(CONTENT if "content" in body else ())}
    fields = {key: value for key, value in body.items() if key not in outside}
    if body.get("number") != number:
        return [f"record {number} says that it is {body.get('number')!r}: it was edited or moved"]
    if body.get("hash") != _hash(fields):
        return [f"record {number} was edited: its hash is not that of its content"]
    if "content" in body:
        content = {name: body.get(name) for name in CONTENT}
        is_erased = content == {"subject": ERASED, "before": None, "after": None, "salt": None}
        if is_erased and number not in erased:
            return [f"record {number} was edited: what it says was taken out, and no record tells of that"]
        if not is_erased and body["content"] != _hash(content):
            return [f"record {number} was edited: what it says is not what was written"]
    if previous is not None and body.get("previous") != previous:
        return [f"record {number} does not follow record {number - 1}: one of them was written anew"]
    return []


def _against(known: AuditHead | None, stored: Mapping[str, Mapping[str, Json]]) -> Sequence[str]:
    if known is None or known.count == 0:
        return []
    body = stored.get(_key(known.count))
    if body is not None and body.get("hash") == known.hash:
        return []
    return [f"record {known.count} is not the one that was there when its head was kept: the log was written anew"]


def _key(number: int) -> str:
    return f"{number:0{DIGITS}}"


def _hash(fields: Mapping[str, Json]) -> str:
    return blake3(canonical_json(fields)).hexdigest()


def _head(document: Document | None) -> AuditHead:
    if document is None:
        return AuditHead(count=0, hash=FIRST)
    try:
        return AuditHead(count=narrow.whole(document.body["count"]), hash=narrow.text(document.body["hash"]))
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"expected a count and a hash as the head of the audit log, received {document.body!r}: it was edited; "
            "restore the database"
        ) from error


def _record(body: Mapping[str, Json]) -> AuditRecord:
    try:
        return _read(body)
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"expected a record of the audit log, received {str(body)[:200]!r}: it was edited; 'bakeoff audit verify' "
            "names all that were"
        ) from error


def _read(body: Mapping[str, Json]) -> AuditRecord:
    return AuditRecord(
        number=narrow.whole(body["number"]),
        time_ms=narrow.whole(body["time_ms"]),
        who=narrow.text(body["who"]),
        action=narrow.text(body["action"]),
        subject=narrow.text(body["subject"]),
        origin=narrow.text(body["origin"]),
        before=body["before"],
        after=body["after"],
        previous=narrow.text(body["previous"]),
        hash=narrow.text(body["hash"]),
    )
