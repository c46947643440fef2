"""Served = trained: before a language model is released, its engine is held against the trained weights."""

from collections.abc import Mapping
from dataclasses import replace

from bakeoff.core.closure import code_of, module_of
from bakeoff.core.protocols import Job
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import Contest
from bakeoff.loop.context import Stage
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.fit import Fitted

__all__ = ["served_as_trained", "verified"]

VERIFY = "bakeoff.engines.verifying:verify"


def verified(stage: Stage, steps: Steps, winner: Judged, contest: Contest) -> Contest:
    """The contest's end after the check: a winner that would be served as something else is not promoted."""
    if stage.config.project.task != "generation" or not contest.promoted:
        return contest
    found = _checked(stage, steps, winner.fitted)
    why = found.get("error") or found.get("diverges")
    if found["engine"] is None and not why:
        return contest
    if not why:
        told = f"{found['engine']} serves what was trained within {found['mean_gap']:.3f} nats a token"
        return replace(contest, reason=f"{contest.reason}; {told}")
    reason = f"not released: {found['engine']} does not serve what was trained: {why}"
    return replace(contest, promoted=False, reason=reason)


def served_as_trained(stage: Stage, steps: Steps, fitted: Fitted) -> Mapping[str, Json]:
    """What the check found of a model that is to be released; `error` or `diverges` say why it must not be."""
    return _checked(stage, steps, fitted) if stage.config.project.task == "generation" else {}


def _checked(stage: Stage, steps: Steps, fitted: Fitted) -> Mapping[str, Json]:
    assert fitted.tree_blob is not None
    key = steps.key(
        "verify",
        {
            "model": fitted.tree_blob,
            "family": fitted.contender.family_name,
            "code": [fitted.contender.code, code_of(module_of(VERIFY))],
            "environment": dict(versions_of(("xllamacpp", "gguf", "transformers", "torch"))),
        },
    )
    kept = steps.done(key)
    if kept is not None:
        return kept
    folder = stage.work / f"verify-{stage.new_id()}"
    folder.mkdir(parents=True)
    stage.blobs.fetch(fitted.tree_blob, folder / "model")
    argument: dict[str, Json] = {
        "family": fitted.contender.family_name,
        "model_dir": str(folder / "model"),
        "cache_dir": str(stage.cache),
        "threads": stage.compute.threads,
    }
    job = Job(name=fitted.contender.name, function=VERIFY, argument=argument, requires=fitted.contender.requires)
    (result,) = stage.compute.run([job], progress=lambda name, line: stage.progress(f"{name}: {line}"))
    if result.value is None:
        return {"engine": "the engine", "error": result.error}
    return steps.publish(key, result.value)
