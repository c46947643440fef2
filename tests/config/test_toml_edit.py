"""A value is replaced where it stands, and nothing else of the file changes."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.config.toml_edit import edited
from bakeoff.config.toml_text import toml_text
from bakeoff.core.errors import UsageError

FILE = '''# the films
[project]
name = "films"   # [loop] is no table here
about = """
[loop]
cool_down = "9h"
"""

[loop]   # what the loop may do
triggers = [
    "quality",  # first "of" all ]
    "drift",
]
cool_down = '1h'  # a pause
budget = { per = "30d", runs = 3 }

[decide]
metric = "f1"
'''


def test_a_value_is_replaced_and_comments_stay():
    text = edited(FILE, {"loop.cool_down": "2h", "loop.triggers": ["data"], "loop.budget.usd": 2.5})
    before, after = FILE.splitlines(), text.splitlines()
    assert [line for line in after if line not in before] == [
        'triggers = ["data"]',
        'cool_down = "2h"  # a pause',
        'budget = { per = "30d", runs = 3, usd = 2.5 }',
    ]
    assert text.startswith(FILE[: FILE.index("triggers")])
    assert text.endswith(FILE[FILE.index("\n[decide]") :])


def test_new_keys_stand_with_their_neighbours():
    text = edited(FILE, {"loop.approval": True, "monitor.quality_drop": 0.05, "decide.margin": 1})
    assert 'runs = 3 }\napproval = true\n\n[decide]\nmetric = "f1"\nmargin = 1\n' in text
    assert text.endswith("\n\n[monitor]\nquality_drop = 0.05\n")
    assert edited("", {"loop.approval": True}) == "[loop]\napproval = true\n"
    assert edited("[loop]", {"loop.approval": True}) == "[loop]\napproval = true\n"
    assert edited('loop.cool_down = "1h"\n', {"loop.approval": True}) == 'loop.cool_down = "1h"\nloop.approval = true\n'
    assert edited("[loop.budget]\nruns = 1\n", {"loop.approval": True}) == (
        "[loop.budget]\nruns = 1\n\n[loop]\napproval = true\n"
    )


def test_what_is_taken_away_is_gone_with_its_line():
    assert edited('[loop]\nschedule = "every 7d"  # x\n# why\ncool_down = "1h"\n', {"loop.schedule": None}) == (
        '[loop]\n# why\ncool_down = "1h"\n'
    )
    assert edited(FILE, {"loop.schedule": None}) == FILE
    assert "runs" not in edited(FILE, {"loop.budget.runs": None})


def test_line_ends_stay():
    text = edited('[loop]\r\ncool_down = "1h"\r\n', {"loop.cool_down": "2h", "loop.approval": False})
    assert text == '[loop]\r\ncool_down = "2h"\r\napproval = false\r\n'


@pytest.mark.parametrize(
    "text", ["[loop", "[[loop]]\na = 1\n", "loop = 3\n", "loop = { cool_down = 1 }\n[[x]]\nloop = 1\n[y"]
)
def test_what_cannot_be_changed_alone_is_refused(text):
    with pytest.raises(UsageError):
        edited(text, {"loop.approval": True})


KEYS = st.sampled_from(["a", "b", "my own", 'quo"te', "ä", "x-1"])
LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=3),
)
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


@given(st.dictionaries(KEYS, TREES, max_size=4), KEYS, KEYS, LEAVES)
@settings(max_examples=150, deadline=None)
def test_the_file_says_what_was_wanted_and_nothing_else(tree, table, key, value):
    text = toml_text(tree)
    known = tomllib.loads(text)
    if not isinstance(known.get(table, {}), dict):
        with pytest.raises(UsageError):
            edited(text, {f"{table}.{key}": value})
        return
    if isinstance(known.get(table, {}).get(key), dict):  # a whole table becomes no value
        return
    wanted = {**known, table: {**known.get(table, {}), key: value}}
    assert tomllib.loads(edited(text, {f"{table}.{key}": value})) == wanted
