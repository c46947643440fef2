"""A clock that tests move."""

__all__ = ["FakeClock"]


class FakeClock:
    """Milliseconds that advance by `step_ms` at each reading, or by hand.

    >>> clock = FakeClock(now_ms=100)
    >>> clock(), clock()
    (101, 102)
    """

    def __init__(self, *, now_ms: int = 1_700_000_000_000, step_ms: int = 1) -> None:
        self.now_ms = now_ms
        self.step_ms = step_ms

    def __call__(self) -> int:
        """The time after a step."""
        self.now_ms += self.step_ms
        return self.now_ms
