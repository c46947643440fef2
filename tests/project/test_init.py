"""A first project file from a look at the data."""

import gzip
import zipfile

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.core.errors import DataError, UsageError


def rows(label, count=60):
    lines = [f"{'good' if i % 2 else 'bad'} film number {i} of many,{i / 7},{label(i)}" for i in range(count)]
    return "\n".join(["review,score,y", *lines]) + "\n"


def yes_or_no(number):
    return "yes" if number % 2 else "no"


def test_kinds_task_and_name_come_from_the_data(tmp_path):
    folder = tmp_path / "Ünï cödé!"
    folder.mkdir()
    (folder / "d.csv").write_text(rows(yes_or_no))
    config = Project.init(folder, source="d.csv", target="y").config
    assert (config.project.name, config.project.task) == ("n-c-d", "classification")
    assert (config.data.text, config.data.numeric) == (("review",), ("score",))


@pytest.mark.parametrize(
    ("label", "count", "task"),
    [
        (lambda i: i % 2, 60, "classification"),
        (lambda i: (i % 3) / 2, 60, "classification"),
        (lambda i: i * 1.5, 60, "regression"),
        (lambda i: i * 1.5, 20, "regression"),  # few values, but nearly every row has its own
    ],
)
def test_a_quantity_is_told_from_classes(tmp_path, label, count, task):
    (tmp_path / "d.csv").write_text(rows(label, count))
    assert Project.init(tmp_path, name="p", source="d.csv", target="y").config.project.task == task


def test_sources_of_every_format(tmp_path):
    text = rows(yes_or_no)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "b.tsv").write_text(text.replace(",", "\t"))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("in/d.csv", text)
    for number, source in enumerate(["a.csv.gz", "b.tsv", "c.zip", "c.zip!in/d.csv"]):
        folder = tmp_path / str(number)
        project = Project.init(folder, name="p", source=f"../{source}", target="y")  # the folder is made for it
        assert project.config.data.text == ("review",)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"target": "z"}, DataError),
        ({"source": "nope.csv"}, DataError),
        ({"task": "clf"}, UsageError),
        ({"task": "regression"}, DataError),
        ({"target": "score", "task": "classification"}, DataError),
    ],
)
def test_what_cannot_be_learned_leaves_nothing_behind(tmp_path, arguments, error):
    (tmp_path / "d.csv").write_text(rows(yes_or_no))
    given = {"source": "../d.csv", "target": "y", **arguments}
    with pytest.raises(error):
        Project.init(tmp_path / "new", name="p", **given)
    assert not (tmp_path / "new").exists()


def test_an_existing_project_file_is_kept(tmp_path):
    (tmp_path / "d.csv").write_text(rows(yes_or_no))
    Project.init(tmp_path, name="p", source="d.csv", target="y")
    before = (tmp_path / "bakeoff.toml").read_text()
    with pytest.raises(UsageError, match="no project file yet"):
        Project.init(tmp_path, name="q", source="d.csv", target="y")
    assert (tmp_path / "bakeoff.toml").read_text() == before


def test_a_project_that_is_there_is_opened_only_if_it_is_the_one_that_is_meant(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text(rows(yes_or_no))
    monkeypatch.chdir(tmp_path)
    same = {"source": "d.csv", "target": "y", "name": "My Films", "task": "classification"}
    Project.init(tmp_path / "p", **same)
    assert Project.init(tmp_path / "p", **same, exist_ok=True).config.project.name == "my-films"
    assert Project.init(tmp_path / "p", source="../d.csv", exist_ok=True).config.data.target == "y"
    for key, value in (("source", "e.csv"), ("target", "score"), ("name", "other"), ("task", "regression")):
        with pytest.raises(UsageError, match=f"says something else: expected {key} '.*', received '{value}'") as wrong:
            Project.init(tmp_path / "p", **{**same, key: value}, exist_ok=True)
        assert wrong.value.args[0].count("expected") == 1


def test_classes_that_look_alike_are_told_at_once(tmp_path):
    from bakeoff.actions.init import write_project

    (tmp_path / "d.csv").write_text(rows(lambda number: ["Yes", "yes", "no", "no "][number % 4]))
    written = write_project(tmp_path, name=None, source="d.csv", target="y", task=None)
    (warning,) = written.warnings
    assert "'Yes' (15 rows), 'yes' (15 rows)" in warning
    assert [(loss.kind, loss.count) for loss in written.ledger.losses] == [("label", 15)]


def test_what_was_guessed_is_told_at_once(tmp_path):
    from bakeoff.actions.init import write_project

    rows = "\n".join(f"{i % 12 + 1:02d}/{i % 7 + 1:02d}/2024,{i % 3},{'ab'[i % 2]}" for i in range(60))
    (tmp_path / "d.csv").write_text(f"day,x,y\n{rows}\n")
    written = write_project(tmp_path, name=None, source="d.csv", target="y", task=None)
    assert any("'day'" in note and "date_order" in note for note in written.notes)


@pytest.mark.parametrize(
    ("numbers", "task", "other"),
    [
        (range(1991, 2014), "regression", "classification"),  # 23 years
        ((2011, 2012, 2013), "regression", "classification"),
        ((3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 17, 20), "regression", "classification"),  # counted things
        ([step / 2 for step in range(2, 24)], "regression", "classification"),
        (range(26), "classification", "regression"),  # numbered as classes are
        (range(1, 6), "classification", "regression"),  # stars
        ((0, 1), "classification", None),
    ],
)
def test_few_different_numbers_are_years_amounts_or_classes_and_the_guess_is_told(tmp_path, numbers, task, other):
    from bakeoff.actions.init import write_project

    (tmp_path / "d.csv").write_text(rows(lambda number: list(numbers)[number % len(numbers)], count=120))
    written = write_project(tmp_path, name=None, source="d.csv", target="y", task=None)
    assert f'task = "{task}"' in written.file.read_text()
    guess = [note for note in written.notes if note.startswith("target 'y': ")]
    assert len(guess) == (other is not None)
    assert all(f"--task {other} " in note for note in guess)
    sure = write_project(tmp_path / "sure", name=None, source=str(tmp_path / "d.csv"), target="y", task=task)
    assert not set(guess) & set(sure.notes)


def test_bytes_that_are_no_text_cost_their_column_alone(tmp_path):
    from bakeoff.actions.init import write_project

    rows = range(60)
    table = {"b": [bytes([i % 5, 255]) for i in rows], "x": [i % 7 for i in rows], "y": ["ab"[i % 2] for i in rows]}
    pl.DataFrame(table).write_parquet(tmp_path / "d.parquet")
    written = write_project(tmp_path, name=None, source="d.parquet", target="y", task=None)
    (loss,) = written.ledger.losses
    assert (loss.kind, loss.subject) == ("column", "b")
    assert 'numeric = ["x"]' in (tmp_path / "bakeoff.toml").read_text()


def test_a_path_that_is_there_from_the_working_directory_is_meant_from_there(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d.csv").write_text(rows(yes_or_no))
    monkeypatch.chdir(tmp_path)
    config = Project.init("proj", source="data/d.csv", target="y").config
    assert config.data.source == ("../data/d.csv",)
    assert Project.init("more/deep", source="data/*.csv", target="y").config.data.source == ("../../data/*.csv",)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "o.csv").write_text(rows(yes_or_no))
    assert Project.init("own", source="o.csv", target="y").config.data.source == ("o.csv",)


def test_candidates_follow_the_kind_and_the_size_of_the_data(tmp_path):
    many = "".join(f"say the word {i % 21} now {i},{i % 21}x\n" for i in range(210))
    (tmp_path / "intents.csv").write_text("text,intent\n" + many)
    table = "".join(f"{i},{i * 7 % 11},{'yes' if i % 3 else 'no'}\n" for i in range(90))
    (tmp_path / "table.csv").write_text("a,b,label\n" + table)
    Project.init(tmp_path / "texts", source=str(tmp_path / "intents.csv"), target="intent")
    texts = (tmp_path / "texts" / "bakeoff.toml").read_text()
    assert "[candidates.linear]" in texts
    assert "# boosting takes long on texts of more than 20 classes" in texts
    assert "[candidates.boosting]" not in texts
    assert "[candidates.forest]" not in texts
    Project.init(tmp_path / "numbers", source=str(tmp_path / "table.csv"), target="label")
    numbers = (tmp_path / "numbers" / "bakeoff.toml").read_text()
    for family in ("linear", "boosting", "forest", "kernel", "neighbours"):
        assert f"[candidates.{family}]\n" in numbers
