"""What a run will ask of its compute backend, told before it asks: what jobs import is then there when rows are."""

import contextlib
import importlib
import threading
from collections.abc import Generator, Sequence

from bakeoff.core.jobs import Compute, Resources
from bakeoff.core.spared_imports import spare
from bakeoff.core.types import Schema
from bakeoff.loop.context import Contender, Stage
from bakeoff.train.worker import FIT

__all__ = ["LATER", "OURS", "dear", "expect", "expect_of_rows", "meanwhile", "quick", "resources_of"]

LATER = ("bakeoff.evaluate.score.worker", "scipy.special", "bakeoff.evaluate.explain.worker", "bakeoff.train.learning")
"""Modules of the jobs that follow fits; named and not imported, as a run that does nothing does not need them."""

OURS = ("scipy.special", "bakeoff.evaluate.combine.pareto", "bakeoff.evaluate.findings.findings")
"""What this process imports when its candidates are evaluated."""


DEAR = frozenset({"torch", "transformers", "xllamacpp", "vllm"})
"""Families that stand on these fit or answer for minutes."""
QUICK = frozenset({"linear", "boosting"})
"""Families of which a fit of few rows of numbers takes a tenth of a second."""


def dear(stage: Stage) -> bool:
    """Whether some candidate's fits or answers take long or cost money, so that folds would multiply that."""
    return any(each.service is not None or DEAR & set(each.requires) for each in stage.contenders)


def quick(stage: Stage) -> bool:
    """Whether all candidates fit few rows so quickly that they can be tested by folds several times."""
    return all(each.family_name in QUICK for each in stage.contenders)


def expect(compute: Compute, contenders: Sequence[Contender], modules: Sequence[str] | None = None) -> None:
    """Tell the backend that every contender will be fitted; `modules`: what the jobs import that come then."""
    for each in contenders:
        compute.expect(FIT, each.requires, resources_of(compute, each), each.modules if modules is None else modules)


def expect_of_rows(stage: Stage, schema: Schema, classes: int) -> None:
    """Tell the backend what fits import beside that, now that it is known of which rows they will be."""
    for each in stage.contenders:
        modules = () if each.imports_for is None else each.imports_for(schema, classes)
        if modules:
            stage.compute.expect(FIT, each.requires, resources_of(stage.compute, each), modules)


@contextlib.contextmanager
def meanwhile(modules: Sequence[str]) -> Generator[None]:
    """Import what comes next while jobs run and this process would only wait for them.

    What cannot be imported here is tried again, and told, where it is needed: in two threads at once even a sound
    module may fail (pytest reads modules as trees, which Python 3.11 does in one thread at a time: CPython 106905).
    """

    def load() -> None:
        with contextlib.suppress(Exception):
            spare()
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def resources_of(compute: Compute, contender: Contender) -> Resources:
    """What the fits of a contender need of a machine."""
    return Resources(threads=compute.cores if contender.scales else 0, processes=_processes(contender))


def _processes(contender: Contender) -> int:
    """In how many processes its fits work, if it says so."""
    return max(1, getattr(contender.params, "processes", 1))
