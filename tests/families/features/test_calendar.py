import numpy as np
import pytest

from bakeoff.core.errors import CandidateError
from bakeoff.families.features import calendar

MOMENTS = np.array(["2024-12-31T18:00", "2023-01-01", "2024-05-04T08:30", "NaT"], dtype="datetime64[us]")


def test_parts_of_times_and_what_is_missing() -> None:
    np.testing.assert_array_equal(calendar.day_of_year(MOMENTS), [365.75, 0.0, 124 + 8.5 / 24, np.nan])
    np.testing.assert_array_equal(calendar.is_weekend(MOMENTS), [0.0, 1.0, 1.0, np.nan])
    assert calendar.hour_of_week(MOMENTS) == ["Tue 18", "Sun 00", "Sat 08", None]
    origin = float(MOMENTS[1].astype(np.int64))
    np.testing.assert_array_equal(calendar.days_since(MOMENTS, origin)[[1, 3]], [0.0, np.nan])
    assert calendar.days_since(MOMENTS, origin)[0] == 730.75


def test_holidays_are_days_of_training_years_and_of_ten_after_them() -> None:
    pytest.importorskip("holidays")
    first, last = (float(np.datetime64(day, "us").astype(np.int64)) for day in ("2023-05-01", "2024-02-01"))
    days = calendar.holiday_days("de-by", first, last)
    christmas = np.array(["2033-12-25T12:00", "2033-12-23", "NaT"], dtype="datetime64[us]")
    np.testing.assert_array_equal(calendar.is_holiday(christmas, days), [1.0, 0.0, np.nan])
    with pytest.raises(CandidateError, match="country"):
        calendar.holiday_days("XX", first, last)


def test_holidays_need_a_package(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "holidays", None)
    with pytest.raises(CandidateError, match=r"bakeoff\[holidays\]"):
        calendar.holiday_days("US", 0.0, 0.0)
