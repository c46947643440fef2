"""The loop of a project, as `project.cycles`: what it did and why, and a person's word to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.protocols import Clock
from bakeoff.security.audit import current_user

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.loop.context import Stage
    from bakeoff.loop.cycle import Cycle, Cycles
    from bakeoff.loop.person import LoopStatus
    from bakeoff.loop.replay import ReplayResult
    from bakeoff.loop.retire import Retirement
    from bakeoff.project.policy import ProjectPolicy
    from bakeoff.project.project import Project

__all__ = ["ProjectCycles"]


class ProjectCycles:
    """The cycles of a project's loop: one trip each, from its triggers to its end, with every decision and why."""

    def __init__(
        self, project: "Project", *, clock: Clock, stage: "Callable[[], AbstractContextManager[Stage]]"
    ) -> None:
        self._project, self._clock, self._stage = project, clock, stage

    def __repr__(self) -> str:
        return f"ProjectCycles({len(self.all())})"

    @property
    def _cycles(self) -> "Cycles":
        from bakeoff.loop.cycle import Cycles

        return Cycles(self._project.records.documents, self._clock, self._project.config.project.name)

    def all(self) -> "list[Cycle]":
        """Every cycle, oldest first.

        Example:
            >>> project.cycles.all()
            []
        """
        return self._cycles.all()

    def get(self, number: int | None = None) -> "Cycle":
        """A cycle by its number, the last one by default; its `story` tells what happened and why.

        Raises:
            NotFoundError: there is none.
        """
        return self._cycles.get(number)

    def open(self) -> "Cycle | None":
        """The cycle that has not ended, if there is one."""
        return self._cycles.open()

    def status(self) -> "LoopStatus":
        """Where the loop stands: the open cycle, what holds a run back, what was spent.

        Example:
            >>> project.cycles.status().holding is None
            True
        """
        from bakeoff.loop.person import loop_status

        config = self._project.config
        return loop_status(self._project.records, self._clock, config.project.name, config.loop)

    @property
    def policy(self) -> "ProjectPolicy":
        """What decides when the loop runs again, and how to change it.

        Example:
            >>> [each.key for each in project.cycles.policy.fields()][:2]
            ['loop.triggers', 'loop.drift_signals']
        """
        from bakeoff.project.policy import ProjectPolicy

        return ProjectPolicy(self._project)

    def approve(self, *, why: str = "", who: str | None = None) -> "Cycle":
        """Release the winner that waits for a person.

        Raises:
            ConflictError: none waits, the loop is frozen, or the champion is another one than it was compared with.
        """
        from bakeoff.loop.person import approve

        with self._stage() as stage:
            return approve(stage, who=who or current_user(), why=why)

    def reject(self, *, why: str = "", who: str | None = None) -> "Cycle":
        """Let the champion stay instead of the winner that waits.

        Raises:
            ConflictError: none waits.
        """
        from bakeoff.loop.person import reject

        with self._stage() as stage:
            return reject(stage, who=who or current_user(), why=why)

    def replay(
        self,
        data: "str | pl.DataFrame | None" = None,
        *,
        by: str,
        every: str = "1mo",
        start: str | None = None,
        truth: str | None = None,
        tune: bool = False,
        beside: str | Path | None = None,
    ) -> "ReplayResult":
        """Run the policy over the past, beside never retraining, always retraining and the best in hindsight.

        Candidates are trained once for each period of the past; nothing is registered or released.

        Args:
            data: the past: a file or a table with the project's columns; by default the project's own source.
            by: a column of times, cut `every` so often; or one whose values are the periods, in their order.
            every: a period such as "1mo", "7d".
            start: the first period that is replayed; half of them are known before by default.
            truth: a column to score answers by instead of the target, which no model sees.
            tune: propose settings that have most of what retraining gains at the least cost.
            beside: a project file whose [loop] and [monitor] are walked over the same past, beside the project's own.

        Raises:
            UsageError, DataError: there is no such column or period, or too few periods.
            ConfigError: the file beside is missing or wrong.
        """
        from bakeoff.actions.loop_replay import replay

        with self._stage() as stage:
            other = None if beside is None else Path(beside)
            return replay(stage, data, by=by, every=every, start=start, truth=truth, tune=tune, beside=other)

    def retire(self, *, after_days: float = 30.0, apply: bool = False, who: str | None = None) -> "list[Retirement]":
        """Model versions that are used for nothing and proposed for archiving, with why.

        Args:
            after_days: how long a version must have been unused.
            apply: archive them: their stage becomes "Archived", and nothing is deleted.
            who: whom the audit log names; the current user by default.

        Example:
            >>> project.cycles.retire()
            []
        """
        from bakeoff.loop.retire import archive, retirements

        records = self._project.records
        proposed = retirements(records, self._project.config.project.name, now_ms=self._clock(), after_days=after_days)
        if apply:
            archive(records, self._clock, proposed, who=who or current_user())
        return proposed
