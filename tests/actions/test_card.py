"""The data card of a project: before and after a run, of a version, without personal data, worked out once."""

import json
import re

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.core.errors import NotFoundError
from bakeoff.report.card import to_json


@pytest.fixture
def described(films_project):
    """A project whose texts repeat, hold addresses and need cleaning."""
    lines = [f"good film  with   spaces {at},1999,yes" for at in range(5)]
    lines += ["write to ann@example.org about this good film,1999,yes"] * 3
    dull = "the very long and dull story of a man and his dog goes on and on"
    lines += [f"{dull} {end},2001,no" for end in ("now", "so")]
    with (films_project / "films.csv").open("a") as file:
        file.write("\n".join(lines) + "\n")
    text = '\n[prepare]\nsteps = ["squeeze_whitespace", "drop_duplicates"]\n'
    one = re.sub(r"\[candidates\.second\][^\[]*", "", (films_project / "bakeoff.toml").read_text())
    (films_project / "bakeoff.toml").write_text(one + "findings = false\n" + text)
    return films_project


def card(folder, lines=None, **options):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.data_card(**options)


def test_before_any_run_the_data_is_read_and_described_once(described):
    lines = []
    found = card(described, lines)
    assert any("describing" in line for line in lines)
    assert (found.rows, found.run_id, found.number) == (310, None, None)
    assert {column.name: column.role for column in found.columns} == {
        "review": "input",
        "year": "input",
        "liked": "target",
    }
    assert sum(found.classes.values()) == 310
    assert sum(part.rows for part in found.parts) == found.prepared_rows == 308
    assert found.sources[0].location == "films.csv"
    assert len(found.sources[0].digest) == 64
    json.dumps(to_json(found), allow_nan=False)
    again = []
    assert card(described, again) == found
    assert again == []


def test_what_steps_changed_is_shown_before_and_after(described):
    squeezed, dropped = card(described).steps
    assert (squeezed.cells_changed, squeezed.rows_out) == (5, 310)
    assert squeezed.examples[0].before == "good film␣␣with␣␣␣spaces 0"
    assert squeezed.examples[0].after == "good film with spaces 0"
    assert (dropped.rows_in, dropped.rows_out) == (310, 308)
    assert dropped.examples[0].after is None


def test_personal_data_is_counted_and_not_shown_unless_asked_for(described):
    found = card(described)
    assert {each.column: each.counts["email"] for each in found.personal} == {"review": 1, "liked": 0}
    assert "ann@example.org" not in json.dumps(to_json(found))
    assert "[email]" in json.dumps(to_json(found))
    assert "ann@example.org" in json.dumps(to_json(card(described, show_personal=True)))


def test_duplicates_exact_and_near(described):
    found = card(described).duplicates
    assert found.exact == 2
    assert found.near.looked_at == 310
    assert any("dull story" in text for group in found.near.largest for text in group)


def test_after_a_run_its_version_is_described_even_when_the_file_changed(described):
    with Project(described) as project:
        document = project.run().document
    with (described / "films.csv").open("a") as file:
        file.write("good film,1999,yes\n")
    found = card(described)
    assert (found.rows, found.run_id, found.number) == (310, document["run_id"], 1)
    with Project(described) as project:
        project.run()
    assert card(described).rows == 311
    assert card(described, version="1").rows == 310
    assert card(described, version=document["dataset"]["version"][:8]).rows == 310
    with pytest.raises(NotFoundError, match="received '9'; versions: 2"):
        card(described, version="9")


def test_other_steps_than_those_of_the_run_give_counts_without_examples(described):
    with Project(described) as project:
        project.run()
    file = described / "bakeoff.toml"
    file.write_text(file.read_text().replace('"squeeze_whitespace", ', ""))
    assert [step.examples for step in card(described).steps] == [(), ()]


@pytest.mark.parametrize(
    ("review", "shown"),
    [
        ("x" * 10_000_000, "10,000,003"),
        ("<script>alert(1)</script>", "script"),
        ("\u202eעברית👩‍👩‍👧", "עברית"),
    ],
)
def test_hostile_cells(films_project, review, shown):
    with (films_project / "films.csv").open("a") as file:
        file.write(f'"{review} a",1999,yes\n' + f'"{review} b",1999,yes\n' * 2)
    found = card(films_project)
    assert found.duplicates.exact >= 1
    from bakeoff.report.card_html import html

    text = html(found)
    assert text.count("<script>") == 1
    assert len(text) < 500_000


def test_2000_columns(films_project):
    table = pl.read_csv(films_project / "films.csv").head(40)
    wide = table.with_columns(**{f"c{at}": pl.Series([(at + row) % 7 for row in range(40)]) for at in range(2000)})
    wide.write_parquet(films_project / "films.parquet")
    file = films_project / "bakeoff.toml"
    file.write_text(file.read_text().replace("films.csv", "films.parquet"))
    assert len(card(films_project).columns) == 2003


def test_a_tokenizer_tells_lengths_in_tokens(described, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"good": 0, "[UNK]": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    found = card(described, tokenizer=tmp_path)
    assert found.columns[0].tokens == found.columns[0].words
    with pytest.raises(NotFoundError, match=r"tokenizer\.json"):
        card(described, tokenizer=tmp_path / "nothing")
