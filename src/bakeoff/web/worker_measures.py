"""What the workers behind one address measured, as one: a scrape that any of them answers tells of all.

Each writes what it measured into a file of a folder that they share, as Prometheus' text, now and then and before it
answers a scrape: so that what was once told of a worker is in its file, and no counter ever goes back. A file beside it
is locked for as long as the worker lives; of one that ended, counters go on to count and gauges do not. Who starts puts
the files of those that ended together (`ended`).
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.core.threads import repeatedly
from bakeoff.web.measures import escaped

__all__ = ["WorkerMeasures", "together"]

EVERY_S = 0.5
LEAST, MOST = frozenset({"bakeoff_endpoint_ready"}), frozenset({"bakeoff_upstream_resting"})
"""Gauges that say whether: of all workers, or of any. Others are sums."""
FOLDED = "# folded "
OF_ENDPOINT = re.compile(r'[{,](?:endpoint|model_name)="((?:[^"\\]|\\.)*)"')
ENDED = "ended.txt"

Number = float | int

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Metric:
    """The lines that say what it is, its kind, and its values by name and labels."""

    about: list[str] = field(default_factory=list[str])
    kind: str = "counter"
    series: dict[str, Number] = field(default_factory=dict[str, Number])


def _parsed(text: str) -> dict[str, _Metric]:
    """The metrics of a text that we wrote, by name."""
    metrics: dict[str, _Metric] = {}
    metric = _Metric()
    for line in text.splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            _, what, name, rest = line.split(" ", 3)
            metric = metrics.setdefault(name, _Metric())
            metric.about.append(line)
            metric.kind = rest if what == "TYPE" else metric.kind
        elif line and not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            metric.series[key] = int(value) if value.lstrip("-").isdecimal() else float(value)
    return metrics


def _counters(text: str) -> dict[str, _Metric]:
    """The metrics that go on to count when who measured them has ended."""
    return {name: metric for name, metric in _parsed(text).items() if metric.kind != "gauge"}


def _text(metrics: Mapping[str, _Metric]) -> str:
    lines = (
        line
        for metric in metrics.values()
        for line in (
            *metric.about,
            *(f"{key} {value if isinstance(value, int) else f'{value:.9g}'}" for key, value in metric.series.items()),
        )
    )
    return "".join(f"{line}\n" for line in lines)


def _add(to: dict[str, _Metric], more: Mapping[str, _Metric], shows: Callable[[str, str], bool]) -> None:
    """Add what another worker measured, of the series that `shows` (by metric and name with labels)."""
    for name, metric in more.items():
        series = {key: value for key, value in metric.series.items() if shows(name, key)}
        if not series:
            continue
        mine = to.setdefault(name, _Metric(about=metric.about, kind=metric.kind)).series
        how: Callable[[Number, Number], Number] = min if name in LEAST else max if name in MOST else _sum
        for key, value in series.items():
            mine[key] = how(mine[key], value) if key in mine else value


def _sum(one: Number, other: Number) -> Number:
    return one + other


def together(own: str, alive: Iterable[str], ended: Iterable[str], names: Collection[str]) -> str:
    """One text of those of several workers, with the endpoints `names` alone.

    Args:
        own: of this worker, with these endpoints alone.
        alive: of the others that live.
        ended: of those that ended, whose gauges count for nothing.
        names: the endpoints that whoever asks may know of.
    """
    metrics, known = _parsed(own), {escaped(name) for name in names}
    mine = frozenset(metrics)

    def shows(name: str, key: str) -> bool:
        of = OF_ENDPOINT.search(key)
        return name in mine if of is None else of[1] in known

    for text in alive:
        _add(metrics, _parsed(text), shows)
    for text in ended:
        _add(metrics, _counters(text), shows)
    return _text(metrics)


class WorkerMeasures:
    """What this worker measured, and the others of its folder; safe to use from several threads.

    Args:
        folder: theirs.

    Attributes:
        render: gives all that this worker measured, as text.
    """

    def __init__(self, folder: Path) -> None:
        self.render: Callable[[], str] = str
        self._folder, self._name = folder, f"{os.getpid()}-{secrets.token_hex(4)}"
        self._writing, self._written = threading.Lock(), ""
        with self._locked(fcntl.LOCK_EX):
            self._alive = os.open(folder / f"{self._name}.alive", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX)
            self._fold()

    @contextlib.contextmanager
    def writing(self, every_s: float = EVERY_S) -> Generator[None]:
        """Have a thread write what was measured again and again, and once more at the end."""
        complaint = "what was measured was not written for the other workers"
        try:
            with repeatedly(
                lambda _: self.write(), every_s=every_s, name="measures", logger=logger, complaint=complaint
            ):
                yield
        finally:
            self.write()
            os.close(self._alive)

    def write(self) -> None:
        """Write what was measured by now."""
        with self._writing:
            text = self.render()
            if text != self._written:
                self._replace(f"{self._name}.txt", text)
                self._written = text

    def together(self, own: str, names: Collection[str]) -> str:
        """What all workers measured; `own` is this one's, with the endpoints `names` alone."""
        self.write()
        with self._locked(fcntl.LOCK_SH):
            before, folded = self._ended()
            others = [name for name in self._names() if name != self._name and name not in folded]
            alive = [name for name in others if self._lives(name)]
            ended = [self._read(f"{name}.txt") for name in others if name not in alive]
            return together(own, [self._read(f"{name}.txt") for name in alive], [before, *ended], names)

    def _fold(self) -> None:
        """Put together what those measured that ended; a file is deleted when it is in there."""
        before, folded = self._ended()
        ended = [name for name in self._names() if name != self._name and not self._lives(name)]
        if not ended:
            return
        texts = [self._read(f"{name}.txt") for name in ended if name not in folded]
        metrics = _parsed(before)
        for text in texts:
            _add(metrics, _counters(text), lambda *_: True)
        self._replace(ENDED, f"{FOLDED}{' '.join(ended)}\n{_text(metrics)}")
        for name in ended:
            for suffix in ("txt", "alive"):
                (self._folder / f"{name}.{suffix}").unlink(missing_ok=True)

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.alive"))

    def _ended(self) -> tuple[str, frozenset[str]]:
        """What is in the file of those that ended, and who."""
        text = self._read(ENDED)
        names = text.partition("\n")[0].removeprefix(FOLDED) if text.startswith(FOLDED) else ""
        return text, frozenset(names.split())

    def _lives(self, name: str) -> bool:
        try:
            with (self._folder / f"{name}.alive").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:  # it has measured nothing yet
            return ""

    def _replace(self, name: str, text: str) -> None:
        beside = self._folder / f".{self._name}.new"
        beside.write_text(text, encoding="utf-8")
        beside.replace(self._folder / name)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Generator[None]:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)
