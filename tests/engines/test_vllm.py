"""The vLLM engine against a program that takes vLLM's arguments and speaks its protocol."""

import sys
from pathlib import Path

import pytest

from bakeoff.core.errors import CandidateError, DataError, MissingExtraError
from bakeoff.core.generation import Sampling, engine_of
from bakeoff.engines.vllm import VllmEngine

COMMAND = (sys.executable, str(Path(__file__).with_name("vllm_server.py")))
ASKED = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    made = VllmEngine(command=COMMAND).open(folder, adapter=folder, threads=1, cache=folder, context=16)
    yield made
    made.close()


def test_process_is_started_asked_and_streams(session):
    pieces = list(session.chat(ASKED, Sampling(max_tokens=9, top_logprobs=1)))
    assert "".join(piece.text for piece in pieces) == "adapter one two three "
    assert [token.id for piece in pieces for token in piece.tokens] == [0, 1, 2, 3]
    assert (pieces[-1].finish, pieces[-1].prompt_tokens, pieces[-1].completion_tokens) == ("stop", 3, 4)


def test_cut_answers_prompts_and_refusals(session):
    assert list(session.chat(ASKED, Sampling(max_tokens=2)))[-1].finish == "length"
    assert session.render(ASKED) == [13]
    with pytest.raises(DataError, match="maximum context length is 16"):
        list(session.chat([{"role": "user", "content": "x " * 30}], Sampling()))


def test_process_ends_with_its_session(tmp_path):
    made = VllmEngine(command=COMMAND).open(tmp_path, threads=1, cache=tmp_path)
    process = made._process
    made.close()
    assert process.poll() is not None


def test_process_that_dies_and_server_that_is_not_there_are_told(tmp_path):
    with pytest.raises(CandidateError, match="ended with 3"):
        VllmEngine(command=(sys.executable, "-c", "raise SystemExit(3)")).open(tmp_path, threads=1, cache=tmp_path)
    with pytest.raises(CandidateError, match="expected vLLM to answer"):
        engine_of("vllm:http://127.0.0.1:9").open(tmp_path, threads=1, cache=tmp_path)
    with pytest.raises(CandidateError, match="expected the URL"):
        engine_of("vllm:nowhere").open(tmp_path, threads=1, cache=tmp_path)


def test_missing_program_names_the_install_command(tmp_path):
    with pytest.raises(MissingExtraError, match="pip install vllm"):
        VllmEngine(command=("no-such-program",)).open(tmp_path, threads=1, cache=tmp_path)
