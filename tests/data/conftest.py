"""Source files written on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.data.reading import TableReading, read
from bakeoff.data.sources import resolve

ReadFile = Callable[..., TableReading]


@pytest.fixture
def read_file(tmp_path: Path) -> ReadFile:
    """Writes bytes into a file and reads it with the given `[data]` settings."""

    def run(content: bytes, name: str = "rows.csv", **settings: Any) -> TableReading:
        (tmp_path / name).write_bytes(content)
        files = resolve(name, folder=tmp_path, cache=tmp_path / "cache", progress=lambda _: None)
        return read(DataConfig(**{"source": name, "target": "label", **settings}), {"source": files})

    return run
