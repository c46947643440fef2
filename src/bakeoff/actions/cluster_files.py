"""Manifests of a whole project on Kubernetes, as a base for kustomize: the endpoints, tracking, and the loop.

PostgreSQL and S3 are named by a secret, not brought along. Servers ask for tokens and speak TLS, with the certificate
of another secret. The loop is there once; that two of them cannot harm each other, the lease in the records sees to.
"""

from collections.abc import Mapping
from typing import Any

from bakeoff.actions.packages.manifests import yaml_of
from bakeoff.core.types import Json

__all__ = ["cluster_files"]

USER = 10001
SERVE_PORT, UI_PORT = 8080, 5000
STATE = "/project/.bakeoff"
CERTIFICATE = "/tls"
README = """\
# What bakeoff needs in a cluster. First, once:
#   kubectl create secret generic bakeoff-store \\
#     --from-literal=BAKEOFF_STORE__RECORDS=postgresql://USER:PASSWORD@HOST/DATABASE \\
#     --from-literal=BAKEOFF_STORE__EVENTS=postgresql://USER:PASSWORD@HOST/DATABASE \\
#     --from-literal=BAKEOFF_STORE__BLOBS=s3://BUCKET/PREFIX \\
#     --from-literal=AWS_ACCESS_KEY_ID=... --from-literal=AWS_SECRET_ACCESS_KEY=... --from-literal=AWS_REGION=...
#   kubectl create secret tls bakeoff-tls --cert=... --key=...
# The image: 'bakeoff ci init container', with bakeoff[postgres,s3]. Then: kubectl apply -k kubernetes
"""


def cluster_files(name: str, image: str) -> Mapping[str, str]:
    """Files by their path: a kustomization and what it names.

    Args:
        name: the project's, as DNS takes it.
        image: the image, without its tag.
    """
    parts: dict[str, list[dict[str, Json]]] = {
        "serve.yaml": [
            _deployment(name, "serve", image, ["serve", "--host", "0.0.0.0"], port=SERVE_PORT, ready="/health/ready"),  # noqa: S104
            _service(name, "serve"),
            _scaling(name),
            _disruptions(name),
        ],
        "ui.yaml": [
            _deployment(name, "ui", image, ["ui", "--host", "0.0.0.0"], port=UI_PORT, ready="/health/ready"),  # noqa: S104
            _service(name, "ui"),
        ],
        "loop.yaml": [_deployment(name, "loop", image, ["loop", "--every-s", "300", "--json"])],
    }
    kustomization: dict[str, Json] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list[Json](parts),
        "images": [{"name": image, "newTag": "latest"}],
    }
    files = {f"kubernetes/{path}": yaml_of(objects) for path, objects in parts.items()}
    return {"kubernetes/kustomization.yaml": README + yaml_of([kustomization]), **files}


def _named(name: str, part: str) -> dict[str, Json]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/component": part}


def _object(version: str, kind: str, name: str, part: str, spec: Mapping[str, Any]) -> dict[str, Json]:
    metadata: dict[str, Json] = {"name": f"{name}-{part}", "labels": _named(name, part)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _deployment(
    name: str, part: str, image: str, arguments: list[str], *, port: int | None = None, ready: str | None = None
) -> dict[str, Json]:
    """A part that serves over TLS at a port, or one that only works."""
    probe = {"httpGet": {"path": ready, "port": "https", "scheme": "HTTPS"}}
    serving: dict[str, Any] = {
        "ports": [{"name": "https", "containerPort": port, "protocol": "TCP"}],
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
    }
    container = {
        "name": part,
        "image": image,
        "args": list[Json](arguments),
        "envFrom": [{"secretRef": {"name": "bakeoff-store"}}],
        "env": _environment(serves=port is not None),
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "state", "mountPath": STATE},
            *([{"name": "tls", "mountPath": CERTIFICATE, "readOnly": True}] if port else []),
        ],
        **(serving if port else {}),
    }
    pod = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [
            {"name": "state", "emptyDir": {}},  # caches: what counts is in the stores
            *([{"name": "tls", "secret": {"secretName": "bakeoff-tls"}}] if port else []),
        ],
    }
    spec: dict[str, Any] = {
        "selector": {"matchLabels": _named(name, part)},
        "template": {"metadata": {"labels": _named(name, part)}, "spec": pod},
    }
    if part == "serve":
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    else:
        spec |= {"replicas": 1, "strategy": {"type": "Recreate"}}
    return _object("apps/v1", "Deployment", name, part, spec)


def _environment(*, serves: bool) -> list[Json]:
    variables = {"PYTHONUNBUFFERED": "1"}
    if serves:
        variables |= {
            "BAKEOFF_AUTH__REQUIRED": "true",
            "BAKEOFF_TLS__CERTIFICATE": f"{CERTIFICATE}/tls.crt",
            "BAKEOFF_TLS__KEY": f"{CERTIFICATE}/tls.key",
        }
    return [{"name": key, "value": value} for key, value in variables.items()]


def _service(name: str, part: str) -> dict[str, Json]:
    ports = [{"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}]
    return _object("v1", "Service", name, part, {"selector": _named(name, part), "ports": ports})


def _scaling(name: str) -> dict[str, Json]:
    """As `bakeoff plan` says, these numbers should be."""
    target = {"type": "Utilization", "averageUtilization": 70}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{name}-serve"},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", name, "serve", spec)


def _disruptions(name: str) -> dict[str, Json]:
    spec = {"minAvailable": 1, "selector": {"matchLabels": _named(name, "serve")}}
    return _object("policy/v1", "PodDisruptionBudget", name, "serve", spec)
