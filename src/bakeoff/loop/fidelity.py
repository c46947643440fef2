"""Served = trained: before a language model is released, its engine is held against the trained weights."""

from collections.abc import Mapping
from dataclasses import replace

from bakeoff.core.jobs import MODEL, Job
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json
from bakeoff.engines.verifying import VERIFY, VerifyArgument
from bakeoff.loop.cache import Steps, step_key
from bakeoff.loop.champion import Contest
from bakeoff.loop.context import Stage
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.fit import Fitted, run_jobs

__all__ = ["served_as_trained", "verified"]


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
    contender = fitted.contender
    job = Job(
        name=contender.name,
        function=VERIFY,
        argument=VerifyArgument(family=contender.family_name),
        inputs={MODEL: BlobRef(fitted.tree_blob or "")},
        requires=tuple(sorted({*contender.requires, "xllamacpp", "gguf", "transformers", "torch"})),
    )
    key = step_key("verify", job, contender.code)
    kept = steps.done(key)
    if kept is not None:
        return kept
    (result,) = run_jobs(stage, [job])
    if result.value is None:
        return {"engine": "the engine", "error": result.error}
    return steps.publish(key, result.value)
