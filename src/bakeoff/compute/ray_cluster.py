"""Run jobs as tasks of a Ray cluster, on nodes that share no disk.

    backend = "ray"                   # a cluster of this machine alone, started and ended with the program
    backend = "ray:HOST:6379"         # this machine is a node of the cluster ("ray:auto" finds it)
    backend = "ray://HOST:10001"      # from outside, by Ray's client (pip install "ray[client]")

A task runs its job as the `local` backend does, in a process of its own on that node, with the blobs opened there. So a
job that dies is a result, as anywhere, and costs nobody else anything; a node that dies is what Ray retries, elsewhere.
What travels by Ray is a job as JSON, lines of progress and the result; data travel by the blob store.
"""

import contextlib
import logging
import platform
import queue
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from bakeoff.compute.budget import cores
from bakeoff.compute.local import LocalCompute
from bakeoff.core.errors import BakeoffError, MissingExtraError, StoreError, UsageError
from bakeoff.core.jobs import Job, JobResult, Resources
from bakeoff.core.protocols import BlobStore
from bakeoff.core.refs import BlobRef

__all__ = ["RayCompute"]

RETRIES = 5
"""Of a task whose node was lost."""
WAIT_S = 0.2
"""At a time, so that Ctrl-C is seen."""
CHECK_S = 120
_Messages = queue.SimpleQueue[tuple[str, bytes | None]]


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it travels; `argument` is its JSON, `versions` what it stands on where it comes from."""

    name: str
    function: str
    argument: Any
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    resources: Resources
    requires: tuple[str, ...]
    versions: dict[str, str]

    def job(self) -> Job:
        return Job(
            name=self.name,
            function=self.function,
            argument=self.argument,  # JSON again is what the backend makes of it
            inputs={name: BlobRef(blob) for name, blob in self.inputs.items()},
            outputs=self.outputs,
            resources=self.resources,
            requires=self.requires,
        )


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A result as it travels."""

    value: dict[str, Any] | None = None
    outputs: dict[str, str] = {}
    error: str | None = None
    traceback: str | None = None
    seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Node:
    """What a node of the cluster has in all."""

    node_id: str
    threads: int
    gpus: float
    memory_bytes: float

    def has(self, wanted: Resources) -> bool:
        return wanted.gpus <= self.gpus and wanted.memory_bytes <= self.memory_bytes


class RayCompute:
    """The `ray` backend of `bakeoff.core.jobs.Compute`.

    Args:
        blobs: where inputs come from and outputs go; it is pickled, and opened anew on each node.
        work, cache: not used: nodes have folders of their own.
        workers: how many jobs run at once; 0: one for each core of the cluster, but no more than `jobs`.
        threads: threads that a job may use; 0: its share.
        jobs: how many jobs are to be expected.
        address: of the cluster (see above); without one, it is started here.

    Raises:
        MissingExtraError: Ray is not installed. StoreError: the cluster cannot be reached.
        UsageError: its Python, Ray or bakeoff is another one, or its nodes cannot reach the blobs.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        work: Path,
        cache: Path,
        workers: int = 0,
        threads: int = 0,
        jobs: int = 2**16,
        address: str | None = None,
    ) -> None:
        del work, cache
        self._blobs = blobs
        _connect(address)
        self._nodes = _nodes()
        if len(self._nodes) > 1 and not getattr(blobs, "shared", False):
            raise UsageError(
                f"expected blobs that all {len(self._nodes)} nodes of the cluster reach, such as s3://…, received a "
                "folder of this machine: name others in [store] blobs"
            )
        _require_same_versions(self._nodes, _versions())
        self._most = max(node.threads for node in self._nodes)
        in_all = sum(node.threads for node in self._nodes)
        self.workers = workers or max(1, min(in_all, jobs))
        self._threads = min(threads or max(1, in_all // self.workers), self._most)

    @property
    def threads(self) -> int:
        """Threads that one job may use."""
        return self._threads

    @property
    def cores(self) -> int:
        """Threads of the largest node: what a job that runs alone may ask for."""
        return self._most

    def expect(self, function: str, requires: Sequence[str], resources: Resources, modules: Sequence[str] = ()) -> None:
        """Nothing is made ready: which node gets a job is not known before."""

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run the jobs, yielding each result as it comes (see `Compute.run`)."""
        at_once = 1 if exclusive else self.workers
        waiting, messages = iter(jobs), _Messages()
        running: dict[str, Any] = {}
        results: dict[str, bytes] = {}
        try:
            while True:
                while len(running) < at_once and (job := next(waiting, None)) is not None:
                    lacking = self._lacking(job.resources)
                    if lacking is not None:
                        yield JobResult(name=job.name, error=lacking)
                    else:
                        running[job.name] = self._start(job, messages)
                if not running:
                    return
                name, message = _next(messages)
                if message is None:
                    running.pop(name)
                    yield _result(name, results.pop(name))
                elif message.startswith(b"P"):
                    progress(name, message[1:].decode())
                else:
                    results[name] = message
        finally:
            _cancel(running.values())

    def _lacking(self, wanted: Resources) -> str | None:
        """What no node will ever have for a job, in words."""
        if any(node.has(wanted) for node in self._nodes):
            return None
        most_gpus, most_bytes = (max(getattr(each, key) for each in self._nodes) for key in ("gpus", "memory_bytes"))
        return (
            f"expected a node with {wanted.gpus} GPUs and {wanted.memory_bytes:,} bytes of memory, received nodes with "
            f"at most {most_gpus:g} GPUs, and {most_bytes:,.0f} bytes"
        )

    def _start(self, job: Job, messages: _Messages) -> Any:
        import ray

        granted = min(job.resources.threads, self._most) or self._threads
        request = _Request(
            name=job.name,
            function=job.function,
            argument=msgspec.to_builtins(job.argument),
            inputs=dict[str, str](job.inputs),
            outputs=job.outputs,
            resources=replace(job.resources, threads=granted),
            requires=job.requires,
            versions=_versions(job.requires),
        )
        task = ray.remote(_on_node).options(
            name=f"bakeoff {job.name}",
            num_cpus=granted,
            num_gpus=job.resources.gpus,
            memory=job.resources.memory_bytes or None,
            max_retries=RETRIES,
            num_returns="streaming",
        )
        lines = task.remote(msgspec.json.encode(request), self._blobs)
        threading.Thread(target=_forward, args=(job.name, lines, messages), daemon=True).start()
        return lines


# --- on the node --------------------------------------------------------------------------------


def _on_node(request: bytes, blobs: BlobStore) -> Iterator[bytes]:
    """Run a job on this node: lines of progress, and the result at last."""
    wanted = msgspec.json.decode(request, type=_Request)
    if differing := _differences(wanted.versions, _versions(wanted.requires)):
        yield _encoded(JobResult(name=wanted.name, error=f"{platform.node()}: {differing}"))
        return
    job = wanted.job()
    lines = queue.SimpleQueue[bytes | None]()

    def work() -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="bakeoff-job-") as folder:
                compute = LocalCompute(
                    blobs=blobs, work=Path(folder), cache=_cache(), workers=1, threads=job.resources.threads, jobs=1
                )
                (result,) = compute.run([job], progress=lambda _, line: lines.put(b"P" + line.encode()))
            lines.put(_encoded(result))  # when nothing of it is left here
        except BakeoffError as error:
            lines.put(_encoded(JobResult(name=job.name, error=str(error))))
        finally:
            lines.put(None)

    threading.Thread(target=work, daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


def _cache() -> Path:
    """What jobs of this user share on this node."""
    return Path.home() / ".cache" / "bakeoff" / "node"


def _encoded(result: JobResult) -> bytes:
    return b"R" + msgspec.json.encode(result)


def _versions(requires: Sequence[str] = ()) -> dict[str, str]:
    """Of all that must be the same on every machine: Python's minor version, Ray, bakeoff, what a job stands on."""
    known = {"Python": "{}.{}".format(*sys.version_info[:2])}
    for name in ("bakeoff", "ray", *requires):
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "none"
    return known


def _differences(here: dict[str, str], there: dict[str, str]) -> str:
    names = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    return "; ".join(f"expected {name} {here.get(name)}, as here, found {there.get(name)}" for name in names)


# --- the cluster --------------------------------------------------------------------------------


def _connect(address: str | None) -> None:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("the compute backend ray", "ray", "ray") from error
    if ray.is_initialized():
        return
    where: dict[str, Any] = {"address": "local", "num_cpus": cores(), "include_dashboard": False}
    if address is not None:
        where = {"address": address if address.startswith("ray://") else address.removeprefix("ray:")}
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, ImportError, TimeoutError) as error:
        line = " ".join(str(error).split())[:500]
        if "version" in line.lower():
            raise UsageError(
                f"expected a Ray cluster of the same Python and Ray as here ({_listed(_versions())}), received: {line}"
            ) from error
        raise StoreError(f"cannot reach the Ray cluster at {address or 'this machine'}: {line}") from error


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {each}" for name, each in versions.items())


def _nodes() -> list[_Node]:
    import ray

    alive = [
        _Node(
            node_id=each["NodeID"],
            threads=int(each["Resources"].get("CPU", 0)),
            gpus=each["Resources"].get("GPU", 0),
            memory_bytes=each["Resources"].get("memory", 0),
        )
        for each in ray.nodes()
        if each["Alive"]
    ]
    nodes = [node for node in alive if node.threads > 0]
    if not nodes:
        raise StoreError("expected a Ray cluster with at least one node that has processors, found none")
    return nodes


def _require_same_versions(nodes: Sequence[_Node], here: dict[str, str]) -> None:
    """Ask each node before anything starts."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if len(nodes) == 1 and nodes[0].node_id == _own_node():
        return
    answers = {
        node.node_id: ray.remote(_versions)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False))
        .remote()
        for node in nodes
    }
    try:
        there = dict(zip(answers, ray.get(list(answers.values()), timeout=CHECK_S), strict=True))
    except Exception as error:
        line = " ".join(str(error).split())[-300:]
        raise UsageError(
            f"expected bakeoff {version('bakeoff')} on each node of the cluster, received: {line}"
        ) from error
    wrong = {node: _differences(here, known) for node, known in there.items()}
    problems = [f"node {node[:8]}: {difference}" for node, difference in wrong.items() if difference]
    if problems:
        raise UsageError(f"{'; '.join(problems)}; install the same on all nodes")


def _own_node() -> str | None:
    import ray

    with contextlib.suppress(Exception):  # a client is on no node
        return ray.get_runtime_context().get_node_id()
    return None


def _forward(name: str, lines: Any, messages: _Messages) -> None:
    """Pass on what a task says; of one that was lost for good, an error."""
    import ray

    ended = False
    try:
        for each in lines:
            message: bytes = ray.get(each)
            ended = ended or message.startswith(b"R")
            messages.put((name, message))
    except Exception as error:  # noqa: BLE001 - whatever became of the task is its result
        if not ended:
            line = " ".join(str(error).split())[:500]
            lost = JobResult(name=name, error=f"the task was lost: {type(error).__name__}: {line}")
            messages.put((name, _encoded(lost)))
    messages.put((name, None))


def _next(messages: _Messages) -> tuple[str, bytes | None]:
    while True:
        with contextlib.suppress(queue.Empty):
            return messages.get(timeout=WAIT_S)


def _result(name: str, message: bytes) -> JobResult:
    answer = msgspec.json.decode(message[1:], type=_Answer)
    return JobResult(
        name=name,
        value=answer.value,
        outputs={key: BlobRef(blob) for key, blob in answer.outputs.items()},
        error=answer.error,
        traceback=answer.traceback,
        seconds=answer.seconds,
        peak_memory_bytes=answer.peak_memory_bytes,
    )


def _cancel(tasks: Iterable[Any]) -> None:
    import ray

    for task in tasks:
        with contextlib.suppress(Exception):  # it may have ended
            ray.cancel(task, force=True)
