"""The router: which release answers a call, and which ones get a copy of it."""

import random
from collections.abc import Sequence
from hashlib import blake2b

from bakeoff.core.releases import Release

__all__ = ["Draw", "beside", "mirrored", "pick"]

Draw = random.Random
"""Draws where a caller gives no key."""


def beside(routes: Sequence[Release]) -> list[Release]:
    """The routes beside the live one that get a share of the traffic now: while it is paused, none."""
    return [each for each in routes[1:] if each.share > 0]


def pick(routes: Sequence[Release], key: str | None, draw: Draw) -> Release:
    """The release that answers: the canary for its share of callers, else the live one, which is the first.

    A caller with a key gets the same one each time, also when the share grows. The hash is salted with the release, so
    that the next canary meets other callers.
    """
    for route in routes[1:]:
        if route.status == "canary" and _place(route, key, draw) < route.share:
            return route
    return routes[0]


def mirrored(routes: Sequence[Release], key: str | None, draw: Draw) -> list[Release]:
    """The shadows that get a copy of the call."""
    return [each for each in routes[1:] if each.status == "shadow" and _place(each, key, draw) < each.share]


def _place(route: Release, key: str | None, draw: Draw) -> float:
    """Where a caller stands between 0 and 1 for this release."""
    if key is None:
        return draw.random()
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, key=route.release_id.encode()[:64]).digest()
    return int.from_bytes(digest) / 2**64
