"""Lists of OpenAI's API, page by page: `after` names the last thing of the page before, `limit` how many come."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from bakeoff.web.problems import HttpError
from bakeoff.web.serving.bodies import shown

__all__ = ["page"]

T = TypeVar("T", bound=Mapping[str, Any])
MOST = 10_000


def page(request: Request, items: Sequence[T], *, limit: int) -> dict[str, Any]:
    """The page that a request asks for.

    Args:
        request: with `limit`, `after` and `order` ("desc", as the items are, or "asc") in its query.
        items: all of them, the newest first, each with its `id`.
        limit: how many come unless the request says so.

    Raises:
        HttpError: no such page.
    """
    query = request.query_params
    given = query.get("limit", str(limit))
    if not given.isascii() or not given.isdecimal() or int(given[:6]) > MOST:
        raise HttpError(400, "BadRequest", f"limit: expected 0 to {MOST}; received {shown(given)}", "limit")
    order = query.get("order", "desc")
    if order not in {"desc", "asc"}:
        raise HttpError(400, "BadRequest", f"order: expected desc or asc; received {shown(order)}", "order")
    listed = list(items) if order == "desc" else list(reversed(items))
    if (after := query.get("after")) is not None:
        place = next((at for at, item in enumerate(listed) if item["id"] == after), None)
        if place is None:
            raise HttpError(
                404, "NotFoundError", f"after: expected an id of the list; received {shown(after)}", "after"
            )
        listed = listed[place + 1 :]
    some = listed[: int(given)]
    ends = {"first_id": some[0]["id"] if some else None, "last_id": some[-1]["id"] if some else None}
    return {"object": "list", "data": some, "has_more": len(some) < len(listed), **ends}
