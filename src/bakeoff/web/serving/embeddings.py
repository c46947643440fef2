"""POST /v1/embeddings of the OpenAI API: texts become vectors, by the encoder of the live release.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/embeddings. In base64 a vector is its float32
numbers, the lowest byte first.
"""

import base64
from typing import Any, Literal

import msgspec

from bakeoff.core.generation import Embedded
from bakeoff.web.serving.bodies import decoded, refused

__all__ = ["EmbeddingRequest", "embedding_request", "embeddings"]

MAX_TEXTS = 2048
EXAMPLE = '{"input": "…" or ["…", …]}'


class EmbeddingRequest(msgspec.Struct):
    """The body of POST /v1/embeddings; `user` changes nothing."""

    input: str | list[Any]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None

    def texts(self) -> list[str]:
        """The texts to embed.

        Raises:
            HttpError: tokens instead of texts, an empty text, none or too many of them.
        """
        texts: list[Any] = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(texts) <= MAX_TEXTS:
            raise refused("input", f"1 to {MAX_TEXTS} texts", texts)
        for at, text in enumerate(texts):
            if not isinstance(text, str):
                # Clients cut texts into tokens by OpenAI's tokenizer: read as this encoder's they would be other words.
                expected = (
                    "a text: tokens are made here, by the encoder's own tokenizer (LangChain: "
                    "check_embedding_ctx_length=False)"
                )
                raise refused(f"input[{at}]", expected, text)
            if not text:
                raise refused(f"input[{at}]", "a text that is not empty", text)
        return texts


def embedding_request(body: bytes) -> EmbeddingRequest:
    """The request in a body.

    Raises:
        HttpError: it is none.
    """
    return decoded(body, EmbeddingRequest, EXAMPLE)


def embeddings(request: EmbeddingRequest, embedded: Embedded, *, model: str) -> dict[str, Any]:
    """The body of the answer.

    Raises:
        HttpError: vectors of another width are wanted; the first numbers of one are no vector of their own, unless the
            encoder was trained so.
    """
    rows_nd = embedded.vectors_nd.astype("<f4")
    width = rows_nd.shape[1]
    if request.dimensions not in {None, width}:
        expected = f"it to be left out, or {width}: vectors have the width of the encoder"
        raise refused("dimensions", expected, request.dimensions, code="unsupported_parameter")

    def written(row: int) -> str | list[float]:
        return (
            base64.b64encode(rows_nd[row].tobytes()).decode()
            if request.encoding_format == "base64"
            else rows_nd[row].tolist()
        )

    data = [{"object": "embedding", "index": row, "embedding": written(row)} for row in range(len(rows_nd))]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}
