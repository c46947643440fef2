"""Whether llama.cpp holds an answer to a JSON schema: what it passes over in silence is refused here.

It makes a grammar of a schema. Keywords that it does not know are left out of it; and where the grammar cannot be read,
the answer is not held to anything, with nothing said.

Source: llama.cpp, grammars/README.md (what is not supported), and its issue 19051 (a grammar that cannot be read).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bakeoff.core import narrow
from bakeoff.core.errors import OptionError
from bakeoff.core.hashing import digest_json
from bakeoff.core.types import Json

__all__ = ["SchemaCheck"]

OPTION = "response_format"
LEFT_OUT = (
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "maxProperties",
    "minContains",
    "minProperties",
    "multipleOf",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
)
OF_INTEGERS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum")
"""Known for integers alone."""
NO_BEGINNING = "Q"
"""A letter that no JSON begins with."""


class SchemaCheck:
    """Refuses schemas that answers would not be held to; each is looked at once.

    Args:
        ask: POSTs a body to a path of llama.cpp's server.
    """

    def __init__(self, ask: Callable[[str, dict[str, Any]], Any]) -> None:
        self._ask, self._fine = ask, set[str]()

    def require(self, schema: Mapping[str, Json]) -> None:
        """Pass where an answer is held to the schema.

        Raises:
            OptionError: it is not, to all of it or a part.
        """
        key = digest_json(dict(schema))
        if key in self._fine:
            return
        for place, keyword in _left_out(schema, "#"):
            raise OptionError(
                OPTION, f"expected a JSON schema that llama.cpp can hold to; at {place}: it does not know {keyword}"
            )
        if self._goes_free(schema):
            raise OptionError(
                OPTION,
                "expected a JSON schema that llama.cpp can hold to; it can make no grammar of this one (it knows few "
                "formats, no lookaheads in a pattern, and no very long repetitions)",
            )
        self._fine.add(key)

    def _goes_free(self, schema: Mapping[str, Json]) -> bool:
        """Whether an answer can begin as no JSON does, where all is done to make it: then nothing holds it."""
        token = self._ask("/tokenize", {"content": NO_BEGINNING, "add_special": False})["tokens"][-1]
        asked = {
            "prompt": [token],
            "json_schema": dict(schema),
            "max_tokens": 1,
            "temperature": 0,
            "logit_bias": {str(token): 100},
            "cache_prompt": False,
        }
        answer = self._ask("/v1/completions", asked)
        return str(answer["choices"][0]["text"]).lstrip().startswith(NO_BEGINNING)


def _left_out(schema: object, place: str) -> Iterator[tuple[str, str]]:
    """Keywords that no grammar has, with their places."""
    if not narrow.is_mapping(schema):
        return
    here = schema
    kinds = here.get("type")
    numbers = "number" in (kinds if isinstance(kinds, list) else [kinds])
    for keyword in (*LEFT_OUT, *(OF_INTEGERS if numbers else ())):
        if keyword in here:
            yield place, f"{keyword} of numbers" if keyword in OF_INTEGERS else keyword
    for name in ("properties", "$defs", "definitions"):
        named = here.get(name)
        for key, each in named.items() if narrow.is_mapping(named) else ():
            yield from _left_out(each, f"{place}/{name}/{key}")
    for name in ("items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf"):
        parts: Any = here.get(name)
        for at, each in enumerate(parts if narrow.is_array(parts) else ()):
            yield from _left_out(each, f"{place}/{name}/{at}")
        yield from _left_out(parts, f"{place}/{name}")
