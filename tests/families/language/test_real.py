import dataclasses
from pathlib import Path

import polars as pl
import pytest

from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.testing.families import FamilyConformance

GOOD = ["a lovely, moving film", "a joy from start to end", "superb acting", "I laughed and loved it", "a triumph"]
BAD = ["dull and far too long", "a mess; I walked out", "terrible acting", "I was bored and hated it", "a failure"]


@pytest.mark.real
@pytest.mark.slow
def test_smollm2_learns_from_the_package(tmp_path: Path) -> None:
    table = pl.DataFrame({"text": [*GOOD, *BAD], "target": ["good"] * 5 + ["bad"] * 5})
    params = LoraParams(epochs=4, batch=5, layers=1)
    job = FamilyConformance().job_of("classification", params, tmp_path, columns=("text",))
    model = LoraFamily().fit(dataclasses.replace(job, train=table, validation=table[::2], threads=1))
    held = pl.DataFrame({"text": ["delightful and touching", "boring, awful and endless"]})
    assert model.predict(held).values_n.tolist() == ["good", "bad"]
