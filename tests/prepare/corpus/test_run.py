"""A chain over files gives what it gives over a table, whatever the format, the blocks and the workers."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from bakeoff.core.errors import ConfigError, ConflictError, DataError, NotFoundError, UsageError
from bakeoff.core.types import Column, Schema
from bakeoff.data.zstd import zstd
from bakeoff.prepare.corpus.journal import Finished, Journal, is_resumable
from bakeoff.prepare.corpus.run import Tokens
from bakeoff.prepare.corpus.run import prepare_corpus as prepare_on_all_cores
from bakeoff.prepare.corpus.work import Done
from bakeoff.prepare.rows.minhash import MinHashParams
from bakeoff.prepare.rows.near_duplicates import near_duplicate_groups
from bakeoff.prepare.steps import Preparation

pytestmark = pytest.mark.slow

STEPS = ["strip_html", "squeeze_whitespace", "drop_empty", "drop_duplicates", "mask", "drop_near_duplicates", "stem"]
SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="", inputs=("text",))
WORDS = [f"word{i}" for i in range(400)]


def prepare_corpus(*given, workers=1, **named):
    """On one worker, which is this process."""
    return prepare_on_all_cores(*given, workers=workers, **named)


def rows(count=600, seed=4):
    """Texts with copies, near copies, blanks, markup, quotes and line breaks."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        kind = rng.random()
        if found and kind < 0.15:
            text = rng.choice(found)["text"]
        elif found and kind < 0.4:
            text = f"{rng.choice(found)['text'] or ''} {rng.choice(WORDS)}"
        elif kind < 0.45:
            text = None
        else:
            text = f'<p>{" ".join(rng.choices(WORDS, k=40))}, "a {number}"\n see https://x.org/{number}</p> é'
        found.append({"id": f"doc-{number}", "text": text, "stars": number % 5})
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The same rows in every format."""
    folder = tmp_path_factory.mktemp("corpus")
    table = pl.DataFrame(rows())
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()).encode()
    (folder / "c.jsonl").write_bytes(lines)
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(lines))
    (folder / "c.jsonl.zst").write_bytes(zstd.compress(lines))
    table.write_csv(folder / "c.csv")
    table.write_csv(folder / "c.tsv", separator="\t")
    table.write_parquet(folder / "c.parquet")
    for part in range(3):
        table[part * 200 : part * 200 + 200].write_parquet(folder / f"many-{part}.parquet")
    return folder


@pytest.fixture(scope="module")
def expected():
    return Preparation(STEPS).apply_rows_and_columns(pl.DataFrame(rows()), SCHEMA)


@pytest.mark.parametrize(
    ("name", "block_bytes"),
    [
        ("c.jsonl", 10_000),
        ("c.jsonl.gz", 50_000),
        ("c.jsonl.zst", 10**7),
        ("c.csv", 9_000),
        ("c.tsv", 30_000),
        ("c.parquet", 20_000),
        ("many-*.parquet", 10**7),
    ],
)
def test_files_give_what_a_table_gives(corpus, expected, tmp_path, name, block_bytes) -> None:
    told = prepare_corpus([name], tmp_path / "out.parquet", steps=STEPS, folder=corpus, block_bytes=block_bytes)
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.select("id", "text").equals(expected.table.select("id", "text"))
    assert found["stars"].cast(pl.Int64).equals(expected.table["stars"])
    assert (told.rows_in, told.rows_out) == (600, expected.table.height)
    assert [(s.step, s.rows_in, s.rows_out, s.cells_changed) for s in told.steps] == [
        (c.step, c.rows_in, c.rows_out, c.cells_changed) for c in expected.changes
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize(
    ("name", "several"), [("out.jsonl.gz", 3), ("out.jsonl.zst", 1), ("folder", 1), ("out.parquet", 3)]
)
def test_the_result_does_not_depend_on_workers_or_blocks(corpus, tmp_path, name, several) -> None:
    found = []
    for workers, block_bytes in ((1, 10**7), (several, 12_000)):
        out = tmp_path / f"{block_bytes}" / name
        prepare_corpus([str(corpus / "c.jsonl")], out, steps=STEPS, workers=workers, block_bytes=block_bytes)
        files = f"{out}/*.parquet" if out.is_dir() else str(out)
        found.append(pl.read_parquet(files) if "." not in name or "parquet" in name else pl.read_ndjson(out))
    assert found[0].equals(found[1])
    assert found[0].height > 200


def test_near_duplicates_are_those_of_the_exact_reference_and_told(corpus, tmp_path) -> None:
    texts = pl.DataFrame(rows())["text"]
    groups = near_duplicate_groups(texts, MinHashParams(words=2, bands=14, rows=8))
    step = {"name": "drop_near_duplicates", "words": 2, "bands": 14, "rows": 8}
    out = tmp_path / "out.parquet"
    told = prepare_corpus([str(corpus / "c.jsonl")], out, steps=[step], block_bytes=7000)
    firsts = [f"doc-{row}" for row, group in enumerate(groups.tolist()) if row == group]
    assert pl.read_parquet(out)["id"].to_list() == firsts
    (found,) = told.duplicates
    assert found.rows_dropped == 600 - len(firsts)
    members = [row for row, group in enumerate(groups.tolist()) if group == found.largest[0].rows[0]]
    assert (found.largest[0].size, found.largest[0].rows) == (len(members), members[:10])
    assert sum(found.sizes.values()) == found.clusters
    assert [groups[pair.dropped] for pair in found.pairs] == [pair.stayed for pair in found.pairs]
    assert all(pair.stayed_text != pair.dropped_text for pair in found.pairs)
    assert json.dumps(told.to_json())


def test_rows_in_the_report_are_numbers_in_the_corpus(corpus, tmp_path) -> None:
    told = prepare_corpus(
        [str(corpus / "c.jsonl")], tmp_path / "out", steps=["drop_empty", "drop_duplicates"], block_bytes=5000
    )
    given = rows()
    for cluster in told.duplicates[0].largest:
        texts = {given[row]["text"] for row in cluster.rows}
        assert len(texts) == 1
        assert cluster.start == next(iter(texts))[:120]


def test_words_and_tokens_end_a_chain(corpus, tmp_path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "word1": 1, "see": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    out = tmp_path / "out.parquet"
    tokens = Tokens(tokenizer=str(tmp_path), ids=True)
    told = prepare_corpus([str(corpus / "c.jsonl")], out, tokens=tokens, block_bytes=20_000)
    found = pl.read_parquet(out)
    assert found.schema["token_ids"] == pl.List(pl.UInt32)
    assert found["token_ids"].list.len().fill_null(0).sum() == told.tokens == found["tokens"].sum()
    assert found["text"].is_null().equals(found["tokens"].is_null().rename("text"))
    told = prepare_corpus([str(corpus / "c.jsonl")], out, tokens=Tokens(ids=True), replace=True)
    assert pl.read_parquet(out)["words"].drop_nulls()[0].to_list()[1].startswith("word")


def test_lines_that_are_no_records_are_set_aside_up_to_a_share(tmp_path) -> None:
    good = [json.dumps({"id": i, "text": f"text {i}"}).encode() for i in range(98)]
    (tmp_path / "c.jsonl").write_bytes(
        b"\n".join([*good[:50], b"{broken", b'{"text": "\xff\xfe"}', *good[50:]]) + b"\n"
    )
    with pytest.raises(DataError, match=r"at most 1% lines .* found 2 of 100(.|\n)*not a JSON object"):
        prepare_corpus(["c.jsonl"], tmp_path / "out.jsonl", folder=tmp_path)
    assert not (tmp_path / "out.jsonl").exists()
    told = prepare_corpus(["c.jsonl"], tmp_path / "out.jsonl", folder=tmp_path, max_bad_share=0.05)
    assert (told.rows_in, told.bad_lines) == (98, 2)
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbfid,text\n1,a\n2\n3,\xff\n4,b\n")
    told = prepare_corpus(["c.csv"], tmp_path / "csv.jsonl", folder=tmp_path, max_bad_share=0.9)
    assert pl.read_ndjson(tmp_path / "csv.jsonl").rows() == [("1", "a"), ("4", "b")]
    assert told.bad_lines == 2


def test_hostile_texts_and_a_line_of_ten_megabytes(tmp_path) -> None:
    texts = ["", "\x00\x00", "שלום \u202e abc", "👩‍👩‍👧" * 50, "<div>" * 10_000 + "deep", "a b " * 2_500_000, None]
    lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(texts)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    steps = ["repair_unicode", "strip_html", "squeeze_whitespace", "redact_pii", "drop_near_duplicates"]
    told = prepare_corpus(["c.jsonl"], tmp_path / "out.parquet", steps=steps, folder=tmp_path, block_bytes=100_000)
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert (told.rows_in, found["id"].to_list()) == (7, list(range(7)))
    assert found["text"].to_list()[4] == "deep"


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"steps": ["strip_htm"]}, ConfigError, "Did you mean 'strip_html'"),
        ({"text": ["body"]}, DataError, r"expected the text column 'body', found id, text, stars"),
        ({"inputs": ["none.jsonl"]}, (DataError, NotFoundError), "none.jsonl"),
        ({"out": "out.xlsx"}, UsageError, r"\.parquet, \.jsonl"),
        ({"workers": -1}, UsageError, "workers of at least 0"),
        ({"tokens": Tokens(tokenizer="/no/such")}, DataError, "^expected the tokenizer.json of"),
        ({"steps": ["impute"]}, UsageError, "impute: they learn"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_nothing(corpus, tmp_path, given, error, told) -> None:
    call = {"inputs": [str(corpus / "c.jsonl")], "out": "out.parquet", **given}
    with pytest.raises(error, match=told):
        prepare_corpus(call.pop("inputs"), tmp_path / call.pop("out"), **call)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays_unless_it_may_be_replaced(corpus, tmp_path) -> None:
    out = tmp_path / "out"
    source = [str(corpus / "c.csv")]
    prepare_corpus(source, out)
    with pytest.raises(UsageError, match="a name that is free"):
        prepare_corpus(source, out)
    prepare_corpus(source, out, steps=["drop_empty"], replace=True)
    assert pl.read_parquet(out)["text"].null_count() == 0
    (tmp_path / "file").write_text("something")
    prepare_corpus(source, tmp_path / "file", replace=True)
    assert pl.read_parquet(tmp_path / "file").height == 600


def test_columns_without_a_value_yet_are_text(tmp_path) -> None:
    lines = [json.dumps({"text": "a", "note": None}), json.dumps({"text": "b", "note": "late"})]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    prepare_corpus(["c.jsonl"], tmp_path / "out.parquet", folder=tmp_path, block_bytes=1)
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == [("a", None), ("b", "late")]


def test_types_come_from_the_whole_stream(tmp_path) -> None:
    rows = [{"text": f"row {i}", "score": i % 5 + (0.75 if i >= 50 else 0), "x": i or "none"} for i in range(100)]
    rows[-1]["late"] = "here"
    rows[3]["text"] = 12
    lines = "".join(json.dumps(row) + "\n" for row in rows).replace("row 7", "\\ud800")
    (tmp_path / "c.jsonl").write_text(lines)
    out = tmp_path / "out.jsonl"
    told = prepare_corpus(["c.jsonl"], out, folder=tmp_path, steps=["squeeze_whitespace"], block_bytes=500)
    made = pl.read_ndjson(out, infer_schema_length=None)
    assert made["score"].sum() == sum(row["score"] for row in rows)
    assert made.columns == ["text", "score", "x", "late"]
    assert (made["late"].to_list()[-1], made["text"].to_list()[3:5]) == ("here", ["12", "row 4"])
    assert [(loss.kind, loss.subject, loss.count) for loss in told.losses] == [("column", "x", 1), ("text", None, 11)]


def test_a_result_without_rows_names_the_step(tmp_path) -> None:
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    told = prepare_corpus(["c.jsonl"], tmp_path / "out.jsonl", folder=tmp_path, steps=["keep_quality"])
    assert told.rows_out == 0
    assert [(loss.kind, loss.subject, loss.count, loss.of) for loss in told.losses] == [("row", "keep_quality", 2, 2)]


@pytest.mark.parametrize("out", ["o[1].parquet", "o*.jsonl", "fol[a]der"])
def test_names_that_could_be_patterns_are_names(tmp_path, out) -> None:
    folder = tmp_path / "we[1]rd *"
    folder.mkdir()
    with (folder / "in[1].parquet").open("wb") as file:  # polars would take the name for a pattern
        pl.DataFrame({"text": ["a", "b", "a"]}).write_parquet(file)
    (folder / "more[2].jsonl").write_text('{"text": "c"}\n{"text": "a"}\n')
    steps = ["drop_duplicates", "squeeze_whitespace"]
    told = prepare_corpus(["in[1].parquet", "more[2].jsonl"], folder / out, folder=folder, steps=steps)
    assert (told.rows_in, told.rows_out) == (5, 3)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["in[1].parquet", "more[2].jsonl", out])


def test_what_json_does_not_have_is_told(tmp_path) -> None:
    nan, inf = float("nan"), float("inf")
    rows = [{"text": "a", "x": nan, "y": [inf, 1.0], "z": {"q": -inf}}, {"text": "b", "x": 2.5, "y": None, "z": None}]
    pl.DataFrame(rows).write_parquet(tmp_path / "c.parquet")
    told = prepare_corpus(["c.parquet"], tmp_path / "out.jsonl", folder=tmp_path)
    assert [(loss.kind, loss.count) for loss in told.losses] == [("cell", 3)]
    assert "NaN and infinities" in told.losses[0].reason
    told = prepare_corpus(["c.parquet"], tmp_path / "out.parquet", folder=tmp_path)
    assert told.losses == []
    (tmp_path / "n.jsonl").write_text('{"text": "a", "x": 1234567890123456789.25}\n')
    told = prepare_corpus(["n.jsonl"], tmp_path / "n.parquet", folder=tmp_path)
    assert [(loss.reason, loss.count) for loss in told.losses] == [
        ("numbers of more digits than a double holds were rounded", 1)
    ]
    pl.DataFrame({"text": ["a"], "z": [{"raw": b"\xff"}]}).write_parquet(tmp_path / "bytes.parquet")
    with pytest.raises(DataError, match="column 'z': expected values that JSON can hold, found bytes"):
        prepare_corpus(["bytes.parquet"], tmp_path / "bytes.jsonl", folder=tmp_path)
    assert prepare_corpus(["bytes.parquet"], tmp_path / "again.parquet", folder=tmp_path).rows_out == 1


def test_a_full_disk_has_an_error_of_its_own_and_leaves_nothing(corpus, tmp_path) -> None:
    command = [sys.executable, "-m", "bakeoff", "data", "prepare", str(corpus / "c.jsonl"), "--out", "out.jsonl"]
    limited = ["sh", "-c", 'ulimit -f 40; exec "$@"', "sh", *command, "--workers", "1"]
    lasting = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # Python keeps bytecode that a limit cut short
    done = subprocess.run(limited, check=False, cwd=tmp_path, capture_output=True, text=True, env=lasting)
    assert done.returncode == 1
    assert done.stderr.count("expected room in") == 1
    assert "Nothing was written; free some room" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_runs_do_not_write_the_same_place(corpus, tmp_path) -> None:
    import fcntl

    (tmp_path / ".out.partial").mkdir()
    with (tmp_path / ".out.partial" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="another process"):
            prepare_corpus([str(corpus / "c.csv")], tmp_path / "out")


def test_a_killed_run_leaves_nothing_in_place_and_the_next_one_goes_on(corpus, tmp_path) -> None:
    (tmp_path / "big.jsonl").write_bytes((corpus / "c.jsonl").read_bytes() * 8)
    steps = ["strip_html", "drop_near_duplicates", "stem"]
    code = (
        "from pathlib import Path; from bakeoff import prepare_corpus; "
        f"prepare_corpus(['big.jsonl'], Path('out.jsonl'), steps={steps}, workers=2, block_bytes=20_000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    journal = tmp_path / ".out.jsonl.partial" / "journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b'"stage":0,') < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out.jsonl").exists()
    given = {"steps": steps, "folder": tmp_path, "block_bytes": 20_000}
    # An undisturbed run, to another place, is what the one that went on must equal.
    prepare_corpus(["big.jsonl"], tmp_path / "whole.jsonl", **given)
    told = prepare_corpus([str(tmp_path / "big.jsonl")], tmp_path / "out.jsonl", **given)
    assert told.rows_in == 4800
    assert told.resumed_blocks >= 1
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.jsonl", "out.jsonl", "whole.jsonl"]


def test_a_journal_is_read_to_its_last_whole_line_and_only_for_its_own_plan(tmp_path) -> None:
    first = Journal(tmp_path, b"plan")
    for part in range(3):
        first.add(Finished(stage=0, done=Done(part=part, size_bytes=part)))
    with (tmp_path / "journal.jsonl").open("ab") as out:
        out.write(b'{"type":"Finis')
    again = Journal(tmp_path, b"plan")
    assert [done.part for done in again.finished(0, lambda _: True)] == [0, 1, 2]
    assert [done.part for done in again.finished(0, lambda done: done.size_bytes < 1)] == [0]
    assert again.finished(1, lambda _: True) == []
    assert is_resumable(tmp_path, b"plan")
    assert not is_resumable(tmp_path, b"another")


@pytest.mark.processes
def test_a_worker_that_dies_is_told(corpus, tmp_path, monkeypatch) -> None:
    from bakeoff.prepare.corpus.pool import Pool

    def die(self, requests):
        os.kill(self._processes[0].pid, signal.SIGKILL)
        return whole(self, requests)

    whole = Pool.run
    monkeypatch.setattr(Pool, "run", die)
    with pytest.raises(DataError, match="killed by signal 9"):
        prepare_corpus([str(corpus / "c.jsonl")], tmp_path / "out", workers=1)
    assert list(tmp_path.iterdir()) == []
