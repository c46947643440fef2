"""Whether a model takes other inputs than the one that is live: then those who call the endpoint must know."""

from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.core.types import ColumnKind, Json, Signature

__all__ = ["ChangedInputs", "changed_inputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedInputs:
    """Inputs that a new model takes and the live one does not, the reverse, and those of another kind (old, new)."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[ColumnKind, ColumnKind]]

    def told(self) -> str:
        """In words."""
        parts = [f"new {', '.join(map(repr, self.added))}"] if self.added else []
        parts += [f"gone {', '.join(map(repr, self.removed))}"] if self.removed else []
        parts += [f"{name!r} is {new}, was {old}" for name, (old, new) in self.kinds.items()]
        return "; ".join(parts)

    def to_json(self) -> dict[str, Json]:
        """As JSON."""
        kinds: dict[str, Json] = {name: [old, new] for name, (old, new) in self.kinds.items()}
        return {"added": list(self.added), "removed": list(self.removed), "kinds": kinds}


def changed_inputs(live: Signature, new: Signature) -> ChangedInputs | None:
    """How the inputs of a new model differ from those of the live one; None when they are the same."""
    before: dict[str, ColumnKind] = {column.name: column.kind for column in live.inputs}
    after: dict[str, ColumnKind] = {column.name: column.kind for column in new.inputs}
    changes = ChangedInputs(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        kinds={name: (before[name], kind) for name, kind in after.items() if before.get(name, kind) != kind},
    )
    return changes if changes.added or changes.removed or changes.kinds else None
