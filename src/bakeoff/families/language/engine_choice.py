"""Answers that an engine makes: the model's weights, run by llama.cpp where it is installed, else by transformers."""

import importlib.util
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.core.errors import CandidateError
from bakeoff.core.generation import Capacity, Finish, Messages, Piece, Sampling, Speech, TextSession, engine_of
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob

__all__ = ["AUTO", "CapacityParams", "Speaker", "WholeAnswer", "check_quantisation", "engine_for"]

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityParams:
    """Parameters of all that generates: how much the engine holds, which changes no answer but those it cuts."""

    context: Annotated[int, Field(ge=64)] = field(default=Capacity().context, metadata=only_for("generation"))
    slots: Annotated[int, Field(ge=1, le=1024)] = field(default=Capacity().slots, metadata=only_for("generation"))
    kv_cache: Literal["f16", "q8_0"] = field(default="f16", metadata=only_for("generation"))

    def capacity(self, base: Path) -> Capacity:
        """What the engine is to hold of the model in `base`.

        Raises:
            CandidateError: the model reads fewer tokens.
        """
        # What nobody asked for may be more than a small model reads: the engine then holds less.
        own = json.loads((base / "config.json").read_text()).get("max_position_embeddings")
        if own is not None and self.context > own and self.context != Capacity().context:
            raise CandidateError(f"expected context of at most {own} tokens (the model's), received {self.context}")
        return Capacity(context=self.context, slots=self.slots, kv_cache=self.kv_cache)


def check_quantisation(job: FitJob) -> None:
    """See that the engine can convert weights as the parameters ask, and tell where it converts none.

    Raises:
        CandidateError: it knows no such form.
    """
    engine, wanted = engine_for(job.params.engine), job.params.quantisation
    forms = engine_of(engine).quantisations
    if forms and wanted not in forms:
        raise CandidateError(
            f"expected quantisation among {', '.join(forms)} for the engine {engine}, received {wanted!r}"
        )
    default = next(each.default for each in fields(job.params) if each.name == "quantisation")
    if not forms and wanted != default:
        why = f"the engine {engine} runs the weights as they are"
        job.on_loss(Loss(kind="option", reason=why, subject="quantisation", count=1))


def engine_for(named: str) -> str:
    """The engine to run: the one that is named; for "auto" llama.cpp where it is installed, else transformers."""
    if named != AUTO:
        return named
    found = all(importlib.util.find_spec(module) for module in ("xllamacpp", "gguf"))
    return "llamacpp" if found else "transformers"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A session that is opened when it is first asked."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sessions: list[TextSession] = field(default_factory=list[TextSession])


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnswer:
    """A whole answer, and why it ended."""

    text: str
    finish: Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A model's weights and the engine that runs them; what the engine converts is kept in `cache`."""

    speech: Speech
    threads: int
    cache: Path
    _opened: _Opened = field(default_factory=_Opened, repr=False, compare=False)

    def session(self) -> TextSession:
        """The engine with the model loaded."""
        with self._opened.lock:
            if not self._opened.sessions:
                made = engine_of(self.speech.engine).open(
                    self.speech.model,
                    adapter=self.speech.adapter,
                    threads=self.threads,
                    cache=self.cache,
                    context=self.speech.capacity.context,
                    parallel=self.speech.capacity.slots,
                    quantisation=self.speech.quantisation,
                    kv_cache=self.speech.capacity.kv_cache,
                )
                self._opened.sessions.append(made)
            return self._opened.sessions[0]

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """See `bakeoff.core.generation.ChatModel`."""
        return self.session().chat(messages, sampling)

    def answers(self, conversations: Sequence[Messages], sampling: Sampling) -> list[WholeAnswer]:
        """The whole answer to each conversation, several at once."""
        session = self.session()

        def one(messages: Messages) -> WholeAnswer:
            pieces = list(session.chat(messages, sampling))
            finishes: list[Finish] = [piece.finish for piece in pieces if piece.finish]
            return WholeAnswer(text="".join(piece.text for piece in pieces).strip(), finish=(finishes or ["stop"])[-1])

        with ThreadPoolExecutor(self.speech.capacity.slots) as pool:
            return list(pool.map(one, conversations))
