"""A server and the stock MLflow client (mlflow-skinny) that speaks to it, as in a notebook."""

import itertools
import logging
from collections.abc import Iterator

import pytest

from bakeoff.chat.meter import Prices
from bakeoff.config.sections import StoreConfig
from bakeoff.project import wiring
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.prices import PriceTable


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("clients")
    records, blobs = wiring.open_stores(
        folder, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), wiring.now_ms
    )
    (folder / "scratch").mkdir()
    prices = PriceTable({"tiny": Prices(usd_in=10.0, usd_out=20.0)})
    tracking = Tracking(records=records, blobs=blobs, clock=wiring.now_ms, scratch=folder / "scratch", prices=prices)
    tracking.prepare()
    with Server(create_tracking_app(tracking, hosts=local_hosts("127.0.0.1"))) as running:
        yield running.url
    records.close()


@pytest.fixture(scope="session")
def mlflow_client(server):
    """The module `mlflow`, set to the server. What it infers of an environment takes seconds, and nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        patch.setenv("GIT_PYTHON_REFRESH", "quiet")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        patch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        mlflow = pytest.importorskip("mlflow", reason="the stock client: pip install mlflow-skinny")
        patch.setattr(pytest.importorskip("mlflow.models"), "infer_pip_requirements", lambda *_, **__: [])
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        mlflow.set_tracking_uri(server)
        yield mlflow
        mlflow.set_tracking_uri(None)


@pytest.fixture
def mlflow(mlflow_client):
    """The client in a new experiment."""
    mlflow_client.set_experiment(f"experiment-{next(_NUMBERS)}")
    yield mlflow_client
    while mlflow_client.active_run():
        mlflow_client.end_run()


_NUMBERS = itertools.count()
