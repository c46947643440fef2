"""Play a demo: make its project, run it, serve it, send it live traffic with feedback, look at the signals."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bakeoff.config.file import FILE_NAME
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.project.project import Project
from bakeoff.serve.engine import Engine
from bakeoff.web.client import Client
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

__all__ = ["DEMOS", "DemoEndpoint", "Tell", "play", "send", "served"]

DEMOS = ("reviews", "flights", "chat")
Tell = Callable[[str], None]
ROWS_IN_CALL = 1000


def play(name: str, folder: Path, *, tell: Tell, progress: Progress, with_llm: bool = False) -> dict[str, Json]:
    """Play the demo in a folder, which then is a project to edit and run again.

    `with_llm` adds language models to the reviews.

    Returns:
        What `bakeoff run --json` gives, with `traffic` (answers, signals) and for flights `replay`.

    Raises:
        NotFoundError: there is no demo of that name.
    """
    if name not in DEMOS:
        known = ", ".join(DEMOS)
        raise NotFoundError(f"expected a demo among {known}; received {name!r}. {suggestion(name, DEMOS)}".rstrip())
    if with_llm and name != "reviews":
        raise UsageError(f"expected --with-llm with the demo reviews, received {name!r}; leave it out")
    make_project(name, folder)
    if with_llm:
        add_language_models(folder)
    with Project(folder, progress=progress) as project:
        if name == "flights":
            from bakeoff.cli.demos.flights import play_flights

            return play_flights(project, tell=tell)
        if name == "chat":
            from bakeoff.cli.demos.chat import play_chat, write_conversations

            write_conversations(project.folder, progress=progress)
            return play_chat(project, tell=tell)
        from bakeoff.cli.demos.reviews import play_reviews, write_reviews

        write_reviews(project.folder, progress=progress)
        return play_reviews(project, tell=tell)


def make_project(name: str, folder: Path) -> None:
    """Write the demo's project file, unless there is one (the user may have edited it)."""
    file = folder / FILE_NAME
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(files("bakeoff.cli.demos").joinpath(f"{name}.toml").read_bytes())


def add_language_models(folder: Path) -> None:
    """Add the language models' candidates to the reviews' project file, unless they are there."""
    file = folder / FILE_NAME
    text = file.read_text(encoding="utf-8")
    if "[candidates.lora]" not in text:
        more = files("bakeoff.cli.demos").joinpath("reviews-llm.toml").read_text(encoding="utf-8")
        file.write_text(f"{text.rstrip()}\n\n{more}", encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoEndpoint:
    """A served engine and a client that talks to it over HTTP."""

    engine: Engine
    client: Client


@contextmanager
def served(project: Project) -> Generator[DemoEndpoint]:
    """The project's endpoint, served in this process on a free loopback port, and a client of it."""
    plane = project.plane()
    app = create_app(plane, project.feedback, hosts=local_hosts("127.0.0.1"))
    with Server(app) as server, Client(server.url) as client:
        yield DemoEndpoint(engine=plane.engine(), client=client)


def send(
    client: Client, rows: Sequence[Mapping[str, Any]], truth: Sequence[str], *, rows_in_call: int = ROWS_IN_CALL
) -> list[dict[str, Any]]:
    """Send rows as traffic, then their truth as feedback; the answers in the order of the rows."""
    answers: list[dict[str, Any]] = []
    for start in range(0, len(rows), rows_in_call):
        reply = client.predict(rows[start : start + rows_in_call])
        answers += [answer | {"model_version": reply["model_version"]} for answer in reply["predictions"]]
        said = answers[start : start + rows_in_call]
        known = truth[start : start + rows_in_call]
        client.feedback([{"id": answer["id"], "label": label} for answer, label in zip(said, known, strict=True)])
    return answers


def where_next(project: Project) -> str:
    """Commands that go on from here."""
    place = project.folder.name
    return "\n".join(
        [
            f"The project is in {place}/: edit {place}/{FILE_NAME} and run it again. Look further with",
            f"  bakeoff report  -C {place}    every metric, interval and gate",
            f"  bakeoff lineage -C {place}    what the champion was made from",
            f"  bakeoff serve   -C {place}    the endpoint over HTTP",
            f"  bakeoff monitor -C {place}    what monitoring sees",
            f"  bakeoff loop    -C {place} --once    retrain if there is reason to",
        ]
    )
