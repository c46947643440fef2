"""What several workers measured, as one: sums, what ended counts on, and what callers may not know stays out."""

import fcntl
import os

import pytest

from bakeoff.web.measures import EndpointMeasures, Measures
from bakeoff.web.worker_measures import WorkerMeasures, together


def measured(calls, *, endpoints=("films",), ready=True, waiting=0, route="/predict"):
    measures = Measures()
    for at in range(calls):
        measures.add(route, 200, 0.002 * (at + 1))
    return measures.render(
        [
            EndpointMeasures(
                endpoint=name,
                model_version="films/1",
                ready=ready,
                violated={("year", "max"): calls},
                lacked={},
                waiting=waiting,
            )
            for name in endpoints
        ]
    )


def values(text):
    return {k: float(v) for k, _, v in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")}


def test_counters_and_histograms_are_sums_and_gauges_of_those_that_live():
    own, other, gone = measured(3, waiting=1), measured(2, waiting=4, ready=False), measured(4, waiting=9)
    all_of_it = values(together(own, [other], [gone], ["films"]))
    assert all_of_it['bakeoff_http_requests_total{route="/predict",status="200"}'] == 9
    assert all_of_it['bakeoff_contract_violations_total{endpoint="films",column="year",rule="max"}'] == 9
    assert all_of_it['bakeoff_http_request_duration_seconds_bucket{route="/predict",le="0.0025"}'] == 3
    assert all_of_it['bakeoff_http_request_duration_seconds_count{route="/predict"}'] == 9
    assert all_of_it['bakeoff_http_request_duration_seconds_sum{route="/predict"}'] == pytest.approx(0.038)
    assert all_of_it['bakeoff_waiting_calls{endpoint="films"}'] == 5
    assert all_of_it['bakeoff_endpoint_ready{endpoint="films",model_version="films/1"}'] == 0
    assert together(own, [], [], ["films"]) == own


def test_what_this_worker_never_had_is_there_and_what_a_caller_may_not_know_is_not():
    more = '# HELP vllm:x_total X.\n# TYPE vllm:x_total counter\nvllm:x_total{model_name="films"} 2\n'
    hidden = "# HELP bakeoff_limited_calls_total L.\n# TYPE bakeoff_limited_calls_total counter\n"
    hidden += 'bakeoff_limited_calls_total{limit="ana"} 3\n'
    other = measured(1, endpoints=("films", "secret")) + more + more.replace("films", "secret") + hidden
    text = together(measured(1), [other], [], ["films"])
    assert values(text)['vllm:x_total{model_name="films"}'] == 2
    assert "secret" not in text
    assert "limited" not in text


def test_files_of_workers_that_end_and_come_again(tmp_path):
    """Counters never go back, whoever is asked, whatever ends."""
    count = 'bakeoff_http_requests_total{route="/predict",status="200"}'
    first, second = WorkerMeasures(tmp_path), WorkerMeasures(tmp_path)
    first.render, second.render = lambda: measured(3, waiting=1), lambda: measured(2, waiting=2)

    def asked(worker):
        seen = values(worker.together(worker.render(), ["films"]))
        return seen[count], seen['bakeoff_waiting_calls{endpoint="films"}']

    assert asked(first) == (3, 1)
    assert asked(second) == (5, 3)
    assert asked(first) == (5, 3)
    with second.writing(60):
        second.render = lambda: measured(4)
    assert asked(first) == (7, 1)  # it has ended: what it measured last counts
    third = WorkerMeasures(tmp_path)  # which puts together what ended
    third.render = lambda: measured(1)
    assert len(list(tmp_path.glob("*.alive"))) == 2
    assert asked(third) == asked(first) == (8, 1)
    os.close(first._alive)  # as by a kill
    assert asked(third) == (8, 0)
    fourth = WorkerMeasures(tmp_path)
    fourth.render = lambda: measured(0)
    assert asked(fourth) == asked(third) == (8, 0)
    assert len(list(tmp_path.glob("*.txt"))) == 3  # of the third and the fourth, and of those that ended


def test_stopped_while_it_puts_together_nothing_counts_twice(tmp_path, monkeypatch):
    gone = WorkerMeasures(tmp_path)
    with gone.writing(60):
        gone.render = lambda: measured(5)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            WorkerMeasures(tmp_path)
    count = 'bakeoff_http_requests_total{route="/predict",status="200"}'
    worker = WorkerMeasures(tmp_path)
    worker.render = lambda: measured(1)
    assert values(worker.together(worker.render(), ["films"]))[count] == 6
    with (tmp_path / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it
