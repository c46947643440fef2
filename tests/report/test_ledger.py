"""The ledger as people read it: short when nothing was lost, loud when it matters, the same on every page."""

import re

import pytest

from bakeoff.cli.ledger_page import ledger_page
from bakeoff.cli.terminal import loud as in_red
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.report.card_html import html as card_page
from bakeoff.report.html import html
from bakeoff.report.ledger import HEADS, alarms, chosen, headline, lines, plain
from bakeoff.report.markdown import markdown

HOSTILE = "<script>alert('x')</script> | `a` \x07"


def loss(kind="row", reason="target missing", count=1, **more):
    return Loss(kind=kind, reason=reason, count=count, **more)


def ledger(*losses, rows_in=1000, classes=None):
    lost = sum(each.count for each in losses if each.kind == "row" and each.candidate is None)
    return Ledger(rows_in=rows_in, rows_used=rows_in - lost, classes=classes or {}).with_losses(losses)


def test_nothing_lost_is_one_line_everywhere():
    nothing = ledger()
    assert ledger_page(nothing) == "ledger: nothing was lost: 1,000 rows read, all used"
    assert (lines(nothing), alarms(nothing), chosen(nothing)) == ([], [], None)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([loss(count=5)], "1,000 rows read, 995 used, 5 lost (0.5%)"),
        ([loss("cell", "not a number", 7)], "1,000 rows read, all used; also lost: 7 cells"),
        ([loss("column", "an id", subject="k")], "1,000 rows read, all used; also lost: 1 column"),
        ([loss("column", "[data] ignore", subject="k", chosen=True)], "nothing was lost: 1,000 rows read, all used"),
        ([loss("text", "256 tokens are read", 9, candidate="lora")], "1,000 rows read, all used"),
    ],
)
def test_the_headline_counts_rows_and_the_rest(losses, told):
    assert headline(ledger(*losses)) == told


def test_small_losses_are_listed_and_not_loud():
    small = ledger(loss(count=5), loss("column", "an id", subject="k"), loss("cell", "not a number", 3, subject="x"))
    assert alarms(small) == []
    assert [line.cells[:4] for line in lines(small)] == [
        ("row", "target missing", "", "5"),
        ("column", "an id", "k", "1"),
        ("cell", "not a number", "x", "3"),
    ]
    assert not any(line.matters for line in lines(small))


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (loss(count=20), "2% of the rows are lost: no model has seen them"),
        (
            loss("column", "as in an id", subject="price", grave=True, remedy="list it"),
            "column 'price' is left out though it looks informative: as in an id; list it",
        ),
        (
            loss("class", "all its rows were set aside", subject="None", classes={"None": 85}),
            "class 'None' is dropped (85 rows): all its rows were set aside",
        ),
        (
            loss("class", "a class of one row", 3, of=9, subject="y", examples=("'a'", "'b'")),
            "3 classes are dropped ('a', 'b', …): a class of one row",
        ),
        (
            loss("row", "too many cells", 10, classes={"ill": 10}),
            "all 10 rows lost to 'too many cells' are of class 'ill', to which 6% of all rows belong",
        ),
    ],
)
def test_what_matters_is_a_sentence_in_red(lost, told):
    loud = ledger(lost, classes={"ill": 50, "well": 940})
    assert alarms(loud) == [told]
    assert in_red(f"LOST: {told}") in ledger_page(loud)
    assert any(line.matters for line in lines(loud))


def test_many_small_losses_are_loud_together():
    assert alarms(ledger(*(loss(reason=f"reason {n}", count=6) for n in "abc"))) == [
        "2% of the rows are lost: no model has seen them"
    ]


def test_what_the_project_asked_for_is_loud_only_when_most_is_lost():
    step = loss(reason="step drop_duplicates", count=400, chosen=True)
    assert alarms(ledger(step)) == []
    assert alarms(ledger(step, loss(reason="step drop_empty", count=200, chosen=True))) == [
        "60% of the rows are lost: no model has seen them"
    ]
    assert alarms(ledger(step, loss(count=20))) == [
        "2% of the rows are lost, beside what steps leave out: no model has seen them"
    ]


def test_many_columns_of_one_reason_share_a_line():
    columns = [
        loss("column", f"nearly every value is another ({n} in 1,000 rows), as in an id", subject=f"k{n}", of=900)
        for n in range(951, 1000)
    ]
    (line,) = lines(ledger(*columns))
    assert line.cells == (
        "column",
        "nearly every value is another, as in an id",
        "k951, k952, k953 and 46 more",
        "49",
        "900 (5%)",
        "",
    )
    few = columns[:3]
    assert len(lines(ledger(*few))) == 3


def test_columns_that_the_project_ignores_are_named_apart():
    ignored = [loss("column", "[data] ignore", subject=f"c{n}", chosen=True) for n in range(7)]
    assert chosen(ledger(*ignored)) == "left out by [data] ignore: c0, c1, c2, c3, c4 and 2 more"
    assert lines(ledger(*ignored)) == []


def test_what_one_candidate_goes_without_is_named_by_it():
    lora = ledger(loss("row", "max_train_rows", 600, of=1000, candidate="lora", chosen=True))
    assert lines(lora)[0].cells == ("row", "max_train_rows", "lora", "600", "1,000 (60%)", "")
    assert alarms(lora) == []


def test_a_message_lists_reasons_and_names_the_class():
    lost = loss("row", "too many cells", 20, classes={"ill": 20}, examples=("line 7: a,b",))
    text = plain([lost], ledger(lost, classes={"ill": 20, "well": 500}))
    assert text == "  20 rows, too many cells, all of class 'ill': line 7: a,b"
    many = [loss(reason=f"reason {n}") for n in range(40)]
    assert plain(many, ledger(*many)).endswith("  and 10 more reasons")


def test_pages_show_one_table(make, make_card):
    lost = ledger(
        loss("row", "too many cells", 20, of=1000, classes={"ill": 20}, examples=("line 7",), remedy="mend the file"),
        loss("column", "[data] ignore", subject="note", chosen=True),
        classes={"ill": 100, "well": 880},
    )
    report = make(more={"ledger": lost.to_json()})
    for page in (html(report), card_page(make_card(ledger=lost))):
        section = re.search(r'<section id="ledger">.*?</section>', page, re.DOTALL)[0]
        assert "1,000 rows read, 980 used, 20 lost (2%)" in section
        assert "all 20 rows lost to &#39;too many cells&#39; are of class &#39;ill&#39;" in section
        assert "mend the file" in section
        assert "left out by [data] ignore: note" in section
        assert [head for head in HEADS if f">{head.capitalize()}</th>" in section] == list(HEADS)
    text = markdown(report)
    assert "1,000 rows read, 980 used, 20 lost (2%)." in text
    assert "| row | too many cells |" in text
    assert "⚠ **2% of the rows are lost" in text


def test_pages_of_runs_without_a_ledger_tell_what_they_kept(make):
    page = html(make())
    assert 'id="ledger"' not in page
    assert "Set aside: without a target" in page


def test_a_ledger_cannot_bring_markup(make, make_card):
    nasty = ledger(
        loss("row", HOSTILE, 30, subject=HOSTILE, examples=(HOSTILE,), classes={HOSTILE: 30}, remedy=HOSTILE),
        loss("class", HOSTILE, subject=HOSTILE),
        classes={HOSTILE: 30, "well": 900},
    )
    report = make(more={"ledger": nasty.to_json()})
    for page in (html(report), card_page(make_card(ledger=nasty))):
        assert "<script>alert" not in page
    assert "<script>" not in markdown(report)
