"""The catalogue as a listing for this machine: what fits for what, filtered, with probes of what is at hand."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bakeoff.core.errors import BakeoffError
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.families.language.catalogue import Entry, base_of, catalogue
from bakeoff.families.language.footprint import FootprintProbe, Machine, Need, Use, machine, needs, probe
from bakeoff.families.language.library_output import need_llm
from bakeoff.families.language.sources import at_hand

__all__ = ["Available", "ModelQuery", "available"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery:
    """What to list: models for a task, with all of the languages, under limits of memory and of time for a row."""

    task: str | None = None
    languages: Sequence[str] = ()
    licence: str | None = None
    max_memory_bytes: int | None = None
    max_latency_ms: float | None = None

    def takes(self, entry: Entry, found: dict[Use, Need]) -> bool:
        """Whether a model is to be listed."""
        serving = found["serve"]
        return (
            (self.task is None or self.task in entry.use)
            and set(self.languages) <= set(entry.languages)
            and (self.licence is None or self.licence.lower() in entry.licence.lower())
            and (self.max_memory_bytes is None or serving.memory_bytes <= self.max_memory_bytes)
            and (self.max_latency_ms is None or serving.row_ms <= self.max_latency_ms)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """One model of the listing; `probe` is there when it was at hand."""

    name: str
    entry: Entry
    needs: dict[Use, Need]
    at_hand: bool
    probe: FootprintProbe | None

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {
            "name": self.name,
            **self.entry.model_dump(mode="json"),
            "at_hand": self.at_hand,
            "needs": {use: asdict(need) for use, need in self.needs.items()},
            "probe": None if self.probe is None else asdict(self.probe),
        }


def available(
    wanted: ModelQuery,
    *,
    folder: Path,
    cache: Path | None,
    progress: Progress,
    probing: bool = True,
    gpu: Machine | None = None,
) -> tuple[Machine, list[Available]]:
    """This machine (or a `gpu` that is not here), and the models of the catalogue that are wanted, the smallest first.

    Models that are on this machine are run for some seconds, to check what is predicted, if `probing`.

    Raises:
        MissingExtraError: without the extra `llm` nothing can be predicted or run.
    """
    need_llm("bakeoff models available")
    found = machine() if gpu is None else gpu
    with tempfile.TemporaryDirectory() as scratch:
        place = cache or Path(scratch)
        return found, list(_listed(wanted, found, folder, place, progress, probing=probing and gpu is None))


def _listed(
    wanted: ModelQuery, found: Machine, folder: Path, cache: Path, progress: Progress, *, probing: bool
) -> Iterator[Available]:
    for name, entry in sorted(catalogue(folder).items(), key=lambda item: item[1].parameters_m):
        said = needs(entry, found)
        if not wanted.takes(entry, said):
            continue
        here = at_hand(entry.source, cache)
        measured = _probed(name, entry, found, cache, progress) if here and probing else None
        yield Available(name=name, entry=entry, needs=said, at_hand=here, probe=measured)


def _probed(name: str, entry: Entry, found: Machine, cache: Path, progress: Progress) -> FootprintProbe | None:
    progress(f"running {name} to check the prediction")
    try:
        return probe(entry, base_of(name, cache=cache, progress=progress).folder, found)
    except BakeoffError as error:
        progress(f"{name} cannot be run: {error}")
        return None
