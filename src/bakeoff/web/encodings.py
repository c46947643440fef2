"""Bodies that come compressed (tritonclient's by an option, those of many exporters) are unpacked as they are read."""

import zlib

from starlette.types import Message, Receive

from bakeoff.web.problems import HttpError

__all__ = ["unpacked"]

WINDOWS = {b"gzip": zlib.MAX_WBITS | 16, b"x-gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}
STEP = 2**20
"""Bytes that are unpacked at once: a small body may hold a thousand times its size."""


def unpacked(receive: Receive, encoding: bytes) -> Receive:
    """What gives the parts of a body as they were before they were encoded.

    Raises:
        HttpError: now, for an encoding that is not known here; when a part is received, if it is not so encoded.
    """
    window = WINDOWS.get(encoding.strip().lower())
    if window is None:
        received = repr(encoding.decode("latin-1"))[:80]
        raise HttpError(
            415, "UnsupportedEncoding", f"expected Content-Encoding gzip, deflate or none; received {received}"
        )
    reader = zlib.decompressobj(window)
    packed, is_full, is_last, is_empty = b"", False, False, True

    async def reading() -> Message:
        nonlocal reader, packed, is_full, is_last, is_empty
        if not packed and not is_full:
            message = await receive()
            if message["type"] != "http.request":
                return message
            packed, is_last = message.get("body", b""), not message.get("more_body", False)
        is_empty = is_empty and not packed
        if reader.eof and packed:  # a file of gzip may have several members
            reader = zlib.decompressobj(window)
        try:
            part = reader.decompress(packed, STEP)
        except zlib.error as error:
            raise _damaged(encoding, str(error)) from None
        packed, is_full = reader.unconsumed_tail or reader.unused_data, len(part) == STEP
        more = bool(packed) or is_full or not is_last
        if not more and not reader.eof and not is_empty:
            raise _damaged(encoding, "it ends too early")
        return {"type": "http.request", "body": part, "more_body": more}

    return reading


def _damaged(encoding: bytes, why: str) -> HttpError:
    return HttpError(400, "BadRequest", f"expected a body encoded by {encoding.decode('latin-1')}: {why}")
