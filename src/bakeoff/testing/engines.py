"""What every `TextEngine` must do; derive from `EngineConformance` and give the fixtures `engine` and `model`.

    class TestMine(EngineConformance):
        @pytest.fixture
        def engine(self):
            return MyEngine()

        @pytest.fixture
        def model(self):
            return folder_of_a_small_model  # with a tokenizer.json and a chat template

The suite reads and answers; whether an engine answers what was trained, `bakeoff.engines.fidelity` compares.
"""

# ruff: noqa: D102, PLR2004  # the names of the tests say it; the numbers are the examples

import re
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from bakeoff.core.errors import CandidateError, ContextLengthError, DataError, OptionError
from bakeoff.core.generation import Messages, Option, Piece, Sampling, TextEngine, TextSession

__all__ = ["EngineConformance"]

CONTEXT = 256
QUESTION: Messages = ({"role": "user", "content": "what is the capital of france 123"},)


_CACHES: dict[type, Path] = {}


def _text(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


class EngineConformance:
    """The tests. Each opens the model anew unless it takes the fixture `session`."""

    @pytest.fixture
    def engine(self) -> TextEngine:
        """The engine under test."""
        raise NotImplementedError

    @pytest.fixture
    def model(self) -> Path:
        """The folder of a small model."""
        raise NotImplementedError

    @pytest.fixture
    def engine_cache(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Where an engine keeps what it makes of a model: once for all tests of a class."""
        return _CACHES.get(type(self)) or _CACHES.setdefault(type(self), tmp_path_factory.mktemp("cache"))

    @pytest.fixture
    def session(self, engine: TextEngine, model: Path, engine_cache: Path) -> Generator[TextSession]:
        """The model, opened with a context of 256 tokens."""
        session = engine.open(model, threads=1, cache=engine_cache, context=CONTEXT, parallel=2)
        yield session
        session.close()

    def test_it_is_described(self, engine: TextEngine) -> None:
        assert engine.name
        assert all(isinstance(name, str) for name in engine.quantisations)

    def test_a_prompt_is_the_tokens_that_were_trained(self, session: TextSession, model: Path) -> None:
        from bakeoff.chat.tokens import ChatTokens

        trained = ChatTokens.read(model)
        for text in ("hello", "  12345, it's naïve 日本\n\n", *trained.control):
            turns: Messages = ({"role": "system", "content": "be brief"}, {"role": "user", "content": text})
            assert session.render(turns) == trained.prompt(turns)

    def test_the_last_piece_counts_and_says_why_it_ended(self, session: TextSession) -> None:
        pieces = list(session.chat(QUESTION, Sampling(max_tokens=5)))
        assert [piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert pieces[-1].finish in {"stop", "length"}
        assert pieces[-1].prompt_tokens == len(session.render(QUESTION))
        assert 0 <= pieces[-1].completion_tokens <= 5
        assert (pieces[-1].finish == "length") == (pieces[-1].completion_tokens == 5)

    def test_the_likeliest_answer_is_the_same_each_time_and_at_once(self, session: TextSession) -> None:
        first = _text(session.chat(QUESTION, Sampling(max_tokens=8)))
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: _text(session.chat(QUESTION, Sampling(max_tokens=8))), range(4)))
        assert answers == [first] * 4

    def test_a_stop_text_ends_the_answer_before_it(self, session: TextSession) -> None:
        whole = _text(session.chat(QUESTION, Sampling(max_tokens=12)))
        letters = re.search("[ -~]{2}", whole)  # not in the middle of a character
        if letters is None:
            pytest.skip("the model answers with nothing to stop at")
        stop = letters[0]
        pieces = list(session.chat(QUESTION, Sampling(max_tokens=12, stop=(stop,))))
        assert _text(pieces) == whole[: whole.index(stop)]
        assert pieces[-1].finish == "stop"

    def test_an_answer_may_be_broken_off(self, session: TextSession) -> None:
        answer = session.chat(QUESTION, Sampling(max_tokens=24))
        next(answer)
        getattr(answer, "close", lambda: None)()
        assert list(session.chat(QUESTION, Sampling(max_tokens=2)))[-1].finish is not None

    def test_log_probabilities_are_those_of_the_text(self, session: TextSession) -> None:
        pieces = list(session.chat(QUESTION, Sampling(max_tokens=12, top_logprobs=2)))
        tokens = [token for piece in pieces for token in piece.tokens]
        assert len(tokens) <= pieces[-1].completion_tokens  # parts of a character may come as one, or not at all
        assert bool(tokens) == bool(_text(pieces))
        assert all(token.logprob <= 0 and len(token.top) == 2 for token in tokens)
        assert all(token.top[0][1] >= token.top[1][1] for token in tokens)

    def test_a_prompt_that_is_too_long_is_refused(self, session: TextSession) -> None:
        with pytest.raises(ContextLengthError):
            list(session.chat(({"role": "user", "content": "cat " * 600},), Sampling(max_tokens=2)))

    @pytest.mark.parametrize("option", sorted(get_args(Option)))
    def test_what_it_cannot_do_it_refuses(self, session: TextSession, option: Option) -> None:
        asked = {
            "frequency_penalty": Sampling(max_tokens=2, frequency_penalty=0.5),
            "logit_bias": Sampling(max_tokens=2, logit_bias={5: 1.0}),
            "logprobs": Sampling(max_tokens=2, top_logprobs=1),
            "presence_penalty": Sampling(max_tokens=2, presence_penalty=0.5),
            "reasoning_effort": Sampling(max_tokens=2, reasoning_effort="low"),
            "response_format": Sampling(max_tokens=2, json_schema={"type": "object"}),
            "tools": Sampling(max_tokens=2, tools=({"name": "look_up", "parameters": {"type": "object"}},)),
        }[option]
        refused = None
        try:
            assert list(session.chat(QUESTION, asked))[-1].finish is not None
        except OptionError as error:
            refused = error.option
        assert refused in {None, option}

    def test_vectors_have_length_one_and_do_not_depend_on_each_other(self, session: TextSession) -> None:
        try:
            both = session.embed(["hello", "the cat sat on the mat"])
        except DataError:
            pytest.skip("it gives no vectors of texts")
        assert both.shape[0] == 2
        np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-3)
        np.testing.assert_allclose(session.embed(["hello"])[0], both[0], atol=1e-2)

    def test_a_folder_without_a_model_is_an_error(self, engine: TextEngine, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(CandidateError):
            engine.open(tmp_path / "empty", threads=1, cache=tmp_path / "cache")
