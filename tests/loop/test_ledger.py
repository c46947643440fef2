"""Whatever does not reach a model stands in the ledger, number by number, and rows in are rows used and rows lost."""

import random

import pytest

from bakeoff import Project
from bakeoff.config.sections import Config
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import Ledger, Loss
from bakeoff.core.types import Column, Schema
from bakeoff.loop.cache import Steps
from bakeoff.loop.candidate_losses import unused_settings
from bakeoff.loop.dataset import gather
from bakeoff.loop.losses import gone_classes, informative

WORDS = {"ill": ("bad", "sad", "pain"), "well": ("fine", "good", "happy")}


def project(folder, text, *, data="", more=""):
    folder.mkdir(exist_ok=True)
    (folder / "d.csv").write_text(text)
    (folder / "bakeoff.toml").write_text(
        f'[project]\nname = "p"\n[data]\nsource = "d.csv"\ntarget = "label"\n{data}\n{more}\n'
        '[candidates.first]\nfamily = "firstword"\n[decide]\nfindings = false\nresamples = 100\n'
    )
    return folder


def gathered(folder):
    with Project(folder) as opened, opened._stage() as stage:
        return gather(stage, Steps(stage.records.documents, stage.blobs))


def sick_rows(rows=400, *, ill=4):
    """Lines of a table in which every fourth row is ill, each with a text, a number and a town."""
    rng = random.Random(7)
    lines = []
    for number in range(rows):
        label = "ill" if number % ill == 0 else "well"
        note = " ".join([rng.choice(WORDS[label]), *(rng.choice(["in", "the", "house", "now"]) for _ in range(3))])
        lines.append([f"K{number * 7919:07d}", f"{note} {number}", str(number % 9), rng.choice("XYZ"), "", "s", label])
    return lines


HEAD = "key,note,score,town,empty,skip,label\n"


def csv(lines):
    return HEAD + "".join(",".join(cells) + "\n" for cells in lines)


def dirty():
    """A table with every kind of loss: the comments say which rows are hit."""
    lines = sick_rows()
    for row in range(0, 80, 4):
        lines[row].append("surplus")  # 20 rows, all of them ill, cannot be read
    for row in (101, 102, 103):
        lines[row][-1] = ""  # no target
    for row in (111, 113, 114):
        lines[row][2] = "?"  # cells that become missing
    for row in (121, 122):
        lines[row][-1] = "well "  # another spelling
    lines[130][-1] = "once"  # a class of one row
    lines += [list(lines[201]), list(lines[202])]  # equal rows, with other keys
    lines[-1][0], lines[-2][0] = "K9", "K8"
    return csv(lines)


DIRTY = """
text = ["note"]
categorical = ["town"]
numeric = ["score"]
ignore = ["skip"]
group = "town"
max_bad_share = 0.1
"""
STEPS = '[prepare]\nsteps = [{ name = "mask", kinds = ["url"] }, "drop_duplicates"]\n[split]\nby = "stratified"'


def losses_of(ledger, kind):
    return {(loss.reason, loss.subject): loss.count for loss in ledger.losses if loss.kind == kind}


def test_every_kind_of_loss_is_counted_once(tmp_path, third_party):
    ledger = gathered(project(tmp_path / "p", dirty(), data=DIRTY, more=STEPS)).ledger
    assert (ledger.rows_in, ledger.rows_used, ledger.rows_lost) == (402, 376, 26)
    assert losses_of(ledger, "row") == {
        ("too many cells", "d.csv"): 20,
        ("target missing", "label"): 3,
        ("a class of one row", "label"): 1,
        ("step drop_duplicates", None): 2,
    }
    assert {subject for _, subject in losses_of(ledger, "column")} == {"key", "empty", "skip"}
    assert losses_of(ledger, "cell") == {("a word for missing, in a column of numbers", "score"): 3}
    assert losses_of(ledger, "label") == {("another spelling of the same class", "label"): 2}
    assert losses_of(ledger, "class") == {("a class of one row", "label"): 1}
    assert {subject for _, subject in losses_of(ledger, "option")} == {"data.group"}
    assert dict(ledger.classes) == {"ill": 80, "well": 296}


def test_a_loss_of_one_class_is_named_as_such(tmp_path, third_party):
    ledger = gathered(project(tmp_path / "p", dirty(), data=DIRTY, more=STEPS)).ledger
    (unreadable,) = [loss for loss in ledger.losses if loss.reason == "too many cells"]
    assert dict(unreadable.classes) == {"ill": 20}
    assert ledger.concentration(unreadable) == "ill"
    (doubles,) = [loss for loss in ledger.losses if loss.reason == "step drop_duplicates"]
    assert dict(doubles.classes) == {"well": 2}
    assert ledger.concentration(doubles) is None


def test_a_run_keeps_its_ledger_with_the_dataset_and_the_model(tmp_path, third_party):
    folder = project(tmp_path / "p", dirty(), data=DIRTY, more=STEPS)
    told = []
    with Project(folder, progress=told.append) as opened:
        document = opened.run().document
        ledger = Ledger.from_json(document["ledger"])
        assert ledger.balanced
        assert document["ledger"]["rows_lost"] == 26
        assert opened.lineage().model.lineage["ledger"]["rows_lost"] == 26
        assert opened.data_card().ledger.rows_lost == 26
        assert opened.status().to_json()["last_run"]["ledger"] == document["ledger"]
        assert opened.report().ledger == ledger
        assert document["dataset"]["rejected"] == 20  # as before there was a ledger
    assert "ledger: 6% of the rows are lost, beside what steps leave out: no model has seen them" in told
    assert any("'ill'" in line for line in told if line.startswith("ledger: "))


def test_infinite_numbers_are_cells_that_become_missing(tmp_path, third_party):
    import polars as pl

    folder = project(tmp_path / "p", "")
    values = [float("inf"), float("-inf"), float("nan"), None, *map(float, range(96))]
    pl.DataFrame({"x": values, "label": ["a", "b"] * 50}).write_parquet(folder / "d.parquet")
    settings = folder / "bakeoff.toml"
    settings.write_text(settings.read_text().replace("d.csv", "d.parquet"))
    ledger = gathered(folder).ledger
    assert losses_of(ledger, "cell") == {("not a finite number", "x"): 2}
    assert (ledger.rows_in, ledger.rows_lost) == (100, 0)


def test_clean_data_loses_nothing(tmp_path, third_party):
    text = "".join(",".join(cells[1:4] + cells[-1:]) + "\n" for cells in sick_rows())
    ledger = gathered(project(tmp_path / "p", "note,score,town,label\n" + text)).ledger
    assert ledger.losses == ()
    assert ledger.rows_in == ledger.rows_used == 400


@pytest.mark.parametrize(("allowed", "fine"), [(0.07, True), (0.06, False), (0, False)])
def test_more_lost_than_allowed_is_an_error_before_anything_is_fitted(tmp_path, third_party, allowed, fine):
    folder = project(tmp_path / "p", dirty(), data=f"{DIRTY}\nmax_lost = {allowed}", more=STEPS)
    if fine:
        assert gathered(folder).ledger.rows_lost == 26
        return
    with pytest.raises(DataError, match=r"\[data\] max_lost: expected at most .* \(26 of 402\); nothing") as caught:
        gathered(folder)
    assert "20 rows, too many cells, all of class 'ill'" in str(caught.value)


def some_project(folder, seed):
    """A project with dirt of random kinds, split in a random way."""
    rng = random.Random(seed)
    lines = sick_rows(rng.choice([150, 260]), ill=rng.choice([2, 3]))
    for number, cells in enumerate(lines):
        cells.insert(1, f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}")
        if rng.random() < 0.03:
            cells.append("surplus")
        elif rng.random() < 0.03:
            del cells[-1]
        if rng.random() < 0.05:
            cells[-1] = rng.choice(["", " ", "Well", "ill ", "None"])
        if rng.random() < 0.1:
            cells[3] = rng.choice(["", "?", "n/a", "1,5"])
    lines += [list(rng.choice(lines)) for _ in range(rng.randint(0, 20))]
    split = rng.choice(['by = "stratified"', 'by = "time"\nnear_duplicates = 0.6', "folds = 3", 'by = "random"'])
    steps = rng.sample(["drop_duplicates", "drop_near_duplicates", "squeeze_whitespace", "drop_empty"], 2)
    data = f'max_bad_share = 0.5\ntime = "day"\nlabels = "{rng.choice(["exact", "trim", "fold"])}"'
    if "time" not in split:
        data = data.replace('time = "day"', 'ignore = ["day"]')
    listed = ", ".join(f'"{step}"' for step in steps)
    text = HEAD.replace("note", "day,note") + "".join(",".join(cells) + "\n" for cells in lines)
    return project(folder, text, data=data, more=f"[prepare]\nsteps = [{listed}]\n[split]\n{split}"), len(lines)


@pytest.mark.parametrize("seed", range(12))
def test_rows_in_are_rows_used_and_rows_lost_in_any_project(tmp_path, third_party, seed):
    folder, rows = some_project(tmp_path / "p", seed)
    found = gathered(folder)
    assert found.ledger.balanced
    assert found.ledger.rows_in == rows
    summary = found.summary
    parts = summary.test if found.folds else summary.train + summary.validation + summary.test
    assert found.ledger.rows_used == parts
    assert sum(found.ledger.classes.values()) == parts


def test_classes_that_lose_all_their_rows_are_gone():
    rows = [
        Loss(kind="row", reason="step keep_languages", count=12, classes={"fr": 9, "en": 3}),
        Loss(kind="row", reason="too many cells", count=2, classes={"fr": 2}),
        Loss(kind="row", reason="max_train_rows", count=5, classes={"de": 5}, candidate="lora"),
    ]
    (gone,) = gone_classes(rows, {"en": 40})
    assert (gone.subject, dict(gone.classes)) == ("fr", {"fr": 11})
    named = [*rows[:1], Loss(kind="class", reason="step keep_languages", count=1)]
    assert gone_classes(named, {"en": 40}) == []


@pytest.mark.parametrize(
    ("values", "telling"),
    [
        (["K0001", "K0002", "K0003"], False),
        (["10", "11", "12"], False),
        (["10.0.0.1", "10.0.0.2"], False),
        (["1.299,00 €", "12,50 €", "8,99 €"], True),
        (["a fine film", "two words"], True),
        (["很好看的电影", "不好"], True),
        ([None, None], False),
        ([["a", "b"], ["c"]], True),
        ([1.5, 2.5], False),
    ],
)
def test_a_column_that_looks_informative_is_told_from_an_id(values, telling):
    import polars as pl

    assert informative(pl.Series(values)) == telling


def test_what_a_candidate_goes_without_is_named_with_it(tmp_path, third_party):
    folder = project(tmp_path / "p", csv(sick_rows(120)), data='ignore = ["key", "empty", "skip", "note"]')
    settings = folder / "bakeoff.toml"
    settings.write_text(settings.read_text() + "[candidates.linear]\nmax_terms = 1000\n")
    with Project(folder) as opened:
        document = opened.run().document
    (option,) = [loss for loss in document["ledger"]["losses"] if loss["kind"] == "option"]
    assert (option["candidate"], option["subject"]) == ("linear", "max_terms")
    assert option["reason"] == "there is no text column"
    assert Ledger.from_json(document["ledger"]).rows_lost == 0


def schema(*kinds, **more):
    columns = tuple(Column(name=kind, kind=kind, dtype="String") for kind in kinds)
    inputs = tuple(column.name for column in columns)
    target = Column(name="y", kind="categorical", dtype="String")
    return Schema(columns=(*columns, target), target="y", inputs=inputs, **more)


def config(**more):
    return Config.model_validate({"project": {"name": "p"}, "data": {"source": "d.csv", "target": "y"}} | more)


def unused(settings, columns):
    return {loss.subject for loss in unused_settings(settings, columns)}


def test_settings_without_effect_are_named():
    steps = {"prepare": {"steps": ["squeeze_whitespace", "drop_duplicates"]}, "split": {"near_duplicates": 0.9}}
    assert unused(config(**steps), schema("numeric")) == {"prepare.steps.squeeze_whitespace", "split.near_duplicates"}
    assert unused(config(**steps), schema("text")) == set()
    assert unused(config(), schema("numeric")) == set()
    assert unused(config(split={"by": "random"}), schema("text", group="town")) == {"data.group"}
    assert unused(config(), schema("text", group="town")) == set()
