"""The columns of a corpus: of all its files, so that no value is cut and no column lost, however late it comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import DataError
from bakeoff.core.ledger import Loss
from bakeoff.prepare.corpus.blocks import Block
from bakeoff.prepare.corpus.shapes import Mixture, RowPlace, Shape, dtype_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Columns", "columns_of", "conform", "not_finite"]

MOST_DECIMALS = 38
_REMEDY = "Make them alike in the files, or prepare those files apart."


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names and types in the order in which they first come, and those whose values are written as text."""

    types: "Mapping[str, pl.DataType]"
    as_text: tuple[Loss, ...]


def columns_of(
    blocks: Sequence[Block], shape: Shape, rows_before: Sequence[int], *, text: Sequence[str], parquet: bool
) -> Columns:
    """The columns that hold every value of every block.

    Args:
        blocks: all blocks.
        shape: what the blocks of JSON lines hold, all together.
        rows_before: for each block, the rows of its file before it.
        text: the columns that steps rewrite, which are text whatever they hold.
        parquet: whether the result is Parquet, which does not know objects without a field.

    Raises:
        DataError: values that no type holds, with files, rows and the remedy; a text column that is not there.
    """
    import polars as pl

    widened: dict[str, tuple[str, ...]] = {}
    types: dict[str, pl.DataType] = {}
    for name, inner in shape.fields.items():
        try:
            types[name] = dtype_of(inner, name, widened, parquet=parquet)
        except Mixture as mixture:
            raise _unfit(mixture, blocks, rows_before) from None
    _add_declared(types, blocks, widened)
    for name in text:
        if name not in types:
            known = ", ".join(types) or "no columns"
            raise DataError(f"expected the text column {name!r}, found {known}. Name the text columns with --text.")
        if types[name].is_nested():
            raise DataError(
                f"expected text in the column {name!r}, found {types[name]}. Name the text columns with --text."
            )
        types[name] = pl.String()
    if not parquet and (of_bytes := [name for name, dtype in types.items() if _holds_bytes(dtype)]):
        raise DataError(
            f"column {of_bytes[0]!r}: expected values that JSON can hold, found bytes. Write Parquet (--out with "
            ".parquet), or leave the column out of the files."
        )
    # What has no value yet to tell a type by is text.
    types = {name: pl.String() if dtype == pl.Null() else dtype for name, dtype in types.items()}
    return Columns(types=types, as_text=tuple(_as_text(widened, text)))


def _add_declared(
    types: "dict[str, pl.DataType]", blocks: Sequence[Block], widened: dict[str, tuple[str, ...]]
) -> None:
    """Widen the columns to those of the files that tell their types themselves."""
    import polars as pl

    for file, schema in _declared(blocks).items():
        for name, dtype in schema.items():
            known = types.get(name, dtype)
            try:
                types[name] = _union(known, dtype)
            except TypeError:
                raise DataError(
                    f"{Path(file).name}, column {name!r}: expected values of one type in all files, found {dtype} "
                    f"here and {known} in other files. {_REMEDY}"
                ) from None
            if other := {known, dtype} - {pl.String(), pl.Categorical(), pl.Null()}:
                kinds = sorted(str(each) for each in other if not isinstance(each, pl.Enum))
                if kinds and types[name] == pl.String():
                    widened[name] = (*kinds, "text")


def _holds_bytes(dtype: "pl.DataType") -> bool:
    import polars as pl

    if isinstance(dtype, pl.Struct):
        return any(_holds_bytes(_type(field.dtype)) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_bytes(_type(dtype.inner))
    return dtype == pl.Binary()


def _unfit(mixture: Mixture, blocks: Sequence[Block], rows_before: Sequence[int]) -> DataError:
    def where(place: RowPlace) -> str:
        return f"{Path(blocks[place.block].file).name}, row {rows_before[place.block] + place.row + 1:,}"

    (one, here), (other, there) = mixture.one, mixture.other
    return DataError(
        f"column {mixture.path!r}: expected values of one kind, found {one} ({where(here)}) and {other} "
        f"({where(there)}). {_REMEDY}"
    )


def _as_text(widened: Mapping[str, tuple[str, ...]], text: Sequence[str]) -> "list[Loss]":
    return [
        Loss(
            kind="column",
            subject=path,
            count=1,
            reason=f"written as text: it holds {' and '.join(kinds)}",
            remedy="make its values alike in the files to keep their type",
        )
        for path, kinds in widened.items()
        if path not in text
    ]


def _declared(blocks: Sequence[Block]) -> "dict[str, dict[str, pl.DataType]]":
    """The columns of each file that tells them itself: Parquet by its footer, csv and tsv by their header."""
    import polars as pl

    from bakeoff.prepare.corpus.parsing import header_of

    schemas: dict[str, dict[str, pl.DataType]] = {}
    for block in blocks:
        if block.file in schemas or block.format == "jsonl":
            continue
        if block.format == "parquet":
            schemas[block.file] = dict(pl.scan_parquet(block.file, glob=False).collect_schema())
        else:
            schemas[block.file] = dict.fromkeys(header_of(block), pl.String())
    return schemas


def _union(one: "pl.DataType", other: "pl.DataType") -> "pl.DataType":
    """The type that holds the values of both; TypeError when there is none."""
    import polars as pl

    if one == other or other == pl.Null():
        return one
    if one == pl.Null():
        return other
    if one.is_nested() or other.is_nested():
        return _nested_union(one, other)
    if one.is_numeric() and other.is_numeric() and not (one.is_decimal() or other.is_decimal()):
        # Whether whole numbers fit a column of fractions is seen when they are read.
        return _wider(one, other) if one.is_integer() and other.is_integer() else pl.Float64()
    if type(one) is type(other) and (one.is_decimal() or one.is_temporal()):
        return _finer(one, other)
    texts = {type(dtype) for dtype in (one, other)} & {pl.String, pl.Categorical, pl.Enum}
    if len(texts) == len({type(one), type(other)}) or (pl.String in texts and pl.Binary() not in (one, other)):
        return pl.String()  # cells of csv are text whatever they hold
    raise TypeError


def _finer(one: "pl.DataType", other: "pl.DataType") -> "pl.DataType":
    import polars as pl

    if isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime) and one.time_zone == other.time_zone:
        return max(one, other, key=lambda dtype: ("ms", "us", "ns").index(dtype.time_unit))
    if isinstance(one, pl.Decimal) and isinstance(other, pl.Decimal):
        return pl.Decimal(MOST_DECIMALS, max(one.scale, other.scale))
    raise TypeError


def _nested_union(one: "pl.DataType", other: "pl.DataType") -> "pl.DataType":
    import polars as pl

    if isinstance(one, pl.List) and isinstance(other, pl.List):
        return pl.List(_union(_type(one.inner), _type(other.inner)))
    if isinstance(one, pl.Struct) and isinstance(other, pl.Struct):
        fields = {field.name: _type(field.dtype) for field in one.fields}
        for field in other.fields:
            dtype = _type(field.dtype)
            fields[field.name] = _union(fields[field.name], dtype) if field.name in fields else dtype
        return pl.Struct(fields)
    raise TypeError


def _type(dtype: Any) -> "pl.DataType":
    """A type as an instance: polars gives nested ones as instances or as classes."""
    return dtype() if isinstance(dtype, type) else dtype


def _wider(one: "pl.DataType", other: "pl.DataType") -> "pl.DataType":
    import polars as pl

    low, high = min(_least(one), _least(other)), max(_most(one), _most(other))
    for dtype in (pl.Int8(), pl.UInt8(), pl.Int16(), pl.UInt16(), pl.Int32(), pl.UInt32(), pl.Int64(), pl.UInt64()):
        if _least(dtype) <= low and high <= _most(dtype):
            return dtype
    return pl.Int128()


def _least(dtype: "pl.DataType") -> int:
    return 0 if dtype.is_unsigned_integer() else -(2 ** (_bits(dtype) - 1))


def _most(dtype: "pl.DataType") -> int:
    return 2 ** (_bits(dtype) - (0 if dtype.is_unsigned_integer() else 1)) - 1


def _bits(dtype: "pl.DataType") -> int:
    return int(str(dtype).removeprefix("U").removeprefix("Int"))


def conform(table: "pl.DataFrame", types: "Mapping[str, pl.DataType]", *, first_row: int = 0) -> "pl.DataFrame":
    """The columns with these types, missing ones empty; whatever a value is, it stays the same.

    Raises:
        DataError: a whole number that a column of fractions cannot hold, with its row; the table begins at `first_row`.
    """
    import polars as pl

    if not table.width:
        return pl.DataFrame(schema=dict(types))
    columns = [
        _cast(pl.col(name), table.schema[name], dtype).alias(name)
        if name in table.columns
        else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in types.items()
    ]
    try:
        made = table.select(columns)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"expected values of the columns' types: {str(error).partition(chr(10))[0]}") from error
    for name in types:
        if name in table.columns and (rounded := _rounded(table[name], made[name])) is not None:
            one_by_one = (_rounded(table[name][row : row + 1], made[name][row : row + 1]) for row in range(made.height))
            row = first_row + next(row for row, number in enumerate(one_by_one) if number is not None)
            raise DataError(
                f"column {name!r}, row {row + 1:,}: expected numbers that a column of fractions can hold, found "
                f"{rounded}, and fractions in other files. {_REMEDY}"
            )
    return made


def _rounded(given: "pl.Series", made: "pl.Series") -> int | None:
    """A whole number that is another in a column of fractions, at any depth."""
    import polars as pl

    if given.dtype == made.dtype:
        return None
    if isinstance(given.dtype, pl.Struct):
        fields = [field.name for field in given.dtype.fields if made.dtype.is_nested()]
        inner = (_rounded(given.struct.field(name), made.struct.field(name)) for name in fields)
        return next((number for number in inner if number is not None), None)
    if isinstance(given.dtype, pl.List):
        return _rounded(_items(given), _items(made)) if isinstance(made.dtype, pl.List) else None
    if not (given.dtype.is_integer() and made.dtype.is_float()):
        return None
    # Compared as whole numbers: a double would round both sides alike.
    wrong = (made.cast(pl.Int128) != given.cast(pl.Int128)).arg_true()
    return int(given[int(wrong[0])]) if len(wrong) else None


def _items(lists: "pl.Series") -> "pl.Series":
    return lists.explode(empty_as_null=False, keep_nulls=False)


def not_finite(values: "pl.Series") -> int:
    """How many NaN and infinities there are, at any depth."""
    import polars as pl

    if isinstance(values.dtype, pl.Struct):
        return sum(not_finite(values.struct.field(field.name)) for field in values.dtype.fields)
    if isinstance(values.dtype, pl.Array):
        return not_finite(values.cast(pl.List(values.dtype.inner)))
    if isinstance(values.dtype, pl.List):
        return not_finite(_items(values))
    return int((~values.is_finite()).sum()) if values.dtype.is_float() else 0


def _cast(value: "pl.Expr", given: "pl.DataType", wanted: "pl.DataType") -> "pl.Expr":
    import polars as pl

    if given == wanted:
        return value
    if isinstance(given, pl.Struct) and isinstance(wanted, pl.Struct):
        known = {field.name: _type(field.dtype) for field in given.fields}
        fields = [
            _cast(value.struct.field(field.name), known[field.name], _type(field.dtype)).alias(field.name)
            if field.name in known
            else pl.lit(None, dtype=field.dtype).alias(field.name)
            for field in wanted.fields
        ]
        return pl.when(value.is_not_null()).then(pl.struct(fields))
    if isinstance(given, pl.List) and isinstance(wanted, pl.List):
        return value.list.eval(_cast(pl.element(), _type(given.inner), _type(wanted.inner)))
    return value.cast(wanted)
