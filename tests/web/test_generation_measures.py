"""Measures of answers piece by piece, under vLLM's names."""

from collections.abc import Iterator

import pytest

from bakeoff.core.generation import Piece
from bakeoff.web.generation_measures import GenerationMeasures, generation_lines


def pieces() -> Iterator[Piece]:
    yield Piece()
    yield Piece(text="a")
    yield Piece(text="b", finish="stop", prompt_tokens=7, completion_tokens=2, cached_tokens=3)


def failing() -> Iterator[Piece]:
    yield Piece(text="a")
    raise RuntimeError("no more")


def lines(measures: GenerationMeasures) -> dict[str, str]:
    text = list(generation_lines({"talk": measures}))
    return dict(line.rsplit(" ", 1) for line in text if not line.startswith("#"))


def test_what_is_counted_of_answers():
    clock = iter([0.0, 0.3, 2.0, 10.0, 10.02, 11.0, 20.0, 20.02, 20.5]).__next__
    measures = GenerationMeasures(lambda: 4, clock)
    assert [piece.text for piece in measures.measured(pieces())] == ["", "a", "b"]
    with pytest.raises(RuntimeError, match="no more"):
        list(measures.measured(failing()))
    broken_off = measures.measured(pieces())
    next(broken_off)
    assert lines(measures)['vllm:num_requests_running{model_name="talk"}'] == "1"
    next(broken_off)
    broken_off.close()
    series = lines(measures)
    label = 'model_name="talk"'
    assert {name: series[f"vllm:{name}{{{label}}}"] for name in ("num_requests_running", "num_requests_waiting")} == {
        "num_requests_running": "0",
        "num_requests_waiting": "4",
    }
    assert series[f"vllm:prompt_tokens_total{{{label}}}"] == "7"
    assert series[f"vllm:generation_tokens_total{{{label}}}"] == "2"
    assert series[f"vllm:prompt_tokens_cached_total{{{label}}}"] == "3"
    assert series[f'vllm:request_success_total{{{label},finished_reason="stop"}}'] == "1"
    assert series[f'vllm:request_success_total{{{label},finished_reason="abort"}}'] == "2"
    assert series[f'vllm:time_to_first_token_seconds_bucket{{{label},le="0.025"}}'] == "2"
    assert series[f'vllm:time_to_first_token_seconds_bucket{{{label},le="0.5"}}'] == "3"
    assert series[f"vllm:e2e_request_latency_seconds_count{{{label}}}"] == "3"
    assert float(series[f"vllm:e2e_request_latency_seconds_sum{{{label}}}"]) == pytest.approx(3.5)


def test_nothing_is_told_of_endpoints_that_do_not_converse():
    assert list(generation_lines({})) == []
