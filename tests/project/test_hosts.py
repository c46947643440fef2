"""Several "hosts" in one project: processes with folders of their own and shared stores."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConflictError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.records import Document
from bakeoff.project import lease
from bakeoff.project.lease import leased
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.memory import MemoryRecords

pytestmark = pytest.mark.slow

HOST = """
    import json, random, sys
    from bakeoff import Project
    from bakeoff.core.errors import ConflictError
    from bakeoff.project.wiring import now_ms

    folder, number, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(number)
    done = {"predictions": [], "labels": 0, "runs": [], "conflicts": 0}
    with Project(folder, clock=lambda: now_ms() + number * 3_600_000) as project:  # an hour apart each
        for _ in range(rounds):
            words = draw.choice(["good", "great", "awful", "dull"])
            answers = project.predict([{"review": f"{words} film {draw.random()}", "year": 1990}] * 3)
            done["predictions"] += [each.id for each in answers]
            taken = project.feedback([{"id": each.id, "label": draw.choice(["yes", "no"])} for each in answers])
            done["labels"] += taken.accepted
            if draw.random() < 0.3:
                try:
                    turn = project.loop_once()
                    done["runs"] += [turn.outcome.results.run_id] if turn.outcome else []
                except ConflictError:
                    done["conflicts"] += 1
    print(json.dumps(done))
"""
ROUNDS = 15


@pytest.fixture
def hosts(films_project, empty_postgresql, bucket, tmp_path):
    """Folders of four hosts, and what they have in common."""
    stores = {"records": empty_postgresql, "blobs": bucket, "events": empty_postgresql}
    lines = "\n".join(f'{key} = "{url}"' for key, url in stores.items())
    more = "[loop]\ntriggers = ['feedback', 'data']\nfeedback_rows = 30\n[monitor]\nmin_rows = 10\nmin_feedback = 10\n"
    folders = [tmp_path / f"host-{number}" for number in range(4)]
    for folder in folders:
        folder.mkdir()
        shutil.copy(films_project / "films.csv", folder)
        (folder / "bakeoff.toml").write_text((films_project / "bakeoff.toml").read_text() + f"[store]\n{lines}\n{more}")
    return folders


def test_four_hosts_run_serve_and_label_together(hosts, few_fits):
    with Project(hosts[0]) as project:
        first = project.run()
    code = textwrap.dedent(HOST)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(number), str(ROUNDS)], stdout=subprocess.PIPE, text=True
        )
        for number, folder in enumerate(hosts)
    ]
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    done = [json.loads(output) for output in outputs]
    with Project(hosts[3]) as project:
        logged = [event.id for event in project.events.read(PredictionEvent)]
        acknowledged = [name for each in done for name in each["predictions"]]
        assert sorted(logged) == sorted(acknowledged)  # no lost update, none twice
        assert sum(1 for _ in project.events.read(FeedbackEvent)) == sum(each["labels"] for each in done)
        last = project.loop_once().outcome  # a slow machine may not have come to it
        done[3]["runs"] += [last.results.run_id] if last else []
        contents = [(version.name, version.content) for version in project.datasets()]
        assert len(contents) == len(set(contents)) > 1
        changes = project.endpoints.show().changes
        releases = [change.after.live for change in changes if change.after.live != change.before.live]
        assert len(releases) == len(set(releases))  # none twice
        ran = [run for each in done for run in each["runs"]]
        assert len(ran) == len(set(ran)) >= 1
        finished = {run.run_id for run in project.runs() if run.status == "FINISHED" and run.parent_id is None}
        assert finished >= {first.run_id, *ran}
        assert not [run for run in project.runs() if run.status == "RUNNING"]
        assert project.verify() == []


# --- the lease ----------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 0.6)
    monkeypatch.setattr(lease, "LOOK_S", 0.02)


def documents():
    return MemoryRecords(FakeClock()).documents


def test_a_live_holder_is_waited_for_no_longer_than_until_it_renews(quick, tmp_path):
    records = documents()
    with leased(records, tmp_path / "a", progress=print):
        began = time.monotonic()
        with pytest.raises(ConflictError, match=r"one is on at .*/a"), leased(records, tmp_path / "b", progress=print):
            pass
        assert time.monotonic() - began < 0.5
        time.sleep(0.8)  # renewed meanwhile
        with pytest.raises(ConflictError), leased(records, tmp_path / "b", progress=print):
            pass
    with leased(records, tmp_path / "b", progress=print):  # it was given back
        pass


def test_a_dead_holder_is_taken_over_whatever_its_clock_said(quick, tmp_path):
    records, lines = documents(), []
    records.put("leases", "run", {"holder": "elsewhere:/folder:1"})
    began = time.monotonic()
    with leased(records, tmp_path, progress=lines.append):
        assert 0.5 < time.monotonic() - began < 2
    assert lines == ["waiting to see whether the run at elsewhere:/folder:1 is alive"]


def test_a_dead_holder_of_this_folder_is_taken_over_at_once(quick, tmp_path):
    records = documents()
    with leased(records, tmp_path, progress=print) as held:
        body = records.get("leases", "run").body
        held._ended.set()  # as when the process is killed
    records.put("leases", "run", body)
    began = time.monotonic()
    with leased(records, tmp_path, progress=print):
        assert time.monotonic() - began < 0.2


def test_who_was_asleep_for_too_long_stops(quick, tmp_path):
    records = documents()
    with pytest.raises(ConflictError, match="another host has taken over"):  # noqa: PT012, SIM117
        with leased(records, tmp_path / "a", progress=print) as held:
            revision = records.get("leases", "run").revision
            records.put("leases", "run", {"holder": "elsewhere"}, expected=revision)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                held.require()
                time.sleep(0.05)
    found = records.get("leases", "run")
    assert isinstance(found, Document)
    assert found.body == {"holder": "elsewhere"}  # what is another's is left alone


# --- SIGTERM ------------------------------------------------------------------------------------


def test_sigterm_is_obeyed_while_the_database_is_stopped(hosts, empty_postgresql):
    from pathlib import Path

    with Project(hosts[0]) as project:
        project.run()
    postmaster = int((Path(empty_postgresql.partition("host=")[2]) / "data" / "postmaster.pid").read_text().split()[0])
    command = [sys.executable, "-m", "bakeoff", "status", "-C", str(hosts[0])]
    os.kill(postmaster, signal.SIGSTOP)
    try:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "cannot be reached" in error
        assert time.monotonic() - began < 20
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(2.5, process.terminate)
        timer.start()
        process.communicate(timeout=30)
        timer.join()
        assert time.monotonic() - began < 40
    finally:
        os.kill(postmaster, signal.SIGCONT)
