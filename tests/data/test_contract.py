"""Contracts: the file and its errors, tables and rows held against it, and what is inferred."""

import contextlib
import math
import string
from datetime import datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import ConfigError, ContractError, CorruptError
from bakeoff.core.types import Column
from bakeoff.data.contract import Contract, from_bytes, load, parse, to_bytes
from bakeoff.data.contract_check import check
from bakeoff.data.contract_infer import draft, is_unedited
from bakeoff.data.contract_rows import RowCheck, compiled
from bakeoff.data.schema import infer

FULL = """
[columns.year]
type = "numeric"
missing = 0
range = { min = 1900, max = 2100, severity = "warn" }
[columns.genre]
type = "categorical"
allowed = ["drama", "comedy", 5]
unique = true
length = { min = 1, max = 6 }
[columns.made]
type = "datetime"
missing = { max_share = 0.5, severity = "warn" }
range = { min = 2013-01-01, max = 2020-01-01T12:00:00+02:00 }
[[sql]]
name = "from the future"
query = "SELECT * FROM data WHERE year > 2040 -- a comment"
"""
TABLE = pl.DataFrame(
    {
        "year": ["1999", "x", "2050", "1800", None],
        "genre": ["drama", "drama", "5", "zzzzzzzz", None],
        "made": ["2014-01-01", "2012-01-01", None, "2015-01-01 10:00", None],
    }
)


def inputs_of(contract: Contract, *names: str) -> list[Column]:
    """The columns as a model of the contract's types has them."""
    return [
        Column(name=name, kind=contract.columns[name].type.kind, dtype="") for name in names if name in contract.columns
    ]


def problems(text):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return {problem.key: problem for problem in caught.value.problems}


# --- the file -----------------------------------------------------------------------------------


def test_a_contract_survives_being_kept_and_its_version_is_that_of_its_rules():
    contract = parse(FULL)
    assert from_bytes(to_bytes(contract)) == contract
    assert parse("# a comment\n" + FULL.replace("missing = 0\n", "missing = { max_share = 0.0 }\n")) == contract
    assert parse(FULL).version == contract.version
    assert parse(FULL.replace("1900", "1901")).version != contract.version
    assert contract.rules == 11
    with pytest.raises(CorruptError):
        from_bytes(b'{"columns": 3}')


def test_all_that_is_wrong_is_told_together_with_suggestions():
    found = problems(
        """
        [columns.year]
        typ = "numeric"
        range = { mn = 3 }
        [columns.b]
        type = "nummeric"
        range = { min = "x" }
        [columns.c]
        type = "numeric"
        missing = 7
        unique = { severity = "fatal" }
        [colums.z]
        [[sql]]
        name = "n"
        qery = "SELECT 1"
        """
    )
    assert "Did you mean 'type'?" in str(found["columns.year.typ"])
    assert "Did you mean 'min'?" in str(found["columns.year.range.mn"])
    assert "Did you mean 'columns'?" in str(found["colums"])
    assert "Did you mean 'query'?" in str(found["sql.0.qery"])
    assert str(found["columns.b.range.min"]) == (
        "contract.toml: columns.b.range.min: expected a number or a time, found 'x'."
    )
    assert {"columns.year.type", "columns.b.type.kind", "columns.c.missing.max_share"} <= set(found)
    assert "columns.c.unique.severity" in found
    assert "sql.0.query" in found


def test_what_does_not_fit_together_is_told():
    found = problems(
        """
        [columns.a]
        type = "text"
        range = { min = 3 }
        [columns.b]
        type = "datetime"
        range = { min = 3 }
        allowed = ["x"]
        [columns.c]
        type = "numeric"
        range = { min = 3, max = 2 }
        length = { max = 3 }
        [columns.d]
        type = "numeric"
        range = {}
        [[sql]]
        name = "n"
        query = "SELECT 1"
        [[sql]]
        name = "n"
        query = "SELECT 2"
        """
    )
    assert set(found) == {
        *("columns.a.range", "columns.b.range", "columns.b.allowed", "columns.c.range", "columns.c.length"),
        *("columns.d.range", "sql.1.name"),
    }


@pytest.mark.parametrize(
    "text", ["[columns", "columns = 3", "[columns]\nx = 3", "[columns.x]\ntype = 1979-05-27", "x=1"]
)
def test_nonsense_is_refused_in_words(text):
    assert problems(text)


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(ConfigError, match="bakeoff data contract"):
        load(tmp_path / "contract.toml")


@given(st.text(max_size=200))
def test_any_text_is_a_contract_or_a_config_error(text):
    with contextlib.suppress(ConfigError):
        parse(text)


# --- tables -------------------------------------------------------------------------------------


def test_violations_name_column_rule_rows_and_values():
    checked = check(TABLE, parse(FULL))
    found = {(v.column, v.rule): v for v in checked.violations}
    assert [(v.column, v.rule) for v in checked.violations] == [
        ("year", "type"),
        ("year", "missing"),
        ("year", "range"),
        ("genre", "allowed"),
        ("genre", "unique"),
        ("genre", "length"),
        ("made", "range"),
        (None, "sql"),
    ]
    assert found["year", "type"].told() == "column 'year', rule type: expected a number: 1 row (row 2: 'x')"
    assert (found["year", "missing"].rows, found["year", "missing"].count) == ((5,), 1)
    assert found["year", "range"].severity == "warn"
    assert found[None, "sql"].rows == (3,)
    assert "from the future" in found[None, "sql"].told()
    assert checked.bad_n.tolist() == [False, True, True, True, True]
    assert [v.rule for v in checked.warnings] == ["range"]


def test_a_column_that_lacks_is_told_and_columns_beside_the_contract_are_free():
    (found,) = check(pl.DataFrame({"other": [1]}), parse('[columns.x]\ntype = "numeric"')).violations
    assert (found.column, found.rule, found.severity) == ("x", "present", "error")


def test_missing_shares_blame_no_row():
    contract = parse('[columns.x]\ntype = "numeric"\nmissing = 0.2')
    assert not check(pl.DataFrame({"x": [1.0, None, 2.0, 3.0, 4.0]}), contract).violations
    checked = check(pl.DataFrame({"x": [1.0, None, math.nan]}), contract)  # what is not finite is missing
    assert checked.violations[0].count == 2
    assert not checked.bad_n.any()


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"x": []}, schema={"x": pl.Float64}),
        pl.DataFrame({"x": []}, schema={"x": pl.String}),
        pl.DataFrame({"x": [None, None]}),
        pl.DataFrame({"x": [1]}),
    ],
)
def test_small_and_empty_tables_keep_rules(table):
    rules = 'type = "numeric"\nrange = { min = 0 }\nunique = true\nallowed = [1]'
    assert not check(table, parse(f"[columns.x]\n{rules}")).violations


def test_nested_values_are_of_no_type():
    checked = check(pl.DataFrame({"x": [[1], None]}), parse('[columns.x]\ntype = "text"\nlength = { max = 3 }'))
    assert [(v.rule, v.count) for v in checked.violations] == [("type", 1)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "DROP TABLE data",
        "SELECT 1; DROP TABLE data",
        "COPY data TO '/tmp/x.csv'",
        "SELECT nonsense FROM data",
        "SET enable_external_access = true",
        "",
        "   ",
    ],
)
def test_sql_reaches_nothing_but_the_data(query, tmp_path):
    text = f'[[sql]]\nname = "n"\nquery = """{query}"""' if query else '[[sql]]\nname = "n"\nquery = "\\t"'
    with pytest.raises(ConfigError, match="one SELECT over the table data"):
        check(pl.DataFrame({"x": [1]}), parse(text))


def test_sql_without_row_numbers_counts_and_shows():
    contract = parse('[[sql]]\nname = "n"\nquery = "SELECT x FROM data WHERE x > 1"')
    checked = check(pl.DataFrame({"x": [1, 2, 3]}), contract)
    assert (checked.violations[0].count, checked.violations[0].rows) == (2, ())
    assert checked.violations[0].values == ("x=2", "x=3")
    assert not checked.bad_n.any()


# --- rows ---------------------------------------------------------------------------------------


def test_rows_are_told_by_number_column_and_rule():
    held = compiled(parse(FULL), inputs_of(parse(FULL), "year", "genre", "made"))
    rows = [{"year": 2000, "genre": "drama"}, {"year": "x", "genre": "zzzzzzzz", "made": "2012-01-01"}, {"year": None}]
    found = held(rows)
    assert [(b.row, b.rule.column, b.rule.rule) for b in found] == [
        (2, "year", "type"),
        (2, "genre", "allowed"),
        (2, "genre", "length"),
        (2, "made", "range"),
        (3, "year", "missing"),
    ]
    error = RowCheck.error(found)
    assert isinstance(error, ContractError)
    assert "row 2, column 'year', rule type: expected a number, received 'x'" in str(error)
    assert error.violations[0]["row"] == 2


def test_columns_that_the_model_does_not_take_are_not_asked_for():
    assert not compiled(parse(FULL), inputs_of(parse(FULL), "genre"))([{"genre": "drama"}])
    assert not compiled(parse(FULL), inputs_of(parse(FULL), "year"))([["no", "object"]])


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["2015-05-05", "drama", "comedy", "12", ""]),
)


@given(st.fixed_dictionaries({"year": VALUES, "genre": VALUES, "made": VALUES}))
def test_a_row_and_a_table_of_it_are_judged_alike(row):
    """What is refused when served would be set aside as data, and the other way round."""
    contract = parse(FULL.partition("[[sql]]")[0].replace("unique = true", ""))
    served = {(b.rule.column, b.rule.rule) for b in compiled(contract, inputs_of(contract, *row))([row])}
    table = pl.DataFrame({name: pl.Series([value], dtype=_dtype(value)) for name, value in row.items()}, strict=False)
    read = {(v.column, v.rule) for v in check(table, contract).violations if (v.column, v.rule) != ("made", "missing")}
    assert served == read


def _dtype(value):
    if isinstance(value, bool):
        return pl.Boolean
    if isinstance(value, int):
        return pl.Int128
    return pl.Float64 if isinstance(value, float) else pl.String


# --- inferring ----------------------------------------------------------------------------------


def drafted(table, target="y", **config):
    schema = infer(table, DataConfig(source=("x",), target=target, **config), "classification").schema
    text = draft(table, schema, name='a "project"\n[x]')
    return text, parse(text)


def test_what_is_inferred_is_kept_by_the_data_with_slack_and_reasons():
    rows = 400
    table = pl.DataFrame(
        {
            "id": [f"id{at}" for at in range(rows)],
            "number": list(range(1000, 1000 + rows)),
            "temperature": [10.5 + at % 50 for at in range(rows)],
            "constant": [7.5] * rows,
            "few": [("a", "b", 'c "quoted"')[at % 3] for at in range(rows)],
            "sparse": [None if at % 10 == 0 else float(at) for at in range(rows)],
            "empty": [None] * rows,
            "when": [datetime.fromisoformat(f"2020-01-{1 + at % 28:02d}") for at in range(rows)],
            "flag": [at % 2 == 0 for at in range(rows)],
            "say \x7f\n[colums]": ["some words of text here " + str(at) for at in range(rows)],
            "y": [("no", "yes")[at % 2] for at in range(rows)],
        }
    )
    text, contract = drafted(table)
    assert not check(table, contract).violations
    rules = contract.columns
    assert rules["id"].unique is not None
    assert rules["number"].unique is not None
    assert rules["temperature"].range.min < 0  # a temperature may fall below zero
    assert rules["temperature"].unique is None
    assert rules["constant"].range.min < 7.5 < rules["constant"].range.max
    assert rules["few"].allowed.values == ("a", "b", 'c "quoted"')
    assert rules["sparse"].missing.severity == "warn"
    assert 0.1 < rules["sparse"].missing.max_share < 0.2
    assert rules["empty"].missing is None
    assert rules["when"].range.max is None
    assert rules["y"].allowed.values == ("no", "yes")
    assert rules["say \x7f\n[colums]"].length.max >= 2 * 25
    assert "# no value was missing in 400 rows" in text


def test_an_edited_file_is_known():
    text, _ = drafted(pl.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]}))
    assert is_unedited(text)
    assert is_unedited(text.replace("\n", "\r\n"))
    assert not is_unedited(text.replace("numeric", "text"))
    assert not is_unedited("[columns.x]\ntype = 'numeric'\n")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@example({"x": [None, None, None, 0.0, 1.0, 3.185e205]})
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12),
        st.one_of(
            st.lists(st.one_of(st.none(), st.floats()), min_size=6, max_size=6),
            st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=6, max_size=6),
            st.lists(st.one_of(st.none(), st.datetimes()), min_size=6, max_size=6),
            st.lists(st.integers(-(2**62), 2**62), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_table_keeps_to_the_contract_inferred_from_it(columns):
    names = {name.lower() for name in columns}
    columns["y"] = ["a", "b", "a", "b", "a", "b"]
    if len(names | {"y"}) < len(columns) or "y" in names:
        return
    table = pl.DataFrame(columns, strict=False)
    if all(table[name].null_count() == table.height for name in columns if name != "y"):
        return
    _, contract = drafted(table)
    assert not check(table, contract).violations


def test_2000_columns_take_seconds():
    rows = 200
    table = pl.DataFrame(
        {f"c{at} {string.punctuation}": [(row * 7 + at) % 50 for row in range(rows)] for at in range(2000)}
    )
    _, contract = drafted(table.with_columns(y=pl.Series(["a", "b"] * 100)))
    assert len(contract.columns) == 2001
