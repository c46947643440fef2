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
from bakeoff.project.wiring import now_ms
from bakeoff.web.auth import principal_of
from bakeoff.web.pages import compare, data, endpoints, models, overview, review, runs, story, traces, verdict, views
from bakeoff.web.pages.calls import PageCall, Redirect, Shown, address
from bakeoff.web.pages.site import Site
from bakeoff.web.pages.traffic import Traffic
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, error_body, status_of
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.reach import within_reach

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["PAGES", "PageRoute", "page_routes", "warm"]

logger = logging.getLogger(__name__)

Does: TypeAlias = Callable[[PageCall], Shown | Redirect | Response]
MOST_FORM = 1 << 20
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
    _get("/data", data.listing),
    _get("/data/{number}/card", data.card),
    _get("/traces", traces.listing),
    _get("/traces/{trace_id}", traces.one),
    _get("/loop", story.story),
    _post("/loop/decide", story.decide, "release"),
    _get("/review", review.listing),
    _post("/review/pick", review.pick, "run"),
    _post("/review/take", review.take, "annotate"),
    _get("/review/{batch}/{position}", review.row),
    _post("/review/{batch}/{position}", review.answer, "annotate"),
    _post("/views", views.save, "track"),
    _post("/views/delete", views.delete, "track"),
)


def warm(project: "Project") -> None:
    """Import and look up what the first page needs, so that its reader does not wait for it."""
    with suppress(BakeoffError):
        overview.picture(project, Traffic(project.events, now_ms), now_ms())


def page_routes(tracking: Tracking, project: "Project | None" = None) -> list[Route]:
    """The routes of all pages; without a project, those of the records show something."""
    site = Site()
    traffic = None if project is None else Traffic(project.events, tracking.clock)
    shared = _Pages(site, tracking, project, traffic)
    return [
        Route("/pages/{name}", shared.asset),
        *(Route(page.path, shared.endpoint(page), methods=[page.method]) for page in PAGES),
    ]


class _Pages:
    def __init__(self, site: Site, tracking: Tracking, project: "Project | None", traffic: Traffic | None) -> None:
        self._site, self._tracking, self._project, self._traffic = site, tracking, project, traffic

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
                _require_own_form(request)
                form = await _form_of(request)
            return await run_in_threadpool(self._answered, page, request, form)

        return endpoint

    def _answered(self, page: PageRoute, request: Request, form: Mapping[str, str]) -> Response:
        principal = principal_of(request)
        call = PageCall(
            query=request.query_params,
            form=form,
            path={**request.path_params, "here": request.url.path},
            principal=principal,
            tracking=within_reach(self._tracking, principal),
            now_ms=self._tracking.clock(),
            alone=request.headers.get("sec-fetch-dest") == "document",
            of_project=self._project,
            traffic=self._traffic,
        )
        try:
            made = page.does(call)
            if isinstance(made, Redirect):
                return RedirectResponse(_with_done(made), status_code=303)
            if isinstance(made, Shown):
                return self._site.response(call, made, seen=request.headers.get("if-none-match"))
        except (BakeoffError, HttpError) as error:
            return self._problem(call, error)
        except Exception as error:
            logger.exception("unexpected error", extra={"path": request.url.path})
            return self._problem(call, error)
        return made

    def _problem(self, call: PageCall, error: Exception) -> Response:
        values = {"title": "That did not work", **error_body(error)}
        return self._site.response(call, Shown(template="problem.html", values=values), status=status_of(error))


def _require_own_form(request: Request) -> None:
    """Refuse what no page of this site sent: a browser always says where a form is from, and the guard compares it.

    Raises:
        HttpError: it does not say so (403).
    """
    own = request.headers.get("origin") is not None or request.headers.get("sec-fetch-site") == "same-origin"
    if not own:
        raise HttpError(
            403,
            "ForeignOrigin",
            "expected a form of one of these pages (a request with Origin); programs use the API, the commands or "
            "the Python SDK",
        )


async def _form_of(request: Request) -> Mapping[str, str]:
    if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
        raise HttpError(415, "BadRequest", "expected a form (application/x-www-form-urlencoded)")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM:
            raise HttpError(413, "TooLarge", f"expected a form of at most {MOST_FORM} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        raise HttpError(400, "BadRequest", "expected a form in UTF-8") from None


def _with_done(made: Redirect) -> str:
    """The address, always one of this site, with what was done."""
    parts = urlsplit(made.url)
    path = parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else "/"
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "done"]
    listed: dict[str, Sequence[str]] = {}
    for key, value in [*query, *([("done", made.done)] if made.done else [])]:
        listed[key] = [*listed.get(key, ()), value]
    return address(path, **listed)
