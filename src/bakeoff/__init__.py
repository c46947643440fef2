"""bakeoff: build candidates of both families on your own data, ship the winner, keep it winning.

>>> import bakeoff
>>> bakeoff.Project  # doctest: +ELLIPSIS
<class 'bakeoff.project.project.Project'>
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.core.errors import BakeoffError
    from bakeoff.evaluate.library import compare, interval
    from bakeoff.metrics.judges import label_budget, prediction_powered
    from bakeoff.prepare.corpus.run import prepare_corpus
    from bakeoff.project.estimator import Estimator
    from bakeoff.project.outcome import ProjectOutcome
    from bakeoff.project.project import Project

__all__ = [
    "BakeoffError",
    "Estimator",
    "Project",
    "ProjectOutcome",
    "__version__",
    "compare",
    "interval",
    "label_budget",
    "prediction_powered",
    "prepare_corpus",
]

__version__ = "0.1.0"
NOT_ON_WINDOWS = (
    "bakeoff runs on Linux and macOS; on Windows it runs inside WSL, which is a Linux: 'wsl --install' in a terminal, "
    "then install bakeoff there"
)

_HOMES = {
    "Project": "bakeoff.project.project",
    "BakeoffError": "bakeoff.core.errors",
    "Estimator": "bakeoff.project.estimator",
    "ProjectOutcome": "bakeoff.project.outcome",
    "interval": "bakeoff.evaluate.library",
    "compare": "bakeoff.evaluate.library",
    "label_budget": "bakeoff.metrics.judges",
    "prediction_powered": "bakeoff.metrics.judges",
    "prepare_corpus": "bakeoff.prepare.corpus.run",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first asked for, so that `import bakeoff` costs nothing."""
    if name in _HOMES:
        if sys.platform == "win32":
            raise ImportError(NOT_ON_WINDOWS)
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
