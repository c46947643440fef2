"""What rescaling probabilities would gain, fitted on what candidates say of rows that they were fitted without."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.core.closure import code_of
from bakeoff.core.types import Json, Predictions
from bakeoff.loop.cache import Steps
from bakeoff.loop.combine import held_out
from bakeoff.loop.context import Stage
from bakeoff.loop.evaluate import Judged, outcomes

__all__ = ["calibrated"]


def calibrated(stage: Stage, steps: Steps, judged: Sequence[Judged], held: Mapping[str, str]) -> list[Judged]:
    """The candidates, those with held-out rows (`held`: blobs by name) with a tried temperature and steps."""
    code = code_of("bakeoff.evaluate.findings.calibration", "bakeoff.metrics.scaling")

    def told(entry: Judged) -> Judged:
        if entry.name not in held or entry.scorecard is None or not entry.findings.get("calibration"):
            return entry
        inputs: dict[str, Json] = {"judged": entry.key, "held": held[entry.name], "code": code}
        found = steps.once(steps.key("calibrate", inputs), lambda: _tried(stage, entry, held[entry.name]))
        return replace(entry, findings={**entry.findings, **found})

    return [told(entry) for entry in judged]


def _tried(stage: Stage, entry: Judged, blob: str) -> dict[str, Json]:
    from bakeoff.evaluate.findings.findings import told_calibration
    from bakeoff.metrics.combined import common_classes, spread
    from bakeoff.metrics.outcome import outcome

    truth_n, test = outcomes(stage, entry)
    held_truth_n, held = held_out(stage.blobs.get(blob))
    if test.probabilities_nk is None or held.probabilities_nk is None:
        return {"calibration": entry.findings["calibration"]}
    classes = common_classes((test.classes, held.classes))  # a class may have validation rows alone
    both = Predictions(
        values_n=np.concatenate([test.values_n.astype(np.str_), held.values_n.astype(np.str_)]),
        probabilities_nk=np.concatenate([spread(test, classes), spread(held, classes)]),
        classes=classes,
    )  # together, so that both know the same classes
    joint = outcome(np.concatenate([truth_n.astype(np.str_), held_truth_n.astype(np.str_)]), both, "classification")
    rows = np.arange(len(joint))
    return {"calibration": told_calibration(joint.take(rows < len(test)), joint.take(rows >= len(test)))}
