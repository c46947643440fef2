"""Releases with other adapters on one base: taken up by a running server, with the base in memory once."""

import dataclasses
import time
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("xllamacpp")

from bakeoff.core.errors import CandidateError
from bakeoff.core.releases import Release
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.families import FamilyConformance
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app

openai = pytest.importorskip("openai")

QUESTIONS = ["aaord bbord", "ccord ddord"]
ANSWERS = ["eeord", "fford"]


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory) -> list[Path]:
    """Two models on one base; the second one gives the first one's answers to each other's questions."""
    made: list[Path] = []
    for answers in (ANSWERS, ANSWERS[::-1]):
        work = tmp_path_factory.mktemp("fit")
        params = LoraParams(
            model=str(tiny), precision="fp32", epochs=30, layers=0, learning_rate=0.02, max_new_tokens=8,
            quantisation="f32",
        )  # fmt: skip
        job = FamilyConformance().job_of("generation", params, work, columns=("text",))
        train = pl.DataFrame({"text": QUESTIONS * 12, "target": answers * 12})
        job = dataclasses.replace(job, train=train, validation=train[:4], chosen=None, threads=1)
        made.append(work / "model")
        made[-1].mkdir()
        LoraFamily().fit(job).save(made[-1])
    return made


def release_of(number: int) -> Release:
    name = f"r{number}"
    return Release(release_id=name, endpoint="talk", model="talk", number=number, family="lora", blob_id=name)


class World:
    """An endpoint over saved models; `live` is what its pointer names."""

    def __init__(self, folders, cache) -> None:
        self.live, self.cache, self.folders = 0, cache, folders
        events = MemoryEvents(lambda: time.time_ns() // 1_000_000)
        self.engine = Engine(
            "talk",
            load=self.load,
            routes=lambda: [release_of(self.live)],
            prepare=lambda table, steps, columns: table,
            events=events,
            clock=lambda: time.time_ns() // 1_000_000,
        )
        app = create_app(DataPlane.of(self.engine), lambda items: record(events, items), hosts=local_hosts("127.0.0.1"))
        self.server = Server(app)

    def load(self, release):
        return LoraFamily().load(self.folders[release.number], 1, self.cache)

    def ask(self) -> list[str]:
        said = []
        with openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="-", max_retries=0, timeout=30) as client:
            for question in QUESTIONS:
                turns = [{"role": "user", "content": question}]
                answer = client.chat.completions.create(model="talk", messages=turns, max_tokens=8)
                said.append(answer.choices[0].message.content.strip())
        return said


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_adapter_is_taken_up_and_given_back_without_a_restart(folders, tmp_path):
    world = World(folders, tmp_path)
    with world.server:
        assert world.ask() == ANSWERS
        world.live = 1
        until(lambda: world.engine.health().release_id == "r1")
        assert world.ask() == ANSWERS[::-1]
        world.live = 0
        until(lambda: world.engine.health().release_id == "r0")
        assert world.ask() == ANSWERS
    kept = sorted(file.name.startswith("lora-") for file in (tmp_path / "gguf").glob("*.gguf"))
    assert kept == [False, True, True]  # the base was converted once


def test_an_adapter_that_does_not_load_leaves_the_old_release_answering(folders, tmp_path, monkeypatch):
    world = World(folders, tmp_path)
    with world.server:
        assert world.ask() == ANSWERS

        def fails(*args):
            raise CandidateError("no such adapter")

        monkeypatch.setattr("bakeoff.engines.llamacpp.adapter_gguf_of", fails)
        world.live = 1
        until(lambda: world.engine.health().problem)
        assert "no such adapter" in world.engine.health().problem
        assert world.ask() == ANSWERS


def test_the_base_of_two_sessions_is_in_memory_once(folders, tmp_path):
    sessions = [LoraFamily().load(folder, 1, tmp_path) for folder in folders]
    for model in sessions:
        model.warm()
        model.predict(pl.DataFrame({"text": QUESTIONS}))
    (file,) = [file for file in (tmp_path / "gguf").glob("*.gguf") if not file.name.startswith("lora-")]
    found = mapped_kb(file)
    assert found["Anonymous"] == 0  # nothing was written to, so the pages are the file's own
    assert found["Rss"] >= 1.9 * found["Pss"]  # each page counts for both mappings


def mapped_kb(file: Path) -> dict[str, int]:
    """Sums over this process's mappings of a file."""
    totals: dict[str, int] = {"Anonymous": 0, "Rss": 0, "Pss": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if " " in name:
            inside = line.endswith(str(file))
        elif inside and name in totals:
            totals[name] += int(rest.split()[0])
    return totals
