"""The routes of MLflow's protocol: what each reads, and who may call it."""

import asyncio
import contextlib
import gc
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from bakeoff.core.errors import BakeoffError
from bakeoff.core.principals import Permission
from bakeoff.core.protocols import Reporting
from bakeoff.core.records import RunChange
from bakeoff.core.types import Json
from bakeoff.web.auth import Authenticator, protect
from bakeoff.web.guard import Guard
from bakeoff.web.measures import Measures
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HEADERS, UNAVAILABLE, HttpError, JsonResponse, error_response
from bakeoff.web.request_ids import RequestIds, request_id
from bakeoff.web.tracking import (
    aggregates,
    artifacts,
    assessments,
    datasets,
    experiments,
    issues,
    limits,
    metrics,
    models,
    multipart,
    openapi,
    otlp,
    registry,
    runs,
    scorers,
    traces,
)
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.messages import (
    AssessmentMessage,
    DatasetInput,
    KeyValue,
    Location,
    Mask,
    ModelDataset,
    ModelOrder,
    ModelUse,
    PromptMessage,
    TraceMessage,
)
from bakeoff.web.tracking.reach import tracking_of
from bakeoff.web.tracking.wire import TrackingError, Want, answer, arguments, bounded, refusal, rejected, required
from bakeoff.web.tracking.writing import Writing

__all__ = ["MLFLOW", "create_tracking_app"]

logger = logging.getLogger(__name__)

MLFLOW = "3.18.0"
"""The version of the protocol that clients are told: some of what they send goes by it."""
Handler: TypeAlias = Callable[[Tracking, Mapping[str, Any]], Json]
Change: TypeAlias = Callable[[Tracking, Mapping[str, Any]], RunChange]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Streaming: TypeAlias = Callable[[Tracking, Request], Awaitable[Response]]
TEXT, INT, FLAG, LIST, TEXTS, ANY = (
    Want(),
    Want(shape="int"),
    Want(shape="bool"),
    Want(shape="list"),
    Want(shape="texts"),
    Want(shape="any"),
)
NEEDED = required()


def _many(kind: Any) -> Want:
    """A list of messages."""
    return Want(shape="list", of=kind)


PAIRS = _many(KeyValue)
MOST_UPLOAD = 1 << 40
BINARY = ("application/octet-stream",)
AS_ENCODED = ("/v1/traces", "/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
"""Spans say themselves what is wrong with their encoding, and a file is kept as it came."""
UNKNOWN = 401
REFUSED = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
"""What MLflow calls that a caller is not known, or not allowed to."""
THREADS, SEARCH_THREADS = 16, 6
MOST_SEARCHES = 100
"""That run or wait at once."""
FORESEEN = (TrackingError, BakeoffError, HttpError, HTTPException, ClientDisconnect)
"""Errors that have handlers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its paths below `/api/` and `/ajax-api/`, its method, what it takes, what it does.

    What `changes` a run alone is written together with what else comes at that moment, and `answers` once it is;
    `whole` reads a body at once (see `wire.arguments`). What `searches` may take long, and has threads of its own:
    however many of them there are, the others are answered.
    """

    path: str
    method: str
    does: Handler | None = None
    searches: bool = False
    changes: Change | None = None
    answers: Callable[[Tracking, RunChange], Json] = lambda _tracking, _change: {}
    whole: msgspec.json.Decoder[Any] | None = None
    takes: Mapping[str, Want] = field(default_factory=dict[str, Want])
    needs: Permission = "read"


def _get(path: str, does: Handler, /, **takes: Want) -> Operation:
    return Operation(path=path, method="GET", does=does, takes=takes)


def _write(path: str, does: Handler, /, *, method: str = "POST", **takes: Want) -> Operation:
    return Operation(path=path, method=method, does=does, takes=takes, needs="track")


def _release(path: str, does: Handler, /, *, method: str = "POST", **takes: Want) -> Operation:
    """What moves or takes away what others serve and load by name."""
    return replace(_write(path, does, method=method, **takes), needs="release")


def _log(path: str, changes: Change, body: type[msgspec.Struct] | None = None, /, **takes: Want) -> Operation:
    """What adds to a run; `body` is what nearly all clients send."""
    takes, whole = {"run_id": NEEDED, **takes}, None if body is None else msgspec.json.Decoder(body)
    return Operation(path=path, method="POST", changes=changes, takes=takes, needs="track", whole=whole)


def _ask(path: str, does: Handler, /, **takes: Want) -> Operation:
    return Operation(path=path, method="POST", does=does, takes=takes)


def _long(operation: Operation) -> Operation:
    """A read that may take long."""
    return replace(operation, searches=True)


def _either(path: str, does: Handler, /, **takes: Want) -> tuple[Operation, Operation]:
    """What clients ask by either method."""
    return _get(path, does, **takes), _ask(path, does, **takes)


TRACE, ASSESSMENT = "3.0/mlflow/traces/{trace_id}", "3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}"
DATASET, ISSUE = "3.0/mlflow/datasets/{dataset_id}", "3.0/mlflow/issues/{issue_id}"
PROXIED_PARTS = "2.0/mlflow-artifacts/mpu"
SEARCHED = {"filter": TEXT, "order_by": TEXTS, "page_token": TEXT}
MODEL = "2.0/mlflow/logged-models/{model_id}"
CALLS: tuple[Operation, ...] = (
    _write("2.0/mlflow/experiments/create", experiments.create, name=NEEDED, artifact_location=TEXT, tags=PAIRS),
    _get("2.0/mlflow/experiments/get", experiments.get, experiment_id=NEEDED),
    _get("2.0/mlflow/experiments/get-by-name", experiments.get_by_name, experiment_name=NEEDED),
    *map(
        _long, _either("2.0/mlflow/experiments/search", experiments.search, **SEARCHED, view_type=ANY, max_results=INT)
    ),
    _write("2.0/mlflow/experiments/delete", experiments.delete, experiment_id=NEEDED),
    _write("2.0/mlflow/experiments/restore", experiments.restore, experiment_id=NEEDED),
    _write("2.0/mlflow/experiments/update", experiments.update, experiment_id=NEEDED, new_name=NEEDED),
    _write(
        "2.0/mlflow/experiments/set-experiment-tag", experiments.set_tag, experiment_id=NEEDED, key=NEEDED, value=TEXT
    ),
    _write("2.0/mlflow/experiments/delete-experiment-tag", experiments.delete_tag, experiment_id=NEEDED, key=NEEDED),
    _long(_ask("2.0/mlflow/experiments/search-datasets", runs.search_datasets, experiment_ids=TEXTS)),
    Operation(
        path="2.0/mlflow/runs/create",
        method="POST",
        changes=runs.create,
        answers=runs.created,
        takes={"experiment_id": TEXT, "start_time": INT, "run_name": TEXT, "tags": PAIRS},
        needs="track",
    ),
    _get("2.0/mlflow/runs/get", runs.get, run_id=NEEDED),
    _long(
        _ask(
            "2.0/mlflow/runs/search",
            runs.search,
            **SEARCHED,
            experiment_ids=TEXTS,
            max_results=Want(shape="int", most=runs.MOST_RUNS),
        )
    ),
    _write("2.0/mlflow/runs/update", runs.update, run_id=NEEDED, end_time=INT, status=ANY, run_name=TEXT),
    _write("2.0/mlflow/runs/delete", runs.delete, run_id=NEEDED),
    _write("2.0/mlflow/runs/restore", runs.restore, run_id=NEEDED),
    _log(
        "2.0/mlflow/runs/log-metric",
        runs.log_metric,
        limits.LoggedMetric,
        key=NEEDED,
        value=required("float"),
        timestamp=required("int"),
        step=INT,
        model_id=TEXT,
        dataset_name=TEXT,
        dataset_digest=TEXT,
    ),
    _log("2.0/mlflow/runs/log-parameter", runs.log_param, key=NEEDED, value=TEXT),
    _log("2.0/mlflow/runs/log-batch", runs.log_batch, limits.LoggedBatch, metrics=LIST, params=PAIRS, tags=PAIRS),
    _write(
        "2.0/mlflow/runs/log-inputs",
        runs.log_inputs,
        run_id=NEEDED,
        datasets=_many(DatasetInput),
        models=_many(ModelUse),
    ),
    _write("2.0/mlflow/runs/outputs", runs.log_outputs, run_id=NEEDED, models=required("list", of=ModelUse)),
    _write("2.0/mlflow/runs/log-model", runs.log_model, run_id=NEEDED, model_json=NEEDED),
    _log("2.0/mlflow/runs/set-tag", runs.set_tag, key=NEEDED, value=TEXT),
    _write("2.0/mlflow/runs/delete-tag", runs.delete_tag, run_id=NEEDED, key=NEEDED),
    _long(
        _get(
            "2.0/mlflow/metrics/get-history",
            metrics.history,
            run_id=NEEDED,
            metric_key=NEEDED,
            page_token=TEXT,
            max_results=INT,
        )
    ),
    _long(_get("2.0/mlflow/metrics/get-history-bulk", metrics.bulk, run_id=TEXTS, metric_key=TEXT, max_results=INT)),
    _long(
        _get(
            "2.0/mlflow/metrics/get-history-bulk-interval",
            metrics.interval,
            run_ids=required("texts"),
            metric_key=NEEDED,
            start_step=INT,
            end_step=INT,
            max_results=INT,
        )
    ),
    _get("2.0/mlflow/artifacts/list", artifacts.list_run, run_id=NEEDED, path=TEXT, page_token=TEXT),
    _get("2.0/mlflow-artifacts/artifacts", artifacts.list_proxied, path=TEXT),
    _write("2.0/mlflow-artifacts/artifacts/{path:path}", artifacts.delete, method="DELETE", path=TEXT),
    _write(
        "2.0/mlflow/logged-models",
        models.create,
        experiment_id=TEXT,
        name=TEXT,
        model_type=TEXT,
        source_run_id=TEXT,
        params=PAIRS,
        tags=PAIRS,
    ),
    _long(
        _ask(
            "2.0/mlflow/logged-models/search",
            models.search,
            **{**SEARCHED, "order_by": _many(ModelOrder)},
            experiment_ids=TEXTS,
            datasets=_many(ModelDataset),
            max_results=INT,
        )
    ),
    _get(MODEL, models.get, model_id=NEEDED),
    _write(MODEL, models.finalize, method="PATCH", model_id=NEEDED, status=ANY),
    _write(MODEL, models.delete, method="DELETE", model_id=NEEDED),
    _write(f"{MODEL}/params", models.log_params, model_id=NEEDED, params=PAIRS),
    _write(f"{MODEL}/tags", models.set_tags, method="PATCH", model_id=NEEDED, tags=PAIRS),
    _write(f"{MODEL}/tags/{{tag_key}}", models.delete_tag, method="DELETE", model_id=NEEDED, tag_key=NEEDED),
    _get(f"{MODEL}/artifacts/directories", artifacts.list_model, model_id=NEEDED, artifact_directory_path=TEXT),
    _write("2.0/mlflow/registered-models/create", registry.create, name=NEEDED, tags=PAIRS, description=TEXT),
    _get("2.0/mlflow/registered-models/get", registry.get, name=NEEDED),
    _long(_get("2.0/mlflow/registered-models/search", registry.search, **SEARCHED, max_results=INT)),
    _release("2.0/mlflow/registered-models/rename", registry.rename, name=NEEDED, new_name=NEEDED),
    _write("2.0/mlflow/registered-models/update", registry.update, method="PATCH", name=NEEDED, description=TEXT),
    _release("2.0/mlflow/registered-models/delete", registry.delete, method="DELETE", name=NEEDED),
    *_either("2.0/mlflow/registered-models/get-latest-versions", registry.latest, name=NEEDED, stages=TEXTS),
    _write("2.0/mlflow/registered-models/set-tag", registry.set_tag, name=NEEDED, key=NEEDED, value=TEXT),
    _write("2.0/mlflow/registered-models/delete-tag", registry.delete_tag, method="DELETE", name=NEEDED, key=NEEDED),
    _release("2.0/mlflow/registered-models/alias", registry.set_alias, name=NEEDED, alias=NEEDED, version=NEEDED),
    _release("2.0/mlflow/registered-models/alias", registry.delete_alias, method="DELETE", name=NEEDED, alias=NEEDED),
    _get("2.0/mlflow/registered-models/alias", registry.version_by_alias, name=NEEDED, alias=NEEDED),
    _write(
        "2.0/mlflow/model-versions/create",
        registry.create_version,
        name=NEEDED,
        source=NEEDED,
        run_id=TEXT,
        tags=PAIRS,
        run_link=TEXT,
        description=TEXT,
        model_id=TEXT,
    ),
    _get("2.0/mlflow/model-versions/get", registry.get_version, name=NEEDED, version=NEEDED),
    _long(_get("2.0/mlflow/model-versions/search", registry.search_versions, **SEARCHED, max_results=INT)),
    _get("2.0/mlflow/model-versions/get-download-uri", registry.download_uri, name=NEEDED, version=NEEDED),
    _write(
        "2.0/mlflow/model-versions/update",
        registry.update_version,
        method="PATCH",
        name=NEEDED,
        version=NEEDED,
        description=TEXT,
    ),
    _release(
        "2.0/mlflow/model-versions/transition-stage",
        registry.transition,
        name=NEEDED,
        version=NEEDED,
        stage=NEEDED,
        archive_existing_versions=FLAG,
    ),
    _release("2.0/mlflow/model-versions/delete", registry.delete_version, method="DELETE", name=NEEDED, version=NEEDED),
    _write(
        "2.0/mlflow/model-versions/set-tag",
        registry.set_version_tag,
        name=NEEDED,
        version=NEEDED,
        key=NEEDED,
        value=TEXT,
    ),
    _write(
        "2.0/mlflow/model-versions/delete-tag",
        registry.delete_version_tag,
        method="DELETE",
        name=NEEDED,
        version=NEEDED,
        key=NEEDED,
    ),
    _write("3.0/mlflow/traces", traces.start, trace=required("any", of=TraceMessage)),
    _long(
        _ask(
            "3.0/mlflow/traces/search",
            traces.search,
            **SEARCHED,
            locations=_many(Location),
            max_results=Want(shape="int", most=500),
        )
    ),
    _get("3.0/mlflow/traces/get", traces.get, trace_id=NEEDED, allow_partial=FLAG),
    _long(_get("3.0/mlflow/traces/batchGet", traces.batch, trace_ids=required("texts"))),
    _long(_ask("3.0/mlflow/traces/batchGetInfos", traces.batch_infos, trace_ids=required("texts"))),
    _long(
        _ask(
            "3.0/mlflow/traces/metrics",
            aggregates.metrics,
            experiment_ids=required("texts"),
            view_type=required("any"),
            metric_name=NEEDED,
            aggregations=required("list"),
            dimensions=TEXTS,
            filters=TEXTS,
            time_interval_seconds=INT,
            start_time_ms=INT,
            end_time_ms=INT,
            max_results=INT,
            page_token=TEXT,
        )
    ),
    _long(
        _ask(
            "3.0/mlflow/traces/calculate-filter-correlation",
            traces.correlation,
            experiment_ids=required("texts"),
            filter_string1=NEEDED,
            filter_string2=NEEDED,
            base_filter=TEXT,
        )
    ),
    _write("2.0/mlflow/traces/link-to-run", traces.link_to_run, trace_ids=required("texts"), run_id=NEEDED),
    _write(
        "2.0/mlflow/traces/link-prompts",
        traces.link_prompts,
        trace_id=NEEDED,
        prompt_versions=required("list", of=PromptMessage),
    ),
    *(
        operation
        for version in ("2.0", "3.0")
        for operation in (
            _write(
                f"{version}/mlflow/traces/delete-traces",
                traces.delete,
                experiment_id=NEEDED,
                max_timestamp_millis=INT,
                max_traces=INT,
                request_ids=TEXTS,
                trace_ids=TEXTS,
            ),
            _write(
                f"{version}/mlflow/traces/{{trace_id}}/tags",
                traces.set_tag,
                method="PATCH",
                trace_id=NEEDED,
                key=NEEDED,
                value=TEXT,
            ),
            _write(
                f"{version}/mlflow/traces/{{trace_id}}/tags",
                traces.delete_tag,
                method="DELETE",
                trace_id=NEEDED,
                key=NEEDED,
            ),
        )
    ),
    _get(TRACE, traces.info, trace_id=NEEDED),
    _write(
        f"{TRACE}/assessments", assessments.create, trace_id=NEEDED, assessment=required("any", of=AssessmentMessage)
    ),
    _get(ASSESSMENT, assessments.get, trace_id=NEEDED, assessment_id=NEEDED),
    _write(
        ASSESSMENT,
        assessments.update,
        method="PATCH",
        trace_id=NEEDED,
        assessment_id=NEEDED,
        assessment=required("any", of=AssessmentMessage),
        update_mask=required("any", of=Mask),
    ),
    _write(ASSESSMENT, assessments.delete, method="DELETE", trace_id=NEEDED, assessment_id=NEEDED),
    _write(
        "2.0/mlflow/traces",
        traces.start_v2,
        experiment_id=NEEDED,
        timestamp_ms=required("int"),
        request_metadata=PAIRS,
        tags=PAIRS,
    ),
    _write(
        "2.0/mlflow/traces/{request_id}",
        traces.end_v2,
        method="PATCH",
        request_id=NEEDED,
        timestamp_ms=required("int"),
        status=ANY,
        request_metadata=PAIRS,
        tags=PAIRS,
    ),
    _get("2.0/mlflow/traces/{request_id}/info", traces.info_v2, request_id=NEEDED),
    _long(_get("2.0/mlflow/traces", traces.search_v2, **SEARCHED, experiment_ids=TEXTS, max_results=INT)),
    _write("3.0/mlflow/datasets/create", datasets.create, name=NEEDED, experiment_ids=TEXTS, tags=TEXT),
    *map(
        _long,
        _either(
            "3.0/mlflow/datasets/search",
            datasets.search,
            filter_string=TEXT,
            order_by=TEXTS,
            page_token=TEXT,
            experiment_ids=TEXTS,
            max_results=INT,
        ),
    ),
    _get(DATASET, datasets.get, dataset_id=NEEDED),
    _write(DATASET, datasets.delete, method="DELETE", dataset_id=NEEDED),
    _write(f"{DATASET}/tags", datasets.set_tags, method="PATCH", dataset_id=NEEDED, tags=NEEDED),
    _write(f"{DATASET}/tags/{{key}}", datasets.delete_tag, method="DELETE", dataset_id=NEEDED, key=NEEDED),
    _get(f"{DATASET}/experiment-ids", datasets.experiment_ids, dataset_id=NEEDED),
    _write(f"{DATASET}/add-experiments", datasets.add_experiments, dataset_id=NEEDED, experiment_ids=TEXTS),
    _write(f"{DATASET}/remove-experiments", datasets.remove_experiments, dataset_id=NEEDED, experiment_ids=TEXTS),
    _write(f"{DATASET}/records", datasets.upsert, dataset_id=NEEDED, records=NEEDED),
    _get(f"{DATASET}/records", datasets.records, dataset_id=NEEDED, max_results=INT, page_token=TEXT),
    _write(f"{DATASET}/records", datasets.delete_records, method="DELETE", dataset_id=NEEDED, dataset_record_ids=TEXTS),
    _write(
        "3.0/mlflow/issues",
        issues.create,
        experiment_id=NEEDED,
        name=NEEDED,
        description=NEEDED,
        status=TEXT,
        severity=TEXT,
        source_run_id=TEXT,
        root_causes=TEXTS,
        categories=TEXTS,
        created_by=TEXT,
    ),
    _long(
        _ask(
            "3.0/mlflow/issues/search",
            issues.search,
            experiment_id=TEXT,
            filter_string=TEXT,
            page_token=TEXT,
            max_results=INT,
            include_trace_count=FLAG,
        )
    ),
    _get(ISSUE, issues.get, issue_id=NEEDED),
    _write(
        ISSUE,
        issues.update,
        method="PATCH",
        issue_id=NEEDED,
        name=TEXT,
        description=TEXT,
        status=TEXT,
        severity=TEXT,
    ),
    *(
        _write(f"{PROXIED_PARTS}/{end}/{{artifact_path:path}}", does, path=NEEDED, upload_id=NEEDED, parts=LIST)
        for end, does in (("complete", multipart.complete), ("abort", multipart.abort))
    ),
    _write(
        "3.0/mlflow/scorers/register", scorers.register, experiment_id=NEEDED, name=NEEDED, serialized_scorer=NEEDED
    ),
    _get("3.0/mlflow/scorers/list", scorers.listed, experiment_id=NEEDED),
    _get("3.0/mlflow/scorers/versions", scorers.versions, experiment_id=NEEDED, name=NEEDED),
    _get("3.0/mlflow/scorers/get", scorers.get, experiment_id=NEEDED, name=NEEDED, version=INT),
    _write(
        "3.0/mlflow/scorers/delete", scorers.delete, method="DELETE", experiment_id=NEEDED, name=NEEDED, version=INT
    ),
)


def create_tracking_app(
    tracking: Tracking,
    *,
    hosts: frozenset[str] | None = None,
    authenticator: Authenticator | None = None,
    pages: Sequence[Route] = (),
) -> Starlette:
    """The app that speaks MLflow's protocol.

    Args:
        tracking: the stores behind it.
        hosts: the names that a Host header may have, or None for all.
        authenticator: says who calls; without one, whoever can call may.
        pages: routes beside the protocol's.
    """
    handlers = _Handlers(tracking if authenticator is None else replace(tracking, foreign=True))
    routes = [*handlers.routes(), *pages]
    protect(routes, authenticator)
    app = Starlette(
        middleware=[
            Middleware(RequestIds),
            Middleware(
                Guard, hosts=hosts, max_body_bytes=MOST_UPLOAD, measures=handlers.measures, as_encoded=AS_ENCODED
            ),
        ],
        exception_handlers={
            BakeoffError: _on_error,
            TrackingError: _on_error,
            HttpError: _on_http_error,
            HTTPException: _on_no_route,
            ClientDisconnect: _on_disconnect,
        },
    )
    app.router = _ByPath(routes, lifespan=handlers.lifespan)
    return app


class _ByPath(Router):
    """A router that looks plain paths up: there are hundreds, and each would be matched in turn."""

    def __init__(self, routes: Sequence[Route], *, lifespan: Any) -> None:
        super().__init__(routes, lifespan=lifespan)
        self._plain = {
            (method, route.path): route for route in routes if "{" not in route.path for method in route.methods or ()
        }

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        route = self._plain.get((scope.get("method", ""), scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await super().app(scope, receive, send)
            return
        scope.update({"router": self, "route": route, "endpoint": route.endpoint, "path_params": {}})
        await route.app(scope, receive, send)


class _Handlers:
    """What routes call, and the threads in which they work."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking, self.measures = tracking, Measures()
        self.pool: ThreadPoolExecutor | None = None
        self.searches: ThreadPoolExecutor | None = None
        self.searching = 0
        self.writing: Writing | None = None
        self.documented: Sequence[Route] = ()

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Threads live as long as the app."""
        self.writing = Writing(self.tracking)
        gc.freeze()  # modules and routes live as long as the process: no collection has to look at them
        try:
            with (
                ThreadPoolExecutor(THREADS, thread_name_prefix="tracking") as self.pool,
                ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="tracking-search") as self.searches,
            ):
                yield
        finally:
            self.writing.close()

    def routes(self) -> Sequence[Route]:
        """All of them, below `/api` for clients and `/ajax-api` for pages."""
        result: list[Route] = []
        for root in ("/api", "/ajax-api"):
            result += [Route(f"{root}/{call.path}", self._endpoint(call), methods=[call.method]) for call in CALLS]
            proxy = f"{root}/2.0/mlflow-artifacts/artifacts/{{path:path}}"
            result += [
                Route(proxy, self._streaming(artifacts.download, "read"), methods=["GET"]),
                Route(proxy, self._streaming(artifacts.upload, "track", BINARY), methods=["PUT"]),
                Route(
                    f"{root}/{PROXIED_PARTS}/create/{{artifact_path:path}}",
                    self._streaming(multipart.create, "track", path=NEEDED, num_parts=INT),
                    methods=["POST"],
                ),
                Route(f"{root}/{multipart.PARTS}", self._streaming(multipart.part, "track", BINARY), methods=["PUT"]),
                *(
                    Route(f"{root}/{version}/mlflow/get-trace-artifact", _foreseen(self.trace_file))
                    for version in ("2.0", "3.0")
                ),
                Route(
                    f"{root}/2.0/mlflow/upload-artifact",
                    self._streaming(artifacts.upload_small, "track", BINARY, run_uuid=NEEDED, path=NEEDED),
                    methods=["POST"],
                ),
                Route(
                    f"{root}/2.0/mlflow/logged-models/{{model_id}}/artifacts/files",
                    self._streaming(artifacts.model_file, "read", artifact_file_path=NEEDED),
                ),
                Route(f"{root}/3.0/mlflow/server-info", self.server_info),
            ]
        version = self._streaming(artifacts.version_file, "read", name=NEEDED, version=NEEDED, path=NEEDED)
        self.documented = [
            *result,
            Route("/v1/traces", _foreseen(self.spans), methods=["POST"]),
            Route("/get-artifact", self._streaming(artifacts.run_file, "read", run_id=NEEDED, path=NEEDED)),
            Route("/model-versions/get-artifact", version),
            Route("/health", self.health),
            Route("/health/ready", self.ready),
            Route("/version", self.version),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.described),
        ]
        return self.documented

    def _endpoint(self, call: Operation) -> Endpoint:
        @_foreseen
        @permission(call.needs)
        @openapi.takes(call.takes, call.does or call.changes)
        async def endpoint(request: Request) -> Response:
            raw = b"" if call.method == "GET" else await bounded(request)
            changes = call.changes
            seen = self._seen(request, "read" if changes is not None else call.needs)
            if changes is not None:
                change = await self._write(lambda: changes(seen, arguments(request, raw, call.takes, call.whole)), seen)
                return answer(call.answers(seen, change))
            if call.searches:
                return await self._search(call, seen, request, raw)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.pool, self._done, call, seen, request, raw)

        return endpoint

    async def _write(self, read: Callable[[], RunChange], seen: Tracking) -> RunChange:
        """Write a change with others; whether its caller may know of the run is seen first, out of their way."""
        assert self.writing is not None
        if seen is self.tracking:
            return await self.writing(read)
        change = await asyncio.get_running_loop().run_in_executor(self.pool, _within, read, seen)
        return await self.writing(lambda: change)

    async def _search(self, call: Operation, seen: Tracking, request: Request, raw: bytes) -> Response:
        if self.searching >= MOST_SEARCHES:
            raise TrackingError("REQUEST_LIMIT_EXCEEDED", f"{MOST_SEARCHES} searches are under way: ask again later")
        self.searching += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.searches, self._done, call, seen, request, raw)
        finally:
            self.searching -= 1

    def _seen(self, request: Request, needs: Permission) -> Tracking:
        return tracking_of(self.tracking, request, needs)

    @staticmethod
    def _done(call: Operation, seen: Tracking, request: Request, raw: bytes) -> Response:
        """The call's answer, read and encoded where it is made: a long one must not stop the others."""
        assert call.does is not None
        try:
            return answer(call.does(seen, arguments(request, raw, call.takes)))
        except StopIteration as error:  # no future can hold one: its request would never be answered
            raise RuntimeError("a call ended without a result") from error

    def _streaming(self, does: Streaming, needs: Permission, body: Sequence[str] = (), /, **takes: Want) -> Endpoint:
        @_foreseen
        @permission(needs)
        @openapi.takes(takes, does, body=body)
        async def endpoint(request: Request) -> Response:
            return await does(self._seen(request, needs), request)

        return endpoint

    @permission("public")
    async def described(self, _request: Request) -> Response:
        """This document."""
        return answer(openapi.document(self.documented, MLFLOW))

    @permission("track")
    @openapi.takes({}, otlp.spans_of, body=(otlp.JSON, otlp.PROTOBUF))
    async def spans(self, request: Request) -> Response:
        """Spans as OpenTelemetry exports them; an experiment is named by a header, or is the default one."""
        headers = request.headers
        data, kind, tracking = await bounded(request), headers.get("content-type"), self._seen(request, "track")

        def taken() -> Response:
            result = otlp.spans_of(data, kind=kind, encoding=headers.get("content-encoding"))
            traces.take(tracking, headers.get("x-mlflow-experiment-id"), result)
            body, media = otlp.answered(kind)
            return Response(body, media_type=media)

        return await asyncio.get_running_loop().run_in_executor(self.pool, taken)

    @permission("read")
    @openapi.takes({"request_id": NEEDED}, traces.data)
    async def trace_file(self, request: Request) -> Response:
        """A trace's spans as a file."""
        trace_id = request.query_params.get("request_id")
        if not trace_id or request.query_params.get("path"):
            raise TrackingError("BAD_REQUEST", 'Request must include the "request_id" query parameter, and no path.')
        data = await asyncio.get_running_loop().run_in_executor(
            self.pool, traces.data, self._seen(request, "read"), trace_id
        )
        response = answer(data)
        response.headers["Content-Disposition"] = "attachment; filename=traces.json"
        return response

    @permission("public")
    async def health(self, _request: Request) -> Response:
        """OK while the process answers."""
        return PlainTextResponse("OK")

    @permission("public")
    async def ready(self, _request: Request) -> Response:
        """200 while the records and blobs answer, as far as is known, else 503; the body says which do not."""
        stores = {"records": self.tracking.records, "blobs": self.tracking.blobs}
        lost = [name for name, each in stores.items() if isinstance(each, Reporting) and each.problem() is not None]
        response = JsonResponse({"ready": not lost, "lost": lost}, UNAVAILABLE if lost else 200)
        response.headers.update(HEADERS[UNAVAILABLE] if lost else {})
        return response

    @permission("public")
    async def version(self, _request: Request) -> Response:
        """The version of the protocol."""
        return PlainTextResponse(MLFLOW)

    @permission("public")
    async def server_info(self, _request: Request) -> Response:
        """What clients ask a server about itself."""
        return answer({"store_type": "SqlStore", "workspaces_enabled": False})

    @permission("read")
    async def metrics(self, _request: Request) -> Response:
        """Requests by route and status, in Prometheus' text format."""
        return PlainTextResponse(self.measures.text(), media_type="text/plain; version=0.0.4")


def _within(read: Callable[[], RunChange], seen: Tracking) -> RunChange:
    """A change of a run that the caller may know of."""
    try:
        change = read()
        if change.new is None:  # else its experiment was looked up
            seen.records.runs.get(change.run_id)
    except StopIteration as error:  # no future can hold one: its request would never be answered
        raise RuntimeError("a call ended without a result") from error
    return change


async def _on_error(_request: Request, error: Exception) -> Response:
    return rejected(refusal(error))


def _foreseen(endpoint: Endpoint) -> Endpoint:
    """The endpoint, whose other errors are logged, and told as MLflow's server tells of its own."""

    @wraps(endpoint)
    async def foreseen(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FORESEEN:
            raise
        except Exception as error:
            logger.exception("unexpected error, request %s", request_id(), extra={"path": request.url.path})
            return rejected(refusal(error))

    return foreseen


def _signs_in(request: Request) -> bool:
    """Whether people sign in here."""
    return any(isinstance(each, Route) and each.path == "/sign-in" for each in request.app.routes)


async def _on_http_error(request: Request, error: Exception) -> Response:
    wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    browses = request.headers.get("sec-fetch-dest", "document" if wants_page else "") == "document"
    if isinstance(error, HttpError) and error.status == UNKNOWN and browses and _signs_in(request):
        target = quote(f"{request.url.path}?{request.url.query}".removesuffix("?"))
        return RedirectResponse(f"/sign-in?next={target}", status_code=303)
    if isinstance(error, HttpError) and error.status in REFUSED:
        refused = rejected(TrackingError(REFUSED[error.status], error.message))
        refused.headers.update(HEADERS.get(error.status, {}))
        return refused
    return error_response(error, request.url.path)


async def _on_no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404 and "//" in path:  # noqa: PLR2004 - as clients write it whose base ends with a slash
        return RedirectResponse(request.url.replace(path=re.sub("/+", "/", path)), status_code=308)
    if error.status_code == 404:  # noqa: PLR2004
        return rejected(TrackingError("ENDPOINT_NOT_FOUND", f"Not found: {request.method} {request.url.path}"))
    return answer({"error_code": "BAD_REQUEST", "message": str(error.detail)}, status=error.status_code)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)
