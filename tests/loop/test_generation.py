"""The task generation through the whole loop: conversations in, a paid and a free candidate, a judge, corrections."""

import json
import random
import zlib

import pytest

from bakeoff.cli.run_page import full_report
from bakeoff.core.errors import ConfigError
from bakeoff.project.project import Project
from bakeoff.registry.register import all_versions
from bakeoff.report.markdown import markdown
from bakeoff.results.outcome import RunOutcome
from bakeoff.testing.service import completion, serving

TOPICS = ("password", "invoice", "refund", "address", "coupon", "delivery")


def chats(rows=160):
    rng = random.Random(3)
    lines = []
    for at in range(rows):
        topic = rng.choice(TOPICS)
        turns = [
            {"role": "user", "content": f"{rng.choice(['Where is', 'Help with', 'Change'])} my {topic} {at}"},
            {"role": "assistant", "content": f"Open the {topic} page and choose {rng.choice(['edit', 'help'])}."},
        ]
        system = [{"role": "system", "content": "You are a help desk."}] if at % 4 == 0 else []
        lines.append(json.dumps({"messages": [*system, *turns]}))
    return "\n".join(lines) + "\n"


def model_and_judge(asked):
    if asked.body["model"] == "talker":
        return completion("Call us.", usage={"prompt_tokens": 40, "completion_tokens": 4})
    if "Answer A:" not in asked.said:
        return "good" if "page" in asked.said else "bad"
    first, second = asked.said.split("\n\nAnswer A:\n")[1].split("\n\nAnswer B:\n")
    if zlib.crc32(asked.said.encode()) % 4 == 0:
        return "A"
    return "A" if len(first) > len(second) else "B" if len(first) < len(second) else "tie"


TOML = """
[project]
name = "desk"
task = "generation"
[data]
source = "chats.jsonl"
target = "answer"
[candidates.retrieval]
[candidates.talker]
family = "remote"
url = "URL"
model = "talker"
price_in = 1.0
price_out = 5.0
[decide]
metric = "judge"
resamples = 200
json_schema = "schema.json"
findings = false
[judge]
url = "URL"
model = "judge"
rows = 20
labels = "labels.jsonl"
price_in = 2.0
[loop]
triggers = ["feedback"]
feedback_rows = 1
[monitor]
min_feedback = 1
"""


@pytest.fixture(scope="module")
def service():
    with serving(model_and_judge) as running:
        yield running


@pytest.fixture(scope="module")
def folder(service, tmp_path_factory):
    made = tmp_path_factory.mktemp("desk")
    (made / "chats.jsonl").write_text(chats())
    (made / "schema.json").write_text('{"type": "object"}')
    label = {"messages": "Where is it?", "a": "Open the page.", "b": "No.", "preferred": "a"}
    labels = [label, {**label, "preferred": "tie"}, {**label, "a": "Hm", "b": "Look there.", "preferred": "b"}]
    (made / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    (made / "bakeoff.toml").write_text(TOML.replace("URL", service.url))
    return made


@pytest.fixture(scope="module")
def document(folder):
    with Project(folder) as project:
        return project.run().document


def candidate(document, name):
    return next(each for each in document["candidates"] if each["name"] == name)


def test_the_better_answers_win_by_the_judge(document):
    assert [each["status"] for each in document["candidates"]] == ["ok", "ok"]
    assert document["verdict"]["winner"] == "retrieval"
    assert document["verdict"]["metric"] == "judge"
    retrieval, talker = (candidate(document, name)["metrics"] for name in ("retrieval", "talker"))
    assert retrieval["judge"]["value"] > 0.3 > talker["judge"]["value"]
    assert retrieval["judge"]["low"] < retrieval["judge"]["value"] < retrieval["judge"]["high"]
    assert retrieval["token_f1"]["value"] > 0.5
    assert retrieval["json_valid"]["value"] == 0.0


def test_the_judge_is_described(document):
    judge = document["judge"]
    assert (judge["model"], judge["against"], judge["rows"]) == ("judge", "reference", 20)
    assert judge["bias"]["first"] > 0.5
    assert judge["pairs"]["n"] == 3
    assert judge["ratings"] is None
    assert [each["name"] for each in judge["candidates"]] == ["retrieval", "talker"]
    assert all("corrected" in each for each in judge["candidates"])
    assert judge["cost_usd"] == pytest.approx(judge["calls"] * 10 * 2.0 / 1e6)


def test_a_paid_candidate_costs_its_tokens(document):
    talker = candidate(document, "talker")
    assert talker["cost_usd_per_1k"] == pytest.approx(1000 * (40 * 1.0 + 4 * 5.0) / 1e6)
    assert talker["usage"]["calls"] == document["dataset"]["test"]
    assert talker["latency_ms"]["p50"] > 0
    assert "usage" not in candidate(document, "retrieval")


def test_every_face_tells_it(document, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # narrower, the table's heads are folded
    told = full_report(RunOutcome.from_json(document))
    assert "judge compared the answers to 20 test rows with the true answers" in told
    assert "$ for the test rows" in told
    with Project(folder) as project:
        report = project.report()
    page = markdown(report)
    assert "As people would score" in page
    assert report.rows
    assert {answer.candidate for answer in report.rows[0].answers} == {"retrieval", "talker"}


def test_the_page(document, folder):
    pytest.importorskip("jinja2")
    pytest.importorskip("vl_convert")
    from bakeoff.report.html import html

    with Project(folder) as project:
        page = html(project.report())
    assert "What a judge says" in page


def test_a_correction_becomes_training_data_and_a_rating_checks_the_judge(document, folder, service):
    asked = [{"role": "system", "content": "You are a help desk."}, {"role": "user", "content": "Where is my invoice"}]
    with Project(folder) as project:
        answer, other = project.predict([{"messages": asked}, {"messages": "my refund?"}])
        assert "page" in str(answer.value)
        corrected = {"id": answer.id, "correction": "It is in your mail.", "rating": -1}
        project.feedback([corrected, {"id": other.id, "rating": 1}])
        quality = project.monitor().signal("quality")
        assert (quality.rows, quality.detail["metric"]) == (1, "token_f1")
        turn = project.loop_once()
        assert turn.taken_in == 1
        assert turn.outcome.document["dataset"]["from_feedback"] == 1
        rows = [row for part in ("train", "validation", "test") for row in project.rows(part).to_dicts()]
        assert [row["answer_rejected"] for row in rows if row["answer"] == "It is in your mail."] == [answer.value]
        assert sum(row["answer_rejected"] is not None for row in rows) == 1
        signature = all_versions(project.records.versions, "model")[0].lineage["signature"]
        assert [column["name"] for column in signature["inputs"]] == ["messages"]
        ratings = turn.outcome.document["judge"]["ratings"]
        assert ratings["n"] == 2
    said = [each.said for each in service.asked if each.body["model"] == "talker"]
    assert len(said) == len(set(said))  # nothing was ever paid for twice


def test_other_machines_are_refused_before_anything_runs(tmp_path):
    (tmp_path / "chats.jsonl").write_text(chats(60))
    toml = TOML.replace("URL", "https://api.example.org/v1")
    (tmp_path / "bakeoff.toml").write_text(toml)
    with Project(tmp_path) as project, pytest.raises(ConfigError) as caught:
        project.run()
    assert {problem.key for problem in caught.value.problems} == {"candidates.talker.url", "judge.url"}
    assert "remote = true in [privacy]" in str(caught.value)


def test_files_that_are_not_there_are_named_together(folder, tmp_path):
    (tmp_path / "chats.jsonl").write_text(chats(60))
    (tmp_path / "bakeoff.toml").write_text((folder / "bakeoff.toml").read_text())
    with Project(tmp_path) as project, pytest.raises(ConfigError) as caught:
        project.run()
    assert {problem.key for problem in caught.value.problems} == {"decide.json_schema", "judge.labels"}


def test_init_writes_a_project_that_runs(tmp_path):
    (tmp_path / "chats.jsonl").write_text(chats(100))
    Project.init(tmp_path, source="chats.jsonl", target="answer", task="generation", name="desk")
    with Project(tmp_path) as project:
        assert project.config.data.text == ("messages",)
        document = project.run().document
    assert document["verdict"]["winner"] == "retrieval"
    assert document["judge"] is None


class TestJudges:
    """What a project with a judge of another kind ends with; candidates fit in no time."""

    @pytest.fixture
    def project_of(self, tmp_path):
        def make(toml):
            (tmp_path / "chats.jsonl").write_text(chats(80))
            head = '[project]\nname = "desk"\ntask = "generation"\n[data]\nsource = "chats.jsonl"\ntarget = "answer"\n'
            candidates = "[candidates.near]\nfamily = 'retrieval'\nneighbours = 1\n"
            candidates += "[candidates.many]\nfamily = 'retrieval'\nneighbours = 10\n"
            (tmp_path / "bakeoff.toml").write_text(head + candidates + "[decide]\nresamples = 200\n" + toml)
            return Project(tmp_path)

        return make

    def test_against_the_leader(self, project_of, service):
        toml = f'findings = false\n[judge]\nurl = "{service.url}"\nmodel = "judge"\nrows = 5\nagainst = "leader"\n'
        with project_of(toml) as project:
            document = project.run().document
            assert project.run().unchanged
        with project_of(toml + "live_share = 0.5\n") as project:
            assert project.run().unchanged  # only monitoring reads it
        metric = document["verdict"]["metric"]
        leader = max(document["candidates"], key=lambda each: each["metrics"][metric]["value"])["name"]
        assert document["judge"]["against"] == leader
        assert [each["name"] for each in document["judge"]["candidates"]] == [
            each["name"] for each in document["candidates"] if each["name"] != leader
        ]
        assert "judge" not in candidate(document, leader)["metrics"]

    def test_a_judge_that_fails_does_not_end_the_pass(self, project_of):
        with serving(lambda asked: (401, {"error": "no key"}, {})) as refusing:
            toml = f'findings = false\n[judge]\nurl = "{refusing.url}"\nmodel = "judge"\nrows = 5\n'
            with project_of(toml) as project:
                document = project.run().document
        assert document["verdict"]["winner"] is not None
        assert "401" in document["judge"]["error"]
        assert "could not be asked" in full_report(RunOutcome.from_json(document))
