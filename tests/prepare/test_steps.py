import dataclasses
import re

import polars as pl
import pytest

from bakeoff.config.file import loads
from bakeoff.core import plugins
from bakeoff.core.errors import ConfigError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.steps import Preparation, preparation
from bakeoff.prepare.text.cleaning import digest

COLUMNS = (
    Column(name="text", kind="text", dtype="String"),
    Column(name="code", kind="categorical", dtype="String"),
)
SCHEMA = Schema(columns=COLUMNS, target="label", inputs=("text", "code"))
ALL = ["repair_unicode", "strip_html", "squeeze_whitespace", "drop_duplicates", "drop_empty"]
TABLE = pl.DataFrame(
    {
        "text": ["<p>a  b</p>", "a b", None, " ", "c"],
        "code": [" <b>", " <b>", "z", "z", "z"],
        "label": ["x", "x", "y", "y", "y"],
    }
)


def test_training_rows_and_served_rows_get_the_same_columns(tmp_path) -> None:
    prepared = Preparation(ALL).apply_rows_and_columns(TABLE, SCHEMA)
    assert prepared.table.rows() == [("a b", " <b>", "x"), ("c", "z", "y")]
    assert prepared.kept.tolist() == [0, 4]
    assert [(c.step, c.rows_in, c.rows_out, c.cells_changed) for c in prepared.changes] == [
        ("repair_unicode", 5, 5, 0),
        ("strip_html", 5, 5, 1),
        ("squeeze_whitespace", 5, 5, 1),
        ("drop_duplicates", 5, 3, 0),
        ("drop_empty", 3, 2, 0),
    ]
    served = Preparation(ALL).apply_columns(TABLE.drop("label"), COLUMNS)
    assert served.height == 5
    assert served[prepared.kept.tolist()].equals(prepared.table.drop("label"))


def test_no_steps_change_nothing() -> None:
    prepared = Preparation([]).apply_rows_and_columns(TABLE, SCHEMA)
    assert prepared.table.equals(TABLE)
    assert prepared.changes == ()
    assert Preparation([]).key == ""


def test_all_that_is_wrong_with_steps_is_told_together() -> None:
    specs = [
        "strip_htm",
        {"name": "mask", "kindz": ["url"]},
        {"name": "mask", "kinds": ["phone"]},
        {"name": "stem", "language": "x"},
    ]
    with pytest.raises(ConfigError) as caught:
        Preparation(specs)
    told = str(caught.value)
    assert "prepare.steps.0: expected steps among" in told
    assert "Did you mean 'strip_html'?" in told
    assert "prepare.steps.1.kindz: expected a parameter of 'mask', found 'kindz'. Did you mean 'kinds'?" in told
    assert "prepare.steps.2.kinds.0: expected 'url', 'email' or 'number', found 'phone'" in told
    assert "Snowball stemmers for arabic" in told


@pytest.mark.parametrize(
    ("specs", "key"),
    [
        (["repair_unicode"], "repair_unicode@3"),
        ([{"name": "repair_unicode"}], "repair_unicode@3"),
        ([{"name": "repair_unicode", "form": "NFC"}], "repair_unicode@3"),
        ([{"name": "repair_unicode", "form": "NFKC"}, "drop_empty"], 'repair_unicode@3{"form":"NFKC"},drop_empty@1'),
    ],
)
def test_keys_hold_the_parameters_that_are_no_defaults(specs, key) -> None:
    assert Preparation(specs).key == key


@pytest.mark.parametrize("name", ["mask", "redact_pii"])
def test_a_step_by_patterns_is_known_by_them(name, monkeypatch) -> None:
    key = Preparation([name]).key
    assert re.fullmatch(rf"{name}@\d+#[0-9a-f]{{8}}", key)
    changed = dataclasses.replace(plugins.load("bakeoff.prepare", name), content=digest(["another pattern"]))
    monkeypatch.setattr(plugins, "load", lambda *_: changed)
    assert Preparation([name]).key != key


def test_a_project_file_may_give_parameters(tmp_path) -> None:
    text = """
    [project]
    name = "x"
    [data]
    source = "x.csv"
    target = "y"
    [prepare]
    steps = ["drop_empty", { name = "mask", kinds = ["url"] }]
    """
    loaded = loads(text, folder=tmp_path, environ={})
    specs = loaded.config.prepare.specs
    assert specs == ("drop_empty", {"name": "mask", "kinds": ["url"]})
    assert loaded.config.model_dump(mode="json")["prepare"]["steps"] == list(specs)
    assert preparation(specs) is preparation(list(specs))
    with pytest.raises(ConfigError, match=r"prepare\.steps\.0\.name: expected a value"):
        loads(text.replace('"drop_empty"', "{ kinds = 1 }"), folder=tmp_path, environ={})


def test_any_column_name_may_be_the_projects(tmp_path) -> None:
    taken = TABLE.with_columns(row=pl.lit("mine"), row_=pl.lit("mine"), __row__=pl.lit("mine"))
    prepared = Preparation(ALL).apply_rows_and_columns(taken, SCHEMA)
    assert prepared.kept.tolist() == [0, 4]
    assert prepared.table.columns == taken.columns
