"""The retrieval family: the suite of all families, and what near answers make of it."""

import dataclasses

import polars as pl
import pytest

from bakeoff.core.errors import DataError, OptionError
from bakeoff.core.generation import Sampling
from bakeoff.families.retrieval import RetrievalFamily, RetrievalParams
from bakeoff.testing.families import FamilyConformance


class TestRetrieval(FamilyConformance):
    @pytest.fixture
    def family(self):
        return RetrievalFamily()


@pytest.fixture
def job(tmp_path):
    suite = FamilyConformance()
    made = suite.job_of("generation", RetrievalParams(), tmp_path, columns=("text",))
    asked = [
        "How do I reset my password?",
        "how can I reset the password",
        "Reset password how?",
        "Where are you based?",
    ]
    told = ["Use the link.", "Use the reset link.", "No idea.", "In Ghent."]
    train = pl.DataFrame({"text": asked, "target": told})
    return dataclasses.replace(made, train=train, validation=train[:0], chosen={"neighbours": 3})


def answer(job, question):
    model = RetrievalFamily().fit(job)
    return model.predict(pl.DataFrame({"text": [question]})).values_n[0]


def test_the_answer_on_which_near_questions_agree_is_given(job):
    assert answer(job, "reset password how") in {"Use the link.", "Use the reset link."}
    assert answer(dataclasses.replace(job, chosen={"neighbours": 1}), "reset password how") == "No idea."


def test_a_question_without_known_words_gets_the_first_answer(job):
    assert answer(job, "ζζζ") == "Use the link."


def test_a_conversation_is_a_question(job):
    turns = '[{"role": "user", "content": "Where are"}, {"role": "user", "content": "you based?"}]'
    assert answer(dataclasses.replace(job, chosen={"neighbours": 1}), turns) == "In Ghent."


def test_neighbours_are_chosen_on_validation_rows(job):
    chosen = dataclasses.replace(job, chosen=None, validation=job.train[2:3])
    assert RetrievalFamily().fit(chosen).chosen["neighbours"] in {1, 3, 5, 10}


def test_a_template_names_columns(job):
    params = RetrievalParams(template="{text}?", neighbours=1)
    model = RetrievalFamily().fit(dataclasses.replace(job, params=params, chosen=None))
    assert model.predict(pl.DataFrame({"text": ["you based"]})).values_n[0] == "In Ghent."
    with pytest.raises(DataError, match="texts"):
        RetrievalFamily().fit(dataclasses.replace(job, params=RetrievalParams(template="{texts}")))


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    made = FamilyConformance().job_of(
        "generation", RetrievalParams(), tmp_path_factory.mktemp("job"), columns=("text",)
    )
    train = pl.DataFrame(
        {
            "text": ["Where are you based?", "あなたはどこにいますか"],
            "target": ["We are based in Ghent, near the river.", "ベルギーです"],
        }
    )
    return RetrievalFamily().fit(dataclasses.replace(made, train=train, validation=train[:0], chosen={"neighbours": 1}))


def said(model, question="where are you based", **options):
    pieces = list(model.chat([{"role": "user", "content": question}], Sampling(**options)))
    last = pieces[-1]
    return "".join(piece.text for piece in pieces), last.finish, last.prompt_tokens, last.completion_tokens


def test_a_chat_gets_the_known_answer(talking):
    assert said(talking) == ("We are based in Ghent, near the river.", "stop", 4, 8)


@pytest.mark.parametrize(
    ("options", "text", "finish", "tokens"),
    [
        ({"max_tokens": 1}, "We", "length", 1),
        ({"max_tokens": 5}, "We are based in Ghent,", "length", 5),
        ({"max_tokens": 8}, "We are based in Ghent, near the river.", "stop", 8),
        ({"stop": ("Ghent",)}, "We are based in ", "stop", 4),
        ({"stop": ("river", "are")}, "We ", "stop", 1),
        ({"stop": ("We",)}, "", "stop", 0),
        ({"stop": ("Paris",)}, "We are based in Ghent, near the river.", "stop", 8),
        ({"stop": ("are",), "max_tokens": 3}, "We ", "stop", 1),
        ({"stop": ("near",), "max_tokens": 2}, "We are", "length", 2),
    ],
)
def test_an_answer_is_cut_by_words_and_at_stop_texts(talking, options, text, finish, tokens):
    assert said(talking, **options) == (text, finish, 4, tokens)


def test_scripts_without_spaces_are_cut_by_characters(talking):
    assert said(talking, "どこにいますか", max_tokens=4) == ("ベルギー", "length", 7, 4)


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("response_format", {"json_schema": {"type": "object"}}),
        ("logprobs", {"top_logprobs": 0}),
        ("logit_bias", {"logit_bias": {1: 5.0}}),
        ("frequency_penalty", {"frequency_penalty": 0.1}),
        ("presence_penalty", {"presence_penalty": -0.1}),
        ("reasoning_effort", {"reasoning_effort": "high"}),
    ],
)
def test_what_a_known_answer_cannot_have_is_refused_by_name(talking, option, options):
    with pytest.raises(OptionError, match="family retrieval") as refused:
        said(talking, **options)
    assert refused.value.option == option
