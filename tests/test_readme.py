"""The README's commands work, in the order in which it gives them."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bakeoff.cli.main import main

README = Path(__file__).parents[1] / "README.md"
DATA = "\n".join(
    f"{word} {thing} number {i},{label}"
    for i in range(120)
    for word, label, thing in [("delight", "fresh", "film"), ("bore", "rotten", "play")]
)


@pytest.fixture
def bakeoff(tmp_path, monkeypatch, capsys):
    """Calls a command in the project's folder; what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bakeoff", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return out

    return call


def block(heading, kind):
    section = README.read_text(encoding="utf-8").split(f"## {heading}")[1]
    return re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL).group(1)


def test_your_own_data_in_ten_lines(tmp_path, bakeoff):
    (tmp_path / "reviews.csv").write_text("text,label\n" + DATA + "\n")
    lines = [shlex.split(line, comments=True)[1:] for line in block("Your own data", "sh").splitlines()]
    assert len(lines) == 10
    prediction = ""
    for line in lines:
        if line[0] == "serve":
            with subprocess.Popen(
                [sys.executable, "-m", "bakeoff", "serve", "--port", "0", "--json"],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                env=os.environ,
            ) as server:
                timer = threading.Timer(60, server.kill)
                timer.start()
                url = json.loads(server.stdout.readline())["url"]
                answers = bakeoff("predict", '{"text": "a delight"}', "--url", url, "--json")
                assert json.loads(answers)["predictions"][0]["label"] == "fresh"
                server.terminate()
                assert server.wait(timeout=30) == 0
                timer.cancel()
            continue
        out = bakeoff(*[prediction if word == "ID" else word for word in line])
        if line[0] == "init":
            toml = (tmp_path / "bakeoff.toml").read_text()
            (tmp_path / "bakeoff.toml").write_text(toml.replace("[candidates.embedding]\n", ""))
        if line[0] == "predict":
            prediction = out.split()[-1]
            assert re.fullmatch(r"[0-9a-f]{32}", prediction)


def test_the_project_file_is_valid(tmp_path):
    from bakeoff.config.file import loads

    loaded = loads(block("Your own data", "toml"), folder=tmp_path, environ={})
    known = {"linear", "boosting", "embedding", "prompted", "lora", "remote"}
    assert set(loaded.config.candidates) == known


def test_the_workflow_of_the_readme_passes_fails_and_errs_as_it_should(
    films_project, tmp_path_factory, workflow, few_fits
):
    place, toml = tmp_path_factory.mktemp("server"), films_project / "bakeoff.toml"
    server, text = workflow(place, films_project, block("Your own data", "yaml")), toml.read_text()

    def counts(work):
        attributes = ET.parse(work / "check.xml").getroot().attrib
        return [int(attributes[name]) for name in ("tests", "failures", "errors")]

    codes, work, summary = server.run("pull_request")  # a fresh store, no gate: there is nothing to hold on to
    assert (codes, counts(work)) == ([0, 3, 0], [1, 1, 0])
    assert "neither a gate nor a champion" in summary

    codes, _, _ = server.run("push")
    assert codes == [0, 0]
    codes, work, summary = server.run("pull_request")
    assert (codes, counts(work)) == ([0, 0, 0], [1, 0, 0])
    assert "films: check passed" in summary

    toml.write_text(text.replace("[decide]", "[decide]\ngates = { f1_macro = { min = 0.999 } }"))
    codes, work, summary = server.run("pull_request")
    assert (codes, counts(work)) == ([0, 3, 0], [2, 1, 0])
    assert "≥ 0.999" in summary

    toml.write_text(text.replace("films.csv", "flims.csv"))
    codes, work, summary = server.run("pull_request")
    assert (codes, counts(work)) == ([0, 1, 0], [1, 0, 1])
    error = ET.parse(work / "check.xml").getroot().find("testsuite/testcase/error").attrib
    assert error["type"] == "DataError"
    assert "Did you mean 'films.csv'?" in error["message"]
    assert "flims.csv" in summary
    assert (place / "pip.txt").read_text().splitlines()[0] == "install bakeoff"
