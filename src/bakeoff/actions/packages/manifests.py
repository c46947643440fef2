"""Manifests for Kubernetes and KServe: what runs the image, how much of a machine it gets, and who may reach it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.core.types import Json

__all__ = ["LOG_NOTE", "PORT", "USER", "Deployed", "container_environment", "kserve", "kubernetes", "yaml_of"]

PORT, USER = 8080, 65532
STATE_FOLDER = "/var/lib/bakeoff"
LOG_NOTE = (
    "each pod keeps its own log in an emptyDir, which goes with the pod: feedback counts only where it reaches the pod "
    "that answered; to keep the log, run one replica with a volume in place of the emptyDir"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What is deployed: its name, the image, and the memory that it needs.

    `name` is one of DNS (small letters, digits, "-"); `remote`: whether the model asks services elsewhere.
    """

    name: str
    image: str
    model_version: str
    memory_mib: int
    remote: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """Of all objects."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/managed-by": "bakeoff"}


def container_environment() -> dict[str, str]:
    """Variables of a package's container: something else guards its address, and it writes in one place."""
    return {
        "BAKEOFF_STATE": STATE_FOLDER,
        "BAKEOFF_ENDPOINT__TRUSTED_NETWORK": "true",
        "HOME": STATE_FOLDER,
        "TMPDIR": STATE_FOLDER,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def arguments() -> list[str]:
    """What the module is called with in a container."""
    return ["serve", "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - the network policy says who reaches it


def kubernetes(deployed: Deployed) -> list[dict[str, Json]]:
    """A Deployment, its Service, and how it scales, is kept up and is reached."""
    selector: dict[str, Json] = {"matchLabels": {"app.kubernetes.io/name": deployed.name}}
    pod: dict[str, Json] = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "containers": [_container(deployed, "bakeoff")],
        "volumes": _volumes(),
    }
    deployment = {
        "replicas": 2,
        "selector": selector,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": dict(deployed.labels)}, "spec": pod},
    }
    service = {
        "selector": selector["matchLabels"],
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }
    scaling = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployed.name},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }
    # What comes in is from the same namespace. Nothing goes out, unless the model asks services elsewhere.
    network = {
        "podSelector": selector,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "http", "protocol": "TCP"}]}],
        "egress": [{}] if deployed.remote else [],
    }
    return [
        _object("apps/v1", "Deployment", deployed, deployment),
        _object("v1", "Service", deployed, service),
        _object("autoscaling/v2", "HorizontalPodAutoscaler", deployed, scaling),
        _object("policy/v1", "PodDisruptionBudget", deployed, {"minAvailable": 1, "selector": selector}),
        _object("networking.k8s.io/v1", "NetworkPolicy", deployed, network),
    ]


def kserve(deployed: Deployed) -> list[dict[str, Json]]:
    """An InferenceService whose predictor is the image; it answers the Open Inference Protocol v2."""
    predictor: dict[str, Json] = {
        "minReplicas": 1,
        "maxReplicas": 10,
        "timeout": 60,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER},
        "containers": [_container(deployed, "kserve-container")],
        "volumes": _volumes(),
    }
    return [_object("serving.kserve.io/v1beta1", "InferenceService", deployed, {"predictor": predictor})]


def _object(version: str, kind: str, deployed: Deployed, spec: Mapping[str, Any]) -> dict[str, Json]:
    metadata: dict[str, Json] = {
        "name": deployed.name,
        "labels": dict(deployed.labels),
        "annotations": {"bakeoff/model-version": deployed.model_version},
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _container(deployed: Deployed, name: str) -> dict[str, Json]:
    ready = {"httpGet": {"path": "/health/ready", "port": "http"}}
    live = {"httpGet": {"path": "/health/live", "port": "http"}}
    memory = f"{deployed.memory_mib}Mi"
    return {
        "name": name,
        "image": deployed.image,
        "args": list(arguments()),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "env": [{"name": key, "value": value} for key, value in container_environment().items()],
        "resources": {"requests": {"cpu": "500m", "memory": memory}, "limits": {"memory": memory}},
        "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "state", "mountPath": STATE_FOLDER}],
    }


def _volumes() -> list[Json]:
    return [{"name": "state", "emptyDir": {}}]


def yaml_of(documents: Sequence[Mapping[str, Any]]) -> str:
    """Documents as YAML, without a library for it: every string is quoted as in JSON, which YAML reads."""
    return "".join("---\n" + "".join(f"{line}\n" for line in _lines(document)) for document in documents)


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines: list[str] = []
        for key, each in value.items():
            inner = _lines(each)
            plain = not isinstance(each, Mapping | list) or not each
            lines += [f"{key}: {inner[0]}"] if plain else [f"{key}:", *(f"  {line}" for line in inner)]
        return lines
    if isinstance(value, list) and value:
        return [("- " if not i else "  ") + line for each in value for i, line in enumerate(_lines(each))]
    return [json.dumps(value, ensure_ascii=False)]
