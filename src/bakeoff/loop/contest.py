"""How the winner stands against the champion, paired, on test rows that neither was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.errors import CorruptError, NotFoundError
from bakeoff.core.records import Version
from bakeoff.core.types import ColumnKind, Signature
from bakeoff.data.schema import Precedent
from bakeoff.loop.gathering import Gathered, load_arrays, load_table
from bakeoff.loop.inputs import ChangedInputs, changed_inputs
from bakeoff.loop.judging import Judged, groups, outcomes, times
from bakeoff.loop.refereeing import judge_registered
from bakeoff.loop.stage import Stage
from bakeoff.loop.steps import Steps
from bakeoff.metrics.registry import find
from bakeoff.registry.lineage import columns_of, label, signature_of
from bakeoff.registry.register import CHAMPION
from bakeoff.serve.releases import current

if TYPE_CHECKING:
    from bakeoff.core.config import DecideConfig
    from bakeoff.core.types import Predictions
    from bakeoff.evaluate.verdict import Comparison

__all__ = [
    "Contest",
    "Standing",
    "anchor_of",
    "challenge",
    "champion_of",
    "guarded",
    "margin_beside",
    "mark_anchor",
    "precedent",
    "rows_of",
    "stand",
    "told",
    "unseen",
]


ANCHORS = "anchors"
"""Documents, one for each project: the last champion that was shown to be better than its anchor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How the winner stands against the champion, and whether it takes its place.

    `raises`: it is shown to be better than the anchor, and becomes the one that later champions are held to.
    `inputs`: how those of the winner differ from those of the live model. `blocked`: it would take the champion's
    place, were it not for these: a person must say so.
    """

    promoted: bool
    reason: str
    champion: str | None = None
    comparison: "Comparison | None" = None
    raises: bool = False
    inputs: ChangedInputs | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A model beside the champion: the comparison on `rows` test rows, or why there is none.

    `gone`: the champion cannot be read or evaluated any more. `judged` is the champion on all test rows.
    """

    champion: str
    comparison: "Comparison | None" = None
    rows: int = 0
    why: str = ""
    gone: bool = False
    judged: Judged | None = None


def champion_of(stage: Stage) -> Version | None:
    """The project's champion."""
    return stage.records.versions.by_alias(stage.config.project.name, CHAMPION)


def anchor_of(stage: Stage) -> Version | None:
    """What champions are held to, so that many small steps down do not add up; the champion, where none is marked."""
    name = stage.config.project.name
    marked = stage.records.documents.get(ANCHORS, name)
    return (
        champion_of(stage)
        if marked is None
        else stage.records.versions.get("model", name, cast("int", marked.body["number"]))
    )


def mark_anchor(stage: Stage, version: Version) -> None:
    """Hold later champions to this version."""
    stage.records.documents.put(ANCHORS, version.name, {"number": version.number})


def challenge(stage: Stage, steps: Steps, gathered: Gathered, winner: Judged) -> Contest:
    """Compare the winner with the champion; it takes its place as `[decide] champion` says.

    A champion that was fitted on all rows is met by its twin, which had not seen its test rows. What cannot be
    compared takes no place: nothing shows that it is as good. Only a champion that cannot be read any more does not
    stop its successor.
    """
    from bakeoff.evaluate.verdict import takes_over

    champion = champion_of(stage)
    if champion is None:
        return Contest(promoted=True, reason="there was no champion", raises=True)
    named = label(champion)
    if winner.fitted.tree_blob in (champion.content, champion.lineage.get("evaluated_tree")):
        return Contest(promoted=True, champion=named, reason=f"{named} is this very model")
    found = stand(stage, steps, gathered, winner, champion)
    decide = stage.config.decide
    if found.comparison is None:
        return Contest(promoted=found.gone, champion=named, reason=f"{named} {found.why}", raises=found.gone)
    margin = margin_beside(stage, winner)
    holds = takes_over(found.comparison, decide, margin)
    reason = told(found, decide, stage.metric, margin=margin, holds=holds)
    contest = Contest(
        promoted=holds, champion=named, reason=reason, comparison=found.comparison, raises=found.comparison.superior
    )
    anchor = anchor_of(stage)
    if not holds or anchor is None or anchor.content == champion.content:
        return contest
    return _anchored(contest, stand(stage, steps, gathered, winner, anchor), decide, stage.metric, margin)


def _anchored(contest: Contest, beside: Standing, decide: "DecideConfig", metric: str, margin: float) -> Contest:
    """The contest, when the winner is held to the anchor too; an anchor that is gone gives way."""
    from bakeoff.evaluate.verdict import takes_over

    if beside.comparison is None:
        reason = f"{contest.reason}; the anchor {beside.champion} {beside.why}"
        return replace(contest, reason=reason, raises=contest.raises and beside.gone)
    holds = takes_over(beside.comparison, decide, margin)
    reason = f"{contest.reason}; anchor: {told(beside, decide, metric, margin=margin, holds=holds)}"
    return replace(contest, promoted=holds, reason=reason, raises=beside.comparison.superior)


def margin_beside(stage: Stage, entry: Judged) -> float:
    """By how much this model may be worse than the champion, by the project's rule or the metric's default."""
    from bakeoff.evaluate.margin import champion_margin

    assert entry.scorecard is not None
    value = entry.scorecard.number(stage.metric)
    return champion_margin(stage.config.decide, find(stage.metric, stage.config.project.task), value or 0.0)


def precedent(stage: Stage) -> Precedent | None:
    """The columns of the data that the live model was made of."""
    live = current(stage.records.documents, stage.endpoint)
    if live is None:
        return None
    signature, columns = columns_of(stage.records.versions, live.model_version)
    inputs: dict[str, ColumnKind] = {column.name: column.kind for column in signature.inputs}
    special = {stage.config.data.target, stage.config.data.time, stage.config.data.group}
    return Precedent(inputs=inputs, aside=frozenset(column.name for column in columns) - inputs.keys() - special)


def guarded(stage: Stage, winner: Judged, contest: Contest, *, unasked: bool) -> Contest:
    """The contest, with what changes for those who call the endpoint; nothing such is promoted unasked."""
    live = current(stage.records.documents, stage.endpoint)
    if live is None or winner.fitted.signature is None:
        return contest
    before = signature_of(stage.records.versions, live.model_version)
    inputs = changed_inputs(before, msgspec.convert(winner.fitted.signature, Signature))
    if inputs is None:
        return contest
    if not (contest.promoted and unasked) or stage.config.loop.accept_changed_inputs:
        return replace(contest, inputs=inputs)
    reason = (
        f"the inputs changed ({inputs.told()}), and those who call endpoint {stage.endpoint!r} send those of "
        f"{live.model_version}: it stays. To release it all the same, call 'bakeoff run', or set [loop] "
        "accept_changed_inputs = true; else mend the source"
    )
    return replace(contest, promoted=False, blocked=True, inputs=inputs, reason=reason)


def told(found: Standing, decide: "DecideConfig", metric: str, *, margin: float, holds: bool) -> str:
    """What the comparison says of the rule, with its numbers."""
    assert found.comparison is not None
    each = found.comparison
    numbers = f"{each.difference:+.4f} {metric} [{each.low:+.4f}, {each.high:+.4f}] on {found.rows} unseen rows"
    said = {
        "unless_worse": ("not worse than", "distinguishably worse than"),
        "non_inferior": (f"worse by less than {margin:g}, if at all, than", "not shown to be as good as"),
        "superior": ("distinguishably better than", "not distinguishably better than"),
    }[decide.champion]
    return f"{said[0] if holds else said[1]} {found.champion}: {numbers}"


def stand(
    stage: Stage, steps: Steps, gathered: Gathered, entry: Judged, champion: Version, *, usable_n: Any = None
) -> Standing:
    """Hold a model against the champion on the test rows that the latter was not fitted on (and are usable)."""
    from bakeoff.evaluate.verdict import compare

    named = label(champion)
    try:
        standing_in = _twin(stage, gathered, champion)
        judged = judge_registered(stage, steps, gathered, standing_in)
        if judged.scorecard is None:
            return Standing(champion=named, why=f"cannot be evaluated any more: {judged.error}", gone=True)
        theirs, fair_n = _answers(stage, gathered, standing_in, judged)
    except (NotFoundError, CorruptError) as error:
        return Standing(champion=named, why=f"cannot be read any more: {error}", gone=True)
    if usable_n is not None:
        fair_n &= usable_n
    if not fair_n.any():
        why = "has seen every test row: nothing to compare on"
        return Standing(champion=named, why=why, judged=judged)
    truth_n, ours = outcomes(stage, entry)
    group_n, time_n = groups(stage, gathered), times(stage, gathered)
    found = compare(
        truth_n[fair_n],
        rows_of(ours, fair_n),
        rows_of(theirs, fair_n),
        stage.metric,
        seed=stage.seed,
        resamples=stage.config.decide.resamples,
        groups_n=None if group_n is None else group_n[fair_n],
        time_n=None if time_n is None else time_n[fair_n],
        folds=gathered.folds,
        task=stage.config.project.task,
    )
    return Standing(champion=named, comparison=found, rows=int(fair_n.sum()), judged=judged)


def _twin(stage: Stage, gathered: Gathered, champion: Version) -> Version:
    """The model to compare with: the champion; of one that has seen every test row, the one that was evaluated for it.

    A refitted champion was chosen by a twin fitted on the training rows alone, whose test rows are still new to it.
    """
    twin = cast("str | None", champion.lineage.get("evaluated_tree"))
    if champion.lineage["rows"] != "all" or twin is None or champion.lineage.get("fold_outcomes_blob"):
        return champion
    if unseen(stage, gathered, champion).any():
        return champion
    return replace(champion, content=twin, lineage={**champion.lineage, "rows": "train"})


def _answers(stage: Stage, gathered: Gathered, champion: Version, judged: Judged) -> "tuple[Predictions, Any]":
    """What the champion says of the test rows, and a mask of those on which that is fair.

    One that came of folds was fitted on all rows of its time: of those, it is held to what its like said that
    were fitted without them, when it was chosen.
    """
    import numpy as np

    from bakeoff.evaluate.out_of_fold import in_order
    from bakeoff.evaluate.worker import read_outcomes

    _, said = outcomes(stage, judged)
    fair_n = unseen(stage, gathered, champion)
    kept = cast("str | None", champion.lineage.get("fold_outcomes_blob"))
    if kept is None:
        return said, fair_n
    _, before = read_outcomes(load_table(stage.blobs, kept))
    known_m = load_arrays(stage.blobs, cast("str", champion.lineage["hashes_blob"]))
    order = np.argsort(known_m)
    tests_n = _hashes(stage, gathered)
    place_n = order[np.minimum(np.searchsorted(known_m, tests_n, sorter=order), len(known_m) - 1)]
    known_n = ~fair_n & (known_m[place_n] == tests_n)
    live, old = np.flatnonzero(~known_n), np.flatnonzero(known_n)
    return in_order([live, old], [said.take(live), before.take(place_n[old])]), fair_n | known_n


def _hashes(stage: Stage, gathered: Gathered) -> Any:
    return load_arrays(stage.blobs, gathered.hashes_blob)[load_arrays(stage.blobs, gathered.rows_blob)["test"]]


def rows_of(predictions: Any, which: Any) -> Any:
    """The predictions of some of the rows."""
    return predictions.take(which)


def unseen(stage: Stage, gathered: Gathered, version: Version) -> Any:
    """Which test rows a registered model was not fitted on, as a mask over the test rows."""
    import numpy as np

    made: Mapping[str, Any] = version.lineage
    hashes = load_arrays(stage.blobs, cast("str", made["hashes_blob"]))
    if made["rows"] == "all":
        seen = hashes
    else:
        rows = load_arrays(stage.blobs, cast("str", made["rows_blob"]))
        seen = hashes[np.concatenate([rows["train"], rows["validation"]])]
    return ~np.isin(_hashes(stage, gathered), seen)
