"""Signals of what came and how it was answered: volume, latency, errors, the contract, inputs, cost."""

from collections.abc import Mapping

from bakeoff.core.types import Json
from bakeoff.metrics.intervals import wilson
from bakeoff.monitor.look import MonitorLook, top
from bakeoff.monitor.signals import Signal
from bakeoff.monitor.sums import LACKS, PredictionSums

__all__ = ["WORST", "contract", "cost", "errors", "inputs", "latency", "tokens", "volume"]

WORST = 5
SLOW = 0.05
"""Of rows that may take longer than the limit of their 95th percentile."""


def volume(sums: PredictionSums, look: MonitorLook, out_of_time: int) -> Signal:
    """Rows answered; never an alert by itself."""
    detail: dict[str, Json] = {"calls": round(sums.calls), "by_model_version": top(sums.versions)}
    if sums.misfits:
        detail["misfits"] = sums.misfits
    if out_of_time:
        detail["out_of_time"] = out_of_time
        detail["reason"] = (
            f"{out_of_time:,} records of this release have a time before it was made or after now; they count, "
            "but a clock was moved"
        )
    return look.signal("volume", float(sums.rows), rows=sums.rows, detail=detail)


def latency(sums: PredictionSums, look: MonitorLook) -> Signal:
    """The 95th percentile; an alert when surely more than 5% of rows take longer than the limit."""
    limit, rows = look.config.latency_p95_ms, sums.rows
    if not rows:
        return look.signal("latency", None, limit=limit, rows=0, detail={"reason": "no rows"})
    p50, p95 = sums.percentiles(0.5, 0.95)
    slow = 0 if limit is None else sums.slower_than(limit)
    alert = limit is not None and rows >= look.config.min_rows and _surely_over(slow, rows, SLOW, look)
    detail: dict[str, Json] = {"p50_ms": p50, "p95_ms": p95}
    return look.signal("latency", p95, limit=limit, rows=rows, alert=alert, detail=detail)


def errors(sums: PredictionSums, look: MonitorLook) -> Signal:
    """The share of failed calls; an alert when it is surely over its limit."""
    failed, limit = sum(sums.failed.values()), look.config.error_share
    calls = failed + round(sums.calls)
    if not calls:
        return look.signal("errors", None, limit=limit, rows=0, detail={"reason": "no calls"})
    low, high = wilson(failed, calls)
    by_type = top(sums.failed)
    detail: dict[str, Json] = {"failed": failed, "calls": calls, "low": low, "high": high, "by_type": by_type}
    alert = _surely_over(failed, calls, limit, look)
    return look.signal("errors", failed / calls, limit=limit, rows=calls, alert=alert, detail=detail)


def contract(sums: PredictionSums, look: MonitorLook) -> Signal:
    """The share of rows that violate the released data contract, served or refused."""
    rows, limit, broken = sums.rows + sums.refused, look.config.contract_share, sums.violating + sums.refused
    if not rows:
        return look.signal("contract", None, limit=limit, rows=0, detail={"reason": "no rows"})
    low, high = wilson(broken, rows)
    detail: dict[str, Json] = {"low": low, "high": high, "refused": sums.refused, "served": sums.violating}
    detail["by_rule"] = top(sums.violated, WORST)
    alert = _surely_over(broken, rows, limit, look)
    return look.signal("contract", broken / rows, limit=limit, rows=rows, alert=alert, detail=detail)


def inputs(sums: PredictionSums, look: MonitorLook) -> Signal:
    """The share of answered rows that lacked something, by name; never an alert."""
    if not sums.rows:
        return look.signal("inputs", None, rows=0, detail={"reason": "no rows"})
    named = {lack: top(sums.lacked[lack], WORST) for lack in LACKS if lack in sums.lacked}
    detail: dict[str, Json] = {**named}
    if named:
        parts = [f"{lack} {', '.join(f'{n!r} {c:,}' for n, c in names.items())}" for lack, names in named.items()]
        detail["reason"] = f"{sums.lacking:,} rows: {'; '.join(parts)}"
    return look.signal("inputs", sums.lacking / sums.rows, rows=sums.rows, detail=detail)


def cost(sums: PredictionSums, look: MonitorLook, usd_per_1000: Mapping[str, float]) -> Signal:
    """What the answers of the window cost, by the measured price of each model version; never an alert by itself."""
    priced = {version: rows for version, rows in sums.versions.items() if version in usd_per_1000}
    if not priced:
        return look.signal("cost", None, rows=sums.rows, detail={"reason": "no price is known"})
    usd = sum(rows * usd_per_1000[version] / 1000 for version, rows in priced.items())
    detail: dict[str, Json] = {"usd": usd, "usd_per_1000": dict(usd_per_1000)}
    return look.signal("cost", usd, rows=sum(priced.values()), detail=detail)


def tokens(sums: PredictionSums, look: MonitorLook) -> Signal:
    """Tokens read and written for the window's answers, as far as they were counted; never an alert by itself."""
    if not sums.metered:
        return look.signal("tokens", None, rows=0, detail={"reason": "no answer with tokens"})
    read, written = sums.tokens_in, sums.tokens_out
    per_row = {"read_per_answer": read / sums.metered, "written_per_answer": written / sums.metered}
    detail: dict[str, Json] = {"read": read, "written": written, **per_row}
    detail["reason"] = (
        f"{read:,} tokens read and {written:,} written for {sums.metered:,} answers: "
        f"{per_row['read_per_answer']:.0f} and {per_row['written_per_answer']:.0f} each"
    )
    return look.signal("tokens", float(read + written), rows=sums.metered, detail=detail)


def _surely_over(count: int, n: int, limit: float, look: MonitorLook) -> bool:
    """Whether so many of n are too unlikely at a share of `limit`."""
    from scipy.stats import binom

    return count > limit * n and float(binom.sf(count - 1, n, limit)) < look.level
