"""The page, the Markdown and the pictures, for plain and hostile runs."""

import sys
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from bakeoff.core.errors import MissingExtraError
from bakeoff.report.charts import charts
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown
from bakeoff.report.model import Report
from bakeoff.report.pictures import pictures

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)> | `a` & \"b\" \x07 \u202e"
VOID = {"meta", "link", "img", "br", "input", "hr", "wbr"}


class Page(HTMLParser):
    """What a browser would see: elements, ids, the text of each heading; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.ids, self.links, self.attributes = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [name for name, _ in attrs]
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def hostile(make):
    classes = tuple(f"{HOSTILE} {at}" for at in range(77))
    quality = {"value": 0.9, "low": 0.8, "high": 1.0}
    blend = {"name": "blend+two", "kind": "blend", "members": ["linear", "boosting"], "weights": [1.0, 3.0]}
    point = {"share": 0.5, "cost_usd_per_1k": 2e-6, "value": 0.85}
    blend |= {"quality": quality, "cost_usd_per_1k": 1e-5, "curve": [point], "reason": HOSTILE}
    cascade = {"name": "cascade+3", "kind": "cascade", "reason": "No."}
    bounds = {"rows": 40, "value": 0.6, "low": 0.5, "high": 0.7}
    found = {
        "slices": [bounds | {"column": HOSTILE, "slice": HOSTILE}],
        "weak_slices": [bounds | {"slice": HOSTILE, "rest": 0.8, "p_value": 0.02}],
        "slices_tested": 14,
        "robustness": [
            {"name": "typos", "told": HOSTILE, "rows": 40, "drop": 0.05, "low": 0.01, "high": 0.09, "changed": 0.1},
            {"name": "noise", "told": "noise", "skipped": "too slow"},
        ],
        "calibration": {"ece": 0.03, "temperature": 0.8, "ece_temperature": 0.01, "validation_rows": 100},
    }
    trial = {"candidate": "linear", "rung": 1, "status": "done", "seconds": 2.0, "at_s": 3.0, "value": 0.8}
    budget = {
        "limit_s": 60.0,
        "used_s": 31.0,
        "metric": "f1_macro",
        "scored_rows": 100,
        "rungs": [{"share": 1 / 3, "rows": 230, "trials": 1}, {"share": 1.0, "rows": 700, "trials": 2}],
        "by_candidate": [
            {"name": "linear", "trials": 3, "seconds": 9.0, "default": 0.8, "best": 0.82, "params": {"kind": HOSTILE}},
            {"name": "boosting", "trials": 0, "seconds": 0.0},
        ],
        "trials": [
            trial | {"setting": 0},
            trial | {"setting": 1, "at_s": 5.0, "value": 0.82, "params": {"kind": HOSTILE}},
            trial | {"setting": 2, "rung": 0, "status": "failed", "value": None, "at_s": 9.0},
        ],
    }
    return make(
        classes=classes, text=HOSTILE + "x" * 10_000, column=HOSTILE, names=("linear", "boosting", "broken"),
        failed=("broken",), winner=False,
        more={"combinations": [blend, cascade], "budget": budget, "not_combined": {"broken": HOSTILE}},
        found=found, n=400,
    )  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"names": ("alone",)},
        {"failed": ("boosting",)},
        {"failed": ("linear", "boosting"), "winner": False},
        {"winner": False},
        {"task": "regression"},
        {"names": tuple(f"candidate-{at}" for at in range(11))},
    ],
    ids=str,
)
def test_every_kind_of_run_makes_a_sound_page(make, case, tmp_path):
    report = make(**case)
    page = Page(html(report))
    assert page.elements.count("script") == 1
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert markdown(report).startswith("## films: ")
    written = pictures(report, tmp_path / "made" / "here")
    assert {file.stem for file in written} == set(charts(report))
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in written)


def test_the_verdict_stands_first_and_numbers_stand_in_the_tables(make):
    page = html(make())
    assert page.index("linear wins with f1_macro 0.8000") < page.index("Leaderboard")
    for told in ("0.7800 – 0.8200", "$0.0010", "2.50 ms", "1 min 15 s", "3.2 MB", "−0.0100", "trees = 100"):
        assert told in page, told


def test_a_heading_stands_over_something(make):
    report = make(names=("linear",))
    assert "Chosen on validation rows</dt><dd><code>trees = 100</code></dd>" in html(report)
    bare = replace(report.candidates[0], chosen={"lags": [1, 7]}, params={"chosen.lags": "[1, 7]"})
    page = html(replace(report, candidates=(bare,)))
    assert "Chosen on validation rows" not in page
    assert "<dt>Parameters" not in page
    both = replace(bare, params={"c": "1", "d": "2"})
    shown = "<dt>Parameters</dt><dd><code>c = 1</code>, <code>d = 2</code></dd></div>"
    assert shown in html(replace(report, candidates=(both,)))


def test_without_a_winner_the_page_says_so(make):
    page = html(make(winner=False))
    assert "Nobody wins; linear leads" in page
    assert "✗ 0.8000" in page


@pytest.fixture(scope="module")
def hostile_page(hostile):
    return html(hostile)


def test_what_the_data_holds_is_never_read_as_html(hostile, hostile_page, tmp_path):
    text = hostile_page
    page = Page(text)
    assert page.elements.count("script") == 1
    assert "img" not in page.elements
    assert not [name for name in page.attributes if name.startswith("on")]
    assert "http-equiv" in page.attributes
    assert len(text) < 1_500_000
    assert pictures(hostile, tmp_path)


def test_what_the_data_holds_is_never_read_as_markdown(hostile):
    text = markdown(hostile)
    assert "<script>" not in text.replace(r"\<script\>", "")
    assert "\\`a\\`" in text
    widths = {line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("| Gate")}
    assert widths == {4}


def test_what_was_found_beside_scorecards_has_its_sections(hostile, hostile_page):
    page = hostile_page
    for told in ("weighs 75%", "0.8000 – 1.000", "not entered", "elsewhere 0.8000 (p = 0.02)", "−0.0500", "too slow"):
        assert told in page, told
    assert "hollow marks are combinations that did not enter" in page
    assert "blend+two" in markdown(hostile)


def test_what_was_not_found_has_no_section(make):
    page = html(make())
    for name in ("combinations", "slices", "robustness"):
        assert f'id="{name}"' not in page


def test_a_page_is_safe_by_its_own_policy(make):
    page = html(make())
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_the_same_report_makes_the_same_page_and_survives_json(make):
    report = make()
    again = msgspec.json.decode(msgspec.json.encode(report), type=Report)
    assert again == report
    assert html(again) == html(report)


def test_a_missing_extra_names_the_command(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r'pip install "bakeoff\[report\]"'):
        html(make())
