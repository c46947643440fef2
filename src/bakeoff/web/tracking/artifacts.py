"""Artifacts: files of runs, logged models and registered versions, listed, sent and fetched, never held in memory.

A file that a client sends here becomes a blob. Those of a run stand among the run's artifacts; others in documents.
"""

import json
import mimetypes
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from bakeoff.core.errors import NotFoundError
from bakeoff.core.records import DocumentChange, Run, RunChange
from bakeoff.core.tracked import FILES
from bakeoff.core.types import Json
from bakeoff.web.tracking.context import PROXIED, Tracking, local_path
from bakeoff.web.tracking.models import model_of
from bakeoff.web.tracking.registry import files_of, version_of
from bakeoff.web.tracking.runs import run_of
from bakeoff.web.tracking.wire import answer, bounded, invalid, missing, unknown

__all__ = [
    "FILES",
    "delete",
    "download",
    "list_model",
    "list_proxied",
    "list_run",
    "model_file",
    "name_file",
    "relative",
    "run_file",
    "upload",
    "upload_small",
    "version_file",
]

MOST_SMALL = 10 * 2**20
LONGEST_NAME, LONGEST_PATH = 255, 2048
"""What file systems take of one name, and clients' databases of a path."""

BYTES = "application/octet-stream"
HARMLESS = frozenset({"application/json", "application/pdf", "image/gif", "image/jpeg", "image/png", "image/webp"})
TEXTS = frozenset({"MLmodel", "mlproject"})
PLAIN_NAME = re.compile(r"[\w.+~-]+", re.ASCII)


def relative(path: str | None) -> str:
    """A path below a root, "" for the root itself.

    Raises:
        TrackingError: it leads out, or is none.
    """
    path = path or ""
    for _ in range(3):  # a path may have been quoted several times
        decoded = unquote(path)
        parts = PurePosixPath(decoded).parts
        if (
            ".." in parts
            or decoded.startswith(("/", "\\", "~"))
            or "\\" in decoded
            or "\0" in decoded
            or ":" in decoded.partition("/")[0]
        ):
            raise invalid("Invalid path")
        if decoded == path:
            break
        path = decoded
    plain = PurePosixPath(path).as_posix()
    if (
        any(len(part.encode("utf-8", "replace")) > LONGEST_NAME for part in plain.split("/"))
        or len(plain) > LONGEST_PATH
    ):
        raise invalid("Invalid path")
    return "" if plain == "." else plain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the artifacts of something are: files by path with their blobs, or a folder on this machine."""

    files: Mapping[str, str]
    folder: Path | None = None


def _run_in(tracking: Tracking, path: str) -> tuple[Run, str] | None:
    """The run among whose artifacts a path of the proxy is, and the rest of the path."""
    parts = path.split("/")
    if len(parts) < 3 or parts[2] != "artifacts":  # noqa: PLR2004 - EXPERIMENT/RUN/artifacts
        return None
    try:
        run = tracking.records.runs.get(parts[1])
    except NotFoundError:
        return None
    return (run, "/".join(parts[3:])) if run.experiment_id == parts[0] else None


def _proxied(tracking: Tracking, path: str) -> dict[str, str]:
    """Files below a path of the proxy, by their paths from there."""
    known = _run_in(tracking, path)
    if known is not None:
        run, rest = known
        return _below(run.artifacts, rest)
    parts = path.split("/")
    if parts[0] == "models" and len(parts) >= 3 and parts[2].isdigit():  # noqa: PLR2004 - models/NAME/NUMBER
        version = version_of(tracking, parts[1], parts[2])
        return _below(_tree(tracking, version.content), "/".join(parts[3:]))
    prefix = f"{path}/" if path else ""
    result = {
        each.key.removeprefix(prefix): str(each.body["file_blob"])
        for each in tracking.records.documents.find(FILES, prefix)
    }
    exact = tracking.records.documents.get(FILES, path)
    return {"": str(exact.body["file_blob"])} if exact is not None else result


def _tree(tracking: Tracking, blob_id: str) -> dict[str, str]:
    if not tracking.blobs.contains(blob_id):
        return {}
    return {name: file["id"] for name, file in json.loads(tracking.blobs.get(blob_id))["files"].items()}


def _below(files: Mapping[str, str], path: str) -> dict[str, str]:
    if path in files:
        return {"": files[path]}
    prefix = f"{path}/" if path else ""
    return {name.removeprefix(prefix): blob for name, blob in files.items() if name.startswith(prefix)}


def _place(tracking: Tracking, location: str, path: str) -> _Place:
    """What is below a path of a location."""
    root = local_path(location)
    if root is not None:
        folder = (root / path).resolve()
        if not folder.is_relative_to(root.resolve()) or not tracking.offers(folder):
            raise invalid("Invalid path")
        return _Place(files={}, folder=folder)
    if location.startswith(PROXIED):
        inside = location.removeprefix(PROXIED).lstrip("/")
        if inside.startswith("//"):
            inside = inside.lstrip("/").partition("/")[2]
        return _Place(files=_proxied(tracking, f"{inside}/{path}".strip("/")))
    raise invalid(f"expected artifacts in a folder here or sent to this server, they are at {location!r}")


def _listed(tracking: Tracking, place: _Place, path: str) -> list[Json]:
    """Files and folders right below a path, as clients read them: their paths from the root."""

    def named(name: str) -> str:
        return f"{path}/{name}" if path else name

    if place.folder is not None:
        if not place.folder.is_dir():
            return []
        entries = sorted(os.scandir(place.folder), key=lambda each: each.name)
        return [
            {"path": named(each.name), "is_dir": True}
            if each.is_dir()
            else {"path": named(each.name), "is_dir": False, "file_size": each.stat().st_size}
            for each in entries
        ]
    result: dict[str, Json] = {}
    for name, blob in sorted(place.files.items()):
        if not name:
            continue
        first, _, rest = name.partition("/")
        result[first] = (
            {"path": named(first), "is_dir": True}
            if rest
            else {"path": named(first), "is_dir": False, "file_size": tracking.blobs.size_bytes(blob)}
        )
    return list(result.values())


def list_run(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Artifacts of a run."""
    path = relative(given["path"])
    run = run_of(tracking, given["run_id"])
    location = tracking.artifacts_of(run)
    return {"root_uri": location, "files": _listed(tracking, _place(tracking, location, path), path)}


def list_proxied(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Artifacts below a path of the proxy, by their names there."""
    path = relative(given["path"])
    return {"files": _listed(tracking, _Place(files=_proxied(tracking, path)), "")}


def list_model(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Artifacts of a logged model."""
    path = relative(given["artifact_directory_path"])
    location = model_of(tracking, given["model_id"])["artifact_uri"]
    return {"root_uri": location, "files": _listed(tracking, _place(tracking, location, path), path)}


async def _file(tracking: Tracking, place: Callable[[], _Place], name: str) -> Response:
    """A file's content, from where it is, piece by piece."""
    result = await run_in_threadpool(place)
    if result.folder is not None:
        if not result.folder.is_file():
            raise unknown(f"No such artifact: {name}")
        return FileResponse(result.folder, headers=_headers(name))
    blob = result.files.get("")
    if blob is None:
        raise unknown(f"No such artifact: {name}")
    target = tracking.scratch / f"out-{uuid.uuid4().hex}"
    await run_in_threadpool(tracking.blobs.fetch, blob, target)
    gone = BackgroundTask(target.unlink, missing_ok=True)
    return FileResponse(target, headers=_headers(name), background=gone)


def _headers(name: str) -> dict[str, str]:
    file = PurePosixPath(name).name
    named = f"filename={file}" if PLAIN_NAME.fullmatch(file) else f"filename*=utf-8''{quote(file)}"
    return {
        "Content-Type": _media_type(file),
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f"attachment; {named}",
    }


def _media_type(file: str) -> str:
    """As MLflow's server names it, but never one that a browser runs or draws as a page: those are bytes or text."""
    kind, encoding = mimetypes.guess_type(file)
    if kind is None or encoding is not None:
        return "text/plain" if file in TEXTS else BYTES
    return "text/plain" if kind.startswith("text/") else kind if kind in HARMLESS else BYTES


async def run_file(tracking: Tracking, request: Request) -> Response:
    """One file of a run."""
    run_id = request.query_params.get("run_id") or request.query_params.get("run_uuid")
    if not run_id:
        raise missing("run_id")
    path = relative(request.query_params.get("path"))
    run = await run_in_threadpool(run_of, tracking, run_id)
    return await _file(tracking, lambda: _place(tracking, tracking.artifacts_of(run), path), path)


async def version_file(tracking: Tracking, request: Request) -> Response:
    """One file of a registered version."""
    path = relative(request.query_params.get("path"))
    name, number = request.query_params.get("name", ""), request.query_params.get("version", "")
    version = await run_in_threadpool(version_of, tracking, name, number)
    return await _file(tracking, lambda: _place(tracking, files_of(version), path), path)


async def model_file(tracking: Tracking, request: Request) -> Response:
    """One file of a logged model."""
    path = relative(request.query_params.get("artifact_file_path"))
    body = await run_in_threadpool(model_of, tracking, request.path_params["model_id"])
    return await _file(tracking, lambda: _place(tracking, body["artifact_uri"], path), path)


async def download(tracking: Tracking, request: Request) -> Response:
    """One file, by its path of the proxy."""
    path = relative(request.path_params["path"])
    return await _file(tracking, lambda: _Place(files=_proxied(tracking, path)), path)


async def upload(tracking: Tracking, request: Request) -> Response:
    """Keep a file under its path of the proxy; it is there when this is answered, or not at all."""
    path = relative(request.path_params["path"])
    if not path:
        raise invalid("Invalid path")
    await _kept(tracking, request.stream(), lambda blob: name_file(tracking, path, blob))
    return answer({})


async def _kept(tracking: Tracking, pieces: AsyncIterator[bytes], name: Callable[[str], None]) -> int:
    """Write what comes to a file, store it, then name it; the number of bytes."""
    target, size = tracking.scratch / f"in-{uuid.uuid4().hex}", 0
    try:
        with target.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                if len(piece) > 2**16:
                    await run_in_threadpool(file.write, piece)
                else:
                    file.write(piece)
        await run_in_threadpool(lambda: name(tracking.blobs.put(target)))
    finally:
        target.unlink(missing_ok=True)
    return size


def name_file(tracking: Tracking, path: str, blob: str) -> None:
    """Let a path of the proxy mean a blob."""
    known = _run_in(tracking, path)
    if known is not None:
        run, rest = known
        if not rest:
            raise invalid("Invalid path")
        if run.artifacts.get(rest, blob) != blob:
            _require_theirs(run, rest)
        tracking.records.runs.apply([RunChange(run_id=run.run_id, artifacts={rest: blob})])
        return
    tracking.records.documents.apply([DocumentChange(collection=FILES, key=path, body={"file_blob": blob})])


def _require_theirs(run: Run, name: str) -> None:
    """See that a file that there is may be changed: what a run of bakeoff shows is what it found.

    Raises:
        TrackingError: it is a file of a run that no client made.
    """
    if not run.location:
        raise invalid(f"expected a new path: {name!r} is what bakeoff's run {run.run_id} shows, and stays as it is")


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a file, or all below a folder, away."""
    path = relative(given["path"])
    known = _run_in(tracking, path)
    names: Iterable[str] = _proxied(tracking, path)
    if known is not None:
        run, rest = known
        gone: dict[str, str | None] = {"/".join(part for part in (rest, name) if part): None for name in names}
        for name in gone:
            _require_theirs(run, name)
        tracking.records.runs.apply([RunChange(run_id=run.run_id, artifacts=gone)])
        return {}
    keys = ["/".join(part for part in (path, name) if part) for name in names]
    tracking.records.documents.apply([DocumentChange(collection=FILES, key=key, body=None) for key in keys])
    return {}


async def upload_small(tracking: Tracking, request: Request) -> Response:
    """Keep a small file of a run, as pages send it."""
    run_id = request.query_params.get("run_uuid")
    if not run_id:
        raise invalid("Request must specify run_uuid.")
    if not request.query_params.get("path"):
        raise invalid("Request must specify path.")
    path = relative(request.query_params["path"])
    if not path:
        raise invalid("Invalid path")
    data = await bounded(request, most=MOST_SMALL, longer=invalid("Artifact size is too large. Max size is 10MB."))
    if not data:
        raise invalid("Request must specify data.")
    await run_in_threadpool(_put_small, tracking, run_id, path, data)
    return answer({})


def _put_small(tracking: Tracking, run_id: str, path: str, data: bytes) -> None:
    run = run_of(tracking, run_id)
    place = _place(tracking, tracking.artifacts_of(run), path)
    if place.folder is None:
        blob = tracking.blobs.put(data)
        tracking.records.runs.apply([RunChange(run_id=run.run_id, artifacts={path: blob})])
        return
    try:
        place.folder.parent.mkdir(parents=True, exist_ok=True)
        place.folder.write_bytes(data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise invalid(f"expected a path where a file can be, {path!r} is a folder or goes through a file") from None
