"""`bakeoff ci init`: each file is what its engine reads, and GitHub's runs step by step: pass, fail, fail."""

import re
import shlex
import shutil
import tomllib

import kubernetes_validate
import pytest
import yaml

from bakeoff.actions import extras
from bakeoff.actions.pipelines import KINDS
from bakeoff.config.sections import Config
from bakeoff.core.errors import UsageError
from bakeoff.project.project import Project


def written(folder, kind, **how):
    from bakeoff.actions.pipelines import write_pipeline

    with Project(folder) as project:
        return {file.path: file.text for file in write_pipeline(project, kind, **how)}


@pytest.fixture
def repository(films_project, tmp_path):
    return shutil.copytree(films_project, tmp_path / "repository")


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_written_once_and_are_what_they_say(repository, kind):
    files = written(repository, kind)
    for path, text in files.items():
        assert (repository / path).read_text() == text
        assert text.endswith("\n")
        if path.endswith((".yml", ".yaml")):
            assert all(yaml.safe_load_all(text))
    with pytest.raises(UsageError, match="--force writes over it"):
        written(repository, kind)
    assert written(repository, kind, force=True) == files


def test_a_project_below_the_top_of_a_repository_is_run_from_there(films_project, tmp_path):
    """GitHub, GitLab and pre-commit read their files at the top alone; below it, they were never looked at."""
    project = tmp_path / "it's one" / "films 2"
    (tmp_path / ".git").mkdir()
    project.mkdir(parents=True)
    for name in ("bakeoff.toml", "films.csv"):
        shutil.copy(films_project / name, project)
    for kind in ("github", "gitlab", "pre-commit"):
        written(project, kind)
    (workflow,) = (tmp_path / ".github" / "workflows").iterdir()
    job = yaml.safe_load(workflow.read_text())["jobs"]["bakeoff"]
    assert workflow.name == "bakeoff-films.yml"
    assert job["defaults"]["run"]["working-directory"] == "it's one/films 2/"
    cache = next(step["with"] for step in job["steps"] if step.get("uses") == "actions/cache@v4")
    assert cache["path"] == "it's one/films 2/.bakeoff"
    assert any("hashFiles('it''s one/films 2/check.md')" in step.get("if", "") for step in job["steps"])
    check = yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text())["bakeoff"]
    assert shlex.split(check["before_script"][-1]) == ["cd", "it's one/films 2/"]
    assert check["artifacts"]["reports"]["junit"] == "it's one/films 2/check.xml"
    hook = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"][0]
    assert shlex.split(hook["entry"])[-2:] == ["-C", "it's one/films 2/"]
    assert re.match(hook["files"], "it's one/films 2/bakeoff.toml")


def test_a_cluster_takes_the_manifests_of_a_project(repository):
    files = {path.rpartition("/")[2]: text for path, text in written(repository, "kubernetes").items()}
    kustomization = yaml.safe_load(files.pop("kustomization.yaml"))
    assert sorted(kustomization["resources"]) == sorted(files) == ["loop.yaml", "serve.yaml", "ui.yaml"]
    objects = [each for text in files.values() for each in yaml.safe_load_all(text)]
    kinds = sorted((each["kind"], each["metadata"]["name"]) for each in objects)
    assert kinds == [
        ("Deployment", "bakeoff-films-loop"),
        ("Deployment", "bakeoff-films-serve"),
        ("Deployment", "bakeoff-films-ui"),
        ("HorizontalPodAutoscaler", "bakeoff-films-serve"),
        ("PodDisruptionBudget", "bakeoff-films-serve"),
        ("Service", "bakeoff-films-serve"),
        ("Service", "bakeoff-films-ui"),
    ]
    for each in objects:
        for version in ("1.29", "1.37"):
            kubernetes_validate.validate(each, version, strict=True)
    pods = {each["metadata"]["name"]: each["spec"]["template"] for each in objects if each["kind"] == "Deployment"}
    for each in objects:
        if each["kind"] == "Service":
            labels = pods[each["metadata"]["name"]]["metadata"]["labels"]
            assert each["spec"]["selector"].items() <= labels.items()
    for pod in pods.values():
        (container,) = pod["spec"]["containers"]
        assert container["image"] == kustomization["images"][0]["name"] == "films"
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in pod["spec"]["volumes"]}
        assert container["envFrom"] == [{"secretRef": {"name": "bakeoff-store"}}]


def test_a_kind_that_there_is_not(repository):
    with pytest.raises(UsageError, match="Did you mean 'gitlab'"):
        written(repository, "gitlub")


def test_what_candidates_need_is_installed(repository):
    toml = repository / "bakeoff.toml"
    toml.write_text(toml.read_text() + "\n[candidates.embedding]\n")
    assert 'pip install "bakeoff[embedding]"' in written(repository, "gitlab")[".gitlab-ci.yml"]
    tomllib.loads(toml.read_text())


def test_what_settings_and_steps_need_is_installed(repository, monkeypatch):
    monkeypatch.setattr(extras, "missing_distributions", lambda names: [name for name in names if name == "icu4py"])
    toml = repository / "bakeoff.toml"
    text = toml.read_text().replace("[data]", '[data]\nholidays = "DE"\nquery = "SELECT * FROM source"')
    toml.write_text(text + '\n[prepare]\nsteps = ["drop_stop_words"]\n')
    assert 'pip install "bakeoff[holidays,sql,text]"' in written(repository, "gitlab")[".gitlab-ci.yml"]


def test_settings_say_what_they_need():
    def needs(**sections):
        return [(need.setting, need.extra) for need in extras.needs_of_settings(Config.model_validate(sections))]

    base = {"project": {"name": "p", "task": "classification"}, "data": {"source": "a.csv", "target": "label"}}
    assert needs(**base) == []
    writes = base | {"project": {"name": "p", "task": "generation"}, "decide": {"json_schema": "answer.json"}}
    assert needs(**writes) == [("[decide] json_schema", "chat")]
    on_server = {"source": ["a.csv", "postgresql://me@host/shop!public.orders"], "target": "label"}
    assert needs(**base | {"data": on_server}) == [("a source on PostgreSQL", "postgres")]
    records = {"records": "postgresql+psycopg://me@host/db", "blobs": "blobs"}
    assert needs(**base | {"store": records}) == [("records on PostgreSQL", "postgres")]


def test_a_pull_request_passes_fails_and_fails_with_its_comment(repository, tmp_path, workflow, few_fits):
    with Project(repository) as project:
        project.write_contract()
    toml = repository / "bakeoff.toml"
    toml.write_text(toml.read_text().replace("[data]", '[data]\ncontract = "contract.toml"'))
    text = next(iter(written(repository, "github").values()))
    server = workflow(tmp_path, repository, text)
    assert server.run("push")[0] == [0, 0]

    codes, work, summary = server.run("pull_request")  # as good as the champion: it is the same
    assert codes == [0] * 6
    assert "check passed" in summary
    assert (tmp_path / "gh.txt").read_text().split()[:4] == ["pr", "comment", "github.event.number", "--body-file"]

    whole = toml.read_text()
    toml.write_text(whole.replace("[decide]", "[decide]\ngates = { f1_macro = { min = 0.999 } }"))  # worse than wanted
    codes, work, summary = server.run("pull_request")
    assert codes == [0, 0, 0, 3, 0, 0]
    assert "≥ 0.999" in (work / "check.md").read_text()

    toml.write_text(whole)
    data = next(iter(repository.glob("*.csv")))
    head, *lines = data.read_text().splitlines()
    year = head.split(",").index("year")
    cells = [line.rsplit(",", len(head.split(",")) - 1) for line in lines]
    broken = [[*row[:year], "99999", *row[year + 1 :]] for row in cells]
    data.write_text("\n".join([head, *map(",".join, broken)]) + "\n")
    codes, _, _ = server.run("pull_request")  # the data break their contract: nothing after that is tried
    assert codes[:2] == [0, 0]
    assert codes[2] == 3
    assert len(codes) == 3
