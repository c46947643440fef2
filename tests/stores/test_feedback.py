"""Feedback on disk: keys are found wherever they are kept, and a kill loses nothing that was acknowledged."""

from bakeoff.feedback.join import labelled
from bakeoff.feedback.record import record
from bakeoff.feedback.truth import Truth
from bakeoff.stores.events import open_events
from bakeoff.testing.events import prediction

CLASSES = Truth("classification", ("no", "yes"))
SENDING = """
import itertools, os, sys
from pathlib import Path
from bakeoff.feedback.record import record
from bakeoff.stores.events import open_events

log = open_events("file://events", folder=Path(), clock=lambda: 0, segment_bytes=2000)
for number in itertools.count():
    record(log, [{"key": f"k{number}", "label": "yes"}, {"id": f"p{number}", "key": f"k{number}"}] * 3, endpoint="late")
    os.write(1, f"{number}\\n".encode())
    if number % 20 == 19: log.compact()
"""


def labels(log):
    return {pair.id: pair.label for pair in labelled(log, "late", truth_of=lambda _: CLASSES).pairs}


def test_keys_are_found_in_every_segment(tmp_path):
    log = open_events("file://events", folder=tmp_path, clock=lambda: 0, segment_bytes=500)
    for number in range(20):
        log.append([prediction(f"p{number}", label="no")])
        record(log, [{"id": f"p{number}", "key": f"k{number}"}], endpoint="late")
    log.compact()
    record(log, [{"key": f"k{number}", "label": "yes"} for number in range(20)], endpoint="late")
    expected = {f"p{number}": "yes" for number in range(20)}
    assert labels(log) == expected
    log.compact()
    log.close()
    assert labels(open_events("file://events", folder=tmp_path, clock=lambda: 0)) == expected


def test_a_kill_loses_no_feedback_that_was_acknowledged(tmp_path, start):
    child = start(SENDING)
    for line in child.stdout:
        if line == "60\n":
            child.kill()
            break
    sent = 61 + len(child.stdout.read().splitlines())
    log = open_events("file://events", folder=tmp_path, clock=lambda: 0)
    log.append([prediction(f"p{number}", label="no") for number in range(sent)])  # the predictions come last
    assert labels(log) == {f"p{number}": "yes" for number in range(sent)}
    log.close()
