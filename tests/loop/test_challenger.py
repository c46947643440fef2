"""Aliases follow what is live: who is the challenger, and when it is the champion."""

import pytest

from bakeoff.loop.challenger import RAISES, challenge_by, follow_live, settle
from bakeoff.loop.champion import ANCHORS
from bakeoff.registry.register import promote
from bakeoff.serve import releases
from bakeoff.serve.endpoints import Endpoints
from bakeoff.testing.memory import MemoryRecords


class World:
    """Versions 1 and 2 of `films`; the first is the champion and live."""

    def __init__(self) -> None:
        self.records = MemoryRecords(self.clock)
        self.endpoints = Endpoints(self.records.documents, self.clock, who="ann")
        self.first, self.second = (
            self.records.versions.register("model", "films", f"blob{number}", run_id="r", lineage={})
            for number in (1, 2)
        )
        self.endpoints.release("films", self.release("films", 1))
        promote(self.records.versions, self.first)

    def clock(self) -> int:
        return 1_000

    def release(self, model: str, number: int) -> str:
        return releases.make_release(
            self.records.documents,
            endpoint="films",
            model=model,
            number=number,
            family="f",
            blob_id=f"{model}{number}",
            clock=self.clock,
        ).release_id

    def alias(self, name: str) -> int | None:
        version = self.records.versions.by_alias("films", name)
        return version and version.number

    def settle(self) -> None:
        settle(self.records, "films", "films")


@pytest.fixture
def world():
    return World()


def test_a_challenger_that_is_live_is_the_champion(world):
    world.endpoints.canary("films", world.release("films", 2), share=0.1)
    challenge_by(world.records, world.second, raises=True)
    world.settle()
    assert (world.alias("champion"), world.alias("challenger")) == (1, 2)
    world.endpoints.promote("films")
    world.settle()
    assert (world.alias("champion"), world.alias("challenger")) == (2, None)
    assert world.records.documents.get(ANCHORS, "films").body == {"number": 2}


def test_another_model_with_the_number_of_the_challenger_is_not_it(world):
    challenge_by(world.records, world.second, raises=True)
    world.endpoints.release("films", world.release("others", 2))
    world.settle()
    assert (world.alias("champion"), world.alias("challenger")) == (1, None)


def test_a_challenger_that_a_run_makes_meanwhile_stays_it(world, monkeypatch):
    challenge_by(world.records, world.first, raises=False)
    by_alias = world.records.versions.by_alias

    def then_another(name, alias):
        version = by_alias(name, alias)
        if alias == "challenger" and version.number == 1:
            challenge_by(world.records, world.second, raises=False)
        return version

    monkeypatch.setattr(world.records.versions, "by_alias", then_another)
    world.settle()
    monkeypatch.undo()
    assert world.alias("challenger") == 2


def test_what_a_challenger_raised_once_it_raises_no_more(world):
    challenge_by(world.records, world.second, raises=True)
    assert challenge_by(world.records, world.second, raises=False).tags[RAISES] == "false"
    world.endpoints.release("films", world.release("films", 2))
    follow_live(world.records, "films", "films")
    assert world.alias("champion") == 2
    assert world.records.documents.get(ANCHORS, "films") is None
