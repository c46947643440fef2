"""The review queue of a project, from what was predicted to the labels that the loop reads."""

import json

import pytest

from bakeoff import Project
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.feedback.join import labelled

TOML = """
[project]
name = "sizes"
[data]
source = "rows.csv"
target = "big"
numeric = ["size", "age"]
[candidates.linear]
[candidates.boosting]
trees = 5
[combine]
blends = false
cascades = false
[decide]
resamples = 200
findings = false
explain = "none"
[feedback]
experts = ["eva"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    lines = [f"{n % 50},{n % 7},{'yes' if n % 50 > 25 else 'no'}" for n in range(300)]
    (folder / "rows.csv").write_text("size,age,big\n" + "\n".join(lines) + "\n")
    (folder / "bakeoff.toml").write_text(TOML)
    with Project(folder) as made:
        made.run()
        made.predict([{"size": float(n % 60), "age": float(n % 9)} for n in range(240)])
        yield made


def truth(row):
    return "yes" if row.row["size"] > 25 else "no"


def test_from_predictions_to_labels(project):
    review = project.review
    batch = review.pick(60)
    assert (batch.rows, batch.population, batch.random) == (60, 240, 12)
    assert {"uncertain", "typical", "disagreement", "drift", "random"} == batch.counts.keys()
    assert batch.notes == ()
    assert batch.classes == ("no", "yes")
    with pytest.raises(NotFoundError, match="drawn at random, found none"):
        review.estimate()
    wrong = review.next(who="ann")
    assert review.answer(wrong, "perhaps", who="ann").unusable == 1
    assert not review.row(wrong.name).done
    while (row := review.next(who="ann")) is not None:
        review.answer(row, truth(row), who="ann")
    (progress,) = review.progress()
    assert (progress.done, progress.by) == (60, {"ann": 60})
    estimate = review.estimate(metric="accuracy")
    assert (estimate.rows, estimate.certain + estimate.random, estimate.population) == (60, 60, 240)
    assert estimate.interval.least <= 0.97
    pairs = labelled(project.events, "sizes", truth_of=project.truth_of)
    assert {pair.source for pair in pairs.pairs} == {"ann"}
    assert pairs.usable == 60
    again = review.pick(60)
    known = {row.id for row in review.rows(batch.id)}
    assert known.isdisjoint(row.id for row in review.rows(again.id))
    assert again.population == 180
    review.close(again.id)


def test_an_expert_overrides_and_people_agree_so_far(project):
    (answer,) = project.predict([{"size": 10.0, "age": 1.0}])
    for who, label in (("ann", "yes"), ("bob", "yes"), ("eva", "no")):
        project.feedback([{"id": answer.id, "label": label, "source": who}])
    history = project.feedback_history(answer.id)
    assert [item.source for item in history.items] == ["ann", "bob", "eva"]
    assert (history.resolved.label, history.resolved.rule, history.resolved.agreeing) == ("no", "expert", 1)
    agreement = project.agreement()
    assert agreement.disputed == (answer.id,)
    assert agreement.annotators == {"ann": 1, "bob": 1, "eva": 1}
    assert agreement.fleiss == pytest.approx(-0.5)


def test_ground_truth_by_key(project):
    answers = project.predict([{"size": float(n), "age": 1.0} for n in (3, 50)])
    project.feedback([{"id": each.id, "key": str(100 + at)} for at, each in enumerate(answers)])
    (project.folder / "truth.csv").write_text(
        "order,outcome,known\n100,no,2026-01-02\n101,yes,2026-01-02T03:00:00\n9,no,\n"
    )
    columns = {"key": "order", "label": "outcome", "time": "known", "source": "billing", "folder": project.folder}
    (part,) = project.import_feedback("truth.csv", **columns)
    assert (part.results[0]["accepted"], part.results[0]["unmatched"]) == (2, 1)
    history = project.feedback_history("101", by_key=True)
    assert (history.id, history.resolved.label, history.resolved.source) == (answers[1].id, "yes", "billing")
    assert history.resolved.known_ms == 1_767_322_800_000
    with pytest.raises(UsageError, match="received neither"):
        project.import_feedback("truth.csv", label="outcome")
    with pytest.raises(NotFoundError, match=r"sizes.*none called 'szies'"):
        project.import_feedback("truth.csv", **columns, endpoint="szies")


def test_by_commands_and_files(project, capsys):
    from bakeoff.cli.main import app

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            app([*words, "-C", str(project.folder)], standalone_mode=True)
        return ended.value.code, capsys.readouterr().out

    code, out = call("review", "pick", "8", "--share", "uncertain=1", "--json")
    batch = json.loads(out)["batch"]["id"]
    assert code == 0
    row = json.loads(call("review", "next", "--who", "bob", "--batch", batch, "--json")[1])["row"]
    assert call("review", "answer", row["name"], "perhaps", "--who", "bob")[0] == 1
    assert call("review", "answer", row["name"], "yes", "--who", "bob")[0] == 0
    file = project.folder / "tasks.json"
    assert call("review", "export", batch, "-o", str(file))[0] == 0
    tasks = json.loads(file.read_text())
    assert len(tasks) == 7
    for task in tasks:
        task["annotations"] = [{"completed_by": "cyd", "result": task["predictions"][0]["result"]}]
    file.write_text(json.dumps(tasks))
    assert json.loads(call("review", "import", str(file), "--json")[1]) == {"format": 1, "accepted": 7, "problems": []}
    (status,) = (each for each in json.loads(call("review", "--json")[1])["batches"] if each["batch"]["id"] == batch)
    assert (status["done"], status["open"], status["by"]) == (8, 0, {"bob": 1, "cyd": 7})
    with pytest.raises(UsageError, match="expected REASON=NUMBER with one of uncertain"):
        app(["review", "pick", "--share", "odd=1"], standalone_mode=True)


def test_labels_by_feedback_are_done_in_the_queue(project, capsys):
    from bakeoff.cli.main import app

    batch = project.review.pick(5, shares={"random": 1})
    one, two, three, *_ = project.review.rows(batch.id)
    project.feedback([{"id": one.id, "label": "yes", "source": "billing"}, {"id": three.id, "label": "perhaps"}])
    project.feedback([{"id": two.id, "key": "late order"}])
    project.feedback([{"key": "late order", "label": "no"}])
    (progress,) = project.review.progress(batch.id)
    assert (progress.done, progress.elsewhere, progress.open, progress.by) == (2, 2, 3, {})  # "perhaps" is no label
    assert project.review.next(who="fay", batch_id=batch.id).id == three.id
    exported = json.loads(project.review.export(batch.id))
    assert len(exported) == 3
    with pytest.raises(SystemExit):
        app(["review", "status", "--batch", batch.id, "-C", str(project.folder)], standalone_mode=True)
    header, *_, last = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()][:3]
    assert header[2:6] == ["done", "open", "skipped", "elsewhere"]
    assert last[2:6] == ["2", "3", "0", "2"]
    project.review.close(batch.id)


def test_by_keyboard(project, monkeypatch, capsys):
    from bakeoff.cli import reviewing

    batch = project.review.pick(4, shares={"random": 1})
    keys = iter("x1s2q")
    monkeypatch.setattr(reviewing.typer, "getchar", lambda: next(keys))
    reviewing._by_keyboard(project.review, "dan", batch.id)
    out = capsys.readouterr().out
    assert "row 1 of 4" in out
    assert "[1] no  [2] yes" in out
    assert "asked because: drawn at random" in out
    assert out.endswith("2 answered\n")
    rows = project.review.rows(batch.id)
    assert [row.answered or row.skipped for row in rows] == [("dan",), ("dan",), ("dan",), ()]
    assert not any(row.leases for row in rows)
    labels = [project.feedback_history(row.id).resolved.label for row in (rows[0], rows[2])]
    assert labels == ["no", "yes"]
