"""The retrieval family: the suite of all families, and what near answers make of it."""

import dataclasses

import polars as pl
import pytest

from bakeoff.core.errors import DataError
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


def test_a_chat_gets_the_known_answer_in_one_piece(job):
    model = RetrievalFamily().fit(dataclasses.replace(job, chosen={"neighbours": 1}))
    pieces = list(model.chat([{"role": "user", "content": "where are you based"}], Sampling()))
    assert "".join(piece.text for piece in pieces) == "In Ghent."
    assert pieces[-1].finish == "stop"
