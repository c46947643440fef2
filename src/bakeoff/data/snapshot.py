"""Datasets as immutable content: a version (hash of names, types and values), row hashes, and Parquet files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3

from bakeoff.core.errors import CorruptError, DataError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["read", "row_hashes", "version_of", "write"]

SLICE_ROWS = 65_536
NAN_BITS = np.uint64(0x7FF8_0000_0000_0000)
MISSING_BITS = np.uint64(0x9E37_79B9_7F4A_7C15)


def version_of(table: "pl.DataFrame") -> str:
    """BLAKE3 over column names, types and values in row order, whatever file or chunks they came from."""
    hasher = blake3(f"bakeoff table 1\0{table.height}\0{table.width}".encode())
    for series in table:
        hasher.update(f"\0{series.name}\0{series.dtype}\0".encode())
        for piece in _pieces(series):
            hasher.update(piece)
    return hasher.hexdigest()


def _pieces(series: "pl.Series") -> Iterator[bytes]:
    """Which values are missing, then the values: fixed-width bits, or text lengths followed by the text."""
    import polars as pl

    yield np.packbits(_missing(series)).tobytes()
    if series.dtype != pl.String:
        yield _bits(series).tobytes()
        return
    filled = series.fill_null("")
    yield filled.str.len_bytes().cast(pl.UInt64).to_numpy().astype("<u8").tobytes()
    for start in range(0, len(filled), SLICE_ROWS):
        yield "".join(filled.slice(start, SLICE_ROWS).to_list()).encode()


def _missing(series: "pl.Series") -> "NDArray[np.bool_]":
    """Which values are missing; most columns need not be asked, which counts where there are thousands."""
    return series.is_null().to_numpy() if series.null_count() else np.zeros(len(series), dtype=np.bool_)


def _filled(series: "pl.Series", value: float) -> "pl.Series":
    return series.fill_null(value) if series.null_count() else series


def _bits(series: "pl.Series") -> "NDArray[np.uint64]":
    """Values of a fixed-width type as 64 bits each; every NaN is the same, and so are 0.0 and -0.0."""
    import polars as pl

    if series.dtype.is_float():
        floats = _filled(series.cast(pl.Float64), 0.0).to_numpy() + 0.0
        return np.where(np.isnan(floats), NAN_BITS, floats.astype("<f8").view("<u8"))
    if series.dtype == pl.UInt64:
        return _filled(series, 0).to_numpy().astype("<u8")
    if series.dtype.is_integer() or series.dtype.is_temporal() or series.dtype == pl.Boolean:
        return _filled(series.to_physical().cast(pl.Int64), 0).to_numpy().astype("<i8").view("<u8")
    raise DataError(f"column {series.name!r}: expected plain values, found {series.dtype}")


def row_hashes(table: "pl.DataFrame") -> "NDArray[np.uint64]":
    """A 64-bit content hash of each row: equal rows have equal hashes, in every release of every library.

    The order of the columns does not matter; their names do. Not meant against malice (that is
    `version_of`): two rows among a million differ but agree with a chance of about 3e-8.

    Source: mixing by SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
    """
    import polars as pl

    hashes = np.zeros(table.height, dtype=np.uint64)
    for name in sorted(table.columns):
        series = table[name]
        values = _text_hashes(series) if series.dtype == pl.String else mix(_bits(series))
        values = np.where(_missing(series), MISSING_BITS, values)
        hashes = mix(hashes ^ (values + _hash_text(name)))
    return hashes


def mix(values: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """SplitMix64's finaliser: a bijection of 64-bit words in which every input bit moves every output bit."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _hash_text(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake3(text.encode()).digest(length=8), "little"))


def _text_hashes(series: "pl.Series") -> "NDArray[np.uint64]":
    """Each distinct text is hashed once."""
    import polars as pl

    distinct = series.fill_null("").unique()
    digests = b"".join(blake3(text.encode()).digest(length=8) for text in distinct.to_list())
    hashes = pl.DataFrame({"text": distinct, "hash": np.frombuffer(digests, dtype="<u8")})
    joined = pl.DataFrame({"text": series.fill_null("")}).join(hashes, on="text", how="left", maintain_order="left")
    return joined["hash"].to_numpy()


def write(table: "pl.DataFrame", path: Path) -> None:
    """Write a Parquet file (zstd)."""
    table.write_parquet(path, compression="zstd", statistics=True)


def read(path: Path) -> "pl.DataFrame":
    """Read what `write` wrote; `CorruptError` when it is damaged."""
    import polars as pl

    try:
        return pl.read_parquet(path, glob=False, memory_map=False)
    except (pl.exceptions.ComputeError, pl.exceptions.PolarsError) as error:
        raise CorruptError(f"{path.name}: expected a Parquet file of a dataset, found: {error}") from error
