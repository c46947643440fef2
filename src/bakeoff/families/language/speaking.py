"""Answers that an engine makes: the model's weights, run by llama.cpp where it is installed, else by transformers."""

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.core.generation import Finish, Messages, Piece, Sampling, Speech, TextSession, engine_of

__all__ = ["AUTO", "Answer", "Speaker", "engine_for"]

AUTO = "auto"
PARALLEL = 4
CONTEXT = 2048


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
class Answer:
    """A whole answer, and why it ended."""

    text: str
    finish: Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A model's weights and the engine that runs them; what the engine converts is kept in `cache`."""

    speech: Speech
    threads: int
    cache: Path
    context: int = CONTEXT
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
                    context=self.context,
                    parallel=PARALLEL,
                    quantisation=self.speech.quantisation,
                )
                self._opened.sessions.append(made)
            return self._opened.sessions[0]

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """See `bakeoff.core.generation.ChatModel`."""
        return self.session().chat(messages, sampling)

    def answers(self, conversations: Sequence[Messages], sampling: Sampling) -> list[Answer]:
        """The whole answer to each conversation, several at once."""
        session = self.session()

        def one(messages: Messages) -> Answer:
            pieces = list(session.chat(messages, sampling))
            finish = next((piece.finish for piece in reversed(pieces) if piece.finish), "stop")
            return Answer(text="".join(piece.text for piece in pieces).strip(), finish=finish)

        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(one, conversations))
