"""A model that is made of others can do what they can."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from bakeoff.config.params import check
from bakeoff.core.abilities import Abilities, abilities_of
from bakeoff.core.families import load_family, service_of
from bakeoff.core.generation import Piece, Sampling, Speech
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import Usage
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.families.wrappers.blend import BlendFamily, BlendParams
from bakeoff.families.wrappers.calibrated import CalibratedFamily, CalibratedParams
from bakeoff.families.wrappers.cascade import CascadeFamily, CascadeParams
from bakeoff.families.wrappers.members import Member
from bakeoff.families.wrappers.prepared import PreparedModel

SIGNATURE = Signature(
    task="classification", inputs=(Column(name="x", kind="numeric", dtype="Float64"),), classes=("a", "b")
)
FAR = "https://models.example.org/v1"
REMOTE = {"name": "far", "family": "remote", "params": {"url": FAR}}
TABLE = pl.DataFrame({"x": [1.0, 2.0, 3.0]})


class Plain:
    """Predicts, and can do nothing else."""

    signature, chosen = SIGNATURE, {}

    def predict(self, table):
        return Predictions.of_probabilities(np.full((len(table), 2), 0.5), self.signature.classes)


class Able(Plain):
    """Can do all that a model can do."""

    def __init__(self, name):
        self.name, self.warmed = name, 0

    usage = property(lambda self: Usage(rows=7, calls=2, concurrency=3))
    speech = property(lambda self: Speech(model=self.name, adapter=None, engine="e", quantisation="q"))
    concurrency = property(lambda self: 3)
    weights_bytes = property(lambda self: 100)
    rows_before = property(lambda self: len(self.name))
    embedder = property(lambda self: f"encoder of {self.name}")

    def losses(self):
        return (Loss(kind="text", reason=f"cut by {self.name}", count=1),)

    def log_likelihood(self, table, texts):
        return table["x"].to_numpy(), np.ones(len(texts))

    def recall(self, table, texts, most):
        return table["x"].to_numpy(), np.ones(len(texts)), np.full(len(texts), most > 1)

    def predict_rows(self, rows):
        return Predictions.of_probabilities(np.array([[1.0, 0.0]]), self.signature.classes)

    def predict_numbers(self, x_nd):
        return self.predict_rows(x_nd)

    def attribute(self, table, *, words=False):
        raise NotImplementedError

    def chat(self, messages, sampling):
        yield Piece(text=self.name)

    def warm(self):
        self.warmed += 1


def members(count):
    return tuple(Member(name=f"m{at}", family="linear") for at in range(count))


def blend(models):
    return BlendFamily().combined(BlendParams(members=members(len(models))), models)


def cascade(models):
    return CascadeFamily().combined(CascadeParams(members=members(len(models))), models)


def can(abilities):
    return {field.name for field in dataclasses.fields(Abilities) if getattr(abilities, field.name) is not None}


EVERYTHING = {field.name for field in dataclasses.fields(Abilities)}
OF_ONE = EVERYTHING - {"predict_rows", "predict_numbers"}
OF_OTHERS = OF_ONE - {"attribute"}
"""Of a model that is made of others: what these say of a row is not yet what it says."""


def test_a_model_declares_each_ability_by_itself():
    assert can(abilities_of(Able("a"))) == EVERYTHING
    assert can(abilities_of(Plain())) == set()


@pytest.mark.parametrize("combined", [blend, cascade])
def test_models_of_several_keep_what_several_can_do(combined):
    one, two = Able("one"), Able("two")
    abilities = abilities_of(combined([Plain(), one]))
    # What several would say of a given text, none of them can tell; and their size is that of all.
    assert can(abilities) == OF_OTHERS - {"log_likelihood", "weights_bytes"}
    assert abilities.usage() == Usage(rows=7, calls=2, concurrency=3)
    abilities = abilities_of(combined([one, two]))
    assert abilities.usage().rows == 14
    assert [loss.reason for loss in abilities.losses()] == ["cut by one", "cut by two"]
    assert abilities.rows_before() == 3
    assert abilities.warm() is None
    assert (one.warmed, two.warmed) == (1, 1)
    assert abilities.embedder() == "encoder of one"
    assert [piece.text for piece in abilities.chat([], Sampling())] == ["one"]
    assert can(abilities_of(combined([Plain(), Plain()]))) == set()


def test_rows_that_several_members_lose_are_lost_once():
    """Each member reads the same rows: what both cut is not twice as much."""

    class Cutting(Plain):
        def __init__(self, count):
            self.count = count

        def losses(self):
            return (Loss(kind="text", reason="cut", count=self.count, of=10),)

    abilities = abilities_of(blend([Cutting(2), Cutting(3), Able("one")]))
    assert [(loss.reason, loss.count, loss.of) for loss in abilities.losses()] == [
        ("cut", 3, 10),
        ("cut by one", 1, None),
    ]


def test_a_calibrated_model_can_do_all_that_its_member_can():
    model = CalibratedFamily().combined(CalibratedParams(members=members(1)), [Able("one")])
    abilities = abilities_of(model)
    assert can(abilities) == OF_ONE
    assert abilities.log_likelihood(TABLE, ["a"] * 3)[0].tolist() == [1.0, 2.0, 3.0]


def test_a_prepared_model_asks_about_rows_as_its_steps_leave_them():
    class Double:
        def __call__(self, table):
            return table.with_columns(pl.col("x") * 2)

    able = Able("one")
    model = PreparedModel(state=type("State", (), {"signature": SIGNATURE})(), transforms=(Double(),), model=able)
    abilities = abilities_of(model)
    assert can(abilities) == OF_ONE
    assert abilities.recall(TABLE, ["a"] * 3, 5)[0].tolist() == [2.0, 4.0, 6.0]
    assert abilities.log_likelihood(TABLE, ["a"] * 3)[0].tolist() == [2.0, 4.0, 6.0]
    assert abilities.weights_bytes() == 100
    assert can(abilities_of(blend([model, model]))) == OF_OTHERS - {"log_likelihood", "weights_bytes"}


@pytest.mark.parametrize(
    ("family", "params", "expected"),
    [
        ("linear", {}, None),
        ("remote", {"url": FAR}, FAR),
        ("blend", {"members": [{"name": "a", "family": "linear"}, REMOTE]}, FAR),
        ("cascade", {"members": [{"name": "a", "family": "remote"}, REMOTE]}, FAR),
        ("calibrated", {"members": [REMOTE]}, FAR),
        ("calibrated", {"members": [{"name": "a", "family": "linear"}]}, None),
        ("prepared", {"family": "remote", "params": {"url": FAR}, "steps": []}, FAR),
        ("prepared", {"family": "calibrated", "params": {"members": [REMOTE]}, "steps": []}, FAR),
    ],
)
def test_where_rows_are_sent_is_asked_of_the_family(family, params, expected):
    """Before, a key called `url` was looked for, which a member's parameters hide."""
    made = load_family(family)
    assert service_of(made, check(made.params, params, owner=family, key="k", file="f")) == expected
