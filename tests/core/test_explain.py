"""Errors of libraries and of the system become errors of ours, with what to do; what is ours to mend stays as it is."""

import errno
import gzip
import json
import os
import sqlite3
import tarfile
import tomllib
import zipfile
import zlib
from pathlib import Path

import duckdb
import httpx2
import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest
import safetensors
import sqlalchemy

from bakeoff.core.errors import (
    CandidateError,
    CorruptError,
    DataError,
    MissingExtraError,
    NotFoundError,
    StoreError,
    UsageError,
)
from bakeoff.core.explain import explained


def raised(call) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any: that is what is looked at
        call()
    return caught.value


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


LIBRARIES = {
    "duckdb syntax": (lambda: duckdb.sql("SELEC 1"), DataError, "SQL in [data]"),
    "duckdb file": (lambda: duckdb.sql("SELECT * FROM 'no.csv'"), DataError, "SQL in [data]"),
    "polars column": (lambda: pl.DataFrame({"a": [1]}).select("b"), DataError, "check the named column"),
    "polars cast": (lambda: pl.Series(["x"]).cast(pl.Int64), DataError, "check the named column"),
    "polars parquet": (lambda: pl.read_parquet(b"no parquet at all"), DataError, "check the named column"),
    "lightgbm": (
        lambda: lightgbm.train({"num_leaves": 1, "verbose": -1}, lightgbm.Dataset(np.zeros((2, 1)), [0, 1])),
        CandidateError,
        "the candidate's parameters",
    ),
    "httpx address": (lambda: httpx2.get("http://127.0.0.1:9"), StoreError, "check the address"),
    "httpx url": (lambda: httpx2.get("http://a:b:c"), StoreError, "check the address"),
    "sqlalchemy": (lambda: sqlalchemy.create_engine("sqlite:////no/such/x.db").connect(), StoreError, "this user may"),
    "sqlite": (lambda: sqlite3.connect(":memory:").execute("SELECT * FROM nothing"), StoreError, "check [store]"),
    "safetensors": (lambda: safetensors.deserialize(b"xx"), CorruptError, "the file is damaged"),
    "toml": (lambda: tomllib.loads("a = "), DataError, "mend the file"),
    "json": (lambda: json.loads("{"), DataError, "mend the text"),
    "msgspec": (lambda: msgspec.json.decode(b"{"), DataError, "mend the text"),
    "msgspec type": (lambda: msgspec.json.decode(b"1", type=str), DataError, "mend the text"),
    "json levels": (lambda: json.loads(nested(100_000)), DataError, "nested deeper"),
    "msgspec levels": (lambda: msgspec.json.decode(nested(100_000)), DataError, "nested deeper"),
    "zip": (lambda: zipfile.ZipFile(__file__), DataError, "fetch it again"),
    "tar": (lambda: tarfile.TarFile(__file__), DataError, "fetch it again"),
    "gzip": (lambda: gzip.decompress(b"no gzip data"), DataError, "fetch it again"),
    "zlib": (lambda: zlib.decompress(b"no data"), DataError, "fetch it again"),
    "utf-8": (b"\xff".decode, DataError, "save it as UTF-8"),
    "half a character": ("\ud83d".encode, DataError, "no character"),
    "memory": (lambda: bytearray(2**62), DataError, "fewer rows"),
    "module": (lambda: __import__("no_such_module"), MissingExtraError, "pip install"),
    "no file": (lambda: Path("/no/such/file").read_text(), NotFoundError, "check the path"),
    "folder": (lambda: Path("/").read_text(), StoreError, "it is a folder"),
    "file as folder": (lambda: Path(__file__, "x").read_text(), StoreError, "a file, not a folder"),
    "long name": (lambda: Path("/" + "x" * 300).read_text(), StoreError, "choose a shorter one"),
}


@pytest.mark.parametrize(("call", "kind", "advice"), LIBRARIES.values(), ids=LIBRARIES)
def test_a_library_s_error_says_what_to_do(call, kind, advice):
    error = raised(call)
    ours = explained(error)
    assert type(ours) is kind
    assert advice in str(ours)
    assert str(ours).startswith(("expected ", "cannot use "))
    assert "\n" not in str(ours)
    assert len(str(ours)) < 600
    assert "defect" not in str(ours)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "another folder in [store]"),
        (errno.EACCES, "give this user the right"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "system's limit"),
        (errno.EIO, "check it"),
        (errno.ENOMEM, "memory"),
        (errno.EAGAIN, "ulimit -u"),
        (errno.ECONNREFUSED, "start the service"),
        (12345, "try again"),
    ],
)
def test_the_system_s_errors_say_what_to_do(code, advice):
    ours = explained(OSError(code, os.strerror(code), "/data/x"))
    assert type(ours) is StoreError
    assert (ours.exit_code, advice in str(ours), "'/data/x'" in str(ours)) == (1, True, True)
    wrapped = explained(pl.exceptions.ComputeError(f"writing: {os.strerror(code)} (os error {code})"))
    assert type(wrapped) is (DataError if code == 12345 else StoreError)


@pytest.mark.parametrize(
    "message", ["database or disk is full", "attempt to write a readonly database", "database is locked"]
)
def test_a_database_that_cannot_be_written(message):
    ours = explained(sqlite3.OperationalError(message))
    assert type(ours) is StoreError
    assert message in str(ours)
    assert "check [store]" not in str(ours)


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("y"), ZeroDivisionError(), UsageError("z"), BrokenPipeError(), ImportError("w")]
)
def test_what_nothing_here_knows_stays_as_it_is(error):
    assert explained(error) is error


def test_memory_of_a_query_and_a_fault_in_a_library_written_in_rust():
    assert "select fewer columns" in str(explained(duckdb.OutOfMemoryException("x")))
    panic = pl.exceptions.PanicException("x")
    assert not isinstance(panic, Exception)
    assert type(explained(panic)) is DataError
