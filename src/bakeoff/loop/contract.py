"""Hold rows against the project's data contract: those that are read, and labelled rows that join them."""

from typing import TYPE_CHECKING

from bakeoff.core.errors import ContractError
from bakeoff.core.types import Schema
from bakeoff.loop.context import Stage
from bakeoff.results.data import ContractOutcome, Warned

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.data.violation import Violation

__all__ = ["hold", "violating"]


def hold(stage: Stage, table: "pl.DataFrame") -> ContractOutcome | None:
    """Hold rows, as they were read, against the contract; what a run keeps of that (None without a contract).

    Raises:
        ContractError: rows violate rules that are errors; all of them are named.
    """
    from bakeoff.data.contract import to_bytes
    from bakeoff.data.contract_check import check

    contract = stage.contract
    if contract is None or stage.config.data.contract is None:
        return None
    checked = check(table, contract)
    if checked.errors:
        raise _refused(stage, table.height, checked.errors)
    for each in checked.warnings:
        stage.progress(f"contract: {each.told()}")
    return ContractOutcome(
        file=stage.config.data.contract,
        version=stage.blobs.put(to_bytes(contract)),
        rules=contract.rules,
        violations=checked.warnings,
        warnings=tuple(Warned(kind="contract", column=each.column, told=each.told()) for each in checked.warnings),
    )


def _refused(stage: Stage, rows: int, errors: "tuple[Violation, ...]") -> ContractError:
    told = "\n".join(f"  {each.told()}" for each in errors)
    plain = tuple[dict[str, str | int | None], ...](
        {"column": each.column, "rule": each.rule, "expected": each.expected, "count": each.count} for each in errors
    )
    return ContractError(
        f"{rows:,} rows were read, and {len(errors)} rule{'s' if len(errors) > 1 else ''} of the data contract "
        f"{stage.config.data.contract!r} {'are' if len(errors) > 1 else 'is'} violated; nothing was fitted:\n{told}\n"
        'Mend the data or the contract (severity = "warn" lets a rule pass).',
        plain,
    )


def violating(stage: Stage, rows: "pl.DataFrame", schema: Schema) -> "NDArray[np.bool_] | None":
    """Which labelled rows violate error rules of the inputs and the target; None without a contract.

    Other columns are not asked for when rows are served, so they may lack here. A value that must be unique is
    compared among these rows alone.
    """
    if stage.contract is None or rows.is_empty():
        return None
    from bakeoff.data.contract_check import check

    return check(rows, stage.contract.only({*schema.inputs, schema.target})).bad_n
