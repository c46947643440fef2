"""What calls have used: rows, tokens and dollars, counted from several threads."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bakeoff.chat.client import Refusal, Reply
from bakeoff.core.protocols import Usage

__all__ = ["Meter", "Prices", "since", "together"]

MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars for a million tokens, read and written; None when the service has no price by the token.

    `usd_cached` is for tokens read that the service had from an earlier call, `usd_cache_write` for those that it
    keeps for a later one; they cost as the others without it.
    """

    usd_in: float | None = None
    usd_out: float | None = None
    usd_cached: float | None = None
    usd_cache_write: float | None = None

    def cost_usd(
        self, tokens_in: int, tokens_out: int, tokens_cached: int = 0, tokens_cache_write: int = 0
    ) -> float | None:
        """What so many tokens cost; None without prices.

        >>> Prices(usd_in=0.15, usd_out=0.60).cost_usd(2_000_000, 500_000)
        0.6
        >>> Prices(usd_in=0.15, usd_out=0.60, usd_cached=0.05).cost_usd(2_000_000, 500_000, 1_000_000)
        0.5
        """
        if self.usd_in is None and self.usd_out is None:
            return None
        usd_in = self.usd_in or 0.0
        usd_cached = usd_in if self.usd_cached is None else self.usd_cached
        usd_write = usd_in if self.usd_cache_write is None else self.usd_cache_write
        plain = tokens_in - tokens_cached - tokens_cache_write
        read = plain * usd_in + tokens_cached * usd_cached + tokens_cache_write * usd_write
        return (read + tokens_out * (self.usd_out or 0.0)) / MILLION

    def of(self, reply: Reply) -> float:
        """What a reply cost; nothing without prices."""
        return self.cost_usd(reply.tokens_in, reply.tokens_out, reply.tokens_cached) or 0.0


class Meter:
    """Adds up what a client's calls have used; safe to use from several threads."""

    def __init__(self, prices: Prices, *, concurrency: int) -> None:
        self._prices = prices
        self._lock = threading.Lock()
        self._usage = Usage(concurrency=concurrency, cost_usd=prices.cost_usd(0, 0))

    def count(self, replies: Sequence[Reply | Refusal], *, rows: int, unreadable: int = 0) -> None:
        """Count the replies to calls about so many rows; `unreadable` of them said nothing that could be used."""
        answered = [reply for reply in replies if isinstance(reply, Reply)]
        with self._lock:
            known = self._usage
            tokens_in = known.tokens_in + sum(reply.tokens_in for reply in answered)
            tokens_out = known.tokens_out + sum(reply.tokens_out for reply in answered)
            tokens_cached = known.tokens_cached + sum(reply.tokens_cached for reply in answered)
            self._usage = replace(
                known,
                rows=known.rows + rows,
                calls=known.calls + len(replies),
                cached=known.cached + sum(reply.cached for reply in answered),
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                tokens_cached=tokens_cached,
                tokens_reasoning=known.tokens_reasoning + sum(reply.tokens_reasoning for reply in answered),
                cost_usd=self._prices.cost_usd(tokens_in, tokens_out, tokens_cached),
                refused=known.refused + len(replies) - len(answered),
                unreadable=known.unreadable + unreadable,
                seconds=known.seconds + tuple(reply.seconds for reply in answered),
            )

    @property
    def usage(self) -> Usage:
        """All that was counted so far."""
        return self._usage


def since(now: Usage, before: Usage) -> Usage:
    """What was used between two readings of one meter."""
    return replace(
        now,
        rows=now.rows - before.rows,
        calls=now.calls - before.calls,
        cached=now.cached - before.cached,
        tokens_in=now.tokens_in - before.tokens_in,
        tokens_out=now.tokens_out - before.tokens_out,
        tokens_cached=now.tokens_cached - before.tokens_cached,
        tokens_reasoning=now.tokens_reasoning - before.tokens_reasoning,
        cost_usd=None if now.cost_usd is None else now.cost_usd - (before.cost_usd or 0.0),
        refused=now.refused - before.refused,
        unreadable=now.unreadable - before.unreadable,
        seconds=now.seconds[len(before.seconds) :],
    )


def together(parts: Sequence[Usage]) -> Usage:
    """What several models used in all; `cost_usd` is None when none has a price."""
    prices = [part.cost_usd for part in parts if part.cost_usd is not None]
    return Usage(
        rows=sum(part.rows for part in parts),
        calls=sum(part.calls for part in parts),
        cached=sum(part.cached for part in parts),
        tokens_in=sum(part.tokens_in for part in parts),
        tokens_out=sum(part.tokens_out for part in parts),
        tokens_cached=sum(part.tokens_cached for part in parts),
        tokens_reasoning=sum(part.tokens_reasoning for part in parts),
        cost_usd=sum(prices) if prices else None,
        refused=sum(part.refused for part in parts),
        unreadable=sum(part.unreadable for part in parts),
        seconds=tuple(each for part in parts for each in part.seconds),
        concurrency=max(part.concurrency for part in parts),
    )
