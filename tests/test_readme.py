"""The README's commands work, in the order in which it gives them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

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


class Runner:
    """What a CI server does with the README's workflow: its steps one after the other, on a fresh copy of the files.

    Actions of others are played: a checkout is a copy, a cache is a folder that is put back by the longest key that
    begins as asked and saved at the end. `pip install` is looked at, not done. `if` is read as far as the file uses it.
    """

    def __init__(self, folder, repository):
        self.folder, self.repository, self.caches = folder, repository, {}
        self.runs = 0
        workflow = yaml.safe_load(block("Your own data", "yaml"))
        assert set(workflow[True]) == {"pull_request", "push"}  # YAML reads the word "on" as true
        self.steps = workflow["jobs"]["bakeoff"]["steps"]

    def run(self, event):
        """Run the job for an event; the exit codes of its commands, its folder and what stands in its summary."""
        self.runs += 1
        work = self.folder / f"run {self.runs}"
        work.mkdir()
        programs, summary = self.folder / "bin", self.folder / f"summary {self.runs}.md"
        programs.mkdir(exist_ok=True)
        (programs / "bakeoff").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bakeoff "$@"\n')
        (programs / "pip").write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/pip.txt"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        environ = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
        codes, saved = [], []
        for step in self.steps:
            wanted = step.get("if", "")
            name = re.search(r"github.event_name == '(\w+)'", wanted)
            if (name and name[1] != event) or (any(codes) and "always()" not in wanted):
                continue
            action = step.get("uses", "").partition("@")[0]
            if action == "actions/checkout":
                shutil.copytree(self.repository, work, dirs_exist_ok=True)
            elif action == "actions/cache":
                saved.append(
                    (step["with"]["path"], step["with"]["key"].replace("${{ github.run_id }}", str(self.runs)))
                )
                found = [key for key in self.caches if key.startswith(step["with"]["restore-keys"])]
                if found:
                    shutil.copytree(self.caches[found[-1]], work / step["with"]["path"])
            elif "run" in step:
                done = subprocess.run(
                    ["bash", "-e", "-c", step["run"]], cwd=work, env=environ, capture_output=True, check=False
                )
                codes.append(done.returncode)
            else:
                assert action == "actions/setup-python", step
        for path, key in saved if not any(codes) else []:  # as the action does: after a job that went well
            self.caches[key] = shutil.copytree(work / path, self.folder / key)
        return codes, work, summary.read_text() if summary.exists() else ""


def test_the_workflow_of_the_readme_passes_fails_and_errs_as_it_should(films_project, tmp_path_factory):
    place, toml = tmp_path_factory.mktemp("server"), films_project / "bakeoff.toml"
    server, text = Runner(place, films_project), toml.read_text()

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
