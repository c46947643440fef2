"""Put models that are calibrated, or that answer by cost, in the place of those that were fitted, when asked for.

How probabilities are rescaled is fitted on what a candidate says of validation rows that it was fitted without; a
combination says of them what its members, put together as it is, say. What is judged from then on, registered and
served is the rescaled model, under a name of its own. Answers by cost need nothing but probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bakeoff.core import narrow
from bakeoff.core.jobs import MODEL
from bakeoff.core.types import Json, Predictions
from bakeoff.families.wrappers.members import AssembleValue
from bakeoff.loop.cache import Steps
from bakeoff.loop.combine import Combined, contender_of, held_out, put_together, too_long
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.evaluate import Judged, evaluate, outcomes
from bakeoff.loop.fit import Fitted, hold_out
from bakeoff.metrics.costs import Costs

if TYPE_CHECKING:
    from bakeoff.evaluate.combine.combinations import Combination

__all__ = ["rescaled"]


def rescaled(
    stage: Stage, steps: Steps, gathered: Gathered, judged: Sequence[Judged], combined: Combined
) -> list[Judged]:
    """The candidates, changed and judged anew as `[decide]` says; those that cannot be stay as they are."""
    made = _calibrated(stage, steps, gathered, judged, combined)
    if stage.config.decide.decide_by == "cost":
        made = _by_cost(stage, steps, judged, made)
    anew = dict(zip(made, evaluate(stage, steps, gathered, list(made.values())), strict=True))
    return [_with_memory(anew.get(entry.name, entry), entry) for entry in judged]


def _calibrated(
    stage: Stage, steps: Steps, gathered: Gathered, judged: Sequence[Judged], combined: Combined
) -> dict[str, Fitted]:
    """Models that are rescaled, by the name of what they take the place of."""
    how = stage.config.decide.calibrate
    if how == "none":
        return {}
    singles = [each for each in judged if each.scorecard is not None and not each.fitted.members]
    slow = too_long(stage, singles)
    wanted = [each.fitted for each in singles if each.name not in slow and each.name not in combined.held]
    held_out_blobs = {**combined.held, **(hold_out(stage, steps, gathered, wanted) if wanted else {})}
    predictions = {name: held_out(stage.blobs.get(blob)) for name, blob in held_out_blobs.items()}
    tried = {each.name: each for each in combined.tried}
    made: dict[str, Fitted] = {}
    for entry in judged:
        if entry.scorecard is None:
            continue
        scale = _fit_scale(entry, tried, predictions, how) if entry.name not in slow else slow[entry.name]
        fitted = scale if isinstance(scale, str) else _made(stage, steps, entry.fitted, how, scale)
        if isinstance(fitted, str):
            stage.progress(f"{entry.name}: not calibrated: {fitted}")
        else:
            made[entry.name] = fitted
    return made


def _by_cost(stage: Stage, steps: Steps, judged: Sequence[Judged], before: Mapping[str, Fitted]) -> dict[str, Fitted]:
    """Models that answer by cost, by the name of what they take the place of; they keep their rescaling."""
    costs = Costs(by_class=stage.config.decide.costs)
    made: dict[str, Fitted] = dict(before)
    for entry in judged:
        if entry.scorecard is None:
            continue
        classes = narrow.texts((entry.fitted.signature or {}).get("classes") or ())
        params: dict[str, Json] = {"costs": costs.matrix(classes).tolist()}
        if outcomes(stage, entry)[1].probabilities_nk is None or list(classes) != sorted(classes):
            fitted: Fitted | str = "it gives no probabilities of sorted classes"
        else:
            fitted = _made(stage, steps, before.get(entry.name, entry.fitted), "cost", params)
        if isinstance(fitted, str):
            stage.progress(f"{entry.name}: does not answer by cost: {fitted}")
        else:
            made[entry.name] = fitted
    return made


def _with_memory(anew: Judged, before: Judged) -> Judged:
    """The rescaled model knows by heart what the model within it does."""
    known = {key: value for key, value in before.findings.items() if key == "memorisation"}
    return replace(anew, findings={**known, **anew.findings})


def _fit_scale(
    entry: Judged,
    tried: "Mapping[str, Combination]",
    predictions: Mapping[str, tuple[Any, Predictions]],
    how: Literal["temperature", "isotonic"],
) -> dict[str, Json] | str:
    """The parameters of the rescaling, or why there are none."""
    import numpy as np

    from bakeoff.evaluate.findings.calibration import calibrator
    from bakeoff.metrics.combined import common_classes, spread
    from bakeoff.metrics.outcome import outcome
    from bakeoff.metrics.scaling import Temperature

    members = entry.fitted.members or (entry.name,)
    if entry.fitted.members and tried[entry.name].kind == "router":
        return "a router gives the probabilities of its members as they are"
    if not set(members) <= set(predictions):
        return "it could not be fitted without the validation rows"
    truth_n = predictions[members[0]][0].astype(np.str_)
    parts = [predictions[name][1] for name in members]
    joint = parts[0] if not entry.fitted.members else _joint(tried[entry.name], parts, truth_n)
    if joint.probabilities_nk is None or tuple(sorted(joint.classes)) != joint.classes:
        return "it gives no probabilities of sorted classes"
    # The model that is served has seen validation rows, too, and may know classes that have no others.
    classes = common_classes((joint.classes, narrow.texts((entry.fitted.signature or {}).get("classes", ()))))
    known_n = np.isin(truth_n, classes)
    of_known = Predictions.of_probabilities(spread(joint, classes)[known_n], classes)
    scale = calibrator(outcome(truth_n[known_n], of_known, "classification"), how)
    if isinstance(scale, str):
        return scale
    if isinstance(scale, Temperature):
        return {"temperature": scale.value}
    return {"x": [list(each) for each in scale.x], "y": [list(each) for each in scale.y]}


def _joint(each: "Combination", parts: Sequence[Predictions], truth_n: Any) -> Predictions:
    """What a combination says of rows of which its members said this."""
    from bakeoff.evaluate.combine.cascade import Climb
    from bakeoff.metrics.combined import Ladder, Mix, common_classes

    given = dict(each.params)
    if each.kind in {"blend", "stack"}:
        mix = Mix(weights=tuple(given["weights"]), biases=given["biases"], log=given["log"])
        return mix(parts, common_classes(part.classes for part in parts))
    ladder = Ladder(
        thresholds=tuple(given["thresholds"]), doubted=tuple(given["doubted"]), pooled=bool(given["pooled"])
    )
    return Climb.of(ladder, parts, truth_n).predictions


def _made(stage: Stage, steps: Steps, fitted: Fitted, how: str, params: Mapping[str, Json]) -> Fitted | str:
    """The model with its rescaling or its costs as one model, and so each fold's; or why there is none."""
    name = f"{fitted.contender.name}+{how}"
    contender = contender_of(stage.combiner("calibrated"), name, [fitted], params)
    key, result = put_together(stage, steps, contender, [fitted.tree_blob or ""])
    trees: list[str] = []
    for tree in (*fitted.folds, *fitted.again):
        _, part = put_together(stage, steps, contender, [tree])
        result = result if part.value else part
        trees += part.outputs.values()
    if result.value is None:
        return result.error or "it could not be put together"
    value = msgspec.convert(result.value, AssembleValue)
    return replace(
        fitted,
        contender=contender,
        key=key,
        tree_blob=result.outputs[MODEL],
        size_bytes=value.size_bytes,
        chosen={"members": {fitted.contender.name: dict(fitted.chosen or {})}},
        signature=value.signature,
        folds=tuple(trees[: len(fitted.folds)]),
        again=tuple(trees[len(fitted.folds) :]),
    )
