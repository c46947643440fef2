"""A CI server in miniature: what a GitHub workflow does, without GitHub."""

import os
import re
import shutil
import subprocess
import sys

import yaml


class Workflow:
    """What a CI server does with a GitHub workflow: its steps one after the other, on a fresh copy of the files.

    Actions of others are played: a checkout is a copy, a cache is a folder that is put back by the longest key that
    begins as asked and saved at the end. `pip install` is looked at, not done. `if` is read as far as the file uses it.
    """

    def __init__(self, folder, repository, text):
        self.folder, self.repository, self.caches = folder, repository, {}
        self.runs = 0
        workflow = yaml.safe_load(text)
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
        (programs / "gh").write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/gh.txt"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        environ = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
        codes, saved = [], []
        for step in self.steps:
            wanted = step.get("if", "")
            name = re.search(r"github.event_name == '(\w+)'", wanted)
            file = re.search(r"hashFiles\('([^']+)'\)", wanted)
            if (name and name[1] != event) or (any(codes) and "always()" not in wanted):
                continue
            if file and not (work / file[1]).exists():
                continue
            action = step.get("uses", "").partition("@")[0]
            if action == "actions/checkout":
                shutil.copytree(self.repository, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".bakeoff"))
            elif action == "actions/cache":
                saved.append(
                    (step["with"]["path"], step["with"]["key"].replace("${{ github.run_id }}", str(self.runs)))
                )
                found = [key for key in self.caches if key.startswith(step["with"]["restore-keys"])]
                if found:
                    shutil.copytree(self.caches[found[-1]], work / step["with"]["path"])
            elif "run" in step:
                command = re.sub(r"\${{ ([a-z.]+) }}", r"\1", step["run"])
                done = subprocess.run(
                    ["bash", "-e", "-c", command],
                    cwd=work,
                    env=environ,
                    capture_output=True,
                    check=False,
                )
                codes.append(done.returncode)
            else:
                assert action == "actions/setup-python", step
        for path, key in saved if not any(codes) else []:  # as the action does: after a job that went well
            self.caches[key] = shutil.copytree(work / path, self.folder / key)
        return codes, work, summary.read_text() if summary.exists() else ""
