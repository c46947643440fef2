"""Malformed requests to every route of the tracking server, and ways out of the artifacts' folder.

    python tests/web/tracking/fuzz.py 10000         # requests; --seed N for others

Requests are made by schemathesis from the document at `/openapi.json`, half of them against it; some carry ids of
things that are there. None may be answered with a 5xx. Paths that lead out of a folder of artifacts must
neither read, write nor delete a file outside.
"""

import argparse
import http.client
import itertools
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from bakeoff.config.sections import StoreConfig
from bakeoff.project import wiring
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking

API = "/api/2.0/mlflow"
SECRET, OUTSIDE = b"not for callers", "a-name-to-see-in-lists"
OUT = ["../secret.txt", "../../secret.txt", "a/../../secret.txt", "./../secret.txt", "..", "../", "a/..", "/etc/passwd"]
OUT += ["//etc/passwd", "~/secret.txt", "~root/.profile", "..\\secret.txt", "a\\..\\..\\secret.txt", "C:\\secret.txt"]
OUT += ["file:///etc/passwd", "secret.txt\0.png", "....//secret.txt", "..;/secret.txt", "link/secret.txt", "link"]
OUT += ["..%2fsecret.txt", "..%252fsecret.txt", "%2e%2e/secret.txt", "%252e%252e%252fsecret.txt", "..%c0%afsecret.txt"]
OUT += [
    "%2e%2e%5csecret.txt",
    "..%00/secret.txt",
    "\u2025/secret.txt",
    "\uff0e\uff0e/secret.txt",
    "",
    ".",
    "./.",
    "x" * 300,
]
OUT += ["x/" * 1500 + "x", f"../{OUTSIDE}", "%ed%a0%80"]


class World:
    """A server on a folder, in which there is one of each thing; beside it a file that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records, blobs = wiring.open_stores(
            folder, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), wiring.now_ms
        )
        scratch, self.root = folder / "scratch", folder / "outside" / "root"
        scratch.mkdir()
        self.root.mkdir(parents=True)
        (folder / "outside" / "secret.txt").write_bytes(SECRET)
        (folder / "outside" / OUTSIDE).write_bytes(SECRET)
        (self.root / "link").symlink_to(folder / "outside")
        self.tracking = Tracking(records=self.records, blobs=blobs, clock=wiring.now_ms, scratch=scratch)
        self.tracking.prepare()
        self.server = Server(create_tracking_app(self.tracking, hosts=local_hosts("127.0.0.1")))
        self.server.__enter__()
        self.ids = self._made()

    def close(self) -> None:
        self.server.stop()
        self.records.close()

    def send(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """One request, its path as it is given."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=30)
        try:
            connection._validate_path = lambda _path: None  # what a client would refuse to send is what is wanted
            connection.putrequest(
                method, path.encode("latin-1", "replace").decode("latin-1"), skip_accept_encoding=True
            )
            connection.putheader("content-type", kind)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, path: str, **body) -> dict:
        status, answer = self.send("POST", f"/api/{path}", json.dumps(body).encode())
        assert status == 200, answer
        return json.loads(answer)

    def _made(self) -> dict:
        run_id = self.call("2.0/mlflow/runs/create", experiment_id="0")["run"]["info"]["run_id"]
        local = self.call("2.0/mlflow/experiments/create", name="local", artifact_location=self.root.as_uri())
        here = self.call("2.0/mlflow/runs/create", **local)["run"]["info"]["run_id"]
        (self.root / here / "artifacts").mkdir(parents=True)
        (self.root / here / "artifacts" / "link").symlink_to(self.folder / "outside")
        self.call("2.0/mlflow/runs/log-metric", run_id=run_id, key="loss", value=0.5, timestamp=1)
        self.call("2.0/mlflow/registered-models/create", name="model")
        self.call("2.0/mlflow/model-versions/create", name="model", source=f"mlflow-artifacts:/0/{run_id}/artifacts/m")
        model = self.call("2.0/mlflow/logged-models", experiment_id="0")["model"]["info"]["model_id"]
        dataset = self.call("3.0/mlflow/datasets/create", name="data")["dataset"]["dataset_id"]
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
        info = {"trace_id": "tr-1", "trace_location": location, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
        self.call("3.0/mlflow/traces", trace={"trace_info": info})
        one = {
            "experiment_id": "0",
            "name": "model",
            "version": "1",
            "key": "loss",
            "metric_key": "loss",
            "request_id": "tr-1",
        }
        return {"run_id": run_id, "here": here, "model_id": model, "dataset_id": dataset, "trace_id": "tr-1", **one}

    def outside(self) -> dict[str, bytes | None]:
        """Every file outside of the artifacts' folder, and what is in it."""
        known = sorted((self.folder / "outside").rglob("*"))
        return {
            str(each): each.read_bytes() if each.is_file() else None for each in known if self.root not in each.parents
        }


def operations_of(document: dict, under: Any = "/") -> list:
    """The operations of a document, at paths that begin so."""
    schema = schemathesis.openapi.from_dict(document)
    return [each.ok() for each in schema.get_all_operations() if each.ok().path.startswith(under)]


IMPOSSIBLE: set[tuple[Any, GenerationMode]] = set()
"""Of which there are no requests: to find that out again takes a hundred times as long as to send one."""


@cache
def _cases(operation: Any, mode: GenerationMode) -> Any:
    """Requests to an operation; to work out how they are drawn takes longer than to send them."""
    return operation.as_strategy(generation_mode=mode)


def requests(operations: list, count: int, number: int, ids: Mapping[str, str], send: Callable) -> None:
    """So many requests to the operations, each given to `send`; half of them are against the document."""
    rnd = random.Random(number)
    operations = rnd.sample(operations, min(len(operations), -(-count // 2)))
    each = -(-count // len(operations) // 2)
    for operation, mode in itertools.product(operations, (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)):

        @seed(number)
        @settings(
            max_examples=each,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(case=_cases(operation, mode))
        def one(case) -> None:
            for values in (case.path_parameters, case.query, case.body):
                if isinstance(values, dict):
                    values |= {key: known for key, known in ids.items() if key in values and rnd.random() < 0.6}
            send(case)

        if (operation, mode) in IMPOSSIBLE:
            continue
        try:
            one()
        except Unsatisfiable:  # nothing can be wrong with what takes nothing
            IMPOSSIBLE.add((operation, mode))


def malformed(world: World, count: int, number: int) -> tuple[Counter[int], list[str]]:
    """So many requests from the document; their statuses, and what was answered with a 5xx."""
    _, document = world.send("GET", "/openapi.json")
    statuses, failed = Counter[int](), []

    def send(case) -> None:
        answer = case.call(base_url=world.server.url, timeout=30)
        statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            failed.append(f"{answer.status_code} {case.as_curl_command()[:600]} {answer.text[:200]}")

    operations = operations_of(json.loads(document), ("/api/", "/v1", "/get"))
    requests(operations, count, number, world.ids, send)
    return statuses, failed


def ways_out(world: World) -> Iterator[tuple[str, str, bytes]]:
    """Requests with paths that lead out."""
    for path in OUT:
        for text in (path, quote(path, safe=""), quote(quote(path, safe=""), safe="")):
            raw = text.replace(" ", "%20")
            for root in (f"0/{world.ids['run_id']}/artifacts", world.ids["here"], "", "models/model/1"):
                proxy = f"/api/2.0/mlflow-artifacts/artifacts/{root}/{raw}".replace("//", "/")
                yield from (("GET", proxy, b""), ("PUT", proxy, b"x"), ("DELETE", proxy, b""))
            for run_id in (world.ids["run_id"], world.ids["here"]):
                yield "GET", f"/get-artifact?run_id={run_id}&path={quote(text, safe='%')}", b""
                yield "GET", f"{API}/artifacts/list?run_id={run_id}&path={quote(text, safe='%')}", b""
                yield "POST", f"{API}/upload-artifact?run_uuid={run_id}&path={quote(text, safe='%')}", b"x"
            model = world.ids["model_id"]
            yield "GET", f"{API}/logged-models/{model}/artifacts/files?artifact_file_path={quote(text, safe='%')}", b""
            yield "GET", f"/model-versions/get-artifact?name=model&version=1&path={quote(text, safe='%')}", b""
            body = {"name": f"w{abs(hash(text))}", "artifact_location": f"mlflow-artifacts:/{path}"}
            yield "POST", f"{API}/experiments/create", json.dumps(body).encode()
            source = {"name": "model", "source": f"{world.root}/{path}", "run_id": world.ids["here"]}
            yield "POST", f"{API}/model-versions/create", json.dumps(source).encode()


def escaped(world: World) -> tuple[int, list[str]]:
    """Try all ways out; how many there are, and those that were no dead ends."""
    before, failed, count = world.outside(), [], 0
    for method, path, body in ways_out(world):
        count += 1
        status, answer = world.send(method, path.replace("\0", "%00"), body)
        if status >= 500 or SECRET in answer or b"root:x:" in answer or (status == 200 and OUTSIDE.encode() in answer):
            failed.append(f"{status} {method} {path} {answer[:200]!r}")
        elif world.outside() != before:
            failed.append(f"{status} {method} {path} changed what is outside")
            before = world.outside()
    return count, failed


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("requests", type=int)
    asked.add_argument("--seed", type=int, default=0)
    given_ = asked.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            statuses, failed = malformed(world, given_.requests, given_.seed)
            count, ways = escaped(world)
        finally:
            world.close()
    print("\n".join([*failed[:20], *ways[:20]]))
    print(f"{sum(statuses.values())} requests, by status {dict(sorted(statuses.items()))}: {len(failed)} with a 5xx")
    print(f"{count} ways out of the artifacts' folder: {len(ways)} that lead somewhere")
    sys.exit(bool(failed or ways))


if __name__ == "__main__":
    main()
