"""The data plane: endpoints by name, each made when it is first wanted, also such as come while it serves."""

import pytest

from bakeoff.core.errors import NotFoundError, StoreError
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents


def plane(*names: str) -> tuple[DataPlane, list[str], list[str]]:
    """A plane, the names that there are (beside `own`), and those that an engine was made for."""
    there, made = list(names), list[str]()

    def make(name: str) -> Engine:
        made.append(name)
        return Engine(
            name,
            load=lambda _: pytest.fail("nothing is released"),
            routes=list,
            prepare=lambda table, steps, columns: table,
            events=MemoryEvents(lambda: 1),
            clock=lambda: 1,
        )

    return DataPlane("own", lambda: there, make), there, made


def test_each_engine_is_made_once():
    made_of, _, made = plane("b", "a")
    assert made_of.engine() is made_of.engine("own")
    assert [each.endpoint for each in made_of.engines] == ["own", "b", "a"]
    assert made_of.names == ("own", "b", "a")
    made_of.refresh_if_due()
    assert made == ["own", "b", "a"]


def test_an_endpoint_that_comes_later_is_served():
    made_of, there, _ = plane()
    with pytest.raises(NotFoundError, match=r"expected endpoint 'own', received 'late'"):
        made_of.engine("late")
    there.append("late")
    assert made_of.engine("late").endpoint == "late"


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(NotFoundError, match=r"Did you mean 'reviews'\?"):
        plane("reviews")[0].engine("reveiws")


def test_who_follows_looks_before_calls_have_to():
    now_ms, looks = [1_000], []

    def engine(name: str) -> Engine:
        return Engine(
            name,
            load=lambda _: pytest.fail("nothing is released"),
            routes=lambda: looks.append(now_ms[0]) or [],
            prepare=lambda table, steps, columns: table,
            events=MemoryEvents(lambda: 1),
            clock=lambda: now_ms[0],
        )

    followed = DataPlane("own", list, engine)
    for _ in range(4):
        followed.refresh_if_due()
        followed.engine().refresh_if_due()  # as a call does
        now_ms[0] += 250
    assert looks == [1_000, 1_250, 1_500, 1_750]


def test_an_endpoint_that_cannot_be_looked_at_stops_no_other(caplog):
    looks = []

    def engine(name: str) -> Engine:
        if name == "broken":
            raise StoreError("the disk is gone")
        return Engine(
            name,
            load=lambda _: pytest.fail("nothing is released"),
            routes=lambda: looks.append(name) or [],
            prepare=lambda table, steps, columns: table,
            events=MemoryEvents(lambda: 1),
            clock=lambda: 1,
        )

    followed = DataPlane("own", lambda: ["broken", "other"], engine)
    followed.refresh_if_due()
    followed.refresh_if_due()
    assert looks == ["own", "other"]
    assert caplog.text.count("endpoint 'broken' cannot be looked at: the disk is gone") == 1


def test_while_names_cannot_be_read_what_serves_is_followed(caplog):
    names = [["late"]]
    followed, _, _ = plane()
    followed._names = lambda: names[0] if names else 1 / 0
    followed.refresh_if_due()
    names.clear()
    assert set(followed.followed()) == {"own", "late"}
    followed.refresh_if_due()
    assert caplog.text.count("cannot read which endpoints there are") == 1
