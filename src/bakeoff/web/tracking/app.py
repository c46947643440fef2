"""The routes of MLflow's protocol: what each reads, and who may call it."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from bakeoff.core.types import Json
from bakeoff.web.guard import Guard
from bakeoff.web.measures import Measures
from bakeoff.web.permissions import Permission, permission, require_permissions
from bakeoff.web.problems import HttpError, error_response
from bakeoff.web.tracking import (
    aggregates,
    artifacts,
    assessments,
    datasets,
    experiments,
    issues,
    metrics,
    models,
    multipart,
    otlp,
    registry,
    runs,
    scorers,
    traces,
)
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.wire import TrackingError, Want, answer, arguments, bounded, refusal, rejected, required

__all__ = ["MLFLOW", "create_tracking_app"]

logger = logging.getLogger(__name__)

MLFLOW = "3.18.0"
"""The version of the protocol that clients are told: some of what they send goes by it."""
Handler: TypeAlias = Callable[[Tracking, Mapping[str, Any]], Json]
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
MOST_UPLOAD = 1 << 40
THREADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its paths below `/api/` and `/ajax-api/`, its method, what it takes, what it does."""

    path: str
    method: str
    does: Handler
    takes: Mapping[str, Want] = field(default_factory=dict[str, Want])
    needs: Permission = "read"


def _get(path: str, does: Handler, /, **takes: Want) -> Operation:
    return Operation(path=path, method="GET", does=does, takes=takes)


def _write(path: str, does: Handler, /, *, method: str = "POST", **takes: Want) -> Operation:
    return Operation(path=path, method=method, does=does, takes=takes, needs="track")


def _ask(path: str, does: Handler, /, **takes: Want) -> Operation:
    return Operation(path=path, method="POST", does=does, takes=takes)


def _either(path: str, does: Handler, /, **takes: Want) -> tuple[Operation, Operation]:
    """What clients ask by either method."""
    return _get(path, does, **takes), _ask(path, does, **takes)


TRACE, ASSESSMENT = "3.0/mlflow/traces/{trace_id}", "3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}"
DATASET, ISSUE = "3.0/mlflow/datasets/{dataset_id}", "3.0/mlflow/issues/{issue_id}"
PROXIED_PARTS = "2.0/mlflow-artifacts/mpu"
SEARCHED = {"filter": TEXT, "order_by": TEXTS, "page_token": TEXT}
MODEL = "2.0/mlflow/logged-models/{model_id}"
CALLS: tuple[Operation, ...] = (
    _write("2.0/mlflow/experiments/create", experiments.create, name=NEEDED, artifact_location=TEXT, tags=LIST),
    _get("2.0/mlflow/experiments/get", experiments.get, experiment_id=NEEDED),
    _get("2.0/mlflow/experiments/get-by-name", experiments.get_by_name, experiment_name=NEEDED),
    *_either("2.0/mlflow/experiments/search", experiments.search, **SEARCHED, view_type=ANY, max_results=INT),
    _write("2.0/mlflow/experiments/delete", experiments.delete, experiment_id=NEEDED),
    _write("2.0/mlflow/experiments/restore", experiments.restore, experiment_id=NEEDED),
    _write("2.0/mlflow/experiments/update", experiments.update, experiment_id=NEEDED, new_name=NEEDED),
    _write(
        "2.0/mlflow/experiments/set-experiment-tag", experiments.set_tag, experiment_id=NEEDED, key=NEEDED, value=TEXT
    ),
    _write("2.0/mlflow/experiments/delete-experiment-tag", experiments.delete_tag, experiment_id=NEEDED, key=NEEDED),
    _ask("2.0/mlflow/experiments/search-datasets", runs.search_datasets, experiment_ids=TEXTS),
    _write("2.0/mlflow/runs/create", runs.create, experiment_id=TEXT, start_time=INT, run_name=TEXT, tags=LIST),
    _get("2.0/mlflow/runs/get", runs.get, run_id=NEEDED),
    _ask(
        "2.0/mlflow/runs/search",
        runs.search,
        **SEARCHED,
        experiment_ids=TEXTS,
        max_results=Want(shape="int", most=runs.MOST_RUNS),
    ),
    _write("2.0/mlflow/runs/update", runs.update, run_id=NEEDED, end_time=INT, status=ANY, run_name=TEXT),
    _write("2.0/mlflow/runs/delete", runs.delete, run_id=NEEDED),
    _write("2.0/mlflow/runs/restore", runs.restore, run_id=NEEDED),
    _write(
        "2.0/mlflow/runs/log-metric",
        runs.log_metric,
        run_id=NEEDED,
        key=NEEDED,
        value=required("float"),
        timestamp=required("int"),
        step=INT,
        model_id=TEXT,
        dataset_name=TEXT,
        dataset_digest=TEXT,
    ),
    _write("2.0/mlflow/runs/log-parameter", runs.log_param, run_id=NEEDED, key=NEEDED, value=TEXT),
    _write("2.0/mlflow/runs/log-batch", runs.log_batch, run_id=NEEDED, metrics=LIST, params=LIST, tags=LIST),
    _write("2.0/mlflow/runs/log-inputs", runs.log_inputs, run_id=NEEDED, datasets=LIST, models=LIST),
    _write("2.0/mlflow/runs/outputs", runs.log_outputs, run_id=NEEDED, models=required("list")),
    _write("2.0/mlflow/runs/log-model", runs.log_model, run_id=NEEDED, model_json=NEEDED),
    _write("2.0/mlflow/runs/set-tag", runs.set_tag, run_id=NEEDED, key=NEEDED, value=TEXT),
    _write("2.0/mlflow/runs/delete-tag", runs.delete_tag, run_id=NEEDED, key=NEEDED),
    _get(
        "2.0/mlflow/metrics/get-history",
        metrics.history,
        run_id=NEEDED,
        metric_key=NEEDED,
        page_token=TEXT,
        max_results=INT,
    ),
    _get("2.0/mlflow/metrics/get-history-bulk", metrics.bulk, run_id=TEXTS, metric_key=TEXT, max_results=INT),
    _get(
        "2.0/mlflow/metrics/get-history-bulk-interval",
        metrics.interval,
        run_ids=required("texts"),
        metric_key=NEEDED,
        start_step=INT,
        end_step=INT,
        max_results=INT,
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
        params=LIST,
        tags=LIST,
    ),
    _ask(
        "2.0/mlflow/logged-models/search",
        models.search,
        **{**SEARCHED, "order_by": LIST},
        experiment_ids=TEXTS,
        datasets=LIST,
        max_results=INT,
    ),
    _get(MODEL, models.get, model_id=NEEDED),
    _write(MODEL, models.finalize, method="PATCH", model_id=NEEDED, status=ANY),
    _write(MODEL, models.delete, method="DELETE", model_id=NEEDED),
    _write(f"{MODEL}/params", models.log_params, model_id=NEEDED, params=LIST),
    _write(f"{MODEL}/tags", models.set_tags, method="PATCH", model_id=NEEDED, tags=LIST),
    _write(f"{MODEL}/tags/{{tag_key}}", models.delete_tag, method="DELETE", model_id=NEEDED, tag_key=NEEDED),
    _get(f"{MODEL}/artifacts/directories", artifacts.list_model, model_id=NEEDED, artifact_directory_path=TEXT),
    _write("2.0/mlflow/registered-models/create", registry.create, name=NEEDED, tags=LIST, description=TEXT),
    _get("2.0/mlflow/registered-models/get", registry.get, name=NEEDED),
    _get("2.0/mlflow/registered-models/search", registry.search, **SEARCHED, max_results=INT),
    _write("2.0/mlflow/registered-models/rename", registry.rename, name=NEEDED, new_name=NEEDED),
    _write("2.0/mlflow/registered-models/update", registry.update, method="PATCH", name=NEEDED, description=TEXT),
    _write("2.0/mlflow/registered-models/delete", registry.delete, method="DELETE", name=NEEDED),
    *_either("2.0/mlflow/registered-models/get-latest-versions", registry.latest, name=NEEDED, stages=TEXTS),
    _write("2.0/mlflow/registered-models/set-tag", registry.set_tag, name=NEEDED, key=NEEDED, value=TEXT),
    _write("2.0/mlflow/registered-models/delete-tag", registry.delete_tag, method="DELETE", name=NEEDED, key=NEEDED),
    _write("2.0/mlflow/registered-models/alias", registry.set_alias, name=NEEDED, alias=NEEDED, version=NEEDED),
    _write("2.0/mlflow/registered-models/alias", registry.delete_alias, method="DELETE", name=NEEDED, alias=NEEDED),
    _get("2.0/mlflow/registered-models/alias", registry.version_by_alias, name=NEEDED, alias=NEEDED),
    _write(
        "2.0/mlflow/model-versions/create",
        registry.create_version,
        name=NEEDED,
        source=NEEDED,
        run_id=TEXT,
        tags=LIST,
        run_link=TEXT,
        description=TEXT,
        model_id=TEXT,
    ),
    _get("2.0/mlflow/model-versions/get", registry.get_version, name=NEEDED, version=NEEDED),
    _get("2.0/mlflow/model-versions/search", registry.search_versions, **SEARCHED, max_results=INT),
    _get("2.0/mlflow/model-versions/get-download-uri", registry.download_uri, name=NEEDED, version=NEEDED),
    _write(
        "2.0/mlflow/model-versions/update",
        registry.update_version,
        method="PATCH",
        name=NEEDED,
        version=NEEDED,
        description=TEXT,
    ),
    _write(
        "2.0/mlflow/model-versions/transition-stage",
        registry.transition,
        name=NEEDED,
        version=NEEDED,
        stage=NEEDED,
        archive_existing_versions=FLAG,
    ),
    _write("2.0/mlflow/model-versions/delete", registry.delete_version, method="DELETE", name=NEEDED, version=NEEDED),
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
    _write("3.0/mlflow/traces", traces.start, trace=required("any")),
    _ask(
        "3.0/mlflow/traces/search", traces.search, **SEARCHED, locations=LIST, max_results=Want(shape="int", most=500)
    ),
    _get("3.0/mlflow/traces/get", traces.get, trace_id=NEEDED, allow_partial=FLAG),
    _get("3.0/mlflow/traces/batchGet", traces.batch, trace_ids=required("texts")),
    _ask("3.0/mlflow/traces/batchGetInfos", traces.batch_infos, trace_ids=required("texts")),
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
    ),
    _ask(
        "3.0/mlflow/traces/calculate-filter-correlation",
        traces.correlation,
        experiment_ids=required("texts"),
        filter_string1=NEEDED,
        filter_string2=NEEDED,
        base_filter=TEXT,
    ),
    _write("2.0/mlflow/traces/link-to-run", traces.link_to_run, trace_ids=required("texts"), run_id=NEEDED),
    _write("2.0/mlflow/traces/link-prompts", traces.link_prompts, trace_id=NEEDED, prompt_versions=required("list")),
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
    _write(f"{TRACE}/assessments", assessments.create, trace_id=NEEDED, assessment=required("any")),
    _get(ASSESSMENT, assessments.get, trace_id=NEEDED, assessment_id=NEEDED),
    _write(
        ASSESSMENT,
        assessments.update,
        method="PATCH",
        trace_id=NEEDED,
        assessment_id=NEEDED,
        assessment=required("any"),
        update_mask=required("any"),
    ),
    _write(ASSESSMENT, assessments.delete, method="DELETE", trace_id=NEEDED, assessment_id=NEEDED),
    _write(
        "2.0/mlflow/traces",
        traces.start_v2,
        experiment_id=NEEDED,
        timestamp_ms=required("int"),
        request_metadata=LIST,
        tags=LIST,
    ),
    _write(
        "2.0/mlflow/traces/{request_id}",
        traces.end_v2,
        method="PATCH",
        request_id=NEEDED,
        timestamp_ms=required("int"),
        status=ANY,
        request_metadata=LIST,
        tags=LIST,
    ),
    _get("2.0/mlflow/traces/{request_id}/info", traces.info_v2, request_id=NEEDED),
    _get("2.0/mlflow/traces", traces.search_v2, **SEARCHED, experiment_ids=TEXTS, max_results=INT),
    _write("3.0/mlflow/datasets/create", datasets.create, name=NEEDED, experiment_ids=TEXTS, tags=TEXT),
    *_either(
        "3.0/mlflow/datasets/search",
        datasets.search,
        filter_string=TEXT,
        order_by=TEXTS,
        page_token=TEXT,
        experiment_ids=TEXTS,
        max_results=INT,
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
    _ask(
        "3.0/mlflow/issues/search",
        issues.search,
        experiment_id=TEXT,
        filter_string=TEXT,
        page_token=TEXT,
        max_results=INT,
        include_trace_count=FLAG,
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


def create_tracking_app(tracking: Tracking, *, hosts: frozenset[str] | None = None) -> Starlette:
    """The app that speaks MLflow's protocol.

    Args:
        tracking: the stores behind it.
        hosts: the names that a Host header may have, or None for all.
    """
    handlers = _Handlers(tracking)
    routes = [*handlers.routes()]
    require_permissions(routes)
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts, max_body_bytes=MOST_UPLOAD, measures=handlers.measures)],
        lifespan=handlers.lifespan,
        exception_handlers={
            Exception: _on_error,
            TrackingError: _on_error,
            HttpError: _on_http_error,
            HTTPException: _on_no_route,
            ClientDisconnect: _on_disconnect,
        },
    )


class _Handlers:
    """What routes call, and the threads in which they work."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking, self.measures = tracking, Measures()
        self.pool: ThreadPoolExecutor | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        """Threads live as long as the app."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="tracking") as self.pool:
            yield

    def routes(self) -> Sequence[Route]:
        """All of them, below `/api` for clients and `/ajax-api` for pages."""
        result: list[Route] = []
        for root in ("/api", "/ajax-api"):
            result += [Route(f"{root}/{call.path}", self._endpoint(call), methods=[call.method]) for call in CALLS]
            proxy = f"{root}/2.0/mlflow-artifacts/artifacts/{{path:path}}"
            result += [
                Route(proxy, self._streaming(artifacts.download, "read"), methods=["GET"]),
                Route(proxy, self._streaming(artifacts.upload, "track"), methods=["PUT"]),
                Route(
                    f"{root}/{PROXIED_PARTS}/create/{{artifact_path:path}}",
                    self._streaming(multipart.create, "track"),
                    methods=["POST"],
                ),
                Route(f"{root}/{multipart.PARTS}", self._streaming(multipart.part, "track"), methods=["PUT"]),
                *(Route(f"{root}/{version}/mlflow/get-trace-artifact", self.trace_file) for version in ("2.0", "3.0")),
                Route(
                    f"{root}/2.0/mlflow/upload-artifact",
                    self._streaming(artifacts.upload_small, "track"),
                    methods=["POST"],
                ),
                Route(
                    f"{root}/2.0/mlflow/logged-models/{{model_id}}/artifacts/files",
                    self._streaming(artifacts.model_file, "read"),
                ),
                Route(f"{root}/3.0/mlflow/server-info", self.server_info),
            ]
        return [
            *result,
            Route("/v1/traces", self.spans, methods=["POST"]),
            Route("/get-artifact", self._streaming(artifacts.run_file, "read")),
            Route("/model-versions/get-artifact", self._streaming(artifacts.version_file, "read")),
            Route("/health", self.health),
            Route("/version", self.version),
            Route("/metrics", self.metrics),
        ]

    def _endpoint(self, call: Operation) -> Callable[[Request], Awaitable[Response]]:
        @permission(call.needs)
        async def endpoint(request: Request) -> Response:
            given = await arguments(request, call.takes)
            return await asyncio.get_running_loop().run_in_executor(self.pool, self._done, call, given)

        return endpoint

    def _done(self, call: Operation, given: Mapping[str, Any]) -> Response:
        """The call's answer, encoded where it is made: a long one must not stop the others."""
        return answer(call.does(self.tracking, given))

    def _streaming(self, does: Streaming, needs: Permission) -> Callable[[Request], Awaitable[Response]]:
        @permission(needs)
        async def endpoint(request: Request) -> Response:
            return await does(self.tracking, request)

        return endpoint

    @permission("track")
    async def spans(self, request: Request) -> Response:
        """Spans as OpenTelemetry exports them; an experiment is named by a header, or is the default one."""
        headers = request.headers
        data, kind = await bounded(request), headers.get("content-type")

        def taken() -> Response:
            result = otlp.spans_of(data, kind=kind, encoding=headers.get("content-encoding"))
            traces.take(self.tracking, headers.get("x-mlflow-experiment-id"), result)
            body, media = otlp.answered(kind)
            return Response(body, media_type=media)

        return await asyncio.get_running_loop().run_in_executor(self.pool, taken)

    @permission("read")
    async def trace_file(self, request: Request) -> Response:
        """A trace's spans as a file."""
        trace_id = request.query_params.get("request_id")
        if not trace_id or request.query_params.get("path"):
            raise TrackingError("BAD_REQUEST", 'Request must include the "request_id" query parameter, and no path.')
        data = await asyncio.get_running_loop().run_in_executor(self.pool, traces.data, self.tracking, trace_id)
        response = answer(data)
        response.headers["Content-Disposition"] = "attachment; filename=traces.json"
        return response

    @permission("public")
    async def health(self, _request: Request) -> Response:
        """OK while the process answers."""
        return PlainTextResponse("OK")

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


async def _on_error(_request: Request, error: Exception) -> Response:
    known = refusal(error)
    if known.code == "INTERNAL_ERROR":
        logger.error("unexpected error", exc_info=error)
    return rejected(known)


async def _on_http_error(request: Request, error: Exception) -> Response:
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
