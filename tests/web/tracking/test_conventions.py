"""Spans of every convention in one form, and what their calls cost."""

import json

import pytest

from bakeoff.chat.meter import Prices
from bakeoff.config.sections import Config
from bakeoff.web.tracking.conventions import ModelCall, call_of, translated
from bakeoff.web.tracking.prices import PriceTable


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "gen_ai.system": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.usage.prompt_tokens": 7,
            "gen_ai.usage.completion_tokens": 2,
        },
        {
            "gen_ai.provider.name": "openai",
            "gen_ai.response.model": "m",
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 2,
        },
        {
            "llm.vendor": "openai",
            "llm.request.model": "m",
            "llm.usage.prompt_tokens": "7",
            "llm.usage.completion_tokens": "2",
        },
        {"llm.provider": "openai", "llm.model_name": "m", "llm.token_count.prompt": 7, "llm.token_count.completion": 2},
        {
            "mlflow.llm.provider": "openai",
            "mlflow.llm.model": '"m"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 7, "output_tokens": 2}',
            "gen_ai.usage.input_tokens": 100,
        },
    ],
)
def test_every_generation_of_the_conventions_says_the_same(attributes):
    call = call_of(attributes)
    assert (call.provider, call.model) == ("openai", "m")
    assert call.usage == {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("openinference.span.kind", "RETRIEVER", "RETRIEVER"),
        ("gen_ai.operation.name", "chat", "CHAT_MODEL"),
        ("gen_ai.operation.name", "execute_tool", "TOOL"),
        ("traceloop.span.kind", "workflow", "WORKFLOW"),
        ("ai.operationId", "ai.streamText.doStream", "LLM"),
        ("ai.operationId", "ai.embedMany.doEmbed", "EMBEDDING"),
        ("langfuse.observation.type", "generation", "LLM"),
        ("lmnr.span.type", "PIPELINE", "CHAIN"),
        ("gen_ai.request.model", "m", "LLM"),
        ("mlflow.spanType", "PARSER", "PARSER"),
        ("openinference.span.kind", "nothing known", None),
        ("some.other", "LLM", None),
    ],
)
def test_the_kind_of_a_span(key, value, kind):
    assert call_of({key: value}).kind == kind


def test_what_a_client_says_of_the_kind_goes_before_unless_it_knows_none():
    for stated, kind in (("TOOL", "TOOL"), ("UNKNOWN", "AGENT"), ('"UNKNOWN"', "AGENT")):
        attributes = {"mlflow.spanType": stated, "traceloop.span.kind": "agent"}
        call = call_of(attributes)
        assert (call.kind, translated(attributes, call)) == (kind, {} if kind == "TOOL" else {"mlflow.spanType": kind})


def test_cache_tokens_have_two_names():
    written = [{"gen_ai.usage.cache_creation.input_tokens": 5}, {"gen_ai.usage.cache_write.input_tokens": 5}]
    assert [call_of(each).usage["cache_creation_input_tokens"] for each in written] == [5, 5]


USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        ({"gen_ai.input.messages": json.dumps([USER]), "gen_ai.output.messages": [ASSISTANT]}, []),
        ({"traceloop.entity.input": json.dumps([USER]), "traceloop.entity.output": json.dumps([ASSISTANT])}, []),
        (
            {
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "hi",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.content": "ho",
            },
            [],
        ),
        (
            {
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "hi",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "ho",
            },
            [],
        ),
        ({}, [("gen_ai.user.message", {"content": "hi"}), ("gen_ai.choice", {"message": "ho"})]),
        (
            {},
            [
                ("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps([USER])}),
                ("gen_ai.content.completion", {"gen_ai.completion": json.dumps([ASSISTANT])}),
            ],
        ),
        (
            {},
            [
                (
                    "gen_ai.client.inference.operation.details",
                    {"gen_ai.input.messages": [USER], "gen_ai.output.messages": [ASSISTANT]},
                )
            ],
        ),
    ],
)
def test_messages_stand_in_attributes_and_in_events(attributes, events):
    call = call_of(attributes, events)
    assert (call.input, call.output) == ([USER], [ASSISTANT])


def test_what_an_sdk_spreads_over_attributes_is_put_together():
    attributes = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.prompt.messages": json.dumps([USER]),
        "ai.prompt.tools": ['{"name": "add"}'],
        "ai.response.text": "ho",
    }
    call = call_of(attributes)
    assert (call.input, call.output) == ({"messages": [USER], "tools": [{"name": "add"}]}, "ho")


@pytest.mark.parametrize("hostile", ["{", "[" * 50_000, '"\\ud800"', "{}", "null", "[1", '{"a": NaN}'])
def test_what_is_no_json_stays_a_text_or_is_nothing(hostile):
    call = call_of({"input.value": hostile, "gen_ai.usage.input_tokens": hostile, "mlflow.llm.cost": hostile})
    assert call.input in (None, hostile)
    assert (call.usage, call.cost) == ({}, {})
    deep = call_of({"gen_ai.prompt." + "0." * 50_000 + "content": "x", "gen_ai.prompt.0": "y"})
    assert deep.input is not None


def test_translation_adds_only_what_is_lacking():
    attributes = {"input.value": '{"a": 1}', "mlflow.spanOutputs": "mine", "llm.token_count.prompt": 3}
    assert translated(attributes, call_of(attributes)) == {
        "mlflow.spanInputs": {"a": 1},
        "mlflow.chat.tokenUsage": {"input_tokens": 3, "total_tokens": 3},
    }


MILLION = 10**6


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"input_tokens": MILLION, "output_tokens": MILLION}, (2.0, 8.0)),
        ({"input_tokens": MILLION, "cache_read_input_tokens": MILLION // 2}, (1.25, 0.0)),
        ({"input_tokens": MILLION, "cache_creation_input_tokens": MILLION // 2}, (2.5, 0.0)),
        ({"input_tokens": 0, "cache_read_input_tokens": MILLION}, (0.5, 0.0)),
        ({"input_tokens": MILLION // 2, "cache_read_input_tokens": MILLION}, (1.5, 0.0)),
    ],
)
def test_a_call_costs_its_tokens(usage, cost):
    table = PriceTable({"m": Prices(usd_in=2.0, usd_out=8.0, usd_cached=0.5, usd_cache_write=3.0)})
    usd = table.cost(ModelCall(model="m-2026-01-31", provider="p", usage=usage))
    assert usd == {"input_cost": cost[0], "output_cost": cost[1], "total_cost": sum(cost)}


def test_what_a_writer_reckons_goes_before_and_unknown_models_cost_nothing_known():
    table = PriceTable({"p/m": Prices(usd_in=1.0, usd_out=1.0)})
    stated = call_of({"llm.cost.total": 0.5, "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1})
    assert table.cost(stated) == {"total_cost": 0.5}
    used = {"input_tokens": MILLION}
    assert table.cost(ModelCall(model="m", provider="p", usage=used))["total_cost"] == 1.0
    assert table.cost(ModelCall(model="m", provider="other", usage=used)) == {}
    assert table.cost(ModelCall(model="m", provider="p", usage={"input_tokens": 0})) == {}


def test_a_projects_prices_go_before_those_that_come_with_bakeoff():
    config = Config.model_validate(
        {
            "project": {"name": "p"},
            "data": {"source": "d.csv", "target": "y"},
            "candidates": {
                "service": {"family": "remote", "model": "own", "price_in": 3.0, "price_out": 4.0},
                "free": {"family": "lora", "model": "small"},
            },
            "tracking": {"prices": {"gpt-4o": {"price_in": 7.0, "price_out": 8.0}}},
        }
    )
    table = PriceTable.standard(config)
    assert table.of("own") == Prices(usd_in=3.0, usd_out=4.0)
    assert table.of("openai/gpt-4o-2024-08-06", "openai") == Prices(usd_in=7.0, usd_out=8.0)
    assert table.of("small") is None
    assert PriceTable.standard().of("gpt-4o") == Prices(usd_in=2.5, usd_out=10.0, usd_cached=1.25)
