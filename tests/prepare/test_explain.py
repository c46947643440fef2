import polars as pl
import pytest

from bakeoff.core.types import Column, Schema
from bakeoff.prepare.corpus.sample import sample
from bakeoff.prepare.explain import explain, order_warnings

SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="", inputs=("text",))
PAGE = "This is a page of many words that have the sense of a text, and it goes on to be read with care. " * 4


def test_each_step_shows_what_it_changed_and_why_rows_go() -> None:
    table = pl.DataFrame({"text": ["<p>Hi <b>Ann</b></p>", "short", PAGE, PAGE + "End.", None]})
    steps = explain(
        table, SCHEMA, ["strip_html", {"name": "keep_quality", "rules": ["gopher"]}, "drop_near_duplicates"]
    )
    assert [(s.step, s.rows_in, s.rows_out, s.cells_changed) for s in steps] == [
        ("strip_html", 5, 5, 1),
        ("keep_quality", 5, 3, 0),
        ("drop_near_duplicates", 3, 2, 0),
    ]
    html, quality, near = (step.examples for step in steps)
    assert [(e.before, e.after) for e in html] == [("<p>Hi <b>Ann</b></p>", "Hi Ann")]
    assert [(e.row, e.why) for e in quality] == [
        (0, "breaks word_count, word_length, stop_words"),
        (1, "breaks word_count, stop_words"),
    ]
    assert near[0].row == 3
    assert near[0].why.startswith("like row 0: 'This is a page")


@pytest.mark.parametrize(
    ("steps", "pairs"),
    [
        (["drop_stop_words", "keep_quality"], [("drop_stop_words", "keep_quality")]),
        (["squeeze_whitespace", "c4_lines"], [("squeeze_whitespace", "c4_lines")]),
        ([{"name": "squeeze_whitespace", "keep_lines": True}, "c4_lines"], []),
        (["mask", "redact_pii"], [("mask", "redact_pii")]),
        (["drop_near_duplicates", "strip_html"], [("drop_near_duplicates", "strip_html")]),
        (["repair_unicode", "strip_html", "redact_pii", "keep_quality", "drop_near_duplicates", "stem"], []),
    ],
)
def test_orders_that_hurt_are_named(steps, pairs) -> None:
    warnings = order_warnings(steps)
    assert [tuple(warning.split("'")[1:4:2]) for warning in warnings] == pairs


def test_a_sample_is_of_the_beginning_the_middle_and_the_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("bakeoff.prepare.corpus.sample.BLOCK_BYTES", 100)
    (tmp_path / "c.jsonl").write_text("".join(f'{{"text": "row {i}", "n": {i / 2}}}\n' for i in range(50)))
    rows = sample(["c.jsonl"], text=["text"], folder=tmp_path).table
    assert rows["text"][0] == "row 0"
    assert rows["text"][-1] == "row 49"
    assert rows.height < 20
