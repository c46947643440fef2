"""Four "hosts" that serve over HTTP, are asked and labelled, run and retrain in one project, for minutes.

    make bench-hosts            # ten minutes; SECONDS=60 for fewer

Hosts are folders of their own with clocks an hour apart; they share PostgreSQL and an S3 server. Each has a server
(`bakeoff serve`), a caller who labels what it is answered, and a process that takes turns of the loop and runs. Every
minute callers begin to use words that no model knows yet, so that retrained models win and are released.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bakeoff import Project
from bakeoff.core.events import FeedbackEvent, PredictionEvent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif("BAKEOFF_HOSTS_S" not in os.environ, reason="takes minutes: make bench-hosts"),
]

HOSTS = 4
SECONDS = float(os.environ.get("BAKEOFF_HOSTS_S", "600"))
GRACE_S = 600
MORE = """
[loop]
triggers = ["feedback", "data"]
feedback_rows = 200
cool_down = "none"
[monitor]
min_rows = 10
min_feedback = 10
"""


@pytest.fixture
def hosts(films_project, empty_postgresql, bucket, tmp_path):
    stores = {"records": empty_postgresql, "blobs": f"{bucket}?timeout=60", "events": empty_postgresql}
    lines = "\n".join(f'{key} = "{url}"' for key, url in stores.items())
    folders = [tmp_path / f"host-{number}" for number in range(HOSTS)]
    for folder in folders:
        folder.mkdir()
        shutil.copy(films_project / "films.csv", folder)
        (folder / "bakeoff.toml").write_text((films_project / "bakeoff.toml").read_text() + f"[store]\n{lines}\n{MORE}")
    return folders


def test_four_hosts_for_minutes(hosts, few_fits, capsys):
    with Project(hosts[0]) as project:
        first = project.run()
    script = str(Path(__file__).with_name("host.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(folder), str(number), str(SECONDS)], stdout=subprocess.PIPE, text=True
        )
        for number, folder in enumerate(hosts)
    ]
    outputs = [process.communicate(timeout=SECONDS + GRACE_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * HOSTS
    done = [json.loads(output.splitlines()[-1]) for output in outputs]
    with Project(hosts[3]) as project:
        project.loop_once()  # what a host did not come to the end of
        logged = Counter(event.id for event in project.events.read(PredictionEvent))
        acknowledged = [name for each in done for name in each["predictions"]]
        unanswered = sum(each["failed"] for each in done)
        contents = Counter((version.name, version.content) for version in project.datasets())
        changes = project.endpoints.show().changes
        releases = Counter(change.after.live for change in changes if change.after.live != change.before.live)
        ran = Counter(run for each in done for run in each["runs"])
        runs = [run for run in project.runs() if run.parent_id is None]
        labels = sum(1 for _ in project.events.read(FeedbackEvent))
        with capsys.disabled():
            print(f"\n{SECONDS:.0f} s: {len(acknowledged):,} predictions and {labels:,} labels acknowledged, ", end="")
            print(f"{unanswered} calls failed {sum((Counter(each['why']) for each in done), Counter())}, ", end="")
            print(f"{len(runs)} runs, {len(contents)} datasets, {len(releases)} releases, ", end="")
            print(f"{sum(each['conflicts'] for each in done)} times another host was running")
        assert set(acknowledged) <= set(logged)  # no lost update
        assert max(logged.values()) == 1  # none twice
        assert len(logged) <= len(acknowledged) + 3 * unanswered
        assert sum(each["labels"] for each in done) <= labels <= sum(each["labels"] for each in done) + 3 * unanswered
        assert max(contents.values()) == 1
        assert len(contents) > 1
        assert max(releases.values()) == 1
        assert len(releases) > 1
        assert max(ran.values()) == 1
        assert {run.run_id for run in runs if run.status == "FINISHED"} >= {first.run_id, *ran}
        assert not [run for run in runs if run.status == "RUNNING"]
        assert project.verify() == []
