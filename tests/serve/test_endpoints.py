"""Endpoints: each change moves the document once, stands in the history, and can be taken back."""

import pytest

from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.security.audit import AuditLog
from bakeoff.serve import releases
from bakeoff.serve.endpoints import Endpoints
from bakeoff.testing.memory import MemoryRecords


class World:
    def __init__(self) -> None:
        self.now_ms = 1_000
        self.documents = MemoryRecords(self.clock).documents
        self.endpoints = Endpoints(self.documents, self.clock, who="ann")
        self.a, self.b, self.c = (self.make(number).release_id for number in (1, 2, 3))
        self.endpoints.release("reviews", self.a)

    def clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def make(self, number: int, endpoint: str = "reviews"):
        return releases.make_release(
            self.documents,
            endpoint=endpoint,
            model="linear",
            number=number,
            family="linear",
            blob_id=f"blob{number}",
            clock=self.clock,
        )

    def routes(self):
        return [(each.number, each.status, each.share) for each in releases.routed(self.documents, "reviews")]


@pytest.fixture
def world():
    return World()


def test_a_canary_takes_its_share_from_the_live_release(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    assert world.routes() == [(1, "live", 0.75), (2, "canary", 0.25)]
    assert [(each.number, each.status) for each in releases.history(world.documents, "reviews")] == [
        (3, "retired"),
        (2, "canary"),
        (1, "live"),
    ]


def test_a_shadow_takes_nothing(world):
    world.endpoints.shadow("reviews", world.b)
    world.endpoints.canary("reviews", world.c, share=0.1)
    assert world.routes() == [(1, "live", 0.9), (2, "shadow", 1.0), (3, "canary", 0.1)]


def test_a_shadow_becomes_a_canary_and_begins_anew(world):
    world.endpoints.shadow("reviews", world.b)
    began = world.endpoints.get("reviews").others[0].since_ms
    world.endpoints.canary("reviews", world.b, share=0.5)
    assert world.routes() == [(1, "live", 0.5), (2, "canary", 0.5)]
    again = world.endpoints.get("reviews").others[0].since_ms
    assert again > began
    world.endpoints.canary("reviews", world.b, share=0.6)  # a greater share, and the evidence stays
    assert world.endpoints.get("reviews").others[0].since_ms == again


def test_promoted_and_rolled_back(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    world.endpoints.promote("reviews")
    assert world.routes() == [(2, "live", 1.0)]
    world.endpoints.rollback("reviews")
    assert world.routes() == [(1, "live", 1.0)]


def test_rollback_ends_a_canary_before_it_moves_the_live_release(world):
    world.endpoints.release("reviews", world.b)
    world.endpoints.canary("reviews", world.c, share=0.25)
    world.endpoints.rollback("reviews", why="slow")
    assert world.routes() == [(2, "live", 1.0)]
    world.endpoints.rollback("reviews")
    assert world.routes() == [(1, "live", 1.0)]


def test_rollback_goes_to_what_was_live_and_not_to_what_was_live_when_it_was_made(world):
    world.endpoints.release("reviews", world.b)
    world.endpoints.release("reviews", world.c)
    world.endpoints.canary("reviews", world.a, share=0.5)
    world.endpoints.promote("reviews")
    world.endpoints.rollback("reviews")
    assert world.routes() == [(3, "live", 1.0)]


def test_paused_is_the_live_release_alone_until_it_goes_on(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    world.endpoints.pause("reviews")
    assert world.routes() == [(1, "live", 1.0), (2, "canary", 0.0)]
    world.endpoints.resume("reviews")
    assert world.routes() == [(1, "live", 0.75), (2, "canary", 0.25)]


def test_every_change_is_in_the_history_with_who_and_why(world):
    world.endpoints.canary("reviews", world.b, share=0.25, why="try it")
    Endpoints(world.documents, world.clock, who="steerer").rollback("reviews", why="30% errors")
    changes = world.endpoints.changes("reviews")
    assert [(each.what, each.who, each.why) for each in changes] == [
        ("rollback", "steerer", "30% errors"),
        ("canary", "ann", "try it"),
        ("release", "ann", ""),
    ]
    assert (changes[0].before.other("canary").share, changes[0].after.others) == (0.25, ())
    assert [each.after.revision for each in changes] == [3, 2, 1]


@pytest.mark.parametrize(
    "change",
    [
        lambda to, w: to.release("reviews", w.c),
        lambda to, w: to.canary("reviews", w.b, share=0.9),
        lambda to, w: to.shadow("reviews", w.c),
        lambda to, w: to.promote("reviews"),
        lambda to, w: to.rollback("reviews"),
        lambda to, w: to.end("reviews", w.b),
        lambda to, w: to.pause("reviews"),
    ],
    ids=["release", "canary", "shadow", "promote", "rollback", "end", "pause"],
)
def test_every_change_is_taken_back_by_one_command(world, change):
    world.endpoints.canary("reviews", world.b, share=0.25)
    before = world.routes()
    change(world.endpoints, world)
    assert world.routes() != before
    world.endpoints.undo("reviews")
    assert world.routes() == before
    assert world.endpoints.changes("reviews")[0].what == "undo"


def test_the_first_release_cannot_be_taken_back(world):
    with pytest.raises(NotFoundError, match="its first release"):
        world.endpoints.undo("reviews")


def test_what_changes_nothing_is_not_written(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    revision = world.endpoints.get("reviews").revision
    world.endpoints.canary("reviews", world.b, share=0.25)
    world.endpoints.end("reviews", world.c)
    assert world.endpoints.get("reviews").revision == revision


def test_a_created_endpoint_waits_for_its_release(world):
    world.endpoints.create("mails")
    assert (world.endpoints.names, world.endpoints.routed("mails")) == (("mails", "reviews"), ())
    with pytest.raises(UsageError, match="nothing is live yet"):
        world.endpoints.canary("mails", world.make(1, "mails").release_id, share=0.1)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_a_share_is_a_part(world, share):
    with pytest.raises(UsageError, match="expected a share over 0"):
        world.endpoints.canary("reviews", world.b, share=share)


def test_a_second_canary_is_refused(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    with pytest.raises(ConflictError, match="expected no other canary"):
        world.endpoints.canary("reviews", world.c, share=0.25)
    with pytest.raises(UsageError, match="it is live already"):
        world.endpoints.canary("reviews", world.a, share=0.25)


def test_promoting_another_release_than_was_looked_at_is_refused(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    with pytest.raises(ConflictError, match=f"found {world.b}"):
        world.endpoints.promote("reviews", world.c)
    world.endpoints.rollback("reviews")
    with pytest.raises(ConflictError, match="found none"):
        world.endpoints.promote("reviews")


def test_unknown_names_get_the_nearest(world):
    with pytest.raises(NotFoundError, match="Did you mean 'reviews'"):
        world.endpoints.pause("reveiws")
    with pytest.raises(NotFoundError, match="expected release 'none'"):
        world.endpoints.release("reviews", "none")


def test_a_document_of_before_is_read(world):
    world.documents.put("endpoints", "old", {"release_id": world.make(7, "old").release_id})
    (live,) = releases.routed(world.documents, "old")
    assert (live.number, live.status, live.share) == (7, "live", 1.0)
    world.endpoints.release("old", world.make(8, "old").release_id)
    assert world.endpoints.rollback("old").live == live.release_id


def test_who_reads_before_another_writes_is_told(world):
    racing = World()
    stale = racing.endpoints.get("reviews")
    racing.endpoints.canary("reviews", racing.b, share=0.1)

    class Stale:
        def __getattr__(self, name):
            return getattr(racing.documents, name)

        def get(self, collection, key):
            document = racing.documents.get(collection, key)
            if collection == "endpoints":
                return type(document)(
                    collection=collection, key=key, revision=stale.revision, body=stale.to_json(), updated_ms=0
                )
            return document

    with pytest.raises(ConflictError, match="somebody else moved it"):
        Endpoints(Stale(), racing.clock, who="bob").release("reviews", racing.c)
    assert racing.routes() == [(1, "live", 0.9), (2, "canary", 0.1)]
    assert racing.endpoints.changes("reviews")[0].what == "canary"


def test_each_change_is_in_the_audit_log_though_others_write_it_too():
    documents, clock = MemoryRecords(lambda: 1).documents, lambda: 1
    audit = AuditLog(documents, clock)
    wrote = []

    def beside(change):
        entry = audit.endpoint_moved(change)
        if not wrote:  # another process writes its record after this one was made
            wrote.append(audit.add("token created", "token a", who="eve"))
        return entry

    endpoints = Endpoints(documents, clock, who="ada", beside=beside)
    endpoints.create("reviews", why="a start")
    assert [(each.who, each.action, each.subject) for each in audit.records()] == [
        ("eve", "token created", "token a"),
        ("ada", "endpoint create", "endpoint reviews"),
    ]
    assert audit.verify() == []


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 81])
def test_names_that_paths_and_keys_cannot_have_are_refused(world, name):
    with pytest.raises(UsageError, match="expected an endpoint's name"):
        world.endpoints.create(name)


def test_what_undo_brings_back_begins_anew_and_what_goes_on_does_not(world):
    world.endpoints.canary("reviews", world.b, share=0.25)
    began = world.endpoints.get("reviews").others[0].since_ms
    world.endpoints.pause("reviews")
    world.endpoints.undo("reviews")
    assert world.endpoints.get("reviews").others[0].since_ms == began
    for change in (lambda: world.endpoints.end("reviews", world.b), lambda: world.endpoints.promote("reviews")):
        change()
        ended_ms = world.now_ms
        world.endpoints.undo("reviews")
        assert world.routes() == [(1, "live", 0.75), (2, "canary", 0.25)]
        assert world.endpoints.get("reviews").others[0].since_ms > ended_ms


def test_what_moved_without_history_is_not_taken_back(world):
    world.documents.put("endpoints", "old", {"release_id": world.make(7, "old").release_id})
    with pytest.raises(NotFoundError, match="something moved it that keeps no history"):
        world.endpoints.undo("old")


def test_a_misspelt_endpoint_is_not_rolled_back(world):
    with pytest.raises(NotFoundError, match="Did you mean 'reviews'"):
        world.endpoints.rollback("reveiws")


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_who_takes_over_from_another_makes_one_change(world, role):
    change = {
        "canary": lambda release_id, **how: world.endpoints.canary("reviews", release_id, share=0.25, **how),
        "shadow": lambda release_id, **how: world.endpoints.shadow("reviews", release_id, **how),
    }[role]
    change(world.b)
    before, began = world.routes(), world.endpoints.get("reviews").others[0].since_ms
    change(world.c, takes_over=True)
    assert [each[:2] for each in world.routes()] == [(1, "live"), (3, role)]
    assert world.endpoints.get("reviews").others[0].since_ms > began
    world.endpoints.undo("reviews")
    assert world.routes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda to, w, seen: to.promote("reviews", w.b, revision=seen),
        lambda to, w, seen: to.end("reviews", w.b, revision=seen),
        lambda to, w, seen: to.canary("reviews", w.b, share=0.9, revision=seen),
    ],
    ids=["promote", "end", "canary"],
)
def test_what_was_paused_since_it_was_looked_at_is_left_alone(world, change):
    world.endpoints.canary("reviews", world.b, share=0.25)
    seen = world.endpoints.get("reviews").revision
    world.endpoints.pause("reviews")
    paused = world.routes()
    with pytest.raises(ConflictError, match="somebody else made change 3"):
        change(world.endpoints, world, seen)
    assert world.routes() == paused
    change(world.endpoints, world, seen + 1)
    assert world.routes() != paused or world.endpoints.get("reviews").other("canary").share == 0.9
