"""What is measured of services behind endpoints, in Prometheus' text format."""

from collections.abc import Iterator, Mapping, Sequence

from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.serve.gateway.upstream import Upstream
from bakeoff.web.measures import escaped

__all__ = ["gateway_lines"]

_UPSTREAM: Mapping[str, tuple[str, str]] = {
    "calls_total": ("counter", "Calls to the service, those tried again among them."),
    "refused_total": ("counter", "Calls that it refused as the caller's fault."),
    "failures_total": ("counter", "Calls without an answer, by what was wrong."),
    "tokens_total": ("counter", "Tokens read (those it had from before are cached, too) and written."),
    "cost_usd_total": ("counter", "What it was paid, in dollars."),
    "seconds_total": ("counter", "Time until its answers were there, of streams until they began."),
    "rests_total": ("counter", "How often it was left alone after failures in a row."),
    "resting": ("gauge", "Whether it is left alone now."),
}


def gateway_lines(gateways: Sequence[Gateway]) -> Iterator[str]:
    """The series of these endpoints."""
    if not gateways:
        return
    for name, (kind, meaning) in _UPSTREAM.items():
        yield f"# HELP bakeoff_upstream_{name} {meaning}"
        yield f"# TYPE bakeoff_upstream_{name} {kind}"
        for gateway in gateways:
            for upstream in gateway.upstreams:
                labels = f'endpoint="{escaped(gateway.endpoint)}",upstream="{escaped(upstream.name)}"'
                for more, value in _values(upstream)[name].items():
                    yield f"bakeoff_upstream_{name}{{{labels}{more}}} {value:.9g}"
    yield "# HELP bakeoff_cached_replies_total Calls that were answered as the same ones before."
    yield "# TYPE bakeoff_cached_replies_total counter"
    for gateway in gateways:
        yield f'bakeoff_cached_replies_total{{endpoint="{escaped(gateway.endpoint)}"}} {gateway.cache_hits}'
    yield "# HELP bakeoff_limited_calls_total Calls of callers who had used up what they may."
    yield "# TYPE bakeoff_limited_calls_total counter"
    for name, count in gateways[0].allowances.refused.items():  # all have the same
        yield f'bakeoff_limited_calls_total{{limit="{escaped(name)}"}} {count}'


def _values(upstream: Upstream) -> Mapping[str, Mapping[str, float]]:
    """The values of each metric by the labels that it has more."""
    counts = upstream.counts
    tokens = {"read": counts.tokens_in, "cached": counts.tokens_cached, "written": counts.tokens_out}
    return {
        "calls_total": {"": counts.calls},
        "refused_total": {"": counts.refused},
        "failures_total": {f',failure="{kind}"': count for kind, count in sorted(counts.failures.items())},
        "tokens_total": {f',kind="{kind}"': count for kind, count in tokens.items()},
        "cost_usd_total": {"": counts.cost_usd},
        "seconds_total": {"": counts.seconds},
        "rests_total": {"": counts.rests},
        "resting": {"": upstream.resting() is not None},
    }
