"""The routes of the pages: what each shows or does, and who may; added to those of the protocol of MLflow."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bakeoff.core.errors import BakeoffError
from bakeoff.core.principals import Permission
from bakeoff.security.audited import acting
from bakeoff.web.auth import origin_of, principal_of
from bakeoff.web.pages import (
    compare,
    data,
    endpoints,
    lineage,
    models,
    overview,
    policy,
    review,
    runs,
    story,
    traces,
    verdict,
    views,
)
from bakeoff.web.pages.calls import PageCall, Redirect, Shown, address
from bakeoff.web.pages.previews import Previews
from bakeoff.web.pages.site import Site
from bakeoff.web.pages.traffic import Traffic
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, error_body, status_of
from bakeoff.web.sessions import form_of, local_target, require_form, require_same_origin
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.reach import tracking_of
from bakeoff.web.tracking.wire import TrackingError

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["PAGES", "PageRoute", "Pages"]

logger = logging.getLogger(__name__)

Does: TypeAlias = Callable[[PageCall], Shown | Redirect | Response]
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """One address: its method, what it shows or does, and who may."""

    path: str
    does: Does
    method: str = "GET"
    needs: Permission = "read"


def _get(path: str, does: Does) -> PageRoute:
    return PageRoute(path=path, does=does)


def _post(path: str, does: Does, needs: Permission) -> PageRoute:
    return PageRoute(path=path, does=does, method="POST", needs=needs)


PAGES: tuple[PageRoute, ...] = (
    _get("/", overview.overview),
    _get("/overview/live", overview.live),
    _get("/runs", runs.listing),
    _get("/runs/rows", runs.rows),
    _get("/runs/count", runs.count),
    _get("/runs/groups", runs.groups),
    _get("/runs/{run_id}", runs.one),
    _get("/runs/{run_id}/live", runs.live),
    _post("/runs/{run_id}/note", runs.note, "track"),
    _get("/compare", compare.compare),
    _get("/compare/curves", compare.curves),
    _get("/compare/paired", compare.paired),
    _get("/compare/rows", compare.rows),
    _get("/verdict", verdict.verdict),
    _get("/report/{run_id}", verdict.report),
    _get("/endpoints", endpoints.listing),
    _get("/endpoints/{name}", endpoints.one),
    _get("/endpoints/{name}/live", endpoints.live),
    _post("/endpoints/{name}/change", endpoints.change, "release"),
    _post("/endpoints/{name}/try", endpoints.try_it, "predict"),
    _get("/predictions/{id}", endpoints.prediction),
    _post("/predictions/{id}/feedback", endpoints.feedback, "feedback"),
    _get("/models", models.listing),
    _get("/models/{name}/{number}", models.one),
    _post("/models/{name}/{number}/change", models.change, "release"),
    _get("/lineage", lineage.lineage),
    _get("/lineage/graph", lineage.graph),
    _get("/data", data.listing),
    _get("/data/{number}/card", data.card),
    _get("/traces", traces.listing),
    _get("/traces/{trace_id}", traces.one),
    _get("/loop", story.story),
    _post("/loop/decide", story.decide, "release"),
    _get("/loop/policy", policy.form),
    _post("/loop/policy", policy.save, "release"),
    _post("/loop/policy/change", policy.shown_change, "release"),
    _post("/loop/policy/preview", policy.preview, "run"),
    _get("/loop/policy/preview/{id}", policy.look),
    _post("/loop/policy/preview/{id}/end", policy.cancel, "run"),
    _get("/review", review.listing),
    _post("/review/pick", review.pick, "run"),
    _post("/review/take", review.take, "annotate"),
    _get("/review/{batch}/{position}", review.row),
    _post("/review/{batch}/{position}", review.answer, "annotate"),
    _post("/views", views.save, "track"),
    _post("/views/delete", views.delete, "track"),
)


class Pages:
    """The pages of records, and of their project if they are of one; without, those of the records show something."""

    def __init__(self, tracking: Tracking, project: "Project | None" = None) -> None:
        self._site, self._tracking, self._project = Site(), tracking, project
        self._traffic = None if project is None else Traffic(project.events, tracking.clock)
        self._previews = None if project is None else Previews(project)

    def routes(self) -> list[Route]:
        """All of them."""
        listed = [Route(page.path, self.endpoint(page), methods=[page.method]) for page in PAGES]
        return [Route("/pages/{name}", self.asset), *listed]

    def warm(self) -> None:
        """Read templates, imports and records that the first pages need, so that their reader does not wait for it."""
        self._site.warm()
        with suppress(BakeoffError):
            if self._project is not None and self._traffic is not None:
                overview.picture(self._project, self._traffic, self._tracking.clock())

    def close(self) -> None:
        """End what pages began, when their server ends."""
        if self._previews is not None:
            self._previews.close()

    @permission("public")
    async def asset(self, request: Request) -> Response:
        """The stylesheet and the script."""
        known = self._site.asset(request.path_params["name"])
        if known is None:
            raise HttpError(404, "NotFoundError", f"expected a file of the pages, received {request.url.path[:80]!r}")
        return known

    def endpoint(self, page: PageRoute) -> Callable[[Request], Awaitable[Response]]:
        """What answers at a page's address: errors are pages too."""

        @permission(page.needs)
        async def endpoint(request: Request) -> Response:
            form: Mapping[str, str] = {}
            if page.method == "POST":
                require_same_origin(request.headers, request.url.scheme)
                form = await form_of(request)
                require_form(principal_of(request), form.get("csrf"))
            return await run_in_threadpool(self._answered, page, request, form)

        return endpoint

    def _answered(self, page: PageRoute, request: Request, form: Mapping[str, str]) -> Response:
        call = PageCall(
            query=request.query_params,
            form=form,
            path={**request.path_params, "here": request.url.path},
            principal=principal_of(request),
            tracking=tracking_of(self._tracking, request, page.needs),
            now_ms=self._tracking.clock(),
            alone=request.headers.get("sec-fetch-dest") == "document",
            of_project=self._project,
            traffic=self._traffic,
            previews=self._previews,
        )
        try:
            with acting(call.who, origin_of(request)):  # the project's own records are this process's user's
                made = page.does(call)
            if isinstance(made, Redirect):
                return RedirectResponse(_with_done(made), status_code=303)
            if isinstance(made, Shown):
                return self._site.response(call, made, seen=request.headers.get("if-none-match"))
        except (BakeoffError, HttpError) as error:
            return self._problem(call, error)
        except TrackingError as error:  # of what pages and MLflow's protocol read alike
            is_absent = error.code == "RESOURCE_DOES_NOT_EXIST"
            kind = "NotFoundError" if is_absent else "UsageError"
            return self._problem(call, HttpError(404 if is_absent else 400, kind, error.message))
        except Exception as error:
            logger.exception("unexpected error", extra={"path": request.url.path})
            return self._problem(call, error)
        return made

    def _problem(self, call: PageCall, error: Exception) -> Response:
        values = {"title": "That did not work", **error_body(error)}
        return self._site.response(call, Shown(template="problem.html", values=values), status=status_of(error))


def _with_done(made: Redirect) -> str:
    """The address, always one of this site, with what was done."""
    parts = urlsplit(made.url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "done"]
    listed: dict[str, Sequence[str]] = {}
    for key, value in [*query, *([("done", made.done)] if made.done else [])]:
        listed[key] = [*listed.get(key, ()), value]
    return address(local_target(parts.path), **listed)
