"""What an endpoint generates is shown to the project's judge: a share, each answer once, and the log says which."""

import json

import pytest

from bakeoff.project.project import Project
from bakeoff.testing.service import serving

TOML = """
[project]
name = "desk"
task = "generation"
[data]
source = "chats.jsonl"
target = "answer"
[candidates.retrieval]
[combine]
blends = false
cascades = false
[decide]
metric = "token_f1"
resamples = 100
findings = false
explain = "none"
[judge]
url = "URL"
model = "judge"
rows = 2
live_share = 1.0
live_rows = 12
live_usd = 0.5
price_in = 1.0
"""
TOPICS = ("password", "invoice", "refund", "address")


def judge(asked):
    """Good are answers about invoices."""
    if "Answer A:" in asked.said:
        return "tie"
    return "good" if "invoice" in asked.said.split("\n\nAnswer:\n")[1] else "bad"


@pytest.fixture(scope="module")
def service():
    with serving(judge) as running:
        yield running


def test_a_share_of_the_answers_is_judged_within_the_day_s_number(service, tmp_path):
    turns = [[f"Help with my {TOPICS[at % 4]} {at}", f"Open the {TOPICS[at % 4]} page."] for at in range(80)]
    chats = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(each) + "\n" for each in chats))
    (tmp_path / "bakeoff.toml").write_text(TOML.replace("URL", service.url))
    with Project(tmp_path) as project:
        project.run()
        answers = project.predict([{"messages": f"Help with my {topic}"} for topic in TOPICS * 5])
        first = project.monitor().signal("judged")
        again = project.monitor().signal("judged")
        ids = [answer.id for answer in answers]
        project.feedback([{"id": each, "rating": -1} for each in ids[:10]])
        project.feedback([{"id": each, "correction": "Call us."} for each in ids[10:15]])
        project.feedback([{"id": each, "label": "Call us."} for each in ids[15:]])  # what else is right
        rated = project.monitor().signal("judged")
        (document,) = project.records.documents.find("monitor_judged")
    right = sum("invoice" in str(answer.value) for answer in answers)
    assert right == 5
    assert (first.rows, first.detail["today"], again.rows) == (12, 12, 12)
    assert 0 <= first.value < 0.6
    assert first.detail["low"] < first.value < first.detail["high"]
    assert first.detail["usd_today"] > 0
    assert first.value == again.value
    both = {*document.body["scores"]} & {*ids[:15]}
    assert (rated.value, rated.detail["both"], first.detail["both"]) == (first.value, len(both), 0)
    assert 7 <= len(both) <= 12
