"""Charts: no peak is lost, positions are right, names are escaped."""

import math

from bakeoff.web.pages.drawing import Bar, Dot, DrawnLine, columns, dots, interval, lines, sampled, span_of
from bakeoff.web.pages.site import when


def test_a_sample_keeps_the_ends_and_every_peak():
    points = [(float(x), 0.0) for x in range(10_000)]
    points[7_777] = (7_777.0, 9.0)
    points[3_333] = (3_333.0, -9.0)
    chosen = sampled(points)
    assert len(chosen) <= 302
    assert {(7_777.0, 9.0), (3_333.0, -9.0), points[0], points[-1]} <= set(chosen)
    assert list(chosen) == sorted(chosen)


def test_positions_are_percentages_of_the_range():
    drawn = str(interval(0.5, 0.25, 1.0, (0.0, 1.0), 2))
    assert 'class="interval s3"' in drawn
    assert 'x1="25.00%" y1="50.00%" x2="100.00%"' in drawn
    assert 'cx="50.00%"' in drawn
    assert "95%: 0.2500 to 1.000" in drawn


def test_values_that_are_no_numbers_are_left_out():
    drawn = str(
        lines(
            [DrawnLine(name="a", colour=0, points=[(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)])], description="t"
        )
    )
    assert drawn.count(",") >= 2
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert "polyline" not in str(lines([DrawnLine(name="a", colour=0, points=[(0, math.nan)])], description="t"))


def test_names_are_text():
    nasty = "</title><script>alert(1)</script>\"'"
    for drawn in (
        lines([DrawnLine(name=nasty, colour=0, points=[(0, 1)])], description=nasty, y=nasty),
        dots([Dot(name=nasty, colour=0, x=1, y=1)], description=nasty, x=nasty, y=nasty),
        columns([Bar(title=nasty, value=1)], description=nasty, first=nasty, last=nasty),
    ):
        assert "<script" not in drawn
        assert "&lt;script" in drawn


def test_columns_are_as_high_as_their_share_of_the_highest():
    drawn = str(columns([Bar(title="a", value=2, bad=1), Bar(title="b", value=4)], description="t", first="", last=""))
    assert 'y="50.00%" height="50.00%"' in drawn
    assert 'class="bad" x="0.00%" width="42.50%" y="75.00%" height="25.00%"' in drawn


def test_the_largest_numbers_and_steps_still_have_a_place():
    far = [DrawnLine(name="a", colour=0, points=[(0, 1.7e308), (1, -1.7e308)])]
    drawn = str(lines(far, description="t"))
    assert 'points="0.0,' in drawn
    assert ("nan" in drawn, "inf" in drawn) == (False, False)
    one = str(lines([DrawnLine(name="a", colour=0, points=[(2**62, 1.0)])], description="t"))
    assert 'points="500.0,500.0 500.0,500.0"' in one
    low, high = span_of([1.79e308])
    assert low < high < math.inf


def test_a_time_that_no_calendar_has_is_a_number():
    assert (str(when(-1e14)), str(when(1e300)), str(when(None))) == ("-1e+14 ms", "1e+300 ms", "–")
    assert str(when(-1)).startswith('<time datetime="1969-12-31T23:59:59Z"')
