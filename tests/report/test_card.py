"""The data card: the same facts as JSON, as a page and as pictures; hostile names and values are text there."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from bakeoff.data.facts import column_facts
from bakeoff.report.card import from_bytes, to_bytes, to_json
from bakeoff.report.card_charts import MOST_DRAWN, charts, day
from bakeoff.report.card_html import html
from bakeoff.report.drawing import png

VOID = {"meta", "link", "img", "br", "input", "hr", "wbr"}


class Page(HTMLParser):
    """Elements and attributes that a browser would see; tags must match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.attributes, self.ids, self.links = [], [], [], set(), set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids |= {value for name, value in attrs if name == "id"}
        self.links |= {value for name, value in attrs if name == "href" and tag == "a"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_card_survives_being_kept(make_card):
    card = make_card()
    assert from_bytes(to_bytes(card)) == card
    told = to_json(card)
    assert told["columns"][1]["numbers"]["histogram"]["counts"]
    assert told["steps"][0]["examples"] == [{"before": "a fine film", "after": None}]


@pytest.mark.parametrize("hostile", [False, True])
def test_the_page_holds_no_markup_but_its_own(make_card, hostile):
    text = html(make_card(hostile=hostile))
    page = Page(text)
    assert page.elements.count("script") == 1
    assert "img" not in page.elements
    assert not [name for name in page.attributes if name.startswith("on")]
    assert {link[1:] for link in page.links} <= page.ids  # no link leads out of the page
    for known in ("http://", "https://"):
        assert known not in text.replace("http://www.w3.org", "")


def test_the_page_says_what_the_card_holds(make_card):
    text = html(make_card())
    for told in (
        "200 rows, 5 columns",
        "7 rules in",
        "set aside",
        "nearly like another",
        "BLAKE3",
        "learns from training",
    ):
        assert told in text.replace("contract.toml</code>, 7 rules", "7 rules in")


def test_2000_columns_are_told_and_some_are_drawn(make_card):
    series = pl.Series(np.arange(50.0))
    facts = column_facts(series, "numeric", "input", shown=str)
    card = make_card(columns={"x": ("numeric", series)})
    card = replace(card, columns=tuple(replace(facts, name=f"column {at}") for at in range(2000)))
    assert len(charts(card)) == MOST_DRAWN
    text = html(card)
    assert "The first 40 of 2,000 columns" in text
    assert "column 1999" in text


@pytest.mark.parametrize(
    "series", [pl.Series([None], dtype=pl.Float64), pl.Series([1.0]), pl.Series([], dtype=pl.Float64)]
)
def test_one_row_none_and_nothing_known(make_card, series):
    card = make_card(columns={"x": ("numeric", series)}, classes={}, parts=(), steps=(), personal=(), languages=())
    card = replace(card, contract=None, warnings=(), notes=(), prepared_rows=0)
    Page(html(card))


def test_charts_become_pictures(make_card):
    drawn = charts(make_card())
    assert set(drawn) == {"0-characters", "0-words", "1", "2", "3"}
    assert png(drawn["3"]).startswith(b"\x89PNG")


def test_numbers_too_large_to_draw_are_told_only(make_card):
    card = make_card(hostile=True)
    assert "4" not in charts(card)
    assert "-1e+308 to 1e+308" in html(card)


def test_times_beyond_what_calendars_hold():
    assert day(1e300) == "1e+300 ms"
    assert day(-1e14) == "-1e+14 ms"
