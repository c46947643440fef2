import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.prepare.language_models.chat import ChatMessage, messages_of, read_messages, write_messages


def test_rows_become_conversations() -> None:
    table = pl.DataFrame({"text": ["so {good}", None], "stars": [5, 1]})
    found = messages_of(table, system="Be brief {{}}", user="Rate: {text}", assistant="{stars}")
    assert [[m.content for m in turns] for turns in found] == [
        ["Be brief {}", "Rate: so {good}", "5"],
        ["Be brief {}", "Rate: ", "1"],
    ]
    assert [m.role for m in messages_of(table, user="{text}")[0]] == ["user"]


@pytest.mark.parametrize("template", ["{txt}", "{text!r}", "{text.__class__}", "{0}", "{text", "{stars:>9}"])
def test_templates_name_columns_and_nothing_else(template: str) -> None:
    with pytest.raises(DataError, match="user template"):
        messages_of(pl.DataFrame({"text": ["a"], "stars": [1]}), user=template)


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
TURNS = st.builds(ChatMessage, role=ROLES, content=st.text(st.characters(exclude_categories=("Cs",))))


@given(st.lists(st.lists(TURNS, max_size=3).map(tuple), max_size=4))
def test_lines_round_trip(conversations) -> None:
    assert read_messages(write_messages(conversations)) == conversations


def test_a_bad_line_is_named() -> None:
    with pytest.raises(DataError, match="line 2: expected"):
        read_messages(b'{"messages": []}\n{"messages": [{"role": "robot", "content": "x"}]}\n')
