"""Artifacts that are sent in parts, at once: begun, filled by number, put together or given up.

Parts are files in the server's scratch folder until they are put together; what nobody ends goes with the server.
"""

import hashlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from bakeoff.core.types import Json
from bakeoff.web.tracking.artifacts import name_file, relative
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.wire import answer, bounded, int_of, invalid, unknown

__all__ = ["PARTS", "abort", "complete", "create", "part"]

PARTS = "2.0/mlflow-artifacts/mpu/part/{upload_id}/{number}"
MOST_PARTS = 10_000


def _folder(tracking: Tracking, upload_id: object) -> Path:
    """Where the parts of an upload are."""
    text = str(upload_id)
    folder = tracking.scratch / f"parts-{text}"
    if len(text) != 32 or set(text) - set("0123456789abcdef") or not folder.is_dir():  # noqa: PLR2004
        raise unknown(f"No upload in parts with ID {text!r}; begin it again.")
    return folder


def _target(given: Mapping[str, Any]) -> str:
    """The artifact's path: below the one that is named, under the name of the client's file."""
    name = PurePosixPath(given["path"]).name
    return relative("/".join(part for part in (given["artifact_path"].strip("/"), name) if part))


class _Begun(msgspec.Struct):
    """What a client says of a file that it will send."""

    path: str
    num_parts: Annotated[int, msgspec.Meta(ge=1, le=MOST_PARTS)] = 1


async def create(tracking: Tracking, request: Request) -> Response:
    """Begin an upload: where each of its parts is to be sent."""
    try:
        begun = msgspec.json.decode(await bounded(request), type=_Begun)
    except msgspec.DecodeError as error:
        raise invalid(f"expected the path and the number of parts of a file (1 to {MOST_PARTS}): {error}") from None
    _target({"path": begun.path, **request.path_params})
    upload_id = uuid.uuid4().hex
    (tracking.scratch / f"parts-{upload_id}").mkdir()
    root = str(request.base_url).rstrip("/")
    credentials = [
        {"url": f"{root}/api/{PARTS.format(upload_id=upload_id, number=number)}", "part_number": number, "headers": {}}
        for number in range(1, begun.num_parts + 1)
    ]
    return answer({"upload_id": upload_id, "credentials": credentials})


async def part(tracking: Tracking, request: Request) -> Response:
    """Take one part; its hash is in the answer's ETag. The last one sent under a number counts."""
    number = int_of("number", request.path_params["number"])
    if not 1 <= number <= MOST_PARTS:
        raise invalid(f"the number of a part must be between 1 and {MOST_PARTS}, got {number}")
    folder = await run_in_threadpool(_folder, tracking, request.path_params["upload_id"])
    coming, digest = folder / f"in-{uuid.uuid4().hex}", hashlib.blake2b(digest_size=16)

    def add(piece: bytes) -> None:
        digest.update(piece)
        file.write(piece)

    try:
        with coming.open("wb") as file:
            async for piece in request.stream():
                await run_in_threadpool(add, piece)
        coming.rename(folder / str(number))
        (folder / f"{number}.etag").write_text(digest.hexdigest(), encoding="ascii")
    finally:
        coming.unlink(missing_ok=True)
    return Response(headers={"ETag": f'"{digest.hexdigest()}"'})


def complete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Put the parts together in their order; the artifact is there when this is answered, or not at all."""
    target, folder = _target(given), _folder(tracking, given["upload_id"])
    parts = [_part(folder, each) for each in given["parts"]]
    if not parts:
        raise invalid("an upload needs one part or more")
    whole = folder / "whole"
    with whole.open("wb") as file:
        for each in parts:
            with each.open("rb") as piece:
                shutil.copyfileobj(piece, file, 2**20)
    name_file(tracking, target, tracking.blobs.put(whole))
    shutil.rmtree(folder, ignore_errors=True)
    return {}


def _part(folder: Path, stated: Any) -> Path:
    """A part as its client names it: the number and the hash that it was answered."""
    if not isinstance(stated, dict):
        raise invalid(f"expected parts with part_number and etag, received {stated!r}")
    number = int_of("part_number", stated.get("part_number"))
    file, etag = folder / str(number), folder / f"{number}.etag"
    if not file.is_file() or etag.read_text(encoding="ascii") != str(stated.get("etag") or "").strip('"'):
        raise invalid(f"part {number} was not sent, or is another than its etag says: send it again")
    return file


def abort(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Give an upload up."""
    shutil.rmtree(_folder(tracking, given["upload_id"]), ignore_errors=True)
    return {}
