"""Errors of libraries and of the system in our own words: the one place that knows them.

Where the cause is known (a file, a row, a column) it is told there; what comes through all the same is explained
here by its type, before it reaches a user. An error that nothing here knows is a defect of ours. To add a library,
add a rule: the name of its error's type (with the module's first name, as no library is imported for this), what it
becomes, and what to do.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from bakeoff.core.errors import (
    BakeoffError,
    CandidateError,
    CorruptError,
    DataError,
    MissingExtraError,
    NotFoundError,
    StoreError,
)
from bakeoff.core.libraries import library_advice

__all__ = ["database_advice", "explained", "file_advice"]

SHOWN = 300

_FILES: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full: free space on it, then try again",
    errno.EDQUOT: "the quota is used up: free space, then try again",
    errno.EFBIG: "the file would exceed the largest size allowed here: raise the limit (ulimit -f), then try again",
    errno.EROFS: "the file system is read-only: name another folder in [store]",
    errno.EACCES: "give this user the right to read and write it",
    errno.EPERM: "give this user the right to read and write it",
    errno.EIO: "the disk failed: check it and restore from a backup",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: end programs, or raise the system's limit",
    errno.ENOMEM: "memory is used up: end other programs, or use fewer rows at once",
    errno.EAGAIN: "no more threads or processes may be started: raise the limit (ulimit -u)",
    errno.ENOENT: "it is not there: check the path",
    errno.ENOTDIR: "a part of the path is a file, not a folder: check the path",
    errno.EISDIR: "it is a folder, not a file: check the path",
    errno.EEXIST: "it is there already: remove it, or name another",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a shorter one",
    errno.ELOOP: "its links lead in a circle: check the path",
    errno.ETXTBSY: "a program is using it: wait for its end, then try again",
    errno.EBUSY: "another program is using it: wait for its end, then try again",
    errno.ESTALE: "the network file system lost it: mount it again, then try again",
    errno.ECONNREFUSED: "nothing answers at that address: start the service, or check the address",
    errno.ECONNRESET: "the other side ended the connection: try again",
    errno.ETIMEDOUT: "the other side did not answer in time: try again",
    errno.EADDRINUSE: "another program uses the port: stop it, or choose another port",
    errno.ENETUNREACH: "the network cannot be reached: check the connection",
    errno.EHOSTUNREACH: "the machine cannot be reached: check the address and the connection",
}

_DATABASE: tuple[tuple[str, type[StoreError], str], ...] = (
    ("locked", StoreError, "another process holds it: wait for it to end, then try again"),
    ("disk is full", StoreError, "free space on its disk, then try again"),
    ("disk i/o error", StoreError, "the disk failed or is full: free space or check it, then try again"),
    ("readonly", StoreError, "it is read-only: give this user the right to write the file and its folder"),
    (
        "unable to open",
        StoreError,
        "the path must be a file that this user may read and write, and not too many may be open (ulimit -n)",
    ),
    ("malformed", CorruptError, "the file is damaged: run 'bakeoff verify --repair', or restore it from a backup"),
    ("not a database", CorruptError, "it is not a database: run 'bakeoff verify --repair', or name another in [store]"),
    ("no space left", StoreError, "free space on the disk, then try again"),
)


def file_advice(error: OSError) -> str:
    """What to do about an error of the file system or the network."""
    return _FILES.get(error.errno or 0, "check that it can be read and written, then try again")


def database_advice(message: str) -> tuple[type[StoreError], str] | None:
    """What a database's message means and what to do; None when it is not one of those that users can mend."""
    lower = message.lower()
    return next(((kind, advice) for part, kind, advice in _DATABASE if part in lower), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """What becomes of errors whose type, or one that it derives from, has one of these names."""

    types: frozenset[str]
    kind: type[BakeoffError]
    expected: str
    advice: str


def _rule(types: str, kind: type[BakeoffError], expected: str, advice: str) -> _Rule:
    return _Rule(types=frozenset(types.split()), kind=kind, expected=expected, advice=advice)


# The first that fits is taken: a library's own errors stand before the standard types that they derive from.
_RULES = (
    _rule(
        "duckdb.OutOfMemoryException _duckdb.OutOfMemoryException",
        DataError,
        "a query that fits into memory",
        "select fewer columns or rows, or free memory",
    ),
    _rule(
        "duckdb.Error _duckdb.Error",
        DataError,
        "a source or an SQL that DuckDB can read",
        "check the files and the SQL in [data]",
    ),
    _rule(
        "polars.PolarsError pyo3_runtime.PanicException",
        DataError,
        "a table that polars can read and compute with",
        "check the named column or file, or set its type in [data]",
    ),
    _rule(
        "pyarrow.ArrowException",
        DataError,
        "a table that Arrow can read",
        "the file may be damaged or of another format: check it",
    ),
    _rule(
        "lightgbm.LightGBMError bakeoff_lightgbm.LightGBMError",
        CandidateError,
        "rows and parameters that LightGBM can train with",
        "check the candidate's parameters and the columns",
    ),
    _rule(
        "sklearn.InvalidParameterError sklearn.NotFittedError",
        CandidateError,
        "parameters that scikit-learn takes",
        "check the candidate's parameters",
    ),
    _rule(
        "safetensors.SafetensorError",
        CorruptError,
        "weights in a whole safetensors file",
        "the file is damaged: fetch it or train it again",
    ),
    _rule(
        "torch.OutOfMemoryError torch.AcceleratorError",
        CandidateError,
        "enough memory on the device",
        "use a smaller model, shorter texts or a smaller batch",
    ),
    _rule(
        "httpx.HTTPError httpx2.HTTPError httpx.InvalidURL httpx2.InvalidURL http.HTTPException urllib3.HTTPError",
        StoreError,
        "an answer over HTTP",
        "check the address and the network, then try again",
    ),
    _rule(
        "sqlalchemy.SQLAlchemyError sqlite3.Error pysqlite3.Error psycopg.Error",
        StoreError,
        "a database that can be read and written",
        "check [store] and the database, then try again",
    ),
    _rule("tomllib.TOMLDecodeError", DataError, "TOML", "mend the file at the place that is named"),
    _rule(
        "json.JSONDecodeError msgspec.DecodeError", DataError, "JSON", "mend the text, or restore the file it stands in"
    ),
    _rule("yaml.YAMLError", DataError, "YAML", "mend the file at the place that is named"),
    _rule(
        "zipfile.BadZipFile zlib.error gzip.BadGzipFile lzma.LZMAError tarfile.TarError "
        "backports.zstd.ZstdError compression.zstd.ZstdError",
        DataError,
        "a whole compressed file",
        "it is damaged or of another format: fetch it again",
    ),
    _rule(
        "builtins.UnicodeDecodeError", DataError, "text in UTF-8", "save it as UTF-8, or name its encoding in [data]"
    ),
    _rule("builtins.UnicodeEncodeError", DataError, "text of whole characters", "remove what is no character from it"),
    _rule(
        "builtins.RecursionError",
        DataError,
        "a structure of fewer levels",
        "take out what is nested deeper than a few hundred levels",
    ),
    _rule(
        "builtins.MemoryError",
        DataError,
        "data that fits into memory",
        "use fewer rows or columns, or a machine with more memory",
    ),
)


def explained(error: BaseException) -> BaseException:
    """The error as one of ours, where its type is known: what was expected, what came, what to do.

    Errors of ours, and those that nothing here knows, come back as they are.

    >>> explained(FileNotFoundError(2, "No such file or directory", "rows.csv"))
    NotFoundError("cannot use 'rows.csv': No such file or directory; it is not there: check the path")
    """
    if isinstance(error, BakeoffError | BrokenPipeError):
        return error
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    rule = next((rule for rule in _RULES if not rule.types.isdisjoint(names)), None)
    if rule is not None and not (isinstance(error, OSError) and error.errno in _FILES):
        return _by_rule(error, rule)
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "bakeoff").partition(".")[0] != "bakeoff":
        return MissingExtraError(f"expected the module {error.name!r} to be installed: pip install it, then try again")
    return error


def _by_rule(error: BaseException, rule: _Rule) -> BakeoffError:
    message = _first_line(error)
    # Libraries that are not written in Python put the system's error into their own.
    system = next((advice for code, advice in _FILES.items() if os.strerror(code) in message), None)
    if system is not None:
        return StoreError(f"expected {rule.expected}, received: {message}; {system}")
    known = database_advice(message)
    if known is not None and rule.kind in {StoreError, DataError}:
        kind, advice = known
        return kind(f"expected {rule.expected}, received: {message}; {advice}")
    return rule.kind(f"expected {rule.expected}, received: {message}; {rule.advice}")


def _of_system(error: OSError) -> BakeoffError:
    library = library_advice(str(error)) if error.errno is None else None
    if library is not None:
        return MissingExtraError(f"expected {library}; it cannot be loaded")
    where = " to ".join(repr(str(name)) for name in (error.filename, error.filename2) if name is not None)
    kind = NotFoundError if isinstance(error, FileNotFoundError) else StoreError
    subject = f"cannot use {where}" if where else "the system refused"
    return kind(f"{subject}: {error.strerror or _first_line(error)}; {file_advice(error)}")


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).strip().partition("\n")[0].split()) or type(error).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
