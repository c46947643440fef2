"""Runs that are killed, that meet at one output, or that have no room; many of them by `make bench-stream-damage`."""

import fcntl
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from bakeoff.core.errors import UsageError
from bakeoff.prepare.corpus import run as running
from bakeoff.prepare.corpus.run import prepare_corpus
from bakeoff.prepare.corpus.workspace import workspace

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from stream_damage import Trials


def test_killed_runs_full_disks_and_pairs(tmp_path) -> None:
    made = Trials(tmp_path, rows=600, seed=5)
    assert made.kill() == "as undisturbed"
    assert made.full().startswith("told")
    assert made.pair().startswith("refused")


def test_the_lock_of_a_folder_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch) -> None:
    """A run ends, and removes its folder, just when the next one has opened the lock in it."""
    folder, crossings, real = tmp_path / ".out.partial", [1], fcntl.flock

    def crossing(lock, how):
        if crossings:
            crossings.pop()
            shutil.rmtree(folder)
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", crossing)
    with (
        workspace(tmp_path / "out", replace=False) as scratch,
        (scratch / "lock").open() as other,
        pytest.raises(BlockingIOError),
    ):
        real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(tmp_path.iterdir()) == []


def test_what_another_run_has_written_meanwhile_stays(tmp_path, monkeypatch) -> None:
    (tmp_path / "c.csv").write_text("text\nmine\n")
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(running, "check_free", lambda *_, **__: out.write_text("theirs"))
    with pytest.raises(UsageError, match="a name that is free"):
        prepare_corpus(["c.csv"], out, folder=tmp_path, workers=1)
    assert out.read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "out.jsonl"]


def test_a_run_of_which_a_finished_part_is_gone_begins_anew(tmp_path, monkeypatch) -> None:
    texts = [f"text {number % 40} of many" for number in range(100)]
    pl.DataFrame({"text": texts}).write_ndjson(tmp_path / "c.jsonl")
    given = {"steps": ["drop_duplicates", "stem"], "folder": tmp_path, "workers": 1, "block_bytes": 500}
    prepare_corpus(["c.jsonl"], tmp_path / "whole.jsonl", **given)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_corpus(["c.jsonl"], tmp_path / "out.jsonl", **given)
    parts = sorted((tmp_path / ".out.jsonl.partial" / "parts").iterdir())
    assert len(parts) > 3
    parts[1].write_bytes(b"")
    report = prepare_corpus(["c.jsonl"], tmp_path / "out.jsonl", **given)
    assert (report.rows_in, report.rows_out, report.resumed_blocks) == (100, 40, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
