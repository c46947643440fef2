"""What a run over a corpus has finished, block by block, so that one that was killed goes on after the last."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bakeoff.core.disk import sync_data
from bakeoff.prepare.corpus.report import CorpusDuplicates
from bakeoff.prepare.corpus.work import Done
from bakeoff.prepare.corpus.writing import placed

__all__ = ["Compared", "Finished", "Journal", "is_resumable"]


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A block that a stage has finished; `stage` None is the look at its columns."""

    stage: int | None
    done: Done


class Compared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A comparison over all blocks of a stage that is done: its mask of rows that stay is on disk."""

    stage: int
    rows_out: int
    duplicates: CorpusDuplicates
    seconds: float


Entry = Finished | Compared
PLAN, LINES = "plan.json", "journal.jsonl"


def is_resumable(folder: Path, plan: bytes) -> bool:
    """Whether what lies in a folder is an unfinished run of the same plan over the same files."""
    try:
        return (folder / PLAN).read_bytes() == plan and (folder / LINES).exists()
    except OSError:
        return False


class Journal:
    """The journal of one run, read to its last whole line, then written on."""

    def __init__(self, folder: Path, plan: bytes) -> None:
        self._file = folder / LINES
        self._entries = list(_entries(self._file))
        sound = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self._entries)
        placed(self._file, lambda path: path.write_bytes(sound))
        placed(folder / PLAN, lambda path: path.write_bytes(plan))

    def finished(self, stage: int | None, is_there: Callable[[Done], bool]) -> list[Done]:
        """The blocks of a stage that need not be worked on again: all up to the first whose rows are not there."""
        blocks: list[Done] = []
        for entry in self._entries:
            if isinstance(entry, Finished) and entry.stage == stage:
                if not is_there(entry.done):
                    break
                blocks.append(entry.done)
        return blocks

    def compared(self, stage: int) -> Compared | None:
        """The comparison that ends a stage, when it is done."""
        found = [entry for entry in self._entries if isinstance(entry, Compared) and entry.stage == stage]
        return found[0] if found else None

    def add(self, entry: Entry) -> None:
        """Note what is done; the file that it speaks of is in its place."""
        with self._file.open("ab") as out:
            out.write(msgspec.json.encode(entry) + b"\n")
            out.flush()
            sync_data(out.fileno())


def _entries(file: Path) -> Iterator[Entry]:
    decoder = msgspec.json.Decoder(Entry)
    try:
        lines: Sequence[bytes] = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:  # torn where the run was killed
            return
