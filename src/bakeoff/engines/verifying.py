"""A job before a release: does the engine serve what was trained?"""

from bakeoff.core.abilities import abilities_of
from bakeoff.core.families import load_family
from bakeoff.core.generation import engine_of
from bakeoff.core.jobs import MODEL, Argument, JobContext
from bakeoff.core.types import Json
from bakeoff.engines.fidelity import TOLERANCES, compare
from bakeoff.engines.reference import ReferenceSession

__all__ = ["VERIFY", "VerifyArgument", "verify"]

VERIFY = "bakeoff.engines.verifying:verify"
CONTEXT = 1024


class VerifyArgument(Argument, frozen=True, kw_only=True):
    """What `verify` takes beside the model: its family (entry point)."""

    family: str


def verify(argument: VerifyArgument, context: JobContext) -> dict[str, Json]:
    """Compare the engine of a saved model with its trained weights.

    Returns:
        `engine` (None: the trained weights answer themselves), and what `Fidelity` found.
    """
    threads = context.threads
    model = load_family(argument.family).load(context.inputs[MODEL], threads, context.cache)
    ability = abilities_of(model).speech
    speech = ability and ability()
    if speech is None:
        return {"engine": None}
    context.progress(f"holding {speech.engine} against what was trained")
    served = engine_of(speech.engine).open(
        speech.model,
        adapter=speech.adapter,
        threads=threads,
        cache=context.cache,
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
