"""MLflow's own client on a store of MLflow's: a server, a database, or a folder `mlruns`."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

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


def client_of(uri: str, *, new: bool = False) -> tuple[Any, str]:
    """A client of the store at a URI, and the URI as MLflow writes it.

    Args:
        uri: of a server, a database, or a folder.
        new: the database or folder may be made, where it is not there.

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
        client = MlflowClient(tracking_uri=location, registry_uri=location)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
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
