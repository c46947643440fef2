"""The tour of docs/language-models.md: one question set, four ways, with the price, latency and validity of each.

    make tour            # a few minutes on two cores, once; then seconds, as everything is kept

A hundred tickets, ten of them test rows, are answered by retrieval, a prompted model, the same model fine-tuned, and a
service that reasons: a stand-in on this machine that looks for the ticket's words, thinks for 30 tokens and 150 ms, and
answers every eighth ticket with chatter around its JSON.
"""

import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.cli.run_page import leaderboard
from bakeoff.project.project import Project
from bakeoff.testing.service import completion, reasoning, serving

PAGES = {
    "billing": ["my invoice", "the card that you charge", "last month's bill", "my payment details", "the refund"],
    "profile": ["my email address", "the photo beside my name", "my display name", "my birthday", "my phone number"],
    "orders": ["the parcel from Tuesday", "my order", "the shoes I bought", "the delivery date", "what I sent back"],
    "team": ["my colleague's account", "who may sign in", "the seats we pay for", "Ann's invitation", "our members"],
}
ACTIONS = {
    "view": ["Where can I see {}?", "I would like to look at {}.", "Show me {}, please.", "How do I find {}?"],
    "edit": [
        "I need to change {}.",
        "{} is wrong, how do I correct it?",
        "Please let me update {}.",
        "How do I edit {}?",
    ],
    "delete": ["Remove {} for good.", "I want to get rid of {}.", "How can I delete {}?", "Please erase {}."],
}
SCHEMA = {
    "type": "object",
    "properties": {"page": {"enum": list(PAGES)}, "action": {"enum": list(ACTIONS)}},
    "required": ["page", "action"],
    "additionalProperties": False,
}
FILE = """
[project]
name = "tickets"
task = "generation"
[data]
source = "tickets.jsonl"
target = "answer"
[split]
test = 0.1
[candidates.retrieval]                 # the answers of the nearest training questions
[candidates.prompted]                  # a local model as it is, with six examples
model = "smollm2-135m-instruct"
system = "Answer with JSON of page and action."
shots = 6
max_new_tokens = 24
[candidates.lora]                      # the same model, fine-tuned
model = "smollm2-135m-instruct"
epochs = 6
max_new_tokens = 24
[candidates.remote]                    # a service that reasons
url = "{url}"
model = "thinker"
system = "Answer with JSON of page and action."
reasoning_effort = "low"
price_in = 0.5                         # dollars for a million tokens
price_out = 2.0
[decide]
metric = "exact_match"
json_schema = "answer.schema.json"
gates = {{ json_valid = {{ min = 0.95 }} }}
"""
THOUGHT_TOKENS, THOUGHT_S = 30, 0.15
CHATTY = 8


def tickets(count: int) -> list[dict[str, str]]:
    """Tickets and their answers, each ticket once."""
    rng = random.Random(0)
    every = [
        {"question": text.format(thing).capitalize(), "answer": answer(page, action)}
        for page, things in PAGES.items()
        for thing in things
        for action, texts in ACTIONS.items()
        for text in texts
    ]
    return rng.sample(every, count)


def answer(page: str, action: str) -> str:
    """The true answer, as JSON."""
    return json.dumps({"page": page, "action": action})


def thinker(asked):
    """The stand-in for a service that reasons: it knows the things by heart, and actions by a word or two."""
    time.sleep(THOUGHT_S)
    ticket = asked.said.lower()
    page = next((page for page, things in PAGES.items() if any(thing.lower() in ticket for thing in things)), "team")
    edits, deletes = ("change", "wrong", "update", "edit"), ("remove", "rid", "delete")
    action = "delete" if any(word in ticket for word in deletes) else "view"
    action = "edit" if any(word in ticket for word in edits) else action
    text = answer(page, action)
    if sum(ticket.encode()) % CHATTY == 0:
        text = f"Sure! Here you are: {text} Is there more that I can do?"
    read, written = len(str(asked.body["messages"])) // 4, THOUGHT_TOKENS + len(text) // 4
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    details = {"completion_tokens_details": {"reasoning_tokens": THOUGHT_TOKENS}}
    thought = "The customer names a thing, and what is to happen to it."
    return completion(f"<think>{thought}</think>{text}", usage=usage | details)  # pyright: ignore[reportArgumentType]


def main() -> None:
    """Write the project, run it, and print what `bakeoff run` prints."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/tour")
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(ticket) for ticket in tickets(100)]
    (folder / "tickets.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "answer.schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    with serving(reasoning(thinker)) as service:
        (folder / "bakeoff.toml").write_text(FILE.format(url=service.url), encoding="utf-8")
        with Project(folder, progress=lambda line: print(f"  {line}", file=sys.stderr)) as project:
            outcome = project.run()
    print(leaderboard(outcome.results, unchanged=outcome.unchanged))
    print("\n| | exact match | valid JSON | p50 | $ / 1,000 |\n|---|---|---|---|---|")
    for each in outcome.document["candidates"]:
        print(_row(each))


def _row(candidate: Mapping[str, Any]) -> str:
    if candidate["status"] != "ok":
        return f"| {candidate['name']} | {candidate.get('error', candidate['status'])} | | | |"
    match, valid = candidate["metrics"]["exact_match"], candidate["metrics"]["json_valid"]
    shares = f"{match['value']:.2f} [{match['low']:.2f}, {match['high']:.2f}] | {valid['value']:.2f}"
    p50_ms = candidate["latency_ms"]["p50"]
    return f"| {candidate['name']} | {shares} | {p50_ms:.3g} ms | {candidate['cost_usd_per_1k']:.5f} |"


if __name__ == "__main__":
    main()
