import threading
import time

from bakeoff.evaluate.score.alone import beside_others


def test_while_one_is_alone_no_other_works(tmp_path):
    working, measured, beside, lock = [], [], [], threading.Lock()

    def job(number):
        with beside_others(tmp_path) as alone:
            for _ in range(3):
                working.append(number)
                time.sleep(0.01)
                with lock:
                    beside.append(len(working))
                working.remove(number)
                with alone():
                    before = list(working)
                    time.sleep(0.01)
                    measured.append([*before, *working])

    threads = [threading.Thread(target=job, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert measured == [[]] * 12
    assert max(beside) > 1


def test_who_was_alone_goes_on_when_nobody_waits_to_be(tmp_path):
    events, measured = [], threading.Event()

    def second():
        with beside_others(tmp_path) as alone:
            measured.set()
            with alone():
                events.append("second is alone")

    with beside_others(tmp_path) as alone:
        other = threading.Thread(target=second)
        other.start()
        measured.wait()
        time.sleep(0.1)  # it waits to be alone by now
        with alone():
            events.append("first is alone")
        events.append("first goes on")
    other.join()
    assert events.index("second is alone") < events.index("first goes on")
