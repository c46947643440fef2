"""Rows through the command line mean what they meant in training, whatever they come in."""

import bz2
import gzip
import json
import random
import sys
import zipfile

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.core.events import FeedbackEvent
from bakeoff.web.server import Server
from bakeoff.web.serving.app import create_app

TOML = """
[project]
name = "pred"
task = "{task}"
[data]
source = "d.csv"
target = "{target}"
{data}
[decide]
findings = false
resamples = 100
[combine]
blends = false
cascades = false
[candidates.linear]
penalty = 1.0
"""


def project_at(folder, text, *, task="classification", target="label", data="", more="", encoding="utf-8"):
    (folder / "d.csv").write_bytes(text.encode(encoding))
    (folder / "bakeoff.toml").write_text(TOML.format(task=task, target=target, data=data) + more)
    with Project(folder) as project:
        project.run()
    return folder


def amounts(rows=200):
    """Rows whose class is told by the amount alone; nothing is missing."""
    draw = random.Random(7)
    found = []
    for _ in range(rows):
        yes = draw.random() < 0.5
        amount = round((3 if yes else -1) + draw.random(), 3)
        found.append({"amount": amount, "group": draw.choice("abc"), "weight": 1, "label": "yes" if yes else "no"})
    return found


def csv_text(rows, *, delimiter=",", names=("amount", "group")):
    lines = [delimiter.join(names), *(delimiter.join(str(row[name.strip()]) for name in names) for row in rows)]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def pred(tmp_path_factory):
    """A project whose source is separated by semicolons."""
    text = csv_text(amounts(), delimiter=";", names=("amount", "group", "weight", "label"))
    return project_at(tmp_path_factory.mktemp("pred"), text, data='ignore = ["weight"]')


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """Prices of about 1000 times the area, of which none is missing; 9 of 200 dates are."""
    draw = random.Random(3)
    lines = ["area;rooms;city;garden;built;price"]
    for number in range(200):
        area, rooms = draw.randint(20, 180), draw.randint(1, 5)
        city, garden = draw.choice("AAB"), draw.choice(["true", "true", "false"])
        built = "" if number % 23 == 0 else f"{draw.randint(1990, 2020)}-05-{draw.randint(1, 28):02}"
        price = 1000 * area + 5000 * rooms + (20_000 if city == "B" else 0) + (10_000 if garden == "true" else 0)
        lines.append(f"{area};{rooms};{city};{garden};{built};{price + draw.randint(-500, 500)}")
    folder = tmp_path_factory.mktemp("prices")
    return project_at(folder, "\n".join(lines) + "\n", task="regression", target="price")


def labels(ended):
    return [answer["label"] for answer in ended.document["predictions"]]


def value(ended):
    (answer,) = ended.document["predictions"]
    return answer["value"]


# --- files are read as the project's own --------------------------------------------------------


def zipped(path, text):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", text)


WAYS = {
    "new.csv": lambda path, rows: path.write_text(csv_text(rows, delimiter=";")),
    "comma.csv": lambda path, rows: path.write_text(csv_text(rows)),
    "pipe.csv": lambda path, rows: path.write_text(csv_text(rows, delimiter="|")),
    "space.csv": lambda path, rows: path.write_text(csv_text(rows, delimiter=", ", names=("group", "amount"))),
    "case.csv": lambda path, rows: path.write_text(csv_text(rows).replace("amount,group", "AMOUNT,Group")),
    "mark.csv": lambda path, rows: path.write_bytes(b"\xef\xbb\xbf" + csv_text(rows).encode()),
    "target.csv": lambda path, rows: path.write_text(csv_text(rows, names=("label", "amount", "group"))),
    "new.tsv": lambda path, rows: path.write_text(csv_text(rows, delimiter="\t")),
    "new.tsv.gz": lambda path, rows: path.write_bytes(gzip.compress(csv_text(rows, delimiter="\t").encode())),
    "new.csv.bz2": lambda path, rows: path.write_bytes(bz2.compress(csv_text(rows, delimiter=";").encode())),
    "new.zip": lambda path, rows: zipped(path, csv_text(rows)),
    "new.parquet": lambda path, rows: pl.DataFrame(rows).write_parquet(path),
    "new.jsonl": lambda path, rows: pl.DataFrame(rows).write_ndjson(path),
    "texts.jsonl": lambda path, rows: path.write_text(
        "".join(json.dumps({name: str(each) for name, each in row.items()}) + "\n" for row in rows)
    ),
    "new.json": lambda path, rows: path.write_text(json.dumps(rows)),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_file_is_read_as_the_projects_own(pred, bakeoff, tmp_path, name):
    rows = amounts()[:40]
    WAYS[name](tmp_path / name, rows)
    ended = bakeoff("predict", "-f", tmp_path / name, "-C", pred, "--json")
    assert ended.code == 0, ended.err
    assert labels(ended) == [row["label"] for row in rows]
    assert "ledger" not in ended.document


def test_a_pattern_and_more_rows_than_a_call_may_have(pred, bakeoff, tmp_path):
    rows = amounts()
    for at in range(60):
        (tmp_path / f"part-{at:02}.csv").write_text(csv_text(rows, delimiter=";" if at % 2 else ","))
    ended = bakeoff("predict", "-f", tmp_path / "part-*.csv", "-C", pred, "--json")
    assert labels(ended) == [row["label"] for row in rows] * 60  # 12,000


def test_words_for_a_missing_number_are_those_of_training(pred, bakeoff, tmp_path):
    (tmp_path / "na.csv").write_text("amount,group\nNA,a\n-0.5,b\n,c\nNaN,a\n")
    ended = bakeoff("predict", "-f", tmp_path / "na.csv", "-C", pred, "--json")
    assert ended.code == 0
    assert [answer.get("imputed") for answer in ended.document["predictions"]] == [
        ["amount"],
        None,
        ["amount"],
        ["amount"],
    ]
    (loss,) = ended.document["ledger"]["losses"]
    assert (loss["kind"], loss["subject"], loss["count"]) == ("cell", "amount", 3)
    assert "amount" in ended.err


def test_another_encoding_is_that_of_the_project(bakeoff, tmp_path):
    named = {"yes": ("Zürich", "yé"), "no": ("Genève", "no")}
    rows = [{**row, "amount": row["weight"] / (3 + at % 7)} for at, row in enumerate(amounts(120))]
    rows = [{**row, "group": named[row["label"]][0], "label": named[row["label"]][1]} for row in rows]
    text = csv_text(rows, names=("amount", "group", "label"))
    folder = project_at(tmp_path, text, data='encoding = "latin-1"', encoding="latin-1")
    (tmp_path / "new.csv").write_bytes(csv_text(rows[:8]).encode("latin-1"))
    ended = bakeoff("predict", "-f", tmp_path / "new.csv", "-C", folder, "--json")
    assert labels(ended) == [row["label"] for row in rows[:8]]


def test_rows_that_cannot_be_answered_are_set_aside_and_end_with_1(pred, bakeoff, tmp_path):
    rows = amounts()[:60]
    lines = csv_text(rows).splitlines()
    lines[10:10] = ["1,a,extra", "many,b"]
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    ended = bakeoff("predict", "-f", tmp_path / "new.csv", "-C", pred, "--json")
    assert ended.code == 1
    assert labels(ended) == [row["label"] for row in rows]
    ledger = ended.document["ledger"]
    assert (ledger["rows_in"], ledger["rows_used"]) == (62, 60)
    assert [(loss["kind"], loss["count"]) for loss in ledger["losses"]] == [("row", 1), ("row", 1)]
    assert ledger["losses"][0]["examples"][0].startswith("line 11: ")
    assert "row 10: column 'amount': expected a number" in ledger["losses"][1]["examples"][0]
    assert "62 rows read, 60 answered, 2 lost" in ended.err
    told = bakeoff("predict", "-f", tmp_path / "new.csv", "-C", pred)
    assert (told.code, told.out.count("yes") > 10) == (1, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("AMT,group\n1,a\n", "lacks|expected the inputs 'amount', received none of them but unknown keys: 'AMT'"),
        ("label\nyes\n", "expected values of the inputs 'amount', 'group', received none"),
        ("amount,group\n", "expected rows, found none in new.csv"),
        ("1,a,2\n2,b,3\n3,c,4\n", "expected the inputs"),
        ("1,a,2\n" * 9, "expected at most 5% bad rows"),
    ],
)
def test_a_file_with_other_columns_is_one_clear_error(pred, bakeoff, tmp_path, text, why):
    (tmp_path / "new.csv").write_text(text)
    ended = bakeoff("predict", "-f", tmp_path / "new.csv", "-C", pred, "--json")
    assert ended.code == 1
    assert ended.document["error"]["type"] == "DataError"
    assert why.rpartition("|")[2] in ended.errors[0]


def test_json_from_stdin(pred, bakeoff, monkeypatch, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"amount": 3, "group": "a"}\n{"amount": "no", "group": "a"}\n')
    with (tmp_path / "rows.jsonl").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ended = bakeoff("predict", "-f", "-", "-C", pred, "--json")
    assert (ended.code, labels(ended)) == (1, ["yes"])


# --- keys that nobody knows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"amounts": 1.0, "groups": "a"}, "'amounts' (did you mean 'amount'?), 'groups' (did you mean 'group'?)"),
        ({"ammount": 1}, "'ammount' (did you mean 'amount'?)"),
        ({"betrag": 1, "group": "a"}, "unknown keys: 'betrag'"),
        ({}, "expected values of the inputs 'amount', 'group'"),
        ({"label": "yes", "weight": 3}, "expected values of the inputs 'amount', 'group'"),
    ],
)
def test_misspelt_rows_are_refused(pred, bakeoff, row, hint):
    ended = bakeoff("predict", json.dumps(row), "-C", pred, "--json")
    assert (ended.code, ended.document["error"]["type"]) == (1, "DataError")
    assert hint in ended.errors[0]


def test_case_and_blanks_of_keys_are_forgiven_as_in_files(pred, bakeoff):
    for row in ({"Amount": 3, "GROUP": "a"}, {" amount ": 3, "group": "a"}):
        ended = bakeoff("predict", json.dumps(row), "-C", pred, "--json")
        assert (ended.code, labels(ended), "ledger" in ended.document) == (0, ["yes"], False)
    with Project(pred) as project:
        assert [answer.label for answer in project.predict([{"AMOUNT": -1, "group": "a"}])] == ["no"]


def test_what_a_row_may_have_beside_its_inputs(pred, bakeoff):
    row = {"amount": 3, "group": "a", "label": "no", "weight": 3}
    ended = bakeoff("predict", json.dumps(row), "-C", pred, "--json")
    assert (ended.code, labels(ended), "ledger" in ended.document) == (0, ["yes"], False)
    ended = bakeoff("predict", json.dumps({**row, "colour": "red"}), "-C", pred, "--json")
    assert (ended.code, ended.document["predictions"][0]["unknown"]) == (0, ["colour"])
    assert "not a column of the training data" in ended.err


def test_a_category_that_training_never_saw_is_answered_and_told(pred, bakeoff, tmp_path):
    ended = bakeoff("predict", '[{"amount": 3, "group": "z"}, {"amount": 3, "group": " a "}]', "-C", pred, "--json")
    first, second = ended.document["predictions"]
    assert (ended.code, first["unseen"], "unseen" in second) == (0, ["group"], False)
    assert "a category that no training row had" in ended.err
    (tmp_path / "new.csv").write_text("amount,group\n1,z\n2,y\n3,a\n")
    ended = bakeoff("predict", "-f", tmp_path / "new.csv", "-C", pred, "--json")
    (loss,) = ended.document["ledger"]["losses"]
    assert (ended.code, loss["subject"], loss["count"]) == (0, "group", 2)


def test_an_absent_input_is_answered_and_told(pred, bakeoff):
    ended = bakeoff("predict", '{"amount": 3}', "-C", pred, "--json")
    (answer,) = ended.document["predictions"]
    assert (ended.code, answer["label"], answer["absent"], answer["imputed"]) == (0, "yes", ["group"], ["group"])
    assert "absent" in ended.err


def test_the_project_may_have_misspelt_rows_answered(pred, bakeoff, monkeypatch):
    monkeypatch.setenv("BAKEOFF_ENDPOINT__UNKNOWN", "warn")
    ended = bakeoff("predict", '{"ammount": 3, "group": "a"}', "-C", pred, "--json")
    (answer,) = ended.document["predictions"]
    assert (ended.code, answer["absent"], answer["unknown"]) == (0, ["amount"], ["ammount"])
    assert bakeoff("predict", "{}", "-C", pred, "--json").code == 1


# --- values that no training row lacked ---------------------------------------------------------

HOUSE = {"area": 100, "rooms": 3, "city": "A", "garden": True, "built": "2005-05-05"}


@pytest.mark.parametrize("gap", [None, "", "NA"])
def test_a_missing_number_is_answered_like_the_median(prices, bakeoff, gap):
    median = bakeoff("predict", json.dumps({**HOUSE, "area": 100}), "-C", prices, "--json")
    missing = bakeoff("predict", json.dumps({**HOUSE, "area": gap}), "-C", prices, "--json")
    smallest = bakeoff("predict", json.dumps({**HOUSE, "area": 20}), "-C", prices, "--json")
    assert abs(value(missing) - value(median)) < 15_000
    assert value(missing) - value(smallest) > 60_000
    assert missing.document["predictions"][0]["imputed"] == ["area"]


@pytest.mark.parametrize(("name", "usual", "other"), [("city", "A", "B"), ("garden", True, False)])
def test_a_missing_category_or_boolean_is_answered_like_the_most_frequent(prices, bakeoff, name, usual, other):
    missing, same, another = (
        value(bakeoff("predict", json.dumps({**HOUSE, name: each}), "-C", prices, "--json"))
        for each in (None, usual, other)
    )
    assert missing == same != another


def test_where_training_had_gaps_nothing_is_imputed(prices, bakeoff):
    ended = bakeoff("predict", json.dumps({**HOUSE, "built": None}), "-C", prices, "--json")
    (answer,) = ended.document["predictions"]
    assert "imputed" not in answer
    assert abs(answer["value"] - value(bakeoff("predict", json.dumps(HOUSE), "-C", prices, "--json"))) < 10_000


# --- an endpoint elsewhere ----------------------------------------------------------------------


@pytest.fixture
def url(pred):
    with Project(pred) as project, Server(create_app(project.plane(), project.feedback)) as server:
        yield server.url


@pytest.mark.parametrize("name", ["new.csv", "new.parquet", "new.json"])
def test_files_for_an_endpoint_elsewhere_are_read_the_same(pred, bakeoff, url, tmp_path, name):
    rows = amounts()
    WAYS[name](tmp_path / name, rows)
    ended = bakeoff("predict", "-f", tmp_path / name, "--url", url, "-C", pred, "--json")
    assert (ended.code, labels(ended)) == (0, [row["label"] for row in rows])


def test_what_an_endpoint_elsewhere_refuses_is_set_aside(bakeoff, url, tmp_path):
    rows = [{"amount": 3, "group": "a"}] * 30 + [{"amount": "many", "group": "a"}, {"ammount": 3}, {"amount": -1}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = bakeoff("predict", "-f", tmp_path / "new.jsonl", "--url", url, "-C", tmp_path, "--json")
    assert (ended.code, labels(ended)) == (1, ["yes"] * 30 + ["no"])
    lost = [(loss["kind"], loss["count"], loss["examples"][0][:7]) for loss in ended.document["ledger"]["losses"][:1]]
    assert lost == [("row", 2, "row 31:")]
    assert ended.document["predictions"][-1]["absent"] == ["group"]


def test_one_row_for_an_endpoint_elsewhere(bakeoff, url):
    assert labels(bakeoff("predict", '{"amount": 3, "group": "a"}', "--url", url, "--json")) == ["yes"]
    ended = bakeoff("predict", '{"ammount": 3, "group": "a"}', "--url", url, "--json")
    assert (ended.code, ended.document["error"]["type"]) == (1, "DataError")


# --- feedback -----------------------------------------------------------------------------------

FEEDBACK = {
    "items.csv": lambda path, ids: path.write_text(f"id;label;rating\n{ids[0]};yes;\n{ids[1]};;-1\n{ids[2]};no;1\n"),
    "items.tsv.gz": lambda path, ids: path.write_bytes(
        gzip.compress(f"rating\tid\tlabel\n\t{ids[0]}\tyes\n-1\t{ids[1]}\t\n1\t{ids[2]}\tno\n".encode())
    ),
    "items.parquet": lambda path, ids: pl.DataFrame(
        {"id": ids[:3], "label": ["yes", None, "no"], "rating": [None, -1.0, 1.0]}
    ).write_parquet(path),
    "items.jsonl": lambda path, ids: path.write_text(
        f'{{"id": "{ids[0]}", "label": "yes"}}\n{{"id": "{ids[1]}", "rating": -1}}\n'
        f'{{"id": "{ids[2]}", "label": "no", "rating": 1}}\n'
    ),
}


@pytest.mark.parametrize("name", FEEDBACK)
def test_feedback_files_are_read_like_the_projects_own(pred, bakeoff, tmp_path, name):
    (tmp_path / "rows.jsonl").write_text('{"amount": 3, "group": "a"}\n' * 3)
    answers = bakeoff("predict", "-f", tmp_path / "rows.jsonl", "-C", pred, "--json").document["predictions"]
    ids = [answer["id"] for answer in answers]
    FEEDBACK[name](tmp_path / name, ids)
    ended = bakeoff("feedback", "-f", tmp_path / name, "-C", pred, "--json")
    assert (ended.code, ended.document["accepted"]) == (0, 3), ended.err
    with Project(pred) as project:
        logged = {event.id: event for event in project.events.read(FeedbackEvent)}
    kinds = [(logged[each].label, logged[each].rating) for each in ids]
    assert kinds == [("yes", None), (None, -1), ("no", 1)]
