"""The steerer: bad releases go, good ones stay, nothing is decided without calls, one is live whoever dies."""

import numpy as np
import pytest

from bakeoff.core.errors import ConflictError, NotFoundError, StoreError
from bakeoff.core.events import FailureEvent, FeedbackEvent, PredictionEvent
from bakeoff.feedback.truth import Truth
from bakeoff.loop.rollout import LEASE_MS, RolloutRules, Steerer
from bakeoff.serve import releases
from bakeoff.serve.endpoints import Endpoints
from bakeoff.testing.memory import MemoryEvents, MemoryRecords

CLASSES = Truth("classification", ("no", "yes"))


class World:
    """An endpoint with a live release and one beside it, and calls that are logged as an engine would."""

    def __init__(self, role: str = "canary", *, truth: Truth = CLASSES, seed: int = 0, share: float = 0.1) -> None:
        self.now_ms, self.rng, self.share, self.role = 1_000, np.random.default_rng(seed), share, role
        self.documents = MemoryRecords(self.clock).documents
        self.events = MemoryEvents(self.clock)
        self.endpoints = Endpoints(self.documents, self.clock, who="ann")
        self.live, self.beside = (self.release(number) for number in (1, 2))
        self.endpoints.release("late", self.live)
        if role == "canary":
            self.endpoints.canary("late", self.beside, share=share)
        else:
            self.endpoints.shadow("late", self.beside)
        self.truth = truth
        self.steerer = self.another("me")

    def another(self, holder: str, documents=None, events=None) -> Steerer:
        return Steerer(
            documents or self.documents,
            events or self.events,
            clock=self.clock,
            truth_of=lambda _: self.truth,
            rules=lambda _: RolloutRules(calls=200, share=0.1),
            holder=holder,
        )

    def clock(self) -> int:
        return self.now_ms

    def release(self, number: int) -> str:
        return releases.make_release(
            self.documents,
            endpoint="late",
            model="m",
            number=number,
            family="f",
            blob_id=f"b{number}",
            clock=self.clock,
        ).release_id

    def answer(self, role: str = "live", *, label: object = "yes", latency_ms: float = 2.0, **more) -> str:
        name = f"p{len(self.events._events)}"
        said = {"label": label} if isinstance(label, str) and "value" not in more else {}
        self.events.append(
            [
                PredictionEvent(
                    id=name,
                    endpoint="late",
                    release_id=self.live if role == "live" else self.beside,
                    model_version="m/1" if role == "live" else "m/2",
                    row={},
                    latency_ms=latency_ms,
                    role=role,
                    **said,
                    **more,
                )
            ]
        )
        return name

    def fail(self, role: str, error: str = "CandidateError") -> None:
        of = self.live if role == "live" else self.beside
        self.events.append([FailureEvent(endpoint="late", release_id=of, model_version="m/2", error=error, role=role)])

    def call(self, *, failing: float = 0.0, live_failing: float = 0.0, latency_ms=None, live_ms=None) -> bool:
        """One call, of the canary with its share; where it fails, the live one answers. Whether it was the canary's."""
        usual = live_ms or float(self.rng.lognormal(0.7, 0.3))
        if self.rng.random() >= self.share:
            if self.rng.random() < live_failing:
                self.fail("live")
            else:
                self.answer(latency_ms=usual)
            return False
        if self.rng.random() < failing:
            self.fail("canary")
            self.answer(latency_ms=usual)
        else:
            self.answer("canary", latency_ms=latency_ms or float(self.rng.lognormal(0.7, 0.3)))
        return True

    def routes(self):
        return [(each.number, each.status) for each in releases.routed(self.documents, "late")]

    def until_decided(self, *, most: int, look_every: int = 1, **how) -> int:
        """How many canary calls it takes until the canary is gone or live."""
        met = 0
        while met < most and len(self.routes()) == 2:
            met += self.call(**how)
            if self.rng.random() < 1 / look_every:
                self.steerer.steer()
        return met


def test_a_release_with_thirty_percent_errors_is_gone_within_fifty_of_its_calls():
    trials = 10  # a hundred of them in make bench-rollouts
    needed = []
    for seed in range(trials):
        world = World(seed=seed)
        needed.append(world.until_decided(most=51, look_every=10, failing=0.3))
        assert world.routes() == [(1, "live")]
    assert sum(each <= 50 for each in needed) >= 0.95 * trials
    assert "errors" in world.endpoints.changes("late")[0].why
    assert world.endpoints.changes("late")[0].who == "steerer"


def test_a_release_as_good_as_the_live_one_is_promoted():
    world = World(seed=3)
    met = world.until_decided(most=1_500, look_every=200)
    assert world.routes() == [(2, "live")]
    assert met >= 200
    assert "no worse" in world.endpoints.changes("late")[0].why


def test_errors_that_both_have_are_nobodys_fault():
    world = World(seed=4)
    world.until_decided(most=150, look_every=20, failing=0.2, live_failing=0.2)
    assert world.routes() == [(1, "live"), (2, "canary")]


def test_a_slow_release_is_rolled_back():
    world = World(seed=5)
    met = world.until_decided(most=60, look_every=5, latency_ms=20.0)
    assert (world.routes(), met <= 50) == ([(1, "live")], True)
    assert "latency" in world.endpoints.changes("late")[0].why


def test_what_gates_allow_is_not_slow():
    world = World(seed=5)
    world.steerer._rules = lambda _: RolloutRules(accepted_ms=25.0)
    world.until_decided(most=60, look_every=10, latency_ms=20.0)
    assert world.routes() == [(1, "live"), (2, "canary")]


def test_a_release_that_says_nothing_is_rolled_back():
    world = World(seed=6)
    for _ in range(400):
        if world.rng.random() < 0.1:
            world.answer("canary", value="")
        else:
            world.answer(value="good day")
        world.steerer.steer()
        if len(world.routes()) == 1:
            break
    assert world.routes() == [(1, "live")]


def test_a_release_that_is_wrong_is_rolled_back_when_labels_come():
    world = World(seed=7, share=0.5)
    for _ in range(600):
        role = "canary" if world.rng.random() < 0.5 else "live"
        right = world.rng.random() < (0.5 if role == "canary" else 0.9)
        name = world.answer(role, label="yes" if right else "no")
        world.events.append([FeedbackEvent(id=name, label="no")])
        world.events.append([FeedbackEvent(id=name, label="yes")])  # the later one counts, and once
    (rollout,) = world.steerer.steer()
    assert (rollout.action, rollout.tests[2].calls + rollout.tests[2].live_calls) == ("rollback", 600)
    assert rollout.tests[2].rate == pytest.approx(0.5, abs=0.1)
    assert "quality" in rollout.reason


def test_numbers_are_wrong_where_they_are_far_off():
    world = World(seed=8, share=0.5, truth=Truth("regression", ()))
    for _ in range(600):
        role = "canary" if world.rng.random() < 0.5 else "live"
        off = float(world.rng.normal(0, 3 if role == "canary" else 1))
        name = world.answer(role, label=None, value=10 + off)
        world.events.append([FeedbackEvent(id=name, label=10.0)])
    (rollout,) = world.steerer.steer()
    quality = rollout.tests[2]
    assert rollout.action == "rollback"
    assert quality.live_rate == pytest.approx(0.25, abs=0.1)
    assert quality.rate == pytest.approx(0.7, abs=0.1)


def test_without_calls_nothing_is_promoted():
    world = World()
    for _ in range(5):
        (rollout,) = world.steerer.steer()
        world.now_ms += 10**9
    assert (rollout.action, rollout.calls_needed) == ("wait", None)
    assert "without calls nothing is promoted" in rollout.reason
    for _ in range(3_000):
        world.answer()  # of the live release alone
    assert world.steerer.steer()[0].action == "wait"


def test_what_callers_did_wrong_is_no_failure_of_the_live_release():
    world = World()
    for error in ("DataError", "ContractError", "StoreError"):
        world.fail("live", error)
    world.fail("live")
    world.fail("canary", "DataError")  # the live release answered it
    (rollout,) = world.steerer.steer()
    assert (rollout.tests[0].live_calls, rollout.tests[0].calls) == (1, 1)


def test_a_call_counts_once_however_many_rows_it_has():
    world = World()
    for _ in range(10):
        world.answer("canary", rows_in_call=10)
    assert world.steerer.steer()[0].tests[0].calls == pytest.approx(1.0)


def test_events_of_before_and_of_others_do_not_count():
    world = World()
    world.answer("canary")
    world.now_ms += 1_000
    world.endpoints.rollback("late")
    world.endpoints.canary("late", world.beside, share=0.1)
    world.answer("shadow")
    world.events.append(
        [PredictionEvent(id="x", endpoint="other", release_id=world.beside, model_version="m/2", row={}, role="canary")]
    )
    (rollout,) = world.steerer.steer()
    assert rollout.tests[0].calls == 0


def test_a_shadow_that_is_no_worse_becomes_a_canary():
    world = World("shadow", seed=9)
    for i in range(1_200):
        name = world.answer(latency_ms=float(world.rng.lognormal(0.7, 0.3)))
        same = "yes" if i % 4 else "no"
        world.answer("shadow", label=same, shadow_of=name, latency_ms=float(world.rng.lognormal(0.7, 0.3)))
    (rollout,) = world.steerer.steer()
    assert (rollout.action, rollout.differing) == ("promote", 0.25)
    assert world.routes() == [(1, "live"), (2, "canary")]
    (rollout,) = world.steerer.steer()  # and begins anew
    assert (rollout.action, rollout.tests[0].calls) == ("wait", 0)


def test_paused_is_left_alone():
    world = World()
    for _ in range(30):
        world.fail("canary")
        world.answer()
    world.endpoints.pause("late")
    (rollout,) = world.steerer.steer()
    assert (rollout.action, world.routes()) == ("wait", [(1, "live"), (2, "canary")])
    world.endpoints.resume("late")
    assert world.steerer.steer()[0].action == "rollback"


def test_each_event_is_read_once_and_it_is_the_same_as_reading_all_at_once():
    often, once = World(seed=11), World(seed=11)
    for i in range(300):
        often.call(failing=0.02)
        if i % 7 == 0:
            often.steerer.steer()
        once.call(failing=0.02)
    assert often.steerer.look(often.endpoints.get("late")) == once.steerer.look(once.endpoints.get("late"))


def test_one_steerer_at_a_time():
    world = World()
    other = world.another("other")
    assert len(world.steerer.steer()) == 1
    assert other.steer() == []
    world.now_ms += LEASE_MS + 1  # the first one died
    assert len(other.steer()) == 1
    assert world.steerer.steer() == []
    world.now_ms -= 10 * LEASE_MS  # a clock that was set back stops nobody for long
    assert len(world.steerer.steer()) == 1


class Dying:
    """Documents of a process that dies at its nth write."""

    def __init__(self, documents, writes: int) -> None:
        self._documents, self._left = documents, writes

    def __getattr__(self, name):
        return getattr(self._documents, name)

    def _write(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise StoreError("killed")

    def put(self, *args, **how):
        self._write()
        return self._documents.put(*args, **how)

    def apply(self, changes):
        self._write()
        return self._documents.apply(changes)


@pytest.mark.parametrize("writes", range(4))
@pytest.mark.parametrize("bad", [True, False])
def test_whoever_dies_when_exactly_one_release_is_live_and_the_next_goes_on(writes, bad):
    world = World(seed=12, share=0.5)
    for _ in range(3_000):
        world.call(failing=0.3 if bad else 0.0)
    dying = world.another("dying", Dying(world.documents, writes))
    try:
        dying.steer()
    except StoreError:
        assert [status for _, status in world.routes()].count("live") == 1
    world.now_ms += LEASE_MS + 1
    world.steerer.steer()
    assert world.routes() == [(1, "live") if bad else (2, "live")]
    assert [each.what for each in world.endpoints.changes("late")].count("end" if bad else "promote") == 1


def test_a_change_by_somebody_else_is_no_error(monkeypatch):
    world = World()
    for _ in range(30):
        world.fail("canary")
        world.answer()
    monkeypatch.setattr(Endpoints, "end", lambda *_, **__: (_ for _ in ()).throw(ConflictError("moved")))
    assert world.steerer.steer()[0].action == "rollback"
    assert world.routes() == [(1, "live"), (2, "canary")]


def test_a_log_that_was_lost_is_counted_anew():
    world = World()
    for _ in range(20):
        world.answer("canary")
    world.steerer.steer()
    world.events._events.clear()
    world.answer("canary")
    assert world.steerer.steer()[0].tests[0].calls == 1


def fine_beside(world: World, role: str, release_id: str, calls: int = 1_200) -> None:
    """Calls of the live release and of one beside it that is as good."""
    world.beside = release_id
    for _ in range(calls):
        name = world.answer(latency_ms=float(world.rng.lognormal(0.7, 0.3)))
        of = {"shadow_of": name} if role == "shadow" else {}
        world.answer(role, latency_ms=float(world.rng.lognormal(0.7, 0.3)), **of)


def test_a_finished_shadow_waits_and_does_not_keep_the_canary_from_being_looked_at():
    world = World("shadow", seed=13)
    shadow, canary = world.beside, world.release(3)
    world.endpoints.canary("late", canary, share=0.1)
    fine_beside(world, "shadow", shadow)
    world.beside = canary
    for _ in range(30):
        world.fail("canary")
    waits = [each for each in world.steerer.look(world.endpoints.get("late")) if each.role == "shadow"]
    assert (waits[0].action, waits[0].reason.partition(";")[0]) == ("wait", "waits while m/3 is the canary")
    (rollout,) = world.steerer.steer()
    assert (rollout.role, rollout.action) == ("canary", "rollback")
    assert world.routes() == [(1, "live"), (2, "shadow")]
    (rollout,) = world.steerer.steer()
    assert (rollout.role, rollout.action, world.routes()) == ("shadow", "promote", [(1, "live"), (2, "canary")])


def test_one_steerer_goes_and_the_next_need_not_wait():
    world = World()
    other = world.another("other")
    world.steerer.steer()
    assert other.steer() == []
    assert (other.other_until_ms(), world.steerer.other_until_ms()) == (world.now_ms + LEASE_MS, None)
    other.leave()  # which has nothing to give
    assert other.steer() == []
    world.steerer.leave()
    assert other.other_until_ms() is None
    assert len(other.steer()) == 1


def test_what_undo_brings_back_is_decided_on_new_evidence():
    world = World()
    for _ in range(30):
        world.fail("canary")
        world.answer()
    world.steerer.steer()
    assert world.routes() == [(1, "live")]
    world.now_ms += 1
    world.endpoints.undo("late")
    (rollout,) = world.steerer.steer()
    assert (rollout.action, rollout.tests[0].calls) == ("wait", 0)
    assert world.routes() == [(1, "live"), (2, "canary")]


def test_what_was_paused_between_looking_and_acting_is_left_alone(monkeypatch):
    world = World()
    for _ in range(30):
        world.fail("canary")
        world.answer()
    end = Endpoints.end

    def paused_first(endpoints, *args, **how):
        world.endpoints.pause("late")
        return end(endpoints, *args, **how)

    monkeypatch.setattr(Endpoints, "end", paused_first)
    assert world.steerer.steer()[0].action == "rollback"
    assert (world.routes(), world.endpoints.get("late").paused) == ([(1, "live"), (2, "canary")], True)


def test_an_endpoint_that_cannot_be_looked_at_stops_no_other():
    world = World()
    for _ in range(30):
        world.fail("canary")
        world.answer()
    gone = {"release_id": "gone", "routes": [{"release_id": "lost", "role": "canary", "share": 0.1, "since_ms": 0}]}
    world.documents.put("endpoints", "early", gone)
    with pytest.raises(NotFoundError, match="expected release 'lost' of endpoint 'early'"):
        world.steerer.steer()
    assert world.routes() == [(1, "live")]


def test_evidence_that_cannot_be_read_is_counted_anew():
    world = World()
    world.answer("canary")
    world.steerer.steer()
    (document,) = world.documents.find("rollouts")
    world.documents.put("rollouts", document.key, {**document.body, "errors": "many"})
    assert world.steerer.steer()[0].tests[0].calls == 1


def test_only_a_release_that_was_made_live_is_followed():
    world = World("shadow", seed=9)
    followed = []
    world.steerer = Steerer(
        world.documents,
        world.events,
        clock=world.clock,
        truth_of=lambda _: world.truth,
        rules=lambda _: RolloutRules(calls=200, share=0.5),
        holder="me",
        promoted=followed.append,
    )
    fine_beside(world, "shadow", world.beside)
    world.steerer.steer()
    assert (world.routes(), followed) == ([(1, "live"), (2, "canary")], [])
    world.now_ms += 1
    fine_beside(world, "canary", world.beside)
    world.steerer.steer()
    assert (world.routes(), followed) == ([(2, "live")], ["late"])


def test_what_is_not_counted_is_told(monkeypatch):
    monkeypatch.setattr("bakeoff.loop.rollout_evidence.MOST_LABELS", 5)
    monkeypatch.setattr("bakeoff.loop.rollout_evidence.PART", 5)
    world = World()
    assert world.steerer.steer()[0].notes == ()
    for _ in range(8):
        world.events.append([FeedbackEvent(id=world.answer("canary"), label="yes")])
    (rollout,) = world.steerer.steer()
    assert rollout.notes == (
        "5 labels are counted, and no later ones",
        "3 latencies of it are not counted: more than 5 came before 50 of the live release",
    )


def test_without_a_log_it_is_told_why_nothing_is_decided():
    world = World()
    world.steerer._rules = lambda _: RolloutRules(logged=False)
    assert 'log = "off"' in world.steerer.steer()[0].reason
    for _ in range(30):
        world.fail("canary")  # of before
        world.answer()
    assert world.steerer.steer()[0].action == "rollback"
