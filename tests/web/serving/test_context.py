"""What the protocols share: endpoints are followed while the app lives, each by itself."""

import asyncio
import threading

from bakeoff.core.errors import StoreError
from bakeoff.serve.plane import DataPlane
from bakeoff.web.serving.context import Serving, _ended_task


class Follows:
    """An engine that only follows its routes."""

    def __init__(self, look) -> None:
        self.look = look

    def refresh_if_due(self, *, after_ms: int) -> None:
        self.look()


def test_an_endpoint_that_is_slow_or_fails_holds_up_no_other(monkeypatch):
    monkeypatch.setattr("bakeoff.web.serving.context.REFRESH_S", 0.01)
    go, often, late = threading.Event(), threading.Event(), threading.Event()
    looks, names = [], ["slow", "broken"]

    def look():
        looks.append(1)
        if len(looks) == 3:
            names.append("late")
            often.set()

    engines = {
        "own": Follows(look),
        "slow": Follows(lambda: go.wait(10)),
        "broken": Follows(lambda: 1 / 0),
        "late": Follows(late.set),
    }

    async def followed():
        serving = Serving(DataPlane("own", lambda: names, engines.__getitem__), lambda items: items, threads=1)
        async with serving.lifespan(None):
            there = await asyncio.to_thread(often.wait, 5), await asyncio.to_thread(late.wait, 5)
            go.set()
        return there

    assert asyncio.run(followed()) == (True, True)


def test_a_task_that_ended_with_an_error_keeps_nothing_from_being_closed(caplog):
    async def ended():
        async def broken():
            raise StoreError("away")

        task = asyncio.create_task(broken())
        await asyncio.sleep(0)
        await _ended_task(task)

    asyncio.run(ended())
    assert "away" in caplog.text
