"""Models that pay for their answers: their speed from the calls that were made anyway, their price from tokens."""

import numpy as np

from bakeoff.core.abilities import abilities_of
from bakeoff.core.protocols import Usage
from bakeoff.core.types import Json
from bakeoff.metrics.latency import percentile_ends, percentiles
from bakeoff.metrics.timing import Speed

__all__ = [
    "TIMED_ROWS",
    "price_per_1k_usd",
    "single_price_per_1k_usd",
    "told_usage",
    "usage_between",
    "usage_of",
    "weights_bytes",
    "wholly_remote_speed",
]

TIMED_ROWS = 20
"""Rows by which a model is timed that pays for some of its answers: each of them is paid for again."""


def usage_of(model: object) -> Usage | None:
    """What the model has used so far; None for one that pays for nothing."""
    usage = abilities_of(model).usage
    return usage and usage()


def weights_bytes(model: object) -> int | None:
    """The size of the files that answer in the place of what was trained; None where that answers itself."""
    ability = abilities_of(model).weights_bytes
    return ability and ability()


def usage_between(now: Usage | None, before: Usage | None) -> Usage | None:
    """What was used between two readings."""
    from bakeoff.chat.meter import since

    return None if now is None or before is None else since(now, before)


def wholly_remote_speed(spent: Usage | None, rows: int) -> Speed | None:
    """Latencies of the calls that answered `rows` rows, one each; None when it was otherwise.

    Calls are timed when they are first made, and the cache keeps the times: a repeated run costs nothing.
    Batches are of as many rows as are asked at once; each takes as long as its slowest call.
    """
    if spent is None or spent.rows != rows or len(spent.seconds) + spent.refused < rows or not spent.seconds:
        return None
    seconds_n = np.maximum(np.asarray(spent.seconds), 1e-9)
    at_once = min(spent.concurrency, len(seconds_n))
    batches = [float(part.max()) for part in np.array_split(seconds_n, len(seconds_n) // at_once)]
    throughput = at_once / float(seconds_n.mean())
    return Speed(
        latency_ms=percentiles(seconds_n * 1000),
        wall_latency_ms=percentiles(seconds_n * 1000),
        latency_ends_ms=percentile_ends(seconds_n * 1000),
        calls=len(seconds_n),
        throughput_rows_s=throughput,
        throughput_rows_s_per_core=throughput,
        batch_latency_ms=percentiles([each * 1000 for each in batches]),
        batch_rows=at_once,
        spread=1.0,
    )


def single_price_per_1k_usd(
    spent: Usage | None, rows: int, speed: Speed, *, price_per_hour_usd: float, alone: bool
) -> float | None:
    """Dollars for 1,000 predictions that are asked for one by one, by the middle call; None where none was timed."""
    if spent is not None and spent.cost_usd is not None and alone:
        return spent.cost_usd / rows * 1000
    if speed.row_s is None:
        return None
    here = price_per_hour_usd / 3600 * 1000 * speed.row_s
    return here if spent is None or spent.cost_usd is None else spent.cost_usd / rows * 1000 + here


def price_per_1k_usd(spent: Usage | None, rows: int, speed: Speed, *, price_per_hour_usd: float, alone: bool) -> float:
    """Dollars for 1,000 predictions in batches.

    A model without prices by the token costs the time that its machine is taken, whether it runs in this process
    or in a server beside it. With them it costs its tokens, and (unless it is `alone` in being asked) the
    processor's time of the models that run here; waiting for a service takes no machine.
    """
    hourly_per_1k = price_per_hour_usd / 3600 * 1000
    if spent is None or spent.cost_usd is None:
        return hourly_per_1k / speed.throughput_rows_s
    here = 0.0 if alone else hourly_per_1k / speed.throughput_rows_s_per_core
    return spent.cost_usd / rows * 1000 + here


def told_usage(spent: Usage) -> dict[str, Json]:
    """The usage on the test rows as JSON, but for the single times."""
    return {
        "rows": spent.rows,
        "calls": spent.calls,
        "cached": spent.cached,
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "tokens_cached": spent.tokens_cached,
        "tokens_reasoning": spent.tokens_reasoning,
        "cost_usd": spent.cost_usd,
        "refused": spent.refused,
        "unreadable": spent.unreadable,
    }
