"""Claims: which of several looks at once does what must be done once."""

__all__ = ["CLAIM_MS", "is_claimed"]

CLAIM_MS = 300_000
"""How long one holds, should who made it be killed."""


def is_claimed(until_ms: int, now_ms: int) -> bool:
    """Whether a claim until then holds; not one by a clock that was set back since."""
    return now_ms < until_ms <= now_ms + CLAIM_MS
