"""POST /v1/embeddings of the OpenAI API: texts become vectors, by the encoder of the live release.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/embeddings. In base64 a vector is its float32
numbers, the lowest byte first.
"""

import base64
from typing import Any, Literal

import msgspec

from bakeoff.core.generation import Embedded
from bakeoff.web.problems import HttpError

__all__ = ["EmbeddingRequest", "decoded", "embeddings"]

MAX_TEXTS = 2048


class EmbeddingRequest(msgspec.Struct):
    """The body of POST /v1/embeddings, as far as it is understood."""

    input: str | list[Any]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    def texts(self) -> list[str]:
        """The texts to embed.

        Raises:
            HttpError: tokens instead of texts, an empty text, none or too many of them, or other dimensions.
        """
        if self.dimensions is not None:
            _refuse("dimensions", "none: vectors have the width of the encoder", self.dimensions)
        found = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(found) <= MAX_TEXTS:
            _refuse("input", f"1 to {MAX_TEXTS} texts", f"{len(found)} of them")
        for text in found:
            if not isinstance(text, str):
                _refuse("input", "texts; tokens are made here, by the encoder's own tokenizer", text)
            if not text:
                _refuse("input", "texts that are not empty", text)
        return found


def _refuse(name: str, expected: str, found: object) -> None:
    raise HttpError(400, "BadRequest", f"{name}: expected {expected}; received {str(found)[:80]!r}")


def decoded(body: bytes) -> EmbeddingRequest:
    """The request in a body.

    Raises:
        HttpError: it is none.
    """
    try:
        return _REQUEST.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, "BadRequest", f'expected {{"input": "…" or ["…", …]}}; {error}') from error


_REQUEST = msgspec.json.Decoder(EmbeddingRequest)


def embeddings(asked: EmbeddingRequest, found: Embedded, *, model: str) -> dict[str, Any]:
    """The body of the answer."""
    rows_nd = found.vectors_nd.astype("<f4")

    def told(row: int) -> str | list[float]:
        return (
            base64.b64encode(rows_nd[row].tobytes()).decode()
            if asked.encoding_format == "base64"
            else rows_nd[row].tolist()
        )

    data = [{"object": "embedding", "index": row, "embedding": told(row)} for row in range(len(rows_nd))]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}
