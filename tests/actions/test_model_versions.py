"""Cards of models and data, two versions compared, prompts, what a branch changes, what a commit must not hold."""

import hashlib
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest
import yaml

from bakeoff import Project
from bakeoff.actions.git_changes import HOOK, install_hook, refused
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.hashing import digest_file
from bakeoff.core.lineage import PromptOrigin
from bakeoff.report import model_card as report
from bakeoff.report.html import html

pytestmark = pytest.mark.slow

CARD = '\n[card]\nintended_use = "Sorting <films>."\nlimits = ["Old films | new films."]\nlicence = "apache-2.0"\n'


@pytest.fixture
def project(ran):
    with (ran / "bakeoff.toml").open("a") as file:
        file.write(CARD)
    with Project(ran) as opened:
        yield opened


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_card_says_what_the_version_and_the_project_say(project):
    card = project.model_card()
    origin = project.lineage().model.model_origin
    scored = origin.scorecard["metrics"]["accuracy"]
    text = report.to_markdown(card)
    assert f"| accuracy | {scored['value']:.4f} | [{scored['low']:.4f}, {scored['high']:.4f}] |" in text
    assert "Sorting <films>." in text
    assert origin.dataset_version[:12] in text
    assert "films.csv" in text
    assert "apache-2.0" in text
    page = report.to_html(card)
    assert "Sorting &lt;films&gt;." in page
    assert "<script" not in page
    assert "test rows, answered by this model, which did not learn from them" in text
    with pytest.raises(NotFoundError):
        project.model_card("films/99")


def test_the_folder_for_hugging_face_has_results_and_checksums(project, tmp_path):
    folder = tmp_path / "hub"
    project.write_hugging_face("champion", folder)
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    value = project.model_card().card.metrics["accuracy"].value
    (result,) = front["model-index"][0]["results"]
    assert front["license"] == "apache-2.0"
    assert {each["type"]: each["value"] for each in result["metrics"]}["accuracy"] == value
    entries = yaml.safe_load((folder / ".eval_results" / "results.yaml").read_text())
    assert {each["dataset"]["task_id"]: each["value"] for each in entries}["accuracy"] == value
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["content"] == project.lineage().model.content
    assert {name: digest_file(folder / name) for name in manifest["files"]} == manifest["files"]
    assert {path.relative_to(folder).as_posix() for path in (folder / "model").rglob("*") if path.is_file()} == set(
        manifest["files"]
    )
    with pytest.raises(UsageError, match="new or empty"):
        project.write_hugging_face("champion", folder)


def test_a_dataset_as_croissant(project, tmp_path):
    project.write_croissant(tmp_path / "data")
    body = json.loads((tmp_path / "data" / "croissant.json").read_text())
    rows = tmp_path / "data" / "rows.parquet"
    (file,) = body["distribution"]
    assert file["sha256"] == hashlib.sha256(rows.read_bytes()).hexdigest()
    fields = {each["source"]["extract"]["column"]: each["dataType"] for each in body["recordSet"][0]["field"]}
    assert fields == {"review": "sc:Text", "year": "sc:Float", "liked": "sc:Text"}
    assert set(fields) == set(pl.read_parquet(rows).columns)
    assert body["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert body["license"] == "apache-2.0"
    with pytest.raises(NotFoundError):
        project.write_croissant(tmp_path / "other", version="99")


def test_two_versions_are_compared(project):
    differs = project.model_difference("films/1", "films/2")
    assert differs.facts["candidate"] == ("first", "second")
    assert differs.params["smooth"] == (1.0, 5.0)
    assert differs.same_rows
    assert not differs.environment
    values = [project.model_card(each).card.metrics["accuracy"].value for each in ("1", "2")]
    assert [each.value for each in differs.metrics["accuracy"]] == values


def test_prompts_are_versions(project):
    versions = project.records.versions
    for text in ("Say yes.\n", "Say yes or no.\n"):
        origin = PromptOrigin(file="prompts/ask.md", text=text)
        versions.register("prompt", "films/prompts/ask.md", text, lineage=origin.to_json())
    prompts = project.prompts
    assert prompts.text("prompts/ask.md") == "Say yes or no.\n"
    assert prompts.tag("prompts/ask.md/1", "short").aliases == ("short",)
    assert prompts.text("prompts/ask.md/short") == "Say yes.\n"
    assert "-Say yes.\n+Say yes or no.\n" in prompts.difference("prompts/ask.md/1", "prompts/ask.md/2")
    assert prompts.difference("prompts/ask.md/2", "prompts/ask.md") == ""
    assert project.lineage_of("prompt:prompts/ask.md").start == "prompt:films/prompts/ask.md/2"
    with pytest.raises(NotFoundError, match=r"prompts/ask\.md/2"):
        prompts.get("prompts/none.md")


def test_a_password_in_the_location_of_data_is_in_nothing_that_others_read(films_project, tmp_path):
    """Cards are published, and pages and records are read by people who may not read the data."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write((films_project / "films.csv").read_bytes())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        toml = (films_project / "bakeoff.toml").read_text()
        location = f"http://me:sesame@127.0.0.1:{server.server_port}/films.csv?sig=sesame"
        assert 'source = "films.csv"' in toml
        (films_project / "bakeoff.toml").write_text(toml.replace('"films.csv"', f'"{location}"'))
        lines = []
        with Project(films_project, progress=lines.append) as project:
            project.run()
            server.shutdown()
            version = project.datasets()[0]
            graph = project.lineage_of("champion")
            (source,) = graph.of_kind("source")
            assert source.facts["location"] == location.replace("sesame", "***")
            assert project.lineage_of(location).start == source.id
            project.write_croissant(tmp_path / "croissant")
            project.write_hugging_face("champion", tmp_path / "hf")
            written = [path.read_text() for path in (tmp_path / "hf").glob("*.md")]
            written += [(tmp_path / "croissant" / "croissant.json").read_text(), *lines]
            written += [json.dumps(dict(version.lineage)), json.dumps(graph.to_json(), default=str)]
            written += [json.dumps(project.lineage().to_json()), json.dumps(project.open_lineage(graph), default=str)]
            written += [project._repr_html_(), html(project.report())]
    assert any("***@127.0.0.1" in text for text in written)
    assert [text for text in written if "sesame" in text] == []


def test_what_a_branch_changes(films_project):
    git(films_project, "init", "-b", "main")
    git(films_project, "add", "bakeoff.toml", "films.csv")
    git(films_project, "commit", "-m", "first")
    with Project(films_project) as project:
        first = project.run()
    git(films_project, "checkout", "-b", "better")
    toml = (films_project / "bakeoff.toml").read_text()
    (films_project / "bakeoff.toml").write_text(toml.replace("smooth = 5.0", "smooth = 7.0"))
    git(films_project, "commit", "-am", "second")
    with Project(films_project) as project:
        before = project.branch_changes("main..better")
        assert before.runs == (first.run_id, None)
        second = project.run()
        changes = project.branch_changes("main..better")
        assert changes.settings == {"candidates.second.smooth": (5.0, 7.0)}
        assert changes.files == ("bakeoff.toml",)
        assert changes.runs == (first.run_id, second.run_id)
        assert changes.data == (first.dataset.version,) * 2
        metric = first.verdict.metric
        values = tuple(each.candidate("second").metrics[metric].value for each in (first, second))
        assert changes.metrics[f"second.{metric}"] == values
        with pytest.raises(UsageError, match=r"main\.\.branch"):
            project.branch_changes("main")
        with pytest.raises(NotFoundError, match="nowhere"):
            project.branch_changes("main..nowhere")


def test_files_of_a_branch_are_named_as_they_are_called_and_an_option_is_no_branch(tmp_path):
    toml = '[project]\nname = "p"\n[data]\nsource = "a.csv"\ntarget = "b"\n[candidates.linear]\n'
    (tmp_path / "bakeoff.toml").write_text(toml)
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", "bakeoff.toml")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "checkout", "-b", "better")
    (tmp_path / 'caf\u00e9 "a".txt').write_text("x")
    git(tmp_path, "add", "-A", ":!.bakeoff")
    git(tmp_path, "commit", "-m", "second")
    with Project(tmp_path) as project:
        assert project.branch_changes("main..better").files == ('caf\u00e9 "a".txt',)
        for refs in ("--output=x..better", "main..--output=x"):
            with pytest.raises(UsageError, match="an option"):
                project.branch_changes(refs)


def test_the_hook_refuses_data_state_and_secrets(tmp_path):
    git(tmp_path, "init")
    token = "ghp_" + "abcdefghijABCDEFGHIJ0123456789abcdef"
    files = {
        "notes.md": "fine\n",
        "small.csv": "a,b\n1,2\n",
        "model.safetensors": "x",
        "large.txt": "x" * (2 << 20),
        ".env": "A=1\n",
        ".bakeoff/x": "x",
        "code.py": f'one = 1\ntoken = "{token}"\n',
        "doc.md": f"{token}  bakeoff: allow\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "module").mkdir()
    git(tmp_path / "module", "init")
    git(tmp_path / "module", "commit", "--allow-empty", "-m", "another repository")
    git(tmp_path, "add", "-f", ".")
    found = {each.file: each.reason for each in refused(tmp_path / ".bakeoff")}
    assert set(found) == {"model.safetensors", "large.txt", ".env", ".bakeoff/x", "code.py"}
    assert found["code.py"] == "a secret in line 2"
    hook = install_hook(tmp_path)
    assert hook.read_text() == HOOK
    assert hook.stat().st_mode & 0o100
    assert install_hook(tmp_path) == hook
    hook.write_text("#!/bin/sh\nother\n")
    with pytest.raises(UsageError, match="bakeoff hook run"):
        install_hook(tmp_path)
    with pytest.raises(NotFoundError):
        install_hook(tmp_path.parent)
    with pytest.raises(NotFoundError, match="not a git repository"):
        refused(tmp_path.parent)
