# pyright: basic
# Ray Train comes without complete types
"""A `SpreadCall` over the nodes of a cluster: processes of Ray Train, which begins them again when one is lost."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.compute.ray_desk import WAIT_S, Answer, Checkpoints
from bakeoff.core.errors import BakeoffError, CandidateError, MissingExtraError
from bakeoff.core.jobs import Peer, Progress
from bakeoff.core.protocols import BlobStore
from bakeoff.data.cache import place

__all__ = ["RayTraining", "node_cache", "require_train"]

PATIENCE_S = 1800
"""How long processes wait for each other: while one loads a model, or writes it."""
GROW_S = 600.0
"""How often it is looked whether there is room for more processes, which begin at the last checkpoint."""
OF_THE_GROUP = ("gloo", "nccl", "connection", "socket")
"""Words in errors of processes that have lost the others."""


def require_train() -> None:
    """Refuse to train over several nodes without what Ray Train needs.

    Raises:
        MissingExtraError: and the command that installs it.
    """
    try:
        import ray.train  # noqa: F401 - it says so itself
    except ImportError as error:
        raise MissingExtraError.of("training over several nodes (processes > 1)", "ray", "ray.train") from error


def node_cache(name: str) -> Path:
    """The cache of a project on the node where this is asked."""
    return Path.home() / ".cache" / "bakeoff" / "nodes" / name


@dataclass(frozen=True, slots=True, kw_only=True)
class RayTraining:
    """The `bakeoff.core.jobs.SpreadCall` of one job, in the process that runs it.

    `key` is that of the job's checkpoints, `cache` the name of the project's cache on each node. Each process gets
    `threads`, and a GPU where the cluster has some. It is begun again up to `retries` times.
    """

    blobs: BlobStore
    desk: Any
    name: str
    key: str
    cache: str
    threads: int
    gpus: bool
    retries: int
    calls: list[int] = field(default_factory=list)

    def __call__(
        self, function: Callable[[Any, Peer], tuple[Path, Any]], argument: Any, *, size: int, needs: Sequence[Path]
    ) -> tuple[Path, Any]:
        """See `SpreadCall`."""
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        cache = node_cache(self.cache)
        trees = {str(folder.relative_to(cache)): self.blobs.put_tree(folder) for folder in needs}
        self.calls.append(size)
        call = f"{ray.get_runtime_context().get_task_id()} {len(self.calls)}"  # the same where Ray runs it again
        with tempfile.TemporaryDirectory(prefix="bakeoff-train-") as folder:
            trainer = TorchTrainer(
                _work,
                train_loop_config={"training": self, "call": (function, argument), "trees": trees, "answer": call},
                scaling_config=ScalingConfig(
                    num_workers=(1, size),
                    use_gpu=self.gpus,
                    resources_per_worker={"CPU": self.threads, **({"GPU": 1} if self.gpus else {})},
                    elastic_resize_monitor_interval_s=GROW_S,
                ),
                torch_config=TorchConfig(backend="nccl" if self.gpus else "gloo", timeout_s=PATIENCE_S),
                run_config=RunConfig(
                    name=f"bakeoff-{self.key[:12]}",
                    storage_path=folder,
                    failure_config=FailureConfig(max_failures=self.retries),
                ),
            )
            lost: Exception | None = None
            try:
                trainer.fit()
            except Exception as error:  # noqa: BLE001 - whatever ended it, its processes may have said why
                lost = error
        answer: Answer | None = ray.get(self.desk.answered.remote(call), timeout=WAIT_S)
        if answer is None:
            line = " ".join(str(lost).split())[:500]
            raise CandidateError(f"the processes of the training were lost {self.retries + 1} times: {line}") from lost
        value, error = answer
        if error is not None:
            raise error
        path, tree, rest = value
        self.have(cache, path, tree)
        return cache / path, rest

    def have(self, cache: Path, path: str, tree: str) -> None:
        """Have a folder of the blobs below a cache, unless it is there."""

        def fetch(target: Path) -> None:
            self.blobs.fetch(tree, target)

        place(cache / path, fetch, cache=cache)

    def peer(self) -> Peer:
        """What the process of Ray Train that asks is."""
        from ray import train
        from ray.train.torch import get_device

        context = train.get_context()
        cache = node_cache(self.cache)
        return Peer(
            rank=context.get_world_rank(),
            size=context.get_world_size(),
            device=get_device().index or 0,
            cache=cache,
            progress=self._progress(),
            keep=Checkpoints(self.blobs, self.desk, self.key, cache).keep,
        )

    def _progress(self) -> Progress:
        def tell(line: str) -> None:
            self.desk.add.remote(self.name, line)

        return tell


def _work(config: dict[str, Any]) -> None:
    """What each process of Ray Train does."""
    import ray

    training: RayTraining = config["training"]
    if ray.get(training.desk.answered.remote(config["answer"]), timeout=WAIT_S) is not None:
        return  # one had an error that will come again
    peer = training.peer()
    function, argument = config["call"]
    try:
        for path, tree in config["trees"].items():
            training.have(peer.cache, path, tree)
        Checkpoints(training.blobs, training.desk, training.key, peer.cache).fetch()
        folder, value = function(argument, peer)
        if not peer.rank:
            made = (str(folder.relative_to(peer.cache)), training.blobs.put_tree(folder), value)
            ray.get(training.desk.answer.remote(config["answer"], (made, None)), timeout=WAIT_S)
    except Exception as error:
        if _is_own(error):
            ray.get(training.desk.answer.remote(config["answer"], (None, _plain(error))), timeout=WAIT_S)
        raise


def _is_own(error: Exception) -> bool:
    """Whether it is this process's, and would come again, and not that it has lost the others."""
    import torch.distributed

    if isinstance(error, BakeoffError):
        return True
    text = str(error).lower()
    return not isinstance(error, torch.distributed.DistError) and not any(word in text for word in OF_THE_GROUP)


def _plain(error: Exception) -> Exception:
    """The error as every process can read it."""
    return error if isinstance(error, BakeoffError) else CandidateError(f"{type(error).__name__}: {error}")
