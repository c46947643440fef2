"""The endpoints of a project that services answer, as the data plane has them."""

from collections.abc import Mapping

from bakeoff.config.sections import Config, UpstreamConfig
from bakeoff.core.protocols import Clock, DocumentRecords, EventLog
from bakeoff.prepare.personal_data.pii import redacting, redactor
from bakeoff.serve.gateway.allowances import Allowances
from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.serve.gateway.upstream import Upstream
from bakeoff.serve.recorder import Recorder

__all__ = ["gateways"]


def gateways(
    config: Config,
    documents: DocumentRecords,
    events: EventLog,
    clock: Clock,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Gateway]:
    """A gateway for each `[endpoints.NAME]` with upstreams, by its name.

    Raises:
        ConfigError: the environment variable of a key is not set.
    """
    allowances = Allowances(config.limits, documents, clock)
    steps = config.prepare.specs
    redact = redactor(steps) if redacting(steps) else None  # without, nothing is looked at
    return {
        name: Gateway(
            name,
            [Upstream(each, name=upstream_name(each), environ=environ) for each in served.upstreams],
            recorder=Recorder(name, events, log=served.log, redact=redactor, sample=served.sample),
            allowances=allowances,
            clock=clock,
            redact=redact,
            cache=served.cache,
        )
        for name, served in config.endpoints.items()
        if served.upstreams
    }


def upstream_name(config: UpstreamConfig) -> str:
    """What the log and the metrics call an upstream."""
    return config.name or config.model or config.url.split("//", 1)[1].partition("/")[0]
