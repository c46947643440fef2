"""What calls to models cost, by name and tokens: the project's prices go before those that come with bakeoff."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from bakeoff.chat.meter import Prices
from bakeoff.config.sections import Config
from bakeoff.web.tracking.conventions import ModelCall

__all__ = ["PriceTable"]

_DATED = re.compile(r"(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest))$")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by the names of models, `MODEL` or `PROVIDER/MODEL`; a name without its date stands for all dates."""

    prices: Mapping[str, Prices] = field(default_factory=dict[str, Prices])

    @classmethod
    def standard(cls, config: Config | None = None) -> "PriceTable":
        """What comes with bakeoff (`prices.toml`); prices of the project's candidates, and its own, go before."""
        stated: dict[str, Mapping[str, Any]] = tomllib.loads(
            (files("bakeoff.web.tracking") / "prices.toml").read_text(encoding="utf-8")
        )
        if config is not None:
            of_candidates = (each.params for each in config.candidates.values())
            stated |= {
                str(params["model"]): params for params in of_candidates if {"model", "price_in"} <= params.keys()
            }
            stated |= {model: of.model_dump() for model, of in config.tracking.prices.items()}
        return cls({model: _prices(each) for model, each in stated.items()})

    def of(self, model: str, provider: str | None = None) -> Prices | None:
        """The prices of a model; None where nobody said them.

        >>> PriceTable({"m": Prices(usd_in=1.0, usd_out=2.0)}).of("openai/m-2026-01-31").usd_out
        2.0
        """
        bare = model.rpartition("/")[2]
        for name in (f"{provider}/{bare}", model, bare, _DATED.sub("", model), _DATED.sub("", bare)):
            if name in self.prices:
                return self.prices[name]
        return None

    def cost(self, call: ModelCall) -> dict[str, float]:
        """What a call cost in dollars, by MLflow's names: as its writer says, or by its tokens; {} without prices."""
        if call.cost or call.model is None or not any(call.usage.values()):
            return dict(call.cost)
        prices = self.of(call.model, call.provider)
        if prices is None:
            return {}
        cached, written = (call.usage.get(f"cache_{of}_input_tokens", 0) for of in ("read", "creation"))
        read = call.usage.get("input_tokens", 0)
        if read < cached + written:  # some leave the cached ones out of the input
            read += cached + written
        costs = prices.cost_usd(read, 0, cached, written), prices.cost_usd(0, call.usage.get("output_tokens", 0))
        usd_in, usd_out = (each or 0.0 for each in costs)
        return {"input_cost": usd_in, "output_cost": usd_out, "total_cost": usd_in + usd_out}


def _prices(stated: Mapping[str, Any]) -> Prices:
    """Prices by the names that they have in a project file, among other things."""
    usd = {key: float(value) for key, value in stated.items() if isinstance(value, int | float)}
    return Prices(
        usd_in=usd.get("price_in"),
        usd_out=usd.get("price_out"),
        usd_cached=usd.get("price_cached"),
        usd_cache_write=usd.get("price_cache_write"),
    )
