"""Clients of language models ask models that answer rows: labels as texts, probabilities as log-probabilities."""

import json
import math

import pytest

openai = pytest.importorskip("openai")

ROW = {"role": "user", "content": '{"x": 3, "note": "n"}'}


@pytest.fixture
def client(row_world):
    with openai.OpenAI(base_url=f"{row_world.server.url}/v1", api_key="none", max_retries=0, timeout=10) as made:
        yield made


def test_a_row_is_answered_with_its_label(client, row_world) -> None:
    turns = [{"role": "system", "content": "Classify."}, {"role": "user", "content": "{}"}, ROW]
    answer = client.chat.completions.create(model="signs", messages=turns, logprobs=True, top_logprobs=5, temperature=0)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason, answer.model) == ("pos", "stop", "signs")
    token = choice.logprobs.content[0]
    assert (token.token, token.logprob) == ("pos", pytest.approx(math.log(0.75)))
    assert [(each.token, each.logprob) for each in token.top_logprobs] == [
        ("pos", pytest.approx(math.log(0.75))),
        ("neg", pytest.approx(math.log(0.25))),
    ]
    event = row_world.logged()[-1]
    assert (event.id, dict(event.row)) == (answer.id, {"x": 3, "note": "n"})


def test_one_text_is_asked_as_it_is_and_streamed(client) -> None:
    stream = client.chat.completions.create(
        model="topics", messages=[{"role": "user", "content": "{short}"}], stream=True, logprobs=True, top_logprobs=2
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "short"
    assert chunks[-1].choices[0].finish_reason == "stop"
    tokens = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert [(each.token, each.logprob) for each in tokens[0].top_logprobs] == [("short", 0.0), ("long", -9999.0)]


def test_numbers_by_every_api(client, row_world) -> None:
    row = json.dumps({"a": 2, "b": 0.25})
    assert client.completions.create(model="sums", prompt=row).choices[0].text == "4.5"
    assert client.responses.create(model="sums", input=row).output_text == "4.5"
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(base_url=row_world.server.url, api_key="none", max_retries=0) as other:
        message = other.messages.create(model="sums", max_tokens=10, messages=[{"role": "user", "content": row}])
    assert (message.content[0].text, message.stop_reason) == ("4.5", "end_turn")


def test_several_prompts_are_rows_of_one_call(client, row_world) -> None:
    rows = [{"a": 2, "b": 0.25}, {"a": 1, "b": 0.0}]
    answer = client.completions.create(model="sums", prompt=[json.dumps(row) for row in rows])
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "4.5"), (1, "1.0")]
    events = row_world.logged()[-2:]
    assert [(event.id, dict(event.row)) for event in events] == [
        (choice.prediction_id, row) for choice, row in zip(answer.choices, rows, strict=True)
    ]
    with pytest.raises(openai.BadRequestError, match=r"prompt\[1\]: expected the row as a JSON object"):
        client.completions.create(model="sums", prompt=[json.dumps(rows[0]), "x"])


def test_a_version_is_a_model_where_it_is_live(client) -> None:
    assert client.chat.completions.create(model="signs/3", messages=[ROW]).model == "signs"
    with pytest.raises(openai.NotFoundError, match="signs/2"):
        client.chat.completions.create(model="signs/2", messages=[ROW])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"messages": [{"role": "user", "content": "positive?"}]},
            r"""messages\[0\].content: expected the row as a JSON""",
        ),
        ({"messages": [{"role": "user", "content": "[1]"}]}, '"x": …, "note": …'),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "a message of the user"),
        ({"n": 2}, "a model for classification has one answer"),
        ({"response_format": {"type": "json_object"}}, "a model for classification cannot do it"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "cannot do it"),
        ({"messages": [{"role": "user", "content": '{"x": "many", "note": ""}'}]}, "row 1"),
    ],
)
def test_what_a_row_cannot_do_is_refused(client, options, message) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        client.chat.completions.create(**{"model": "signs", "messages": [ROW], **options})


def test_numbers_have_no_log_probabilities(client) -> None:
    with pytest.raises(openai.BadRequestError, match="logprobs"):
        client.chat.completions.create(
            model="sums", messages=[{"role": "user", "content": '{"a": 1, "b": 1}'}], logprobs=True
        )
