"""Files that callers upload, such as rows to fine-tune on: their bytes are blobs, what they are is in the records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import BlobStore, Clock, DocumentRecords
from bakeoff.core.refs import BlobRef

__all__ = ["StoredFile", "StoredFiles"]

COLLECTION = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file: its id, the name that its sender gave it, what it is for, and its bytes as a blob."""

    id: str
    name: str
    purpose: str
    size_bytes: int
    created_ms: int
    blob: BlobRef

    def refs(self) -> Iterator[BlobRef]:
        """What it needs of the blobs."""
        yield self.blob


class StoredFiles:
    """The files of a project.

    Args:
        documents: where they are known.
        blobs: where their bytes are.
        clock: milliseconds since the epoch.
        new_id: makes ids.
    """

    def __init__(self, documents: DocumentRecords, blobs: BlobStore, clock: Clock, new_id: Callable[[], str]) -> None:
        self._documents, self._blobs, self._clock, self._new_id = documents, blobs, clock, new_id

    def put(self, name: str, content: bytes, *, purpose: str) -> StoredFile:
        """Keep a file."""
        file = StoredFile(
            id=f"file-{self._new_id()}",
            name=name,
            purpose=purpose,
            size_bytes=len(content),
            created_ms=self._clock(),
            blob=BlobRef(self._blobs.put(content)),
        )
        self._documents.put(COLLECTION, file.id, msgspec.to_builtins(file))
        return file

    def all(self) -> list[StoredFile]:
        """Every file, the newest first."""
        return sorted(self.known(self._documents), key=lambda file: (-file.created_ms, file.id))

    @staticmethod
    def known(documents: DocumentRecords) -> list[StoredFile]:
        """Every file that stands in records."""
        return [msgspec.convert(each.body, StoredFile) for each in documents.find(COLLECTION)]

    def get(self, file_id: str) -> StoredFile:
        """The file of an id.

        Raises:
            NotFoundError: there is none.
        """
        document = self._documents.get(COLLECTION, file_id)
        if document is None:
            raise self.unknown(file_id)
        return msgspec.convert(document.body, StoredFile)

    @staticmethod
    def unknown(file_id: str) -> NotFoundError:
        """What is said of an id that no file has."""
        return NotFoundError(f"expected the id of a file that was uploaded, received {file_id[:80]!r}")

    def content(self, file_id: str) -> bytes:
        """The bytes of a file.

        Raises:
            NotFoundError: there is no such file.
        """
        return self._blobs.get(self.get(file_id).blob)

    def delete(self, file_id: str) -> None:
        """Forget a file; its bytes go with the next collection of garbage.

        Raises:
            NotFoundError: there is no such file.
        """
        self._documents.delete(COLLECTION, self.get(file_id).id)
