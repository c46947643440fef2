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
