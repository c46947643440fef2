"""A job before a release: does the engine serve what was trained?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.core.families import load_family
from bakeoff.core.generation import Speaking, engine_of
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.engines.fidelity import TOLERANCES, compare
from bakeoff.engines.reference import ReferenceSession

__all__ = ["verify"]

CONTEXT = 1024


def verify(argument: Mapping[str, Any], progress: Progress) -> dict[str, Json]:
    """Compare the engine of a saved model with its trained weights.

    Args:
        argument: `family` (its entry point), `model_dir`, `cache_dir`, `threads`.
        progress: takes lines.

    Returns:
        `engine` (None: the trained weights answer themselves), and what `Fidelity` found.
    """
    family = load_family(str(argument["family"]))
    threads, cache = int(argument["threads"]), Path(argument["cache_dir"])
    model = family.load(Path(argument["model_dir"]), threads, cache)
    speech = model.speech if isinstance(model, Speaking) else None
    if speech is None:
        return {"engine": None}
    progress(f"holding {speech.engine} against what was trained")
    served = engine_of(speech.engine).open(
        speech.model,
        adapter=speech.adapter,
        threads=threads,
        cache=cache,
        context=CONTEXT,
        parallel=1,
        quantisation=speech.quantisation,
        kv_cache=speech.capacity.kv_cache,
    )
    try:
        trained = ReferenceSession(speech.model, speech.adapter, threads=threads, context=CONTEXT)
        found = compare(trained, served, tolerance=TOLERANCES.get(speech.quantisation, 0.1))
    finally:
        served.close()
    return {
        "engine": speech.engine,
        "quantisation": speech.quantisation,
        "tokens": found.tokens,
        "ends": found.ends,
        "files": dict(getattr(served, "files", {})),
        "mean_gap": found.mean_gap,
        "max_gap": found.max_gap,
        "tolerance": found.tolerance,
        "diverges": found.diverges,
    }
