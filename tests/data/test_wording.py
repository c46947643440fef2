"""Texts, categories and ids are told apart by what they are like."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.data.schema import Inferred, infer

ROWS = 200
CHANCE = random.Random(5)


def joined(words: str, count: int, sign: str = " ") -> Callable[[int], str]:
    return lambda i: sign.join(CHANCE.choices(words.split(), k=count))


def characters(alphabet: str, count: int) -> Callable[[int], str]:
    return lambda i: "".join(CHANCE.choices(alphabet, k=count))


TEXTS: dict[str, Callable[[int], str]] = {
    "chinese": characters("很好吃味道不错环境优雅推荐大家来非常满意服务", 12),
    "japanese": characters("とても美味しいお店でしたまた来ます残念", 10),
    "thai": characters("อร่อยมากบริการดีราคาแพง", 14),
    "queries": lambda i: f"{CHANCE.choice(['red', 'blue', 'cheap', 'new'])} {CHANCE.choice(['shoes', 'phone'])} {i}",
    "titles": lambda i: f"{CHANCE.choice(['USB', 'HDMI', 'Audio'])} cable {i}m {CHANCE.choice(['black', 'white'])}",
    "mails": lambda i: f"user{i}@{CHANCE.choice(['mail.com', 'web.de', 'uni.edu'])}",
    "names": characters("abcdefghij", 8),
    "sentences": joined("this film was good bad and so very long", 6),
}
IDS: dict[str, Callable[[int], str]] = {
    "numbered": lambda i: f"id{i}",
    "uuid": lambda i: str(UUID(int=CHANCE.getrandbits(128))),
    "hex": lambda i: f"{CHANCE.getrandbits(64):016x}",
    "long": lambda i: str(10**17 + i * 7919),
    "orders": lambda i: f"{CHANCE.choice('AB')}{CHANCE.randrange(10**8):08d}",
}
CATEGORIES: dict[str, Callable[[int], str]] = {
    "towns": lambda i: CHANCE.choice(["New York", "Los Angeles", "San Francisco"]),
    "zips": lambda i: f"{CHANCE.randrange(60):05d}",
    "scores": lambda i: CHANCE.choice(["很好", "不好", "一般"]),
    "codes": lambda i: f"c{CHANCE.randrange(60)}",
}


def judged(make: Callable[[int], str], **settings: Any) -> Inferred:
    CHANCE.seed(7)
    table = pl.DataFrame({"label": ["x", "y"] * (ROWS // 2), "size": [1.5, 2.5] * (ROWS // 2)})
    table = table.with_columns(pl.Series("c", [make(i) for i in range(ROWS)]))
    return infer(table, DataConfig(source=("x",), target="label", **settings), "classification")


@pytest.mark.parametrize("name", TEXTS)
def test_short_and_unspaced_texts_are_texts(name: str) -> None:
    inferred = judged(TEXTS[name])
    assert inferred.schema.column("c").kind == "text"
    assert "c" in inferred.schema.inputs
    if name not in {"sentences", "titles"}:  # of three words and more, as ever
        assert all('categorical = ["c"]' in note and "different values" in note for note in inferred.notes)
    assert judged(TEXTS[name], categorical=["c"]).schema.column("c").kind == "categorical"


@pytest.mark.parametrize("name", IDS)
def test_ids_are_left_out_and_told(name: str) -> None:
    inferred = judged(IDS[name])
    (loss,) = inferred.losses
    assert (loss.kind, loss.subject, loss.count, loss.of) == ("column", "c", 1, 3)
    assert "in 200 rows" in loss.reason
    assert 'text = ["c"]' in str(loss.remedy)
    assert judged(IDS[name], text=["c"]).schema.inputs == ("size", "c")


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_stay_categories(name: str) -> None:
    inferred = judged(CATEGORIES[name])
    assert inferred.schema.column("c").kind == "categorical"
    assert inferred.schema.inputs == ("size", "c")
    assert not inferred.notes
