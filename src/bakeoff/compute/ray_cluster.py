"""Run jobs as tasks of a Ray cluster, on nodes that share no disk.

    backend = "ray"                   # a cluster of this machine alone, started and ended with the program
    backend = "ray:HOST:6379"         # this machine is a node of the cluster ("ray:auto" finds it)
    backend = "ray://HOST:10001"      # from outside, by Ray's client (pip install "ray[client]")

A task runs its job as the `local` backend does, in a process of its own on that node, with the blobs opened there. So a
job that dies is a result, as anywhere, and costs nobody else anything; a node that dies is what Ray retries, elsewhere.
Short jobs run in the task's process, which goes on to the next one: Ray retries one that dies, too.
What travels by Ray is a job as JSON, lines of progress and the result; data travel by the blob store.

A job for several processes holds no processor itself: it runs in the task, and has processes of Ray Train for its part.
What a job keeps (a checkpoint) is a blob that it has wherever it is begun again.
"""

import contextlib
import logging
import os
import platform
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from bakeoff.compute.job_files import JobFiles
from bakeoff.compute.local import THREAD_VARIABLES, LocalCompute
from bakeoff.compute.ray_desk import CheckpointFile, Checkpoints, Desk
from bakeoff.compute.ray_train import RayTraining, node_cache, require_train
from bakeoff.compute.worker import result_of
from bakeoff.core.errors import BakeoffError, CandidateError, MissingExtraError, OutOfBudget, StoreError, UsageError
from bakeoff.core.hashing import digest, digest_json
from bakeoff.core.jobs import Job, JobResult, Progress, Resources, key_fields
from bakeoff.core.machine import cores
from bakeoff.core.memory import peak_resident_bytes
from bakeoff.core.protocols import BlobStore
from bakeoff.core.refs import BlobRef

__all__ = ["RayCompute"]

RETRIES = 5
"""Of a task whose node was lost."""
WAIT_S = 0.2
"""At a time, so that Ctrl-C is seen."""
CHECK_S, REACH_S = 120, 5


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it travels; `argument` is its JSON, `versions` what it stands on where it comes from.

    `key` is that of its checkpoints, `gpus` whether the cluster has some.
    """

    name: str
    function: str
    argument: Any
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    resources: Resources
    requires: tuple[str, ...]
    versions: dict[str, str]
    cache: str
    key: str
    gpus: bool
    short: bool

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
    out_of_budget: OutOfBudget | None = None
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
        work, cache: folders of this machine; nodes have their own, one cache for each of those here.
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
        del work
        self._blobs, self._cache = blobs, digest(str(cache).encode())[:16]
        self._checkpoints = CheckpointFile(cache)
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
        """Nothing is made ready, as which node gets a job is not known before; what is missing for it is refused.

        Raises:
            MissingExtraError: it is for several processes, and Ray Train is not installed.
        """
        del function, requires, modules
        if resources.processes > 1:
            require_train()

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run the jobs, yielding each result as it comes (see `Compute.run`)."""
        import ray

        at_once = 1 if exclusive else self.workers
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        desk: Any = ray.remote(Desk).options(num_cpus=0, **_beside()).remote(self._checkpoints.read())
        try:
            while True:
                while len(running) < at_once and (job := next(waiting, None)) is not None:
                    lacking = self._lacking(job.resources)
                    if lacking is not None:
                        yield JobResult(name=job.name, error=lacking)
                    else:
                        running[self._start(job, desk)] = job
                if not running:
                    return
                ended, _ = ray.wait(list(running), timeout=WAIT_S)
                results = [(job := running.pop(task), _result(job.name, task)) for task in ended]
                for job, result in results:
                    if result.value is not None:
                        desk.drop.remote(_key(job))
                for line in self._taken(desk):
                    progress(*line)
                yield from (result for _, result in results)
        finally:
            _cancel(running)
            ray.kill(desk)

    def _taken(self, desk: Any) -> list[tuple[str, str]]:
        """What jobs have said since the last time, and note what they kept; nothing more where the desk is gone."""
        import ray

        try:
            lines, checkpoints = ray.get(desk.take.remote(), timeout=CHECK_S)
        except Exception:  # noqa: BLE001 - Ray's own, of many classes
            return []
        if checkpoints is not None:
            self._checkpoints.write(checkpoints)
        return lines

    def _lacking(self, wanted: Resources) -> str | None:
        """What no node will ever have for a job, in words."""
        if wanted.processes > 1:
            try:
                require_train()
            except MissingExtraError as error:
                return str(error)
        if any(node.has(wanted) for node in self._nodes):
            return None
        most_gpus, most_bytes = (max(getattr(each, key) for each in self._nodes) for key in ("gpus", "memory_bytes"))
        return (
            f"expected a node with {wanted.gpus} GPUs and {wanted.memory_bytes:,} bytes of memory, received nodes with "
            f"at most {most_gpus:g} GPUs, and {most_bytes:,.0f} bytes"
        )

    def _start(self, job: Job, desk: Any) -> Any:
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
            cache=self._cache,
            key=_key(job),
            gpus=any(node.gpus for node in self._nodes),
            short=job.short,
        )
        task = ray.remote(_on_node).options(
            name=f"bakeoff {job.name}",
            num_cpus=granted if job.resources.processes == 1 else 0,
            num_gpus=job.resources.gpus,
            memory=job.resources.memory_bytes or None,
            max_retries=RETRIES,
        )
        return task.remote(msgspec.json.encode(request), self._blobs, desk)


# --- on the node --------------------------------------------------------------------------------


def _on_node(request: bytes, blobs: BlobStore, desk: Any) -> bytes:
    """Run a job on this node: its result."""
    import ray

    wanted = msgspec.json.decode(request, type=_Request)
    if differing := _differences(wanted.versions, _versions(wanted.requires)):
        return msgspec.json.encode(_Answer(error=f"{platform.node()}: {differing}"))
    job, sent, cache = wanted.job(), list[Any](), node_cache(wanted.cache)
    checkpoints = Checkpoints(blobs, desk, wanted.key, cache)

    def progress(name: str, line: str) -> None:
        sent.append(desk.add.remote(name, line))

    try:
        checkpoints.fetch()
        with tempfile.TemporaryDirectory(prefix="bakeoff-job-") as folder:
            if wanted.short or job.resources.processes > 1:
                result = _in_task(wanted, blobs, desk, Path(folder), lambda line: progress(job.name, line))
            else:
                compute = LocalCompute(
                    blobs=blobs,
                    work=Path(folder),
                    cache=cache,
                    workers=1,
                    threads=job.resources.threads,
                    jobs=1,
                    keep=checkpoints.keep,
                )
                (result,) = compute.run([job], progress=progress)
    except BakeoffError as error:
        return msgspec.json.encode(_Answer(error=str(error)))
    with contextlib.suppress(Exception):  # lines come before their result, where they come at all
        ray.get(sent[-1:], timeout=CHECK_S)
    return msgspec.json.encode(result)


def _in_task(wanted: _Request, blobs: BlobStore, desk: Any, folder: Path, progress: Progress) -> JobResult:
    """Run a job in the task's own process, which Ray uses again: a short one, or one for several processes."""
    started, job, threads = time.monotonic(), wanted.job(), wanted.resources.threads
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    signal.signal(signal.SIGALRM, _end_of_time)
    files = JobFiles(blobs, folder)
    training = RayTraining(
        blobs=blobs,
        desk=desk,
        name=job.name,
        key=wanted.key,
        cache=wanted.cache,
        threads=threads,
        gpus=wanted.gpus,
        retries=RETRIES,
    )
    context = files.context(job, cache=node_cache(wanted.cache), threads=threads, progress=progress)
    if job.resources.processes > 1:
        context = replace(context, spread=training, keep=Checkpoints(blobs, desk, wanted.key, context.cache).keep)
    message = result_of(job.function, wanted.argument, context)
    return JobResult(
        name=job.name,
        value=message.get("value"),
        outputs=files.stored(job) if "value" in message else {},
        error=message.get("error"),
        traceback=message.get("traceback"),
        out_of_budget=msgspec.convert(message.get("out_of_budget"), OutOfBudget | None),
        seconds=time.monotonic() - started,
        peak_memory_bytes=peak_resident_bytes(),
    )


def _end_of_time(number: int, _: object) -> None:
    """What the alarm of a job does where ending the process would begin it again: what the end of one is called."""
    raise CandidateError(f"the worker was killed by signal {number} (it took too long)")


def _key(job: Job) -> str:
    """What a job's checkpoints are known by, also in another program."""
    inputs: dict[str, Any] = dict(job.inputs)
    return digest_json({"function": job.function, "argument": key_fields(job.argument), "inputs": inputs})


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
    _require_listening(address or "")
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


def _require_listening(address: str) -> None:
    """Ray tries for minutes."""
    host, _, port = address.removeprefix("ray:").removeprefix("//").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise StoreError(
            f"cannot reach the Ray cluster at {address}: {error}; start it ('ray start --head'), or name another in "
            "[compute] backend"
        ) from error


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


def _beside() -> dict[str, Any]:
    """Where an actor is as safe as this program: on its node, if it is on one.

    By a soft affinity Ray 2.60 puts an actor without resources on any node, also on one that is lost later.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = _own_node()
    return {} if node is None else {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _result(name: str, task: Any) -> JobResult:
    """What became of a task that has ended; of one that was lost for good, an error."""
    import ray

    try:
        answer = msgspec.json.decode(ray.get(task), type=_Answer)
    except Exception as error:  # noqa: BLE001 - whatever became of the task is its result
        line = " ".join(str(error).split())[:500]
        return JobResult(name=name, error=f"the task was lost: {type(error).__name__}: {line}")
    return JobResult(
        name=name,
        value=answer.value,
        outputs={key: BlobRef(blob) for key, blob in answer.outputs.items()},
        error=answer.error,
        traceback=answer.traceback,
        out_of_budget=answer.out_of_budget,
        seconds=answer.seconds,
        peak_memory_bytes=answer.peak_memory_bytes,
    )


def _cancel(tasks: Iterable[Any]) -> None:
    import ray

    for task in tasks:
        with contextlib.suppress(Exception):  # it may have ended
            ray.cancel(task, force=True)
