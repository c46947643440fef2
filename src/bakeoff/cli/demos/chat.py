"""The chat demo: conversations, a fine-tuned language model, the OpenAI API, a correction that joins the data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.cli.demos.play import Tell, served, where_next
from bakeoff.cli.run_page import leaderboard
from bakeoff.core.errors import MissingExtraError
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.data.sources import fetch
from bakeoff.project.project import Project

__all__ = ["play_chat", "write_conversations"]

CORPUS = "pypi://chatterbot-corpus==1.3.3/chatterbot_corpus/data/english/"
CONVERSATIONS = "conversations.jsonl"
LONGEST_ANSWER = 300
QUESTION = "My laptop is overheating, what should I do?"
CORRECTION = "Switch it off, clean the vents and the fan, and put it on a hard surface."


def write_conversations(folder: Path, *, progress: Progress) -> None:
    """Write the questions and answers of the corpus as JSON lines of messages, unless they are there."""
    file = folder / CONVERSATIONS
    if file.exists():
        return
    corpus = fetch(CORPUS, folder=folder, cache=folder / ".bakeoff" / "cache", progress=progress)
    lines = [
        json.dumps({"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]})
        for said, answer in sorted(set(_pairs(corpus)))
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pairs(corpus: Path) -> Iterator[tuple[str, str]]:
    """What is said first in each conversation, and the first answer to it; long answers are programs here."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError.of("the chat demo", "llm", "yaml") from error
    for file in sorted(corpus.rglob("*.yml")):
        for turns in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            said, answer = " ".join(str(turns[0]).split()), " ".join(str(turns[1]).split())
            if said and answer and len(answer) <= LONGEST_ANSWER:
                yield said, answer


def play_chat(project: Project, *, tell: Tell) -> dict[str, Json]:
    """Run the bake-off, ask the winner over the OpenAI API, correct it, show the correction in the next data."""
    outcome = project.run(allow_missing=True)
    tell(leaderboard(outcome.results, unchanged=outcome.unchanged))
    if project.release() is None:
        tell("nothing is served, as no candidate was released; why stands above")
        return {**outcome.document, "unchanged": outcome.unchanged}
    with served(project) as endpoint:
        tell(f"\nserved at {endpoint.client.url}/v1, asked by the openai client:\n  {QUESTION}")
        answer_id, said = _ask(endpoint.client.url, project.endpoint)
        tell(f"  → {said}")
        endpoint.client.feedback([{"id": answer_id, "rating": -1, "correction": CORRECTION}])
        tell(f"thumbs down, with a correction: {CORRECTION}")
    joined = project.take_in()
    corrected = joined.filter(joined[project.config.data.target] == CORRECTION).to_dicts()
    for row in corrected:
        told = f"{row['messages']!r} → {row['answer']!r}, rather than {row.get('answer_rejected')!r}"
        tell(f"the next dataset holds it, in its {row['part']} rows: {told}")
    tell("\n" + where_next(project))
    chat: dict[str, Json] = {"question": QUESTION, "answer": said, "joined": corrected}
    return {**outcome.document, "unchanged": outcome.unchanged, "chat": chat}


def _ask(url: str, model: str) -> tuple[str, str]:
    """The id and the text of a streamed answer."""
    try:
        import openai
    except ImportError as error:
        raise MissingExtraError.of("asking by the OpenAI API", "llm", "openai") from error
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        asked: list[Any] = [{"role": "user", "content": QUESTION}]
        chunks = list(client.chat.completions.create(model=model, messages=asked, max_tokens=48, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return chunks[0].id, text.strip()
