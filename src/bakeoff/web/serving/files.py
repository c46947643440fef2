"""OpenAI's files: what callers upload to fine-tune on.

Source: the OpenAI API reference, platform.openai.com/docs/api-reference/files; multipart/form-data: RFC 7578.
"""

import re
from email.message import Message
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bakeoff.core.errors import NotFoundError
from bakeoff.loop.stored_files import StoredFile, StoredFiles
from bakeoff.web.auth import principal_of, require_everything
from bakeoff.web.openapi import takes
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, JsonResponse
from bakeoff.web.serving.bodies import refused, shown
from bakeoff.web.serving.context import Serving
from bakeoff.web.serving.pages import page

__all__ = ["UPLOADS", "FileRoutes"]

PURPOSES = ("fine-tune", "assistants", "batch", "evals", "user_data", "vision")
"""Those that the API knows; here a file of any purpose is only used to fine-tune on."""
LIMIT = 10_000
UPLOADS = "/v1/files"
LONGEST_NAME = 255


class FileRoutes:
    """Handlers of the paths under `/v1/files`.

    Files belong to the project, not to one of its models: for who does not reach every model, there are none.
    """

    def __init__(self, serving: Serving, files: StoredFiles) -> None:
        self._serving, self._files = serving, files

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route(UPLOADS, self.upload, methods=["POST"]),
            Route("/v1/files", self.files),
            Route("/v1/files/{file}", self.file),
            Route("/v1/files/{file}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{file}/content", self.content),
        ]

    @permission("run")
    @takes(None, "multipart/form-data")
    async def upload(self, request: Request) -> Response:
        """Keep a file: `purpose` and `file` as multipart/form-data."""
        require_everything(principal_of(request), "model")
        fields = _fields(request.headers.get("content-type", ""), await request.body())
        for name in fields:
            if name not in {"purpose", "file"}:
                raise refused(name[:80], "it to be left out: files are kept until they are deleted", "a value")
        purpose = fields.get("purpose", (None, b""))[1].decode(errors="replace")
        if purpose not in PURPOSES:
            raise refused("purpose", " or ".join(PURPOSES), purpose)
        name, content = fields.get("file", (None, None))
        if content is None or name is None:
            raise refused("file", "a file with its name", None, code="missing_required_parameter")
        file = await self._serving.in_thread(lambda: self._files.put(name, content, purpose=purpose))
        return JsonResponse(_card(file))

    @permission("read")
    async def files(self, request: Request) -> Response:
        """The files, the newest first."""
        purpose = request.query_params.get("purpose")
        knows = principal_of(request).everything("model")
        files = await self._serving.in_thread(self._files.all) if knows else []
        cards = [_card(file) for file in files if purpose in {None, file.purpose}]
        return JsonResponse(page(request, cards, limit=LIMIT))

    @permission("read")
    async def file(self, request: Request) -> Response:
        """What a file is."""
        return JsonResponse(_card(await self._of(request)))

    @permission("run")
    async def content(self, request: Request) -> Response:
        """The bytes of a file."""
        file = await self._of(request)
        content = await self._serving.in_thread(lambda: self._files.content(file.id))
        return Response(content, media_type="application/octet-stream")

    @permission("run")
    async def delete(self, request: Request) -> Response:
        """Forget a file."""
        file = await self._of(request)
        await self._serving.in_thread(lambda: self._files.delete(file.id))
        return JsonResponse({"id": file.id, "object": "file", "deleted": True})

    async def _of(self, request: Request) -> StoredFile:
        file_id = request.path_params["file"]
        try:
            if not principal_of(request).everything("model"):
                raise self._files.unknown(file_id)
            return await self._serving.in_thread(lambda: self._files.get(file_id))
        except NotFoundError as error:
            raise HttpError(404, "NotFoundError", str(error), "file_id", "file_not_found") from None


def _card(file: StoredFile) -> dict[str, Any]:
    """A file as the API has it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": file.created_ms // 1000,
        "expires_at": None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _fields(kind: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """The fields of a form: the name of a file if it is one, and the bytes.

    Raises:
        HttpError: it is no such form.
    """
    boundary = _parameters(kind).get("boundary")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data" or not boundary:
        problem = f"expected multipart/form-data with purpose and file; received {shown(kind)}"
        raise HttpError(400, "BadRequest", problem)
    fields: dict[str, tuple[str | None, bytes]] = {}
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(parts) < 2 or not parts[-1].startswith(b"--"):  # noqa: PLR2004 - what is before, between and behind
        raise HttpError(400, "BadRequest", "expected parts between boundaries; received a body without or cut off")
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        named = re.search(rb"(?im)^content-disposition:(.*)$", head)
        told = _parameters(named[1].decode(errors="replace").strip()) if named else {}
        if not separator or "name" not in told or told["name"] in fields:
            raise HttpError(400, "BadRequest", "expected parts of different names; received another one")
        name = told.get("filename")
        fields[told["name"]] = (None if name is None else name[:LONGEST_NAME], content)
    return fields


def _parameters(header: str) -> dict[str, str]:
    """The parameters behind the value of a header; of a file name in percent-encoding, too (RFC 2231)."""
    message = Message()
    message["content-type"] = header
    listed: Any = message.get_params() or []
    return {str(name): value[2] if isinstance(value, tuple) else str(value) for name, value in listed[1:]}
