"""Whether a model takes other inputs than the one that is live: then those who call the endpoint must know."""

from bakeoff.core.types import ColumnKind, Signature
from bakeoff.results.verdict import ChangedInputs

__all__ = ["changed_inputs"]


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
