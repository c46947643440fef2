"""What is stored and is not what was written, and the stores that can look for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Checked", "Damage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is not what was written.

    `place` is the file, or the record; `problem` says what is wrong with it, `remedy` what to do about it. `repaired`
    is whether the store is whole again at this place: what could not be brought back is said in `lost`. `blob` is the
    id of the content that is damaged, if it has one.
    """

    place: str
    problem: str
    remedy: str = ""
    repaired: bool = False
    lost: str = ""
    blob: str | None = None

    def __str__(self) -> str:
        lost = f"; lost: {self.lost}" if self.lost else ""
        return f"{self.place}: {self.problem}{lost}" + (f" ({self.remedy})" if self.remedy else "")


@runtime_checkable
class Checked(Protocol):
    """A store that can compare all that it holds with what was written. A store without it relies on its service."""

    def check(self, *, repair: bool = False) -> Iterator[Damage]:
        """All that is damaged. With `repair`, what can be made whole is; what cannot is put aside, never deleted."""
        ...
