"""Manifests of Kubernetes and KServe, and the unit of systemd, as those who read them check them."""

import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from bakeoff import Project
from bakeoff.actions.packages import package as packaging
from bakeoff.actions.packages.manifests import LOG_NOTE, yaml_of
from bakeoff.core import libraries
from bakeoff.core.errors import UsageError

VERSIONS = ("1.29", "1.37")
IMAGE = "registry.test/films@sha256:" + "0" * 64


@pytest.fixture
def few_packages(monkeypatch):
    monkeypatch.setattr(packaging, "needed", lambda _: ("firstword",))


def _objects(ran, folder, form):
    with Project(ran) as project:
        made = project.package(folder, form=form, image=IMAGE)
    assert LOG_NOTE in made.notes  # what each pod logs goes with it
    return list(yaml.safe_load_all((folder / f"{form}.yaml").read_text()))


def test_kubernetes_takes_them(ran, tmp_path):
    objects = _objects(ran, tmp_path / "out", "k8s")
    kinds = [each["kind"] for each in objects]
    assert kinds == ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"]
    for each in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)
    pod = objects[0]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert container["image"] == IMAGE
    assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    for selected in (objects[0]["spec"]["selector"]["matchLabels"], objects[1]["spec"]["selector"]):
        assert selected.items() <= pod["metadata"]["labels"].items()


def test_kserve_gets_a_pod_that_kubernetes_takes(ran, tmp_path):
    (service,) = _objects(ran, tmp_path / "out", "kserve")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    own = {"minReplicas", "maxReplicas", "timeout"}  # of KServe; the rest of a predictor is a pod
    assert own <= predictor.keys()
    pod = {key: value for key, value in predictor.items() if key not in own}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": pod}
    kubernetes_validate.validate(body, VERSIONS[-1], strict=True)
    assert [each["name"] for each in pod["containers"]] == ["kserve-container"]


def test_yaml_says_what_was_meant():
    body = {"a": [], "b": {}, "c": [{"x": "yes", "y": [1, [2, "3"]]}, "no: #"], "d": {"e": None, "f": True, "g": "é\n"}}
    assert list(yaml.safe_load_all(yaml_of([body, {"h": "1.0"}]))) == [body, {"h": "1.0"}]


def test_an_image_must_be_named(ran, tmp_path):
    with Project(ran) as project, pytest.raises(UsageError, match="expected --image for k8s"):
        project.package(tmp_path / "out", form="k8s")
    with Project(ran) as project, pytest.raises(UsageError, match="expected --key with --as oci only"):
        project.package(tmp_path / "out", form="wheel", key=tmp_path / "key.pem")


def test_systemd_takes_the_unit(ran, tmp_path, few_packages):
    with Project(ran) as project:
        made = project.package(tmp_path / "out", form="systemd")
    assert made.files == ("app", "bakeoff-films.service", "lib", "sbom.cdx.json")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze on the PATH")
    unit = tmp_path / "out/bakeoff-films.service"
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "bakeoff-films.service" in line] == []


def test_the_context_of_docker_is_whole(ran, tmp_path, few_packages):
    with Project(ran) as project:
        made = project.package(tmp_path / "out", form="docker")
    assert made.files == (".dockerignore", "Dockerfile", "app", "lib", "sbom.cdx.json")
    lines = (tmp_path / "out/Dockerfile").read_text().splitlines()
    copied = {line.split()[1]: line.split()[2] for line in lines if line.startswith("COPY")}
    assert copied == {"lib": "/opt/bakeoff/lib", "app": "/opt/bakeoff/app"}
    assert (tmp_path / "out/lib/firstword.py").is_file()
    assert "USER 65532:65532" in lines
    assert not any("apt-get" in line for line in lines)  # nothing of the system is needed


def test_docker_installs_what_the_packages_need_of_the_system(ran, tmp_path, few_packages, monkeypatch):
    monkeypatch.setitem(libraries.NEEDED, "firstword", "libgomp.so.1")
    with Project(ran) as project:
        project.package(tmp_path / "out", form="docker")
    (line,) = (each for each in (tmp_path / "out/Dockerfile").read_text().splitlines() if "libgomp" in each)
    assert line.startswith("RUN python3")
    assert "apt-get install -y --no-install-recommends libgomp1" in line
