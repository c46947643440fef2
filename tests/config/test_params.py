"""Parameters that have no effect for a task are named, when somebody gave them."""

from dataclasses import dataclass, field

from bakeoff.config.params import only_for, without_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    rank: int = 8
    engine: str = field(default="auto", metadata=only_for("generation"))
    balanced: bool | None = field(default=None, metadata=only_for("classification", "regression"))


def test_only_what_was_given_and_does_nothing_is_named():
    given = Params(rank=4, engine="vllm", balanced=True)
    assert without_effect(given, "classification") == [("engine", "it is for generation only")]
    assert without_effect(given, "generation") == [("balanced", "it is for classification and regression only")]
    assert without_effect(Params(), "generation") == []


def test_parameters_of_a_combination_are_no_dataclass_and_have_effect():
    assert without_effect({"members": []}, "classification") == []
