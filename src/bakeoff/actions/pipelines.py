"""`bakeoff ci init`: files that run a project elsewhere by themselves, each for one engine that exists already."""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.actions.cluster_files import cluster_files
from bakeoff.actions.extras import extras_of
from bakeoff.core.errors import UsageError
from bakeoff.core.libraries import DEBIAN
from bakeoff.core.plugins import suggestion

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["KINDS", "PipelineFile", "write_pipeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFile:
    """A file that was written, or would be: its path under the project's folder, and what stands in it."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What files say of a project.

    `below` is its folder in the git repository that it lies in, with a slash; empty at the top, or without one. Engines
    that read their file at the top of a repository alone get it there.
    """

    name: str
    install: str
    python: str
    has_contract: bool
    below: str = ""
    top: str = ""

    def own(self, name: str) -> str:
        """A name that several projects of one repository do not share."""
        return f"{name}-{self.name}" if self.below else name


def write_pipeline(project: "Project", kind: str, *, force: bool = False) -> list[PipelineFile]:
    """Write the files of a kind into the project's folder; none of them, where one is there and `force` is not given.

    What an engine reads at the top of the git repository alone goes there, with the project's folder in it.

    Raises:
        UsageError: there is no such kind, or a file that is there.
    """
    if kind not in KINDS:
        hint = suggestion(kind, KINDS)
        raise UsageError(f"expected one of {', '.join(KINDS)}; received {kind!r}" + (f". {hint}" if hint else ""))
    files = [PipelineFile(path=path, text=text) for path, text in KINDS[kind](_facts(project)).items()]
    there = [file.path for file in files if (project.folder / file.path).exists()]
    if there and not force:
        raise UsageError(f"expected no {' or '.join(there)}, found one; --force writes over it")
    for file in files:
        target = project.folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text, encoding="utf-8")
    return files


def _facts(project: "Project") -> _Facts:
    folder = project.folder.resolve()
    top = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    below = folder.relative_to(top).as_posix()
    extras = extras_of(project.config)
    named = f"[{','.join(sorted(extras))}]" if extras else ""
    return _Facts(
        name=project.config.project.name,
        install=f'pip install "bakeoff{named}"',
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        has_contract=project.config.data.contract is not None,
        below="" if below == "." else f"{below}/",
        top="" if below == "." else f"{Path(os.path.relpath(top, folder)).as_posix()}/",
    )


def _checks(facts: _Facts) -> list[str]:
    """The commands of a merge request, in order."""
    contract = ["bakeoff data contract --check"] if facts.has_contract else []
    return ["bakeoff config", *contract, "bakeoff check --junit check.xml --markdown check.md"]


def _github(facts: _Facts) -> Mapping[str, str]:
    condition = "        if: github.event_name == 'pull_request'\n"
    checks = "".join(f"      - run: {command}\n{condition}" for command in _checks(facts))
    where = f"    defaults: {{run: {{working-directory: {json.dumps(facts.below)}}}}}\n" if facts.below else ""
    below, key = facts.below.replace("'", "''"), facts.own("bakeoff")
    state = json.dumps(f"{facts.below}.bakeoff") if facts.below else ".bakeoff"
    text = f"""\
# A pull request is held to the data contract and to the champion, and gets the report as a comment; a
# merge trains, decides and releases as [endpoint] rollout says. The champion stands in the store: here a cache of this
# repository, or a shared one, by secrets BAKEOFF_STORE__RECORDS and BAKEOFF_STORE__BLOBS.
name: {key}
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
  pull-requests: write
concurrency:
  group: {key}-${{{{ github.ref }}}}
jobs:
  bakeoff:
    runs-on: ubuntu-latest
{where}    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "{facts.python}"}}
      - run: {facts.install}
      - uses: actions/cache@v4
        with: {{path: {state}, key: "{key}-${{{{ github.run_id }}}}", restore-keys: {key}-}}
{checks}      - run: cat check.md >> "$GITHUB_STEP_SUMMARY"
        if: always() && github.event_name == 'pull_request' && hashFiles('{below}check.md') != ''
      - run: gh pr comment "${{{{ github.event.number }}}}" --body-file check.md --edit-last --create-if-none
        if: always() && github.event_name == 'pull_request' && hashFiles('{below}check.md') != ''
        env: {{GH_TOKEN: "${{{{ github.token }}}}"}}
      - run: bakeoff run
        if: github.event_name == 'push'
"""
    return {f"{facts.top}.github/workflows/{key}.yml": text}


def _gitlab(facts: _Facts) -> Mapping[str, str]:
    checks = "".join(f"    - {command}\n" for command in _checks(facts))
    enter = f"    - {json.dumps('cd ' + shlex.quote(facts.below))}\n" if facts.below else ""
    state, comment, results = (json.dumps(facts.below + name) for name in (".bakeoff", "check.md", "check.xml"))
    text = f"""\
# A merge request is held to the data contract and to the champion; the default branch trains, decides, releases.
# The champion stands in the store: here a cache, or a shared one, by variables BAKEOFF_STORE__RECORDS and _BLOBS.
bakeoff:
  image: python:{facts.python}-slim
  cache:
    key: bakeoff
    paths: [{state}]
  before_script:
    - {facts.install}
{enter}  script:
{checks}  artifacts:
    when: always
    paths: [{comment}]
    reports:
      junit: {results}
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"

bakeoff-release:
  extends: bakeoff
  script:
    - bakeoff run
  artifacts:
    paths: []
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
"""
    return {f"{facts.top}.gitlab-ci.yml": text}


def _jenkins(facts: _Facts) -> Mapping[str, str]:
    checks = "".join(f"                sh '. .venv/bin/activate && {command}'\n" for command in _checks(facts))
    text = f"""\
// A change request is held to the data contract and to the champion; the main branch trains, decides, releases.
pipeline {{
    agent any
    environment {{ BAKEOFF_STORE__RECORDS = credentials('bakeoff-records') }}
    stages {{
        stage('install') {{
            steps {{ sh 'python3 -m venv .venv && . .venv/bin/activate && {facts.install}' }}
        }}
        stage('check') {{
            when {{ changeRequest() }}
            steps {{
{checks}            }}
            post {{
                always {{
                    junit allowEmptyResults: true, testResults: 'check.xml'
                    archiveArtifacts allowEmptyArchive: true, artifacts: 'check.md'
                }}
            }}
        }}
        stage('run') {{
            when {{ branch 'main' }}
            steps {{ sh '. .venv/bin/activate && bakeoff run' }}
        }}
    }}
}}
"""
    return {"Jenkinsfile": text}


def _pre_commit(facts: _Facts) -> Mapping[str, str]:
    where = f" -C {shlex.quote(facts.below)}" if facts.below else ""
    project_file = f"^{re.escape(facts.below)}bakeoff\\.toml$"
    text = f"""# Before each commit: the project file is right, and nothing that belongs into the store goes into git.
repos:
  - repo: local
    hooks:
      - id: bakeoff-config
        name: the project file
        entry: {json.dumps(f"bakeoff config --json{where}")}
        language: system
        files: {json.dumps(project_file)}
        pass_filenames: false
      - id: bakeoff-state
        name: nothing of the store, no data, no model
        entry: a file that belongs into the store, not into git
        language: fail
        files: (^|/)\\.bakeoff/|\\.(parquet|safetensors|gguf|onnx|pem|key)$
"""
    return {f"{facts.top}.pre-commit-config.yaml": text}


def _cron(facts: _Facts) -> Mapping[str, str]:
    text = f"""\
# The loop, once an hour: retrain {facts.name} if there is reason to. Install it: crontab bakeoff.cron
# (crontab replaces what is there: 'crontab -l' first). Two at once do not harm: the second one ends.
0 * * * * cd "$HOME/{facts.name}" && bakeoff loop --once --json >> .bakeoff/loop.log 2>&1
"""
    return {"bakeoff.cron": text}


def _systemd(facts: _Facts) -> Mapping[str, str]:
    service = f"""[Unit]
Description=bakeoff: retrain {facts.name} if there is reason to
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory=%h/{facts.name}
ExecStart=/usr/bin/env bakeoff loop --once
Nice=10
PrivateTmp=yes
NoNewPrivileges=yes
"""
    timer = f"""[Unit]
Description=bakeoff: look after {facts.name} once an hour

[Timer]
OnCalendar=hourly
RandomizedDelaySec=5m
Persistent=yes

[Install]
WantedBy=timers.target
"""
    return {f"systemd/bakeoff-{facts.name}.service": service, f"systemd/bakeoff-{facts.name}.timer": timer}


def _cronjob(facts: _Facts) -> Mapping[str, str]:
    name = f"bakeoff-{facts.name}".replace("_", "-").replace(".", "-")[:52]
    text = f"""\
# The loop, once an hour. The store must be shared: the secret bakeoff-store has BAKEOFF_STORE__RECORDS,
# BAKEOFF_STORE__BLOBS and BAKEOFF_STORE__EVENTS. The image is made by the Containerfile ('bakeoff ci init container').
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: "0 * * * *"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 1
      template:
        spec:
          restartPolicy: Never
          securityContext:
            runAsNonRoot: true
            runAsUser: 10001
            fsGroup: 10001
            seccompProfile:
              type: RuntimeDefault
          containers:
            - name: loop
              image: {facts.name}:latest
              args: [loop, --once, --json]
              envFrom:
                - secretRef:
                    name: bakeoff-store
              resources:
                requests:
                  cpu: "1"
                  memory: 2Gi
                limits:
                  memory: 8Gi
              securityContext:
                allowPrivilegeEscalation: false
                capabilities:
                  drop: [ALL]
"""
    return {"kubernetes/bakeoff-loop.yaml": text}


def _container(facts: _Facts) -> Mapping[str, str]:
    system = " ".join(DEBIAN.values())
    text = f"""\
# The project and what it needs; what it learns stands in the store (BAKEOFF_STORE__RECORDS, …BLOBS, …EVENTS).
# Build and run: podman build -t {facts.name} . && podman run --rm {facts.name} status
FROM python:{facts.python}-slim
RUN apt-get update && apt-get install -y --no-install-recommends {system} && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home bakeoff && {facts.install.replace("pip install", "pip install --no-cache-dir")}
COPY --chown=10001 . /project
USER 10001
WORKDIR /project
ENTRYPOINT ["bakeoff"]
CMD ["status"]
"""
    ignore = ".bakeoff\n.git\n.venv\n"
    return {"Containerfile": text, ".containerignore": ignore}


def _kubernetes(facts: _Facts) -> Mapping[str, str]:
    return cluster_files(f"bakeoff-{facts.name}".replace("_", "-").replace(".", "-").lower()[:50], facts.name)


KINDS: Mapping[str, Callable[[_Facts], Mapping[str, str]]] = {
    "github": _github,
    "gitlab": _gitlab,
    "jenkins": _jenkins,
    "pre-commit": _pre_commit,
    "container": _container,
    "cron": _cron,
    "systemd": _systemd,
    "cronjob": _cronjob,
    "kubernetes": _kubernetes,
}
