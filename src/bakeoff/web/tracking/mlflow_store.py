"""MLflow's own client on a store of MLflow's: a server, a database, or a folder `mlruns`."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from bakeoff.core.errors import MissingExtraError, NotFoundError, StoreError, UsageError

__all__ = ["EXPORTED", "FINALIZED", "IMPORTED", "LOCATION", "LOGGED", "OURS", "client_of", "pages", "plain_uri"]

PAGE = 200
IMPORTED, EXPORTED, OURS = "bakeoff.imported", "bakeoff.exported", "bakeoff.run_id"
"""Tags: of what was imported and exported, how much of it; and which run of bakeoff one is a copy of."""
LOGGED = re.compile(r"(?:^models:/|/models/)(m-[0-9a-f]{32})(?:/artifacts)?$")
"""A place that is a logged model's."""
LOCATION, FINALIZED = "mlflow.artifactLocation", "mlflow.trace.infoFinalized"
"""What a store notes of a trace for itself."""
EXPECTED = "a server (https://…), a database (sqlite:///mlflow.db, postgresql://…) or a folder (mlruns)"


def client_of(uri: str, *, new: bool = False, copies: Path | None = None) -> tuple[Any, str]:
    """A client of the store at a URI, and the URI as MLflow writes it.

    MLflow's client upgrades a database of an older MLflow as soon as it opens it. So a file of SQLite is read from a
    copy, which is upgraded, and of other databases only those are opened that need no upgrade.

    Args:
        uri: of a server, a database, or a folder.
        new: the database or folder may be made, where it is not there.
        copies: a folder for the copy of a file that is only read.

    Raises:
        UsageError: no such URI. NotFoundError: there is no such store. MissingExtraError: MLflow is not installed.
        StoreError: it cannot be used; of a database of an older MLflow, what to do.
    """
    location = _checked(uri, new=new)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what is moved is nobody else's business
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise MissingExtraError.of("MLflow stores", "mlflow", "mlflow") from error
    try:
        if copies is not None and location.startswith("sqlite:"):
            location = _copied(Path(location.removeprefix("sqlite:///")), copies)
        elif not location.startswith(("http", "file")):
            _require_no_upgrade(location, uri)
        client = MlflowClient(tracking_uri=location, registry_uri=location)
        client.search_experiments(max_results=1)
    except StoreError:
        raise
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise StoreError(f"cannot use the MLflow store at {plain_uri(uri)}: {reason}") from error
    return client, location


def _checked(uri: str, *, new: bool) -> str:
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        return uri.rstrip("/")
    if parts.scheme == "sqlite":
        _require_path(Path(uri.removeprefix("sqlite:///")), uri, new=new)
        return uri
    if parts.scheme in {"postgresql", "mysql", "mssql"} or parts.scheme.startswith("postgresql+"):
        return uri
    if parts.scheme not in {"", "file"}:
        raise UsageError(f"expected {EXPECTED}; received {plain_uri(uri)!r}")
    folder = Path(unquote(parts.path)) if parts.scheme else Path(uri)
    _require_path(folder, uri, new=new)
    if not new and not any(folder.glob("*/meta.yaml")) and not (folder / ".trash").exists():
        raise NotFoundError(f"expected a folder that MLflow keeps runs in, such as mlruns; {uri!r} has no meta.yaml")
    return folder.resolve().as_uri()


def _copied(path: Path, folder: Path) -> str:
    """A copy of an SQLite file, of one state, though others write to it; its URI."""
    target = folder / "mlflow.db"
    read_only = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(read_only, uri=True)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    location = f"sqlite:///{target.resolve()}"
    if _needs_upgrade(location):
        from mlflow.store.db.utils import _upgrade_db  # pyright: ignore[reportPrivateUsage]

        engine = create_engine(location)
        try:
            _upgrade_db(engine)
        except Exception as error:
            raise StoreError(f"the database {str(path)!r} cannot be upgraded to this MLflow's form: {error}") from error
        finally:
            engine.dispose()
    return location


def _needs_upgrade(location: str) -> bool:
    """Whether a database is of another MLflow than the one that is installed; an empty one is of none."""
    from mlflow.store.db.utils import _get_latest_schema_revision  # pyright: ignore[reportPrivateUsage]

    engine = create_engine(location)
    try:
        if not inspect(engine).has_table("alembic_version"):
            return False
        with engine.connect() as connection:
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()
    return version != _get_latest_schema_revision()


def _require_no_upgrade(location: str, uri: str) -> None:
    """See that a database is one that this MLflow need not upgrade."""
    if _needs_upgrade(location):
        raise StoreError(
            f"the database at {plain_uri(uri)} is of another MLflow than the one that is installed here: install that "
            "one, or upgrade the database, after a backup, by 'mlflow db upgrade'"
        )


def _require_path(path: Path, uri: str, *, new: bool) -> None:
    if not new and not path.exists():
        raise NotFoundError(f"expected {EXPECTED}; there is nothing at {uri!r}")


def plain_uri(uri: str) -> str:
    """A URI without its password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":…@", 1)


def pages(ask: Callable[..., Any], **given: Any) -> Iterator[Any]:
    """All that a search of MLflow's client gives, page by page."""
    token: str | None = None
    while True:
        page = ask(**given, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
