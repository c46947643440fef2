"""What a run over a corpus did: rows, speed, memory, and the clusters of near-duplicates."""

from typing import Any

import msgspec

from bakeoff.core.ledger import Ledger, Loss

__all__ = ["CorpusDuplicates", "CorpusReport", "DuplicateCluster", "DuplicatePair", "StepReport"]

MEGA = 1_000_000


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """One step over the whole corpus; `seconds` are summed over workers.

    `cells_emptied`: of the cells that changed, those of which nothing was left.
    """

    step: str
    rows_in: int
    rows_out: int
    cells_changed: int
    cells_emptied: int = 0
    seconds: float


class DuplicateCluster(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are duplicates of each other: how many, the first rows (numbers in the corpus), how they start."""

    size: int
    rows: list[int]
    start: str


class DuplicatePair(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was dropped beside the one that stayed for it: their numbers, and both texts where they part."""

    stayed: int
    dropped: int
    stayed_text: str
    dropped_text: str


class CorpusDuplicates(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparing step found: clusters of two and more, how many rows they hold, the largest ones.

    `sizes`: how many clusters have a size of 2, 3 to 4, 5 to 8, … (by the upper end). `pairs`: some of what was
    dropped, spread over the corpus, those first whose texts differ.
    """

    step: str
    clusters: int
    rows_in_clusters: int
    rows_dropped: int
    sizes: dict[int, int]
    largest: list[DuplicateCluster]
    pairs: list[DuplicatePair] = []


class CorpusReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run; `peak_memory_bytes` is the sum over all its processes of what each held at most.

    `warnings`: orders of steps that hurt. `losses`: what did not come through as it was, and why. `resumed_blocks`: how
    many blocks a run that was killed had finished.
    """

    out: str
    rows_in: int
    rows_out: int
    text_bytes: int
    bad_lines: int
    bad: list[str]
    losses: list[Loss]
    warnings: list[str]
    tokens: int | None
    steps: list[StepReport]
    duplicates: list[CorpusDuplicates]
    resumed_blocks: int
    workers: int
    seconds: float
    peak_memory_bytes: int

    @property
    def docs_per_s(self) -> float:
        """Rows read each second."""
        return self.rows_in / self.seconds

    @property
    def mb_per_s(self) -> float:
        """Megabytes of text read each second."""
        return self.text_bytes / MEGA / self.seconds

    @property
    def ledger(self) -> Ledger:
        """What became of every line of the corpus; a step that leaves no row is told loudly."""
        steps = [
            Loss(
                kind="row",
                reason=f"step {step.step}",
                count=step.rows_in - step.rows_out,
                of=step.rows_in,
                remedy="change the step, or leave it out",
                chosen=True,
                grave=not step.rows_out,
            )
            for step in self.steps
        ]
        others = [loss for loss in self.losses if loss.kind != "row" or loss.subject is None]
        return Ledger(rows_in=self.rows_in + self.bad_lines, rows_used=self.rows_out).with_losses([*others, *steps])

    def to_json(self) -> dict[str, Any]:
        """As one JSON document."""
        speed = {"docs_per_s": round(self.docs_per_s, 1), "mb_per_s": round(self.mb_per_s, 3)}
        return {**msgspec.to_builtins(self, str_keys=True), **speed, "ledger": self.ledger.to_json()}
