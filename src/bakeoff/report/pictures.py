"""The charts as PNG files."""

from collections.abc import Mapping
from pathlib import Path

from bakeoff.core.errors import StoreError
from bakeoff.report.charts import charts
from bakeoff.report.drawing import Chart, png
from bakeoff.report.model import Report

__all__ = ["pictures", "write"]


def pictures(report: Report, folder: Path) -> list[Path]:
    """Write a PNG for each chart into a folder, which is made if missing; the files.

    Raises:
        MissingExtraError: vl-convert is not installed. StoreError: the folder cannot be written.
    """
    return write(charts(report), folder)


def write(charts: Mapping[str, Chart], folder: Path) -> list[Path]:
    """The same for any charts, by name."""
    drawn = {name: png(chart) for name, chart in charts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in drawn.items():
            (folder / f"{name}.png").write_bytes(picture)
    except OSError as error:
        raise StoreError(f"expected a folder for pictures, could not write to {str(folder)!r}: {error}") from error
    return [folder / f"{name}.png" for name in drawn]
