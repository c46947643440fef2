"""How the winner stands against the champion, paired, on test rows that neither was fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bakeoff.core import narrow
from bakeoff.core.errors import CorruptError, NotFoundError
from bakeoff.core.records import Version
from bakeoff.core.types import ColumnKind, Predictions, Signature
from bakeoff.data.schema import Precedent
from bakeoff.loop.cache import Steps
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.evaluate import Judged, groups, hashes_of_test, outcomes, times
from bakeoff.loop.input_changes import changed_inputs
from bakeoff.loop.judge import judge_registered
from bakeoff.loop.looks import Look, next_look, record
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.registry import find
from bakeoff.registry.lineage import columns_of, label, signature_of
from bakeoff.registry.register import CHAMPION
from bakeoff.results.verdict import ChangedInputs
from bakeoff.serve.releases import current

if TYPE_CHECKING:
    from bakeoff.config.sections import DecideConfig
    from bakeoff.evaluate.decide.verdict import Comparison

__all__ = [
    "ApprovalNeed",
    "Contest",
    "Standing",
    "anchor_of",
    "challenge",
    "champion_of",
    "evidence",
    "guarded",
    "looked",
    "margin_beside",
    "mark_anchor",
    "precedent",
    "rows_of",
    "stand",
    "told",
    "unseen",
]


ApprovalNeed: TypeAlias = Literal["changed_inputs", "approval"]
"""What a person must agree to: inputs that change for callers, or any new champion."""
CHAMPION_NAME = "champion of before"
"""No candidate can be named so."""
ANCHORS = "anchors"
"""Documents, one for each project: the last champion that was shown to be better than its anchor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How the winner stands against the champion, and whether it takes its place.

    `raises`: it is shown to be better than the anchor, and becomes the one that later champions are held to.
    `inputs`: how those of the winner differ from those of the live model. `blocked`: it would take the champion's
    place, but `needs` a person's word, for these or by `[loop] approval`. `look`: what earlier looks at these test rows
    cost this one.
    """

    promoted: bool
    reason: str
    champion: str | None = None
    comparison: "Comparison | None" = None
    look: Look | None = None
    raises: bool = False
    inputs: ChangedInputs | None = None
    blocked: bool = False
    needs: tuple[ApprovalNeed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A model beside the champion: the comparison on `rows` test rows, or why there is none.

    The comparison's interval is as wide as it must be for a model that was chosen `among` so many on these rows, and
    for earlier looks at them. `gone`: the champion cannot be read or evaluated any more. `judged` is the champion on
    all test rows, `hashes_n` are the test rows of the comparison.
    """

    champion: str
    comparison: "Comparison | None" = None
    rows: int = 0
    among: int = 1
    look: Look | None = None
    why: str = ""
    gone: bool = False
    judged: Judged | None = None
    hashes_n: Any = None

    @property
    def numbers(self) -> str:
        """The difference, its interval and what makes this wider, in words."""
        each = self.comparison
        assert each is not None
        numbers = (
            f"{each.difference:+.4f} {each.metric} [{each.low:+.4f}, {each.high:+.4f}] on {self.rows:,} unseen rows"
        )
        chosen = f" (with room for the choice among {self.among})" if self.among > 1 else ""
        earlier = f"; {self.look.told}" if self.look and self.look.told else ""
        return f"{numbers}{chosen}{earlier}"


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
        else stage.records.versions.get("model", name, narrow.whole(marked.body["number"]))
    )


def mark_anchor(stage: Stage, version: Version) -> None:
    """Hold later champions to this version."""
    stage.records.documents.put(ANCHORS, version.name, {"number": version.number})


def challenge(stage: Stage, steps: Steps, gathered: Gathered, winner: Judged, among: Sequence[Judged] = ()) -> Contest:
    """Compare the winner, chosen `among` others, with the champion; it takes its place as `[decide] champion` says.

    A champion that was fitted on all rows is met by its twin on the rows that the twin alone had not seen. What cannot
    be
    compared takes no place: nothing shows that it is as good. Only a champion that cannot be read any more does not
    stop its successor.
    """
    from bakeoff.evaluate.decide.verdict import takes_over

    champion = champion_of(stage)
    if champion is None:
        return Contest(promoted=True, reason="there was no champion", raises=True)
    named = label(champion)
    if winner.fitted.tree_blob in (champion.content, champion.model_origin.evaluated_tree):
        return Contest(promoted=True, champion=named, reason=f"{named} is this very model")
    decide, anchor = stage.config.decide, anchor_of(stage)
    bound = anchor.content if anchor is not None and decide.champion == "non_inferior" else ""
    standing = stand(stage, steps, gathered, winner, champion, among=among, anchor=bound)
    if standing.comparison is None:
        return Contest(promoted=standing.gone, champion=named, reason=f"{named} {standing.why}", raises=standing.gone)
    margin = margin_beside(stage, winner)
    holds = takes_over(standing.comparison, decide, margin)
    contest = Contest(
        promoted=holds,
        champion=named,
        reason=told(standing, decide, margin=margin, holds=holds),
        comparison=standing.comparison,
        look=standing.look,
        raises=standing.comparison.superior,
    )
    if holds and anchor is not None and anchor.content != champion.content:
        beside = stand(stage, steps, gathered, winner, anchor, among=among, look=standing.look)
        contest = _anchored(contest, beside, decide, margin)
    looked(stage, standing, passed=contest.promoted)
    return contest


def _anchored(contest: Contest, beside: Standing, decide: "DecideConfig", margin: float) -> Contest:
    """The contest, when the winner is held to the anchor too; an anchor that is gone gives way.

    Beside an anchor that has seen every test row, nothing tells how far steps down add up: there must be none.
    """
    from bakeoff.evaluate.decide.verdict import takes_over

    if beside.comparison is None:
        reason = f"{contest.reason}; the anchor {beside.champion} {beside.why}"
        better = contest.comparison is not None and contest.comparison.superior
        promoted = contest.promoted and (beside.gone or better)
        return replace(contest, promoted=promoted, reason=reason, raises=contest.raises and beside.gone)
    holds = takes_over(beside.comparison, decide, margin)
    reason = f"{contest.reason}; anchor: {told(beside, decide, margin=margin, holds=holds)}"
    return replace(contest, promoted=holds, reason=reason, raises=beside.comparison.superior)


def looked(stage: Stage, standing: Standing, *, passed: bool) -> None:
    """Keep that the model was held against the champion on these test rows; two that answer alike cost nothing."""
    if standing.look is not None and standing.comparison is not None and not standing.comparison.alike:
        record(stage.records.documents, stage.config.project.name, standing.look, standing.hashes_n, passed=passed)


def margin_beside(stage: Stage, entry: Judged) -> float:
    """By how much this model may be worse than the champion, by the project's rule or the metric's default."""
    from bakeoff.evaluate.decide.margin import champion_margin

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
    """The contest, with what changes for those who call the endpoint.

    Unasked, nothing such is promoted, and with `[loop] approval` nothing at all.
    """
    live = current(stage.records.documents, stage.endpoint)
    if live is None or winner.fitted.signature is None:
        return contest
    before = signature_of(stage.records.versions, live.model_version)
    inputs = changed_inputs(before, msgspec.convert(winner.fitted.signature, Signature))
    loop = stage.config.loop
    contest = replace(contest, inputs=inputs)
    if not (contest.promoted and unasked):
        return contest
    is_champion = contest.comparison is None and not contest.raises
    needs: list[ApprovalNeed] = []
    if inputs is not None and not loop.accept_changed_inputs:
        needs.append("changed_inputs")
    if loop.approval and not is_champion:
        needs.append("approval")
    if not needs:
        return contest
    reason = _inputs_reason(stage, live.model_version, inputs) if inputs and "changed_inputs" in needs else ""
    if "approval" in needs:
        waits = f"it waits for a person ({contest.reason}): 'bakeoff loop approve' releases it, 'bakeoff loop reject' "
        reason = f"{reason}{'; and ' if reason else ''}{waits}does not"
    return replace(contest, promoted=False, blocked=True, reason=reason, needs=tuple(needs))


def _inputs_reason(stage: Stage, live: str, inputs: ChangedInputs) -> str:
    """Why inputs that changed need a person's word."""
    return (
        f"the inputs changed ({inputs.sentence}), and those who call endpoint {stage.endpoint!r} send those of "
        f"{live}: it stays. To release it all the same, call 'bakeoff run' or 'bakeoff loop approve', or set [loop] "
        "accept_changed_inputs = true; else mend the source"
    )


def told(found: Standing, decide: "DecideConfig", *, margin: float, holds: bool) -> str:
    """What the comparison says of the rule, with its numbers."""
    said = {
        "unless_worse": ("not worse than", "distinguishably worse than"),
        "non_inferior": (f"worse by less than {margin:g}, if at all, than", "not shown to be as good as"),
        "superior": ("distinguishably better than", "not distinguishably better than"),
    }[decide.champion]
    better = holds and found.comparison is not None and found.comparison.superior
    words = "distinguishably better than" if better else said[0] if holds else said[1]
    return f"{words} {found.champion}: {found.numbers}"


def stand(
    stage: Stage,
    steps: Steps,
    gathered: Gathered,
    entry: Judged,
    champion: Version,
    *,
    usable_n: Any = None,
    among: Sequence[Judged] = (),
    look: Look | None = None,
    rule: str | None = None,
    anchor: str = "",
) -> Standing:
    """Hold a model against the champion on the test rows that the latter was not fitted on (and are usable).

    `among` are the candidates that it was chosen from by these rows; `look`: the comparison is a part of this one.
    `rule`: what is asked (the project's rule). `anchor`: it would take the champion's place, held to this. A wide
    interval must not help: where only the upper end is looked at, none of these counts.
    """
    named = label(champion)
    benefit = (rule or stage.config.decide.champion) == "unless_worse"
    try:
        judged, theirs, fair_n = _answers(stage, steps, gathered, champion)
        if judged.scorecard is None:
            return Standing(champion=named, why=f"cannot be evaluated any more: {judged.error}", gone=True)
    except (NotFoundError, CorruptError) as error:
        return Standing(champion=named, why=f"cannot be read any more: {error}", gone=True)
    if usable_n is not None:
        fair_n &= usable_n
    if not fair_n.any():
        why = "has seen every test row: nothing to compare on"
        return Standing(champion=named, why=why, judged=judged)
    hashes_n = hashes_of_test(stage, gathered)[fair_n]
    if look is None and not benefit:
        look = next_look(
            stage.records.documents,
            stage.config.project.name,
            model=entry.fitted.tree_blob or entry.name,
            champion=champion.content,
            hashes_n=hashes_n,
            anchor=anchor,
        )
    scored = [each for each in among if each.scorecard and stage.metric in each.scorecard.metrics]
    chosen_from = {each.name: each for each in [*([] if benefit else scored), entry]}
    level = LEVEL if look is None else look.level
    comparison = _beside(stage, gathered, entry.name, chosen_from, theirs=theirs, fair_n=fair_n, level=level)
    return Standing(
        champion=named,
        comparison=comparison,
        rows=int(fair_n.sum()),
        among=len(chosen_from),
        look=look,
        judged=judged,
        hashes_n=hashes_n,
    )


def _beside(
    stage: Stage,
    gathered: Gathered,
    name: str,
    chosen_from: Mapping[str, Judged],
    *,
    theirs: "Predictions",
    fair_n: Any,
    level: float,
) -> "Comparison":
    """One of the candidates beside the champion, with an interval that holds for all of them at once."""
    from bakeoff.evaluate.decide.verdict import Field

    answers = {each: outcomes(stage, entry) for each, entry in chosen_from.items()}
    group_n, time_n = groups(stage, gathered), times(stage, gathered)
    field = Field(
        answers[name][0][fair_n],
        {
            **{each: rows_of(ours, fair_n) for each, (_, ours) in answers.items()},
            CHAMPION_NAME: rows_of(theirs, fair_n),
        },
        find(stage.metric, stage.config.project.task),
        seed=stage.seed,
        resamples=stage.config.decide.resamples,
        groups_n=None if group_n is None else group_n[fair_n],
        time_n=None if time_n is None else time_n[fair_n],
        folds=gathered.folds,
        level=level,
    )
    return field.compare(name, CHAMPION_NAME, among=[(each, CHAMPION_NAME) for each in chosen_from])


def evidence(stage: Stage, gathered: Gathered, version: Version) -> list[Version]:
    """The models by which a registered one is judged on the present test rows, the registered one first.

    One that was fitted on all rows of its time has seen its test rows. On those its evaluated twin stands for it, which
    was fitted on the training rows of that time alone; on rows that are new to both, it stands for itself.
    """
    made = version.model_origin
    twin = made.evaluated_tree
    if made.rows != "all" or twin is None or made.fold_outcomes_blob or twin == version.content:
        return [version]
    new_n = unseen(stage, gathered, version)
    if new_n.all():
        return [version]
    other = replace(version, content=twin, lineage={**version.lineage, "rows": "train"})
    return [version, other] if new_n.any() else [other]


def _answers(stage: Stage, steps: Steps, gathered: Gathered, champion: Version) -> "tuple[Judged, Predictions, Any]":
    """The champion as it is judged, what it says of the test rows, and a mask of those on which that is fair.

    Each row is answered by the model that has seen most and not this row: the champion, else its twin.
    """
    import numpy as np

    from bakeoff.evaluate.score.out_of_fold import in_order

    models = evidence(stage, gathered, champion)
    every = [judge_registered(stage, steps, gathered, model) for model in models]
    if broken := next((each for each in every if each.scorecard is None), None):
        return broken, Predictions(values_n=np.zeros(0)), np.zeros(0, dtype=np.bool_)
    parts = [_fair_answers(stage, gathered, *pair) for pair in zip(models, every, strict=True)]
    if len(parts) == 1:
        return every[0], *parts[0]
    (own, own_n), (twin, twin_n) = parts
    mine, others = np.flatnonzero(own_n), np.flatnonzero(~own_n)
    return every[0], in_order([mine, others], [own.take(mine), twin.take(others)]), own_n | twin_n


def _fair_answers(stage: Stage, gathered: Gathered, champion: Version, judged: Judged) -> "tuple[Predictions, Any]":
    """What a model says of the test rows, and a mask of those on which that is fair.

    One that came of folds was fitted on all rows of its time: of those, it is held to what its like said that
    were fitted without them, when it was chosen.
    """
    import numpy as np

    from bakeoff.evaluate.score.out_of_fold import in_order
    from bakeoff.evaluate.score.worker import read_outcomes

    _, predictions = outcomes(stage, judged)
    fair_n = unseen(stage, gathered, champion)
    made = champion.model_origin
    blob = made.fold_outcomes_blob
    if blob is None or made.hashes_blob is None:
        return predictions, fair_n
    _, before = read_outcomes(load_table(stage.blobs, blob))
    known_m = load_arrays(stage.blobs, made.hashes_blob)
    order = np.argsort(known_m)
    tests_n = hashes_of_test(stage, gathered)
    place_n = order[np.minimum(np.searchsorted(known_m, tests_n, sorter=order), len(known_m) - 1)]
    known_n = ~fair_n & (known_m[place_n] == tests_n)
    live, old = np.flatnonzero(~known_n), np.flatnonzero(known_n)
    return in_order([live, old], [predictions.take(live), before.take(place_n[old])]), fair_n | known_n


def rows_of(predictions: Any, which: Any) -> Any:
    """The predictions of some of the rows."""
    return predictions.take(which)


def unseen(stage: Stage, gathered: Gathered, version: Version) -> Any:
    """Which test rows a registered model was not fitted on, as a mask over the test rows."""
    import numpy as np

    made = version.model_origin
    assert made.hashes_blob is not None, "a model is registered with the hashes of its rows"
    assert made.rows_blob is not None, "a model is registered with its split"
    hashes = load_arrays(stage.blobs, made.hashes_blob)
    if made.rows == "all":
        seen = hashes
    else:
        rows = load_arrays(stage.blobs, made.rows_blob)
        seen = hashes[np.concatenate([rows["train"], rows["validation"]])]
    return ~np.isin(hashes_of_test(stage, gathered), seen)
