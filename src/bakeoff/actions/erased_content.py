"""Files and blobs without a person: tables lose the person's rows, documents the person's words."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from bakeoff.core.erasure import PersonKey

__all__ = ["erased", "holds"]

PARQUET, NUMPY, ZIP, GZIP, ZSTD = b"PAR1", b"\x93NUMPY", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MOST_UNPACKED = 1 << 30
LARGEST = (1 << 63) - 1
"""The largest number of a column; longer keys are texts there."""


def holds(key: PersonKey, path: Path) -> bool:
    """Whether a file holds the key, in any spelling, packed or not."""
    data = path.read_bytes()
    return key.in_bytes(data) or erased(key, data) is not None


def erased(key: PersonKey, data: bytes) -> bytes | None:
    """The content without the person; None when the person is not in it.

    Nothing (`b""`) when it holds the key as a whole word, but its form is not known: such content is left as it is.

    Rows of tables keep their places, as splits name them by number: all their values become null.
    """
    for starts, form in FORMS.items():
        if data.startswith(starts):
            return form(key, data)
    return _document(key, data) if key.in_bytes(data) else None


def _document(key: PersonKey, data: bytes) -> bytes | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _unknown(key, data)
    return _scrubbed(key, text).encode() if key.in_text(text) else None


def _unknown(key: PersonKey, data: bytes) -> bytes | None:
    """Of content whose form is not known: nothing when it holds the key, else None."""
    return b"" if key.in_content(data) else None


def _scrubbed(key: PersonKey, text: str) -> str:
    """A document of JSON, or lines of it, or a text."""
    try:
        return json.dumps(key.scrubbed(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        lines = text.splitlines(keepends=True)
    try:
        return "".join(f"{json.dumps(key.scrubbed(json.loads(line)), ensure_ascii=False)}\n" for line in lines)
    except ValueError:
        return key.scrub(text)


def _table(key: PersonKey, data: bytes) -> bytes | None:
    import polars as pl

    try:
        table = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError):
        return _unknown(key, data)
    holding = {column.name: _holding(key, column) for column in table.iter_columns()}
    gone = pl.Series([False] * len(table), dtype=pl.Boolean)
    for rows in holding.values():
        gone |= rows
    types = {name: _nameless(key, dtype, held=holding[name].any()) for name, dtype in table.schema.items()}
    if not gone.any() and types == dict(table.schema):
        return None
    nulled = table.with_columns(
        pl.when(~gone).then(pl.col(name)).cast(dtype).alias(name) for name, dtype in types.items()
    )
    buffer = io.BytesIO()
    nulled.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _nameless(key: PersonKey, dtype: Any, *, held: bool) -> Any:
    """The type for a column without the key: texts for categories, which a file may keep without a row of theirs."""
    import polars as pl

    if isinstance(dtype, pl.Enum):
        return pl.String() if any(map(key.in_text, dtype.categories)) else dtype
    if isinstance(dtype, pl.Categorical):
        return pl.String() if held else dtype
    if isinstance(dtype, pl.List):
        return pl.List(_nameless(key, dtype.inner, held=held))
    if isinstance(dtype, pl.Array):
        return pl.Array(_nameless(key, dtype.inner, held=held), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(each.name, _nameless(key, each.dtype, held=held)) for each in dtype.fields])
    return dtype


def _holding(key: PersonKey, column: Any) -> Any:
    """Which rows of a column hold the key."""
    import polars as pl

    dtype, number = column.dtype, key.number
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.String):
        matching = {text for text in column.cast(pl.String).unique().drop_nulls().to_list() if key.in_text(text)}
        return column.cast(pl.String).is_in(list(matching)).fill_null(value=False)
    if dtype.is_numeric() and number is not None and number <= LARGEST:
        wide = column.cast(pl.Int128) == number if dtype.is_integer() else column.cast(pl.Float64) == float(number)
        return wide.fill_null(value=False)
    if dtype.is_nested():
        return pl.Series([key.in_text(repr(value)) for value in column.to_list()], dtype=pl.Boolean)
    if dtype == pl.Binary:
        return pl.Series([value is not None and key.in_content(value) for value in column.to_list()], dtype=pl.Boolean)
    return pl.Series([False] * len(column), dtype=pl.Boolean)


def _arrays(key: PersonKey, data: bytes) -> bytes | None:
    """Arrays of numpy; another zip file has no form that is known here."""
    import numpy as np

    try:
        loaded: Any = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(loaded, np.ndarray) and not all(name.endswith(".npy") for name in loaded.zip.namelist()):
            return b"" if _zip_holds(key, data) else None
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, zipfile.BadZipFile):
        return b"" if _zip_holds(key, data) else None
    texts = {name: array for name, array in arrays.items() if array.dtype.kind == "U"}
    if not any(key.in_text(text) for array in texts.values() for text in array.ravel().tolist()):
        return None
    for name, array in texts.items():
        arrays[name] = np.array([key.scrub(text) for text in array.ravel().tolist()], dtype=str).reshape(array.shape)
    buffer = io.BytesIO()
    if data.startswith(NUMPY):
        np.save(buffer, arrays[""])
    else:
        np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _zip_holds(key: PersonKey, data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(each.file_size for each in archive.infolist()) > MOST_UNPACKED:
                return key.in_content(data)
            return any(erased(key, archive.read(each)) is not None for each in archive.infolist())
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return key.in_content(data)


def _packed(key: PersonKey, data: bytes) -> bytes | None:
    from bakeoff.data.zstd import zstd

    is_gzip = data.startswith(GZIP)
    try:
        opened = gzip.GzipFile(fileobj=io.BytesIO(data)) if is_gzip else zstd.ZstdFile(io.BytesIO(data))
        plain = opened.read(MOST_UNPACKED + 1)
    except (OSError, EOFError, zstd.ZstdError):
        return _unknown(key, data)
    new = erased(key, plain) if len(plain) <= MOST_UNPACKED else _unknown(key, plain)
    if not new:
        return new
    return gzip.compress(new) if is_gzip else zstd.compress(new)


FORMS = {PARQUET: _table, (NUMPY, ZIP): _arrays, (GZIP, ZSTD): _packed}
"""How contents begin, and what erases from them."""
