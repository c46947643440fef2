"""Prompts and examples in files: what is asked, how versions go, and what is wrong with them."""

from collections.abc import Generator
from pathlib import Path

import pytest

from bakeoff.core.errors import ConfigError
from bakeoff.project.project import Project
from bakeoff.registry.register import all_versions
from bakeoff.testing.service import FakeService, serving

FILE = """
[project]
name = "tickets"
[data]
source = "tickets.csv"
target = "topic"
text = ["text"]
[split]
near_duplicates = 0
[candidates.linear]
[candidates.asked]
family = "remote"
url = "{url}"
prompt = "prompts/triage.md"
{more}
[combine]
blends = false
cascades = false
[decide]
resamples = 200
findings = false
[compute]
workers = 1
"""
PROMPT = "system:\nYou sort tickets.\n\nuser:\nTicket: {{text}}\n"


@pytest.fixture(scope="module")
def service() -> Generator[FakeService]:
    with serving(lambda asked: "card" if "card" in asked.said else "login") as running:
        yield running


@pytest.fixture
def folder(service: FakeService, tmp_path: Path) -> Path:
    rows = [f"my {('card', 'password')[i % 2]} number {i} fails,{('card', 'login')[i % 2]}" for i in range(60)]
    (tmp_path / "tickets.csv").write_text("text,topic\n" + "\n".join(rows))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "triage.md").write_text(PROMPT)
    write(tmp_path, service)
    return tmp_path


def write(folder: Path, service: FakeService, more: str = "") -> None:
    (folder / "bakeoff.toml").write_text(FILE.format(url=service.url, more=more))


def problems(folder: Path) -> list[tuple[str, str, str]]:
    with Project(folder) as project, pytest.raises(ConfigError) as caught:
        project.run()
    return [(each.file, each.key, each.found) for each in caught.value.problems]


def test_a_prompt_file_is_asked_with_and_its_version_is_in_the_lineage(folder: Path, service: FakeService) -> None:
    with Project(folder) as project:
        first = project.run()
        model = {each["name"]: each for each in first.document["candidates"]}["asked"]["model_version"]
        origin = project.lineage(model).model.lineage["prompt"]
        turns = service.asked[-1].body["messages"]
        assert turns[0]["content"].startswith("You sort tickets.\n")
        assert turns[-1]["content"].startswith("Ticket: my ")
        assert origin["version"] == "tickets/prompts/triage.md/1"
        assert project.run().unchanged
    (folder / "prompts" / "triage.md").write_text(PROMPT.replace("sort", "triage"))
    with Project(folder) as project:
        again = project.run()
        assert not again.unchanged
        model = {each["name"]: each for each in again.document["candidates"]}["asked"]["model_version"]
        assert project.lineage(model).model.lineage["prompt"]["version"] == "tickets/prompts/triage.md/2"
        kept = all_versions(project.records.versions, "prompt", "tickets/prompts/triage.md")
        assert [version.number for version in kept] == [2, 1]
        assert kept[1].lineage["text"] == PROMPT


def test_examples_come_from_a_file_in_their_order(folder: Path, service: FakeService) -> None:
    (folder / "shots.jsonl").write_text(
        '{"text": "it is lost", "topic": "card"}\n{"text": "forgot", "topic": "login"}\n'
    )
    write(folder, service, 'shots_file = "shots.jsonl"')
    with Project(folder) as project:
        project.run()
    said = [turn["content"] for turn in service.asked[-1].body["messages"][1:-1]]
    assert said == ["Ticket: it is lost", "card", "Ticket: forgot", "login"]


def test_what_is_wrong_with_files_is_named(folder: Path, service: FakeService) -> None:
    prompt = folder / "prompts" / "triage.md"
    prompt.write_text("user:\nTicket: {{body}}")
    assert problems(folder) == [("prompts/triage.md", "line 2", "{{body}}")]
    prompt.unlink()
    assert problems(folder)[0][1:] == ("candidates.asked.prompt", "nothing at 'prompts/triage.md'")
    prompt.write_text(PROMPT)
    write(folder, service, 'system = "Be brief."')
    assert problems(folder)[0][1:] == ("candidates.asked.prompt", "both")
    write(folder, service, 'shots_file = "shots.csv"')
    (folder / "shots.csv").write_text("text,label\nit is lost,card\n")
    assert problems(folder)[0][1:] == ("candidates.asked.demonstrations", "no topic in example 1")
    (folder / "shots.csv").write_text((folder / "tickets.csv").read_text())
    assert problems(folder)[0][2].startswith("12 of 60 that are (example ")


def test_a_family_that_asks_nobody_takes_no_prompt(folder: Path) -> None:
    text = (folder / "bakeoff.toml").read_text().replace("[candidates.linear]", '[candidates.linear]\nprompt = "x.md"')
    (folder / "bakeoff.toml").write_text(text)
    assert problems(folder) == [("bakeoff.toml", "candidates.linear.prompt", "'linear'")]
