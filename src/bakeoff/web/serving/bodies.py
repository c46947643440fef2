"""Bodies of requests: JSON becomes a typed value, or a 400 that names the key, what was expected and what came."""

import codecs
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from bakeoff.core import narrow
from bakeoff.web.problems import HttpError

__all__ = ["decoded", "joined", "refused", "renamed", "shown"]

T = TypeVar("T")

SHOWN = 80
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def shown(value: object) -> str:
    """A value of a request as a message tells it: not too long, and on one line."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def refused(param: str, expected: str, value: object, *, code: str = "invalid_value") -> HttpError:
    """The 400 for a key of a request whose value cannot be taken; without a key, for the body."""
    place = f"{param}: " if param else ""
    return HttpError(400, "BadRequest", f"{place}expected {expected}; received {shown(value)}", param or None, code)


def renamed(error: HttpError, names: Mapping[str, str]) -> HttpError:
    """The error with its key by the name that the caller's API has for it."""
    root = re.split(r"[.\[]", error.param or "", maxsplit=1)[0]
    if root not in names or error.param is None:
        return error
    param = names[root] + error.param.removeprefix(root)
    return HttpError(error.status, error.kind, error.message.replace(error.param, param, 1), param, error.code)


def joined(content: object, place: str, kinds: Mapping[str, str], expected: str = "text") -> str:
    """The text of a content: as it is, or of its parts.

    Args:
        content: A text, or parts of it.
        place: Where it stands in the request.
        kinds: The types of parts that hold a text, and the key that it stands under.
        expected: These types, as an error names them.

    Raises:
        HttpError: it is neither, or a part is none of them.
    """
    if isinstance(content, str):
        return content
    if not narrow.is_array(content):
        raise refused(place, f"a text, or parts of type {expected}", content, code="invalid_type")
    texts: list[str] = []
    for at, part in enumerate(content):
        key = kinds.get(str(part.get("type"))) if narrow.is_object(part) else None
        text = part.get(key) if narrow.is_object(part) and key is not None else None
        if not isinstance(text, str):
            raise refused(f"{place}[{at}]", f"a part of type {expected}", part)
        texts.append(text)
    return "".join(texts)


def decoded(body: bytes, kind: type[T], example: str, *, nan: bool = False) -> T:
    """The request in a body; keys that `kind` (a struct) has no field for are refused.

    Args:
        body: JSON in UTF-8.
        kind: Its type.
        example: One, for messages.
        nan: Whether NaN may stand for a missing value: it is no JSON, and Python writes it.

    Raises:
        HttpError: the body is no JSON, has an unknown key, or a value of another type.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        raw: Any = _with_nan(body) if nan and b"NaN" in body else msgspec.json.decode(body)
    except (ValueError, UnicodeDecodeError) as error:
        hint = "; write null for NaN, a missing value" if b"NaN" in body else ""
        problem = f"expected {example}; this is no JSON: {error}{hint}"
        raise HttpError(400, "BadRequest", problem, None, "invalid_json") from None
    except RecursionError:
        problem = f"expected {example}; received JSON of more levels than can be read"
        raise HttpError(400, "BadRequest", problem, None, "invalid_json") from None
    if not narrow.is_object(raw):
        raise HttpError(400, "BadRequest", f"expected {example}; received {shown(raw)}", None, "invalid_type")
    known = [field.encode_name for field in msgspec.structs.fields(cast("Any", kind))]
    for name in raw:
        if name not in known:
            raise _unknown(name, known)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise _wrong_type(str(error), raw, kind) from None
    except RecursionError:
        problem = f"expected {example}; received JSON of more levels than can be read"
        raise HttpError(400, "BadRequest", problem, None, "invalid_json") from None


def _with_nan(body: bytes) -> Any:
    def constant(name: str) -> None:
        if name != "NaN":
            raise ValueError(f"received {name}")

    return json.loads(body, parse_constant=constant)


def _unknown(name: str, known: list[str]) -> HttpError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    problem = f"{shown(name)[1:-1]}: expected it to be left out: no such option is known here{hint}"
    return HttpError(400, "BadRequest", problem, name[:SHOWN], "unknown_parameter")


def _wrong_type(message: str, raw: dict[str, Any], kind: type) -> HttpError:
    """A message of msgspec ("Expected `int`, got `str` - at `$.n`") in our words, with the value that it is about."""
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    expected = what.removeprefix("Expected ").partition(", got ")[0].replace("`", "").replace(" | ", " or ")
    if what.startswith("Object missing required field"):
        name = what.partition("`")[2].partition("`")[0]
        param = f"{path}.{name}".lstrip(".")
        return HttpError(
            400, "BadRequest", f"{param}: expected a value; received none", param, "missing_required_parameter"
        )
    if what.startswith("Object contains unknown field"):
        param = f"{path}.{what.partition('`')[2].partition('`')[0]}".lstrip(".")
        problem = f"{param}: expected it to be left out: no such option is known here"
        return HttpError(400, "BadRequest", problem, param, "unknown_parameter")
    if what.startswith("Invalid enum value"):
        expected = " or ".join(sorted(map(str, _choices_at(kind, path)))) or "a value that is known here"
    return refused(path.lstrip("."), expected, _value_at(raw, path), code="invalid_type")


def _choices_at(kind: type, path: str) -> set[Any]:
    """The values that a type takes at a path such as `.messages[0].role`, where it takes only some."""
    here = _alternatives([msgspec.inspect.type_info(kind)])
    for key, _ in _STEP.findall(path):
        fields = [field for each in here if isinstance(each, msgspec.inspect.StructType) for field in each.fields]
        items = [each.item_type for each in here if isinstance(each, msgspec.inspect.ListType)]
        here = _alternatives([field.type for field in fields if field.encode_name == key] if key else items)
    return {value for each in here if isinstance(each, msgspec.inspect.LiteralType) for value in each.values}


def _alternatives(kinds: Sequence[msgspec.inspect.Type]) -> list[msgspec.inspect.Type]:
    return [each for kind in kinds for each in (kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,))]


def _value_at(raw: Any, path: str) -> object:
    """The value at a path such as `.messages[0].role`; where it cannot be followed, the last one that could."""
    for key, index in _STEP.findall(path):
        try:
            raw = raw[key] if key else raw[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return raw
