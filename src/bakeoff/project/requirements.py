"""What candidates need of this machine, looked up before anything is fitted."""

import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies

from bakeoff.actions.extras import JUDGE, needs_of_settings
from bakeoff.config.sections import Config
from bakeoff.core.errors import BakeoffError, CandidateError, MissingExtraError
from bakeoff.core.families import install_command, load_family, missing_distributions, require_here
from bakeoff.core.libraries import missing_libraries
from bakeoff.loop.context import Contender

__all__ = ["require_all"]

WAIT_S = 5.0


def require_all(config: Config, candidates: Sequence[Contender]) -> None:
    """See that every candidate can be fitted here: its packages, its device, its service.

    Raises:
        MissingExtraError: packages are missing. CandidateError: only something else is. Each names all that is.
    """
    lacking = [*_of_candidates(candidates), *_of_settings(config)]
    if not lacking:
        return
    kind = next((type(error) for error in lacking if isinstance(error, MissingExtraError)), CandidateError)
    listed = "\n".join(f"  {error}" for error in lacking)
    go_on = "To go on without these candidates: --allow-missing (allow_missing=True in Python)"
    raise kind(f"nothing was fitted, as something is missing:\n{listed}\n{go_on}")


def _of_candidates(candidates: Sequence[Contender]) -> Iterator[BakeoffError]:
    for each in (candidate.shown for candidate in candidates):
        family = load_family(each.family_name)
        missing = missing_distributions(family.requires)
        if missing:
            install = install_command(family, missing)
            yield MissingExtraError(f"candidate {each.name!r} needs {', '.join(missing)}: {install}")
            continue
        for library in missing_libraries(family.requires):
            yield MissingExtraError(f"candidate {each.name!r} needs {library}")
        try:
            require_here(family, each.params)
        except BakeoffError as error:
            yield type(error)(f"candidate {each.name!r}: {error}")
        if each.service is not None:
            yield from _of_service(f"candidate {each.name!r}", each.service)


def _of_settings(config: Config) -> Iterator[BakeoffError]:
    if config.judge is not None:
        yield from _of_service(JUDGE, config.judge.url)
    for need in needs_of_settings(config):
        if need.setting != JUDGE and missing_distributions([need.distribution]):
            yield MissingExtraError.of(need.setting, need.extra, need.distribution)


def _of_service(what: str, url: str) -> Iterator[BakeoffError]:
    """What stands in the way of asking a service: its client is not installed, or nothing listens at its address."""
    if missing_distributions(["httpx2"]):
        yield MissingExtraError.of(what, "chat", "httpx2")
        return
    parts = urlsplit(url)
    if parts.hostname is None or getproxies():
        return  # what the proxy reaches only the call itself can tell
    try:
        with socket.create_connection((parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)), WAIT_S):
            return
    except OSError as error:
        reason = error.strerror or str(error)
        yield CandidateError(
            f"{what} asks {url}, where nothing answers ({reason}): start that service, or mend the url"
        )
