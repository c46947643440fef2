"""The client against a real server on loopback: errors, slowness, nonsense, the cache, the privacy switch."""

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from bakeoff.chat.cache import REPLIES, ReplyCache
from bakeoff.chat.client import CostBudget, Refusal, Reply, Service, ServiceClient, ServiceError
from bakeoff.chat.meter import Meter, Prices, since, together
from bakeoff.chat.privacy import remote_calls
from bakeoff.chat.streaming import Heard
from bakeoff.core.errors import BudgetError, ConfigError, CorruptError, SecurityError, UsageError
from bakeoff.testing.service import completion, serving


def asking(*texts):
    return [{"messages": [{"role": "user", "content": text}]} for text in texts]


def client_of(service, *, cache=None, sleeps=None, environ=None, **options):
    made = Service(url=service.url, model="tiny", **options)
    return ServiceClient(made, cache=cache, sleep=(sleeps if sleeps is not None else []).append, environ=environ or {})


def test_replies_come_in_order_and_equal_requests_are_asked_once():
    with serving(lambda asked: asked.said.upper()) as service:
        replies = client_of(service).chat(asking(*"abcab"))
    assert [reply.text for reply in replies] == list("ABCAB")
    assert len(service.asked) == 3
    assert {asked.path for asked in service.asked} == {"/v1/chat/completions"}
    assert {asked.body["model"] for asked in service.asked} == {"tiny"}


def test_calls_run_at_once_up_to_the_limit():
    barrier = threading.Barrier(4, timeout=10)

    def answer(asked):
        barrier.wait()  # passes only when four are here together
        return "ok"

    with serving(answer) as service:
        assert len(client_of(service, concurrency=4).chat(asking(*"abcd"))) == 4


def test_failures_are_tried_again_and_advice_is_heeded():
    outcomes = iter(
        [(429, {}, {"retry-after": "7"}), (503, "down", {}), (200, "<html>", {}), (200, {"choices": []}, {})]
    )
    sleeps = []
    with serving(lambda asked: next(outcomes, "fine")) as service:
        (reply,) = client_of(service, sleeps=sleeps).chat(asking("a"))
    assert reply.text == "fine"
    assert sleeps[0] == 7.0
    assert len(sleeps) == 4
    assert all(0 < wait <= 60 for wait in sleeps[1:])


def test_advice_may_be_a_date():
    from email.utils import formatdate

    later = formatdate(time.time() + 100, usegmt=True)
    outcomes = iter([(503, "", {"retry-after": later}), (503, "", {"retry-after": "soon"})])
    sleeps = []
    with serving(lambda asked: next(outcomes, "fine")) as service:
        client_of(service, sleeps=sleeps).chat(asking("a"))
    assert 80 < sleeps[0] <= 100
    assert sleeps[1] <= 1.0


def test_a_service_that_wants_hours_of_waiting_is_an_error():
    with (
        serving(lambda asked: (429, {"error": "quota"}, {"retry-after": "86400"})) as service,
        pytest.raises(ServiceError, match=r"429.*quota"),
    ):
        client_of(service).chat(asking("a"))
    assert len(service.asked) == 1


def test_it_gives_up_in_the_end():
    with (
        serving(lambda asked: (500, {"error": "broken"}, {})) as service,
        pytest.raises(ServiceError, match=r"3 attempts.*500.*broken"),
    ):
        client_of(service, attempts=3).chat(asking("a"))
    assert len(service.asked) == 3


def test_a_slow_answer_is_a_timeout():
    def answer(asked):
        time.sleep(1.0)
        return "late"

    with serving(answer) as service, pytest.raises(ServiceError, match=r"no answer within 0\.1 s"):
        client_of(service, attempts=2, timeout_s=0.1).chat(asking("a"))


def test_nobody_there():
    with serving(lambda asked: "") as service:
        pass
    with pytest.raises(ServiceError, match="Connect"):
        client_of(service, attempts=2).chat(asking("a"))


def test_a_refused_request_does_not_stop_the_others():
    def answer(asked):
        return (400, {"error": "filtered"}, {}) if asked.said == "b" else "ok"

    with serving(answer) as service:
        first, second, third = client_of(service).chat(asking(*"abc"))
    assert isinstance(second, Refusal)
    assert second.status == 400
    assert first.text == third.text == "ok"


@pytest.mark.parametrize("status", [401, 404])
def test_what_will_never_work_is_not_tried_again(status):
    with (
        serving(lambda asked: (status, {"error": "no"}, {})) as service,
        pytest.raises(ServiceError, match=str(status)),
    ):
        client_of(service, concurrency=1).chat(asking(*"abcdef"))
    assert len(service.asked) == 1


def test_the_key_comes_from_the_environment_and_is_not_repeated():
    def answer(asked):
        return 401, {"error": f"wrong key: {asked.headers['authorization']}"}, {}

    with serving(answer) as service:
        with pytest.raises(ServiceError) as caught:
            client_of(service, key_env="A_KEY", environ={"A_KEY": "sk-secret"}).chat(asking("a"))
        assert service.asked[0].headers["authorization"] == "Bearer sk-secret"
        assert "sk-secret" not in str(caught.value)
        assert "$A_KEY" in str(caught.value)
        with pytest.raises(ConfigError, match="A_KEY"):
            client_of(service, key_env="A_KEY").chat(asking("a"))


def test_a_repeated_run_costs_nothing(tmp_path):
    with serving(lambda asked: asked.said.upper()) as service:
        first = client_of(service, cache=tmp_path).chat(asking(*"ab"))
        again = client_of(service, cache=tmp_path).chat(asking(*"abc"))
        client_of(service, cache=tmp_path).chat([{**asking("a")[0], "temperature": 1}])
    assert [reply.text for reply in again] == ["A", "B", "C"]
    assert [reply.cached for reply in again] == [True, True, False]
    assert [reply.seconds for reply in again[:2]] == [reply.seconds for reply in first]
    assert len(service.asked) == 4


def test_what_was_answered_before_a_failure_is_kept(tmp_path):
    with serving(lambda asked: (401, {}, {}) if asked.said == "c" else "ok") as service:
        with pytest.raises(ServiceError):
            client_of(service, cache=tmp_path, concurrency=1).chat(asking(*"abc"))
        assert len(client_of(service, cache=tmp_path).chat(asking(*"ab"))) == 2
    assert len(service.asked) == 3


@pytest.mark.processes
def test_replies_survive_a_power_failure(tmp_path):
    with ReplyCache(tmp_path)._open() as connection:
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("synchronous", "fullfsync")]
    assert pragmas == [(2,), (1,)]


def test_a_damaged_cache_is_named_and_not_paid_for_again(tmp_path):
    (tmp_path / "replies.sqlite").write_bytes(b"no database at all" * 100)
    with serving(lambda asked: "ok") as service, pytest.raises(CorruptError, match=r"replies\.sqlite.*verify --repair"):
        client_of(service, cache=tmp_path).chat(asking("a"))
    assert not service.asked


def test_a_damaged_reply_is_asked_again(tmp_path):
    with serving(lambda asked: "the fine answer") as service:
        client_of(service, cache=tmp_path).chat(asking("a"))
        file = tmp_path / "replies.sqlite"
        file.write_bytes(file.read_bytes().replace(b"the fine answer", b"the fire answer"))
        for _ in range(2):
            (reply,) = client_of(service, cache=tmp_path).chat(asking("a"))
            assert reply.text == "the fine answer"
    assert len(service.asked) == 2


def test_replies_of_before_have_no_checksum_and_are_still_read(tmp_path):
    kept = ReplyCache(tmp_path)
    kept.spent_usd("")
    with sqlite3.connect(tmp_path / "replies.sqlite") as connection:
        connection.execute("INSERT INTO replies VALUES ('key', 1.5, ?)", (b'{"text": "old"}',))
    assert kept.find(["key"]) == {"key": (1.5, {"text": "old"})}


def test_a_file_of_before_gets_the_tables_that_it_lacks_also_from_several_at_once(tmp_path):
    with closing(sqlite3.connect(tmp_path / "replies.sqlite")) as connection:
        connection.execute(REPLIES)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: ReplyCache(tmp_path).run_paid(), range(8))) == {(0.0, None)}


def test_other_machines_are_not_called_until_that_is_allowed():
    service = Service(url="http://192.0.2.1:9/v1", model="m", timeout_s=0.05, attempts=1)
    with pytest.raises(SecurityError, match=r"remote = true.*\[privacy\]"):
        ServiceClient(service).chat(asking("a"))
    with remote_calls(allowed=True):
        allowed = ServiceClient(service)
    with pytest.raises(ServiceError):
        allowed.chat(asking("a"))
    with pytest.raises(SecurityError):
        ServiceClient(service).chat(asking("a"))


def test_a_redirect_is_not_followed():
    with (
        serving(lambda asked: (307, "", {"location": "http://192.0.2.1/v1/chat/completions"})) as service,
        pytest.raises(ServiceError, match="307"),
    ):
        client_of(service).chat(asking("a"))


def test_a_url_that_is_none():
    with pytest.raises(UsageError, match="https://host/v1"):
        ServiceClient(Service(url="localhost:8000", model="m"))


def test_tokens_and_dollars_are_counted(tmp_path):
    answer = lambda asked: completion("four", usage={"prompt_tokens": 1000, "completion_tokens": 100})  # noqa: E731
    meter = Meter(Prices(usd_in=1.0, usd_out=10.0), concurrency=8)
    with serving(answer) as service:
        meter.count(client_of(service, cache=tmp_path).chat(asking("a")), rows=1)
        before = meter.usage
        meter.count(client_of(service, cache=tmp_path).chat(asking("a", "b")), rows=2, unreadable=1)
    spent = since(meter.usage, before)
    assert meter.usage.cost_usd == pytest.approx(0.006)
    assert (spent.rows, spent.calls, spent.cached, spent.tokens_in, spent.tokens_out) == (2, 2, 1, 2000, 200)
    assert spent.cost_usd == pytest.approx(0.004)
    assert (spent.unreadable, spent.refused, len(spent.seconds)) == (1, 0, 2)
    assert together([spent, spent]).cost_usd == pytest.approx(0.008)


def test_a_service_that_does_not_count_is_counted_by_characters():
    reply = Reply(body={"choices": [{"message": {"content": "12345678"}}]}, seconds=0, cached=False, asked_characters=9)
    assert (reply.tokens_in, reply.tokens_out) == (3, 2)


def test_embeddings_in_the_order_of_the_texts():
    def answer(asked):
        found = [{"index": at, "embedding": [len(text), 1.0]} for at, text in enumerate(asked.body["input"])]
        return {"data": found[::-1], "usage": {"prompt_tokens": 3}}

    with serving(answer) as service:
        vectors = client_of(service).embeddings(["a" * n for n in range(100)])
    np.testing.assert_array_equal(vectors[:, 0], np.arange(100))


def test_wrong_embeddings_are_an_error():
    with serving(lambda asked: {"data": []}) as service, pytest.raises(ServiceError, match="expected 1 vectors"):
        client_of(service).embeddings(["a"])


def usage(tokens_in, tokens_out, *, cached=None, reasoning=None, total=None, hit=None):
    counts = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return counts | {
        name: n for name, n in (("total_tokens", total), ("prompt_cache_hit_tokens", hit)) if n is not None
    }


@pytest.mark.parametrize(
    ("counts", "tokens", "usd"),
    [
        (usage(1000, 10), (1000, 0, 10, 0), 1000 * 2 + 10 * 8),
        (usage(1000, 10, cached=600), (1000, 600, 10, 0), 400 * 2 + 600 * 0.5 + 10 * 8),
        (usage(1000, 10, hit=600), (1000, 600, 10, 0), 400 * 2 + 600 * 0.5 + 10 * 8),
        (usage(1000, 90, reasoning=80, total=1090), (1000, 0, 90, 80), 1000 * 2 + 90 * 8),
        (usage(1000, 10, reasoning=80, total=1090), (1000, 0, 90, 80), 1000 * 2 + 90 * 8),  # reasoning beside it
        (usage(1000, 10, cached=5000), (1000, 1000, 10, 0), 1000 * 0.5 + 10 * 8),
        (usage(-5, -7), (1, 0, 1, 0), 2 + 8),  # a count that is none: a quarter of the characters
    ],
)
def test_cached_and_reasoning_tokens_are_counted_and_priced(counts, tokens, usd):
    reply = Reply(body=completion("ok", usage=counts), seconds=1.0, cached=False, asked_characters=4)
    assert (reply.tokens_in, reply.tokens_cached, reply.tokens_out, reply.tokens_reasoning) == tokens
    prices = Prices(usd_in=2.0, usd_out=8.0, usd_cached=0.5)
    assert prices.of(reply) == pytest.approx(usd / 1e6)
    meter = Meter(prices, concurrency=1)
    meter.count([reply, reply], rows=2)
    assert meter.usage.cost_usd == pytest.approx(2 * usd / 1e6)
    assert (meter.usage.tokens_cached, meter.usage.tokens_reasoning) == (2 * tokens[1], 2 * tokens[3])


def test_headers_query_and_body_go_with_each_call():
    queries = []

    def answer(asked):
        queries.append(asked.query)
        return "ok"

    with serving(answer) as service:
        client = client_of(
            service,
            key_env="K",
            key_header="api-key",
            environ={"K": "secret"},
            headers={"X-Team": "films"},
            query={"api-version": "2025-01-01"},
            body={"safe_prompt": True},
        )
        assert client.chat(asking("a"))[0].text == "ok"
        stream = client.stream(asking("a")[0])
        assert list(stream)
    for asked in service.asked:
        assert (asked.headers["api-key"], asked.headers["x-team"]) == ("secret", "films")
        assert "authorization" not in asked.headers
        assert asked.body["safe_prompt"] is True
    assert queries == [{"api-version": "2025-01-01"}] * 2


def test_another_query_is_another_question(tmp_path):
    with serving(lambda asked: asked.query.get("v", "none")) as service:
        texts = [
            client_of(service, cache=tmp_path, **options).chat(asking("a"))[0].text
            for options in ({}, {"query": {"v": "1"}}, {"query": {"v": "2"}}, {"query": {"v": "1"}})
        ]
    assert texts == ["none", "1", "2", "1"]
    assert len(service.asked) == 3


def spending(service, cache, usd):
    """A client whose every call costs a dollar."""
    made = Service(url=service.url, model="tiny", concurrency=1)
    return ServiceClient(made, cache=cache, budget=CostBudget(usd=usd, price=lambda reply: 1.0))


def test_a_budget_stops_the_calls_and_a_larger_one_goes_on(tmp_path):
    with serving(lambda asked: asked.said) as service:
        with pytest.raises(BudgetError, match=r"at most \$2 .*spent \$2.0000; .*raise budget_usd"):
            spending(service, tmp_path, 2.0).chat(asking(*"abcd"))
        assert len(service.asked) == 2
        with pytest.raises(BudgetError):  # what was paid is remembered
            spending(service, tmp_path, 2.0).chat(asking("e"))
        replies = spending(service, tmp_path, 4.0).chat(asking(*"abcd"))
        assert [reply.text for reply in replies] == list("abcd")
        assert len(service.asked) == 4
        assert len(spending(service, tmp_path, 4.0).chat(asking(*"abcd"))) == 4  # what is kept costs nothing


def test_the_number_of_attempts_is_that_of_the_calls():
    with (
        serving(lambda asked: (429, {}, {"retry-after": "3600"})) as service,
        pytest.raises(ServiceError, match="in 1 attempts"),
    ):
        client_of(service).chat(asking("a"))
    assert len(service.asked) == 1


def test_services_share_the_budget_of_a_run_and_the_next_run_goes_on(tmp_path):
    run = ReplyCache(tmp_path)
    with serving(lambda asked: asked.said) as one, serving(lambda asked: asked.said) as other:
        run.begin_run("first", 3.0)
        spending(one, tmp_path, None).chat(asking("a", "b"))
        with pytest.raises(BudgetError, match=r"at most \$3 in this run .*paid \$3.0000 .*run again"):
            spending(other, tmp_path, None).chat(asking("a", "b"))
        assert len(other.asked) == 1
        run.begin_run("first", 3.0)  # a killed run that is taken up
        with pytest.raises(BudgetError):
            spending(one, tmp_path, None).chat(asking("c"))
        run.begin_run("second", 3.0)
        assert [reply.text for reply in spending(other, tmp_path, None).chat(asking("a", "b"))] == ["a", "b"]
        assert run.run_paid() == (1.0, 3.0)  # the answer of before is not paid again


def test_calls_that_run_at_once_stay_within_the_budget(tmp_path):
    made = {"concurrency": 8}
    run = ReplyCache(tmp_path)
    run.begin_run("first", 5.0)
    with serving(lambda asked: asked.said) as service:
        client = ServiceClient(
            Service(url=service.url, model="tiny", **made), cache=tmp_path, budget=CostBudget(price=lambda reply: 1.0)
        )
        with pytest.raises(BudgetError):
            client.chat(asking(*(f"question {at}" for at in range(40))))
        assert len(service.asked) == 5
    assert run.run_paid() == (5.0, 5.0)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Yes", "Yes"),
        (None, ""),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes"}], "Yes"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_content_may_be_a_list_of_parts(content, text, stream):
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": "unknown"}

    def answer(asked):
        body = completion("")
        if not stream:
            body["choices"][0]["message"]["content"] = content
            return body
        chunks = ({"choices": [{"delta": {"content": content}}]}, end)
        return 200, iter([f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]), {}

    with serving(answer) as service:
        client = client_of(service, attempts=1)
        if stream:
            pieces = list(Heard().pieces(client.stream(asking("a")[0])))
            assert "".join(piece.text for piece in pieces) == text
        else:
            assert client.chat(asking("a"))[0].text == text


def test_log_probabilities_that_are_no_numbers_are_none():
    body = completion("hi", top={"hi": -0.5})
    body["choices"][0]["logprobs"]["content"].append({"token": None, "logprob": None})
    with serving(lambda asked: body) as service:
        (reply,) = client_of(service).chat(asking("a"))
    assert (reply.text, reply.tokens) == ("hi", ())
