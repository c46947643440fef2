"""Views that somebody saved: a name for the query of a page of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from bakeoff.core import narrow
from bakeoff.core.errors import UsageError
from bakeoff.core.protocols import DocumentRecords
from bakeoff.web.auth import require_everything
from bakeoff.web.pages.calls import PageCall, Redirect, address

__all__ = ["SavedView", "delete", "save", "saved"]

VIEWS = "views"
LONGEST_NAME, LONGEST_QUERY, MOST = 80, 4000, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A name and the query behind it."""

    name: str
    query: str

    @property
    def url(self) -> str:
        """Where it is shown."""
        return f"/runs?{self.query}"


def saved(documents: DocumentRecords) -> Sequence[SavedView]:
    """All of them, by name."""
    return [
        SavedView(name=document.key, query=narrow.text(document.body["query"])) for document in documents.find(VIEWS)
    ]


def save(call: PageCall) -> Redirect:
    """Keep the view that a form names; one of the same name is replaced."""
    require_everything(call.principal, "experiment")  # a view is of no experiment
    name = call.form.get("name", "").strip()
    query = urlencode([pair for pair in parse_qsl(call.form.get("query", "")) if pair[0] not in {"page", "done"}])
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"name: expected 1 to {LONGEST_NAME} characters, received {name[:100]!r}")
    if len(query) > LONGEST_QUERY:
        raise UsageError(f"query: expected at most {LONGEST_QUERY} characters, received {len(query)}")
    documents = call.records.documents
    if len(documents.find(VIEWS)) >= MOST and documents.get(VIEWS, name) is None:
        raise UsageError(f"expected at most {MOST} saved views; delete one first")
    documents.put(VIEWS, name, {"query": query})
    return Redirect(url=f"/runs?{query}", done=f"Saved as {name}.")


def delete(call: PageCall) -> Redirect:
    """Forget the view that a form names."""
    require_everything(call.principal, "experiment")  # a view is of no experiment
    name = call.form.get("name", "")
    call.records.documents.delete(VIEWS, name)
    return Redirect(url=address("/runs"), done=f"The view {name} is gone.")
