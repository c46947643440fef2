"""A project for agents, over the Model Context Protocol: what ran, what was decided and seen; and, if allowed, to run.

Source: Model Context Protocol, https://modelcontextprotocol.io/specification
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import BakeoffError, MissingExtraError, UsageError
from bakeoff.core.types import Json
from bakeoff.monitor.signals import latest, to_json

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.tools import Tool

    from bakeoff.project.project import Project

__all__ = ["mcp_server"]

MOST = 200
ABOUT = (
    "One bakeoff project: candidates of classical and language models are judged on the same rows, the winner is "
    "served, monitored and replaced. Start with `status`."
)


def mcp_server(project: "Project", *, may_run: bool = False) -> "MCPServer":
    """The server of a project's tools; to be run on stdin and stdout, or over HTTP.

    Args:
        project: whose.
        may_run: whether agents may start runs.

    Raises:
        MissingExtraError: the package mcp is not installed.
    """
    try:
        from mcp.server import MCPServer
    except ImportError as error:
        raise MissingExtraError.of("a server for agents", "mcp", "mcp") from error
    import bakeoff

    tools = _Tools(project)
    offered = [tools.status, tools.runs, tools.verdict, tools.what_if, tools.signals, tools.endpoints, tools.lineage]
    return MCPServer(
        name=f"bakeoff: {project.config.project.name}",
        instructions=ABOUT,
        version=bakeoff.__version__,
        log_level="WARNING",
        tools=[_strict(_telling(tool)) for tool in [*offered, *([tools.start_run] if may_run else [])]],
    )


def _strict(does: Callable[..., Awaitable[dict[str, Any]]]) -> "Tool":
    """The tool, which refuses arguments that it has not: left out, the answer would be that of another question."""
    from mcp.server.mcpserver.tools import Tool

    tool = Tool.from_function(does)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema(by_alias=True)
    return tool


def _telling(tool: Callable[..., Awaitable[dict[str, Any]]]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """The tool, whose errors of ours are told to the agent: others it only learns to have happened."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    async def telling(*positional: Any, **named: Any) -> dict[str, Any]:
        try:
            return await tool(*positional, **named)
        except BakeoffError as error:
            raise ToolError(str(error)) from error

    return telling


class _Tools:
    """What agents may call: each answers with JSON, as the command of the same name does."""

    def __init__(self, project: "Project") -> None:
        self._project = project

    async def status(self) -> dict[str, Any]:
        """The project at a glance: the last run and its verdict, the champion, what is live, the last signals."""
        return await asyncio.to_thread(lambda: self._project.status().to_json())

    async def runs(self, filter: str = "", limit: int = 20) -> dict[str, Any]:  # noqa: A002 - what MLflow calls it
        """Tracked runs, newest first, by a filter in MLflow's grammar, such as "metrics.f1_macro > 0.8"."""
        if not 1 <= limit <= MOST:
            raise UsageError(f"limit: expected 1 to {MOST}, received {limit}")
        table = await asyncio.to_thread(lambda: self._project.runs_table(filter or None, limit=limit, frames="polars"))
        known = [{key: value for key, value in row.items() if value is not None} for row in table.to_dicts()]
        return {"runs": [{key: _plain(value) for key, value in row.items()} for row in known]}

    async def verdict(self, run_id: str = "") -> dict[str, Any]:
        """Why the winner of a run won (the last run by default): gates, intervals, comparisons, baselines."""
        return await asyncio.to_thread(lambda: self._project.outcome(run_id or None).to_json())

    async def what_if(self, metric: str = "", margin: float | None = None, run_id: str = "") -> dict[str, Any]:
        """Who would have won by another metric or margin, worked out again from the run's rows; nothing changes."""
        by_rules = await asyncio.to_thread(
            lambda: self._project.what_if(run_id or None, metric=metric or None, margin=margin)
        )
        verdict = by_rules.verdict
        return {
            "winner": verdict.winner,
            "reason": verdict.reason,
            "changed": by_rules.changed,
            "notes": by_rules.notes,
        }

    async def signals(self, endpoint: str = "") -> dict[str, Any]:
        """What monitoring saw last on an endpoint (the project's own by default): drift, quality, errors, latency."""
        name = endpoint or self._project.endpoint
        report = await asyncio.to_thread(lambda: latest(self._project.records.documents, name))
        return {"endpoint": name, "report": None if report is None else to_json(report)}

    async def endpoints(self) -> dict[str, Any]:
        """What answers on each endpoint, with which share, and the last changes."""
        listed = await asyncio.to_thread(lambda: [each.to_json() for each in self._project.endpoints.all()])
        return {"endpoints": listed}

    async def lineage(self, thing: str = "") -> dict[str, Any]:
        """What a model, run, dataset or prediction was made from and what came of it; the champion by default."""
        return await asyncio.to_thread(lambda: self._project.lineage_of(thing or None).to_json())

    async def start_run(self) -> dict[str, Any]:
        """Run the bake-off: fit what changed, judge, decide and release as the project says. It may take long."""
        outcome = await asyncio.to_thread(self._project.run)
        return {"run_id": outcome.run_id, "unchanged": outcome.unchanged, "verdict": outcome.to_json()["verdict"]}


def _plain(value: object) -> Json:
    """A cell as JSON; times in ISO 8601."""
    return value if isinstance(value, str | int | float | bool) else str(value)
