"""The review queue: who has which row, and that nobody has the same one."""

import threading

import pytest

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.feedback.review import ReviewBatch, ReviewQueue, ReviewRow
from bakeoff.testing.memory import MemoryRecords


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return ReviewQueue(MemoryRecords(clock).documents, clock, lease_ms=60_000)


def ask(queue, rows=3, *, batch="b1", annotators=1, assignees=()):
    queue.add(
        ReviewBatch(
            id=batch,
            endpoint="films",
            created_ms=0,
            created_by="ann",
            rows=rows,
            random=0,
            population=10,
            assignees=assignees,
        ),
        [
            ReviewRow(
                batch=batch,
                position=at,
                id=f"p{at}",
                endpoint="films",
                model_version="films/1",
                row={"x": at},
                annotators=annotators,
            )
            for at in range(rows)
        ],
    )


def test_rows_are_handed_out_in_order_and_come_back_when_the_lease_ends(queue, clock):
    ask(queue)
    assert queue.take("ann").name == queue.take("ann").name == "b1/000000"  # a page that is loaded again
    assert queue.take("bob").name == "b1/000001"
    clock.now_ms += 60_001
    assert queue.take("cyd").name == "b1/000000"
    assert queue.take("ann").name == "b1/000001"


def test_answers_skips_and_progress(queue):
    ask(queue)
    for who, name in (("ann", "b1/0"), ("bob", "b1/1")):
        assert queue.take(who).position == int(name[-1])
    queue.finish("b1/0", "ann")
    queue.finish("b1/000000", "ann")
    queue.skip("b1/1", "bob")
    progress = queue.progress(queue.batch("b1"))
    assert (progress.done, progress.open, progress.skipped, progress.by) == (2, 1, 1, {"ann": 1})
    assert queue.take("ann").position == 2
    queue.give_back("b1/2", "ann")
    queue.finish(queue.take("bob").name, "bob")
    assert queue.take("ann") is None
    assert queue.batch("b1").closed


def test_several_annotators_are_different_people(queue):
    ask(queue, rows=1, annotators=2)
    row = queue.take("ann")
    queue.finish(row.name, "ann")
    assert queue.take("ann") is None
    assert queue.take("bob").name == row.name
    assert queue.take("cyd") is None  # both places are taken
    queue.finish(row.name, "bob")
    assert queue.row(row.name).done


def test_assignees(queue):
    ask(queue, assignees=("ann",))
    assert queue.take("bob") is None
    with pytest.raises(UsageError, match="expected one of ann"):
        queue.take("bob", batch_id="b1")
    with pytest.raises(NotFoundError, match="b1"):
        queue.take("ann", batch_id="b2")
    with pytest.raises(NotFoundError, match="BATCH/POSITION"):
        queue.row("b1/nine")


def test_many_at_once_never_get_the_same_row(queue):
    ask(queue, rows=40)
    got: list[str] = []
    start = threading.Barrier(8)

    def work(who):
        start.wait()
        while (row := queue.take(who)) is not None:
            got.append(row.name)
            queue.finish(row.name, who)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(got) == [f"b1/{at:06d}" for at in range(40)]


def test_rows_that_are_labelled_elsewhere_are_done_and_told_apart(clock):
    labellers = {}
    queue = ReviewQueue(MemoryRecords(clock).documents, clock, lease_ms=60_000, labellers=lambda _: labellers)
    ask(queue, 4, annotators=2)
    first, second, third, fourth = queue.rows("b1")
    queue.finish(first.name, "ann")
    queue.finish(second.name, "ann")
    queue.finish(second.name, "ben")
    mine = queue.take("cyd")
    labellers |= {
        first.id: {"ann", "billing"},  # ann's answer and another label
        second.id: {"ann", "ben", "billing"},  # needs nobody else's
        third.id: {None, "billing"},
        fourth.id: {"billing"},  # one of two
    }
    assert mine.name == first.name
    progress = queue.progress(queue.batch("b1"))
    assert (progress.done, progress.elsewhere, progress.open, progress.leased) == (3, 2, 1, 0)
    assert progress.by == {"ann": 2, "ben": 1}
    assert progress.to_json()["elsewhere"] == 2
    assert [row.name for row in queue.open_rows("b1")] == [fourth.name]
    assert queue.take("cyd").name == fourth.name  # not the first, which they have
    labellers[fourth.id] = {"billing", "cyd"}
    assert queue.take("dan") is None
    assert queue.batch("b1").closed
