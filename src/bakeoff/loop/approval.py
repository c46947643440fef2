"""Winners that wait for a person: made ready before anybody is asked, so that what is approved is what is released."""

from dataclasses import dataclass

import msgspec

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.records import Version
from bakeoff.core.releases import Release
from bakeoff.loop.champion import ApprovalNeed, Contest, anchor_of, champion_of, mark_anchor
from bakeoff.loop.context import Stage
from bakeoff.loop.release import ReadyWinner, route
from bakeoff.registry.lineage import label
from bakeoff.results.shipped import Shipped
from bakeoff.serve.releases import release_of

__all__ = ["PROPOSALS", "Proposal", "proposal_of", "propose", "release", "release_proposal"]

PROPOSALS = "proposals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The winner of a run that waits: its release and model version, and the `champion` that it was compared with.

    `needs` is what a person must agree to.
    """

    run_id: str
    release_id: str
    number: int
    champion: str | None
    raises: bool
    needs: tuple[ApprovalNeed, ...]
    shipped: Shipped


def propose(stage: Stage, winner: ReadyWinner, contest: Contest) -> None:
    """Keep a winner that waits, under its run."""
    champion = champion_of(stage)
    proposal = Proposal(
        run_id=winner.run_id,
        release_id=winner.release.release_id,
        number=winner.version.number,
        champion=None if champion is None else label(champion),
        raises=winner.raises,
        needs=contest.needs,
        shipped=winner.shipped,
    )
    stage.records.documents.put(PROPOSALS, winner.run_id, msgspec.to_builtins(proposal))


def proposal_of(stage: Stage, run_id: str) -> Proposal:
    """What the run proposed.

    Raises:
        NotFoundError: its winner did not wait.
    """
    document = stage.records.documents.get(PROPOSALS, run_id)
    if document is None:
        raise NotFoundError(f"expected run {run_id} to have a winner that waits for a person, found none")
    return msgspec.convert(document.body, Proposal)


def release_proposal(stage: Stage, proposal: Proposal, *, who: str, why: str) -> Release:
    """Release what was proposed, as `[endpoint] rollout` says; again changes nothing.

    Raises:
        ConflictError: the champion is another one by now, and nothing shows how the winner stands beside that.
    """
    version = stage.records.versions.get("model", stage.config.project.name, proposal.number)
    champion = champion_of(stage)
    now = None if champion is None else label(champion)
    if now not in (proposal.champion, label(version)):
        raise ConflictError(
            f"expected {proposal.champion or 'no model'} to be the champion still, with which {label(version)} was "
            f"compared, but {now} is by now; 'bakeoff loop reject', and the loop or 'bakeoff run' compares anew"
        )
    ready = release_of(stage.records.documents, stage.endpoint, proposal.release_id)
    winner = ReadyWinner(
        run_id=proposal.run_id, release=ready, version=version, shipped=proposal.shipped, raises=proposal.raises
    )
    return release(stage, winner, who=who, why=why)


def release(stage: Stage, winner: ReadyWinner, *, who: str = "bakeoff run", why: str = "") -> Release:
    """Give a winner its role, and mark what later champions are held to.

    That is the new champion if it was shown to be better, else the one before. One that has to prove itself as a canary
    first raises the mark when it is the champion.
    """
    before: Version | None = anchor_of(stage)
    routed = route(stage, winner, who=who, why=why)
    champion = champion_of(stage)
    assert champion is not None, "there is one, or it was just made live"
    raises = winner.raises and routed.status == "live"
    mark_anchor(stage, champion if raises or before is None else before)
    return routed
