"""Jobs that the tests of compute run in worker processes."""

import gc
import importlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from bakeoff.core.errors import CandidateError
from bakeoff.core.jobs import Argument


class Number(Argument, frozen=True, kw_only=True):
    x: int = 0
    s: float = 0.0
    name: str = ""


def double(argument: Number, context):
    context.progress(f"doubling {argument.x}")
    return {"y": argument.x * 2, "threads": os.environ["OMP_NUM_THREADS"], "given": context.threads}


def blas_threads(argument: Number, context):
    """What OpenBLAS uses, and how many threads this process has."""
    import numpy as np
    import scipy.linalg  # noqa: F401 - it has an OpenBLAS of its own
    from threadpoolctl import threadpool_info

    np.ones((300, 300)) @ np.ones((300, 300))
    blas = {each["num_threads"] for each in threadpool_info() if each["internal_api"] == "openblas"}
    return {"blas": sorted(blas), "threads": len(list(Path("/proc/self/task").iterdir()))}


def chatter(argument: Number, context):
    print("a library prints")
    os.write(1, b"and writes\n")
    return {}


def fail(argument: Number, context):
    raise ValueError("no such luck\nsecond line")


def die(argument: Number, context):
    os.kill(os.getpid(), signal.SIGKILL)


def quit_(argument: Number, context):
    raise SystemExit(4)


def sleep(argument: Number, context):
    context.progress(str(os.getpid()))
    time.sleep(argument.s)
    return {"from": time.monotonic() - argument.s, "to": time.monotonic()}


def fail_silently(argument: Number, context):
    raise MemoryError


def fill_the_disk(argument: Number, context):
    raise OSError(28, os.strerror(28), "/data/model")


def panic(argument: Number, context):
    import polars as pl

    raise pl.exceptions.PanicException("called unwrap() on None")


def imported(argument: Number, context):
    known = argument.name in sys.modules
    module = importlib.import_module(argument.name)
    return {"known": known, "value": getattr(module, "VALUE", None), "parent": os.getppid(), "home": os.environ["HOME"]}


def collects(argument: Number, context):
    return {"collects": gc.isenabled(), "parent": os.getppid()}


def sorted_in_parallel(argument: Number, context):
    import polars as pl

    table = pl.DataFrame({"a": range(100_000)}).with_columns(b=pl.col("a") % 7, c=-pl.col("a"))
    found = table.lazy().group_by("b").agg(pl.col("c").sum()).join(table.lazy(), on="b").sort("c_right").collect()
    return {"first": found["a"].min(), "rows": found.filter(pl.col("a") < 50_000).height}


class Marker(Argument, frozen=True, kw_only=True):
    noted: str = ""


def survive(argument: Marker, context):
    """Keep a checkpoint, lose it and die with the machine; and the next time, go on from it."""
    file = context.cache / "training" / "state"
    if file.exists():
        return {"went on from": file.read_text()}
    file.parent.mkdir(parents=True)
    file.write_text("step 7")
    context.keep(file)
    while "training/state" not in (Path(argument.noted).read_text() if Path(argument.noted).exists() else ""):
        time.sleep(0.05)
    file.unlink()
    psutil.Process(os.getppid()).parent().kill()  # that of the fork server: the task of the cluster
    time.sleep(60)
    raise AssertionError("expected to end with it")


def train_together(argument: Marker, context):
    needed = context.cache / "base"
    needed.mkdir(parents=True, exist_ok=True)
    (needed / "weights").write_text("of the base")
    folder, value = context.spread(sum_of_ranks, {"plus": 5}, size=2, needs=(needed,))
    return {"made": (folder / "made").read_text(), "below": folder.is_relative_to(context.cache), "value": value}


def sum_of_ranks(argument, peer):
    import torch
    import torch.distributed

    total = torch.tensor([peer.rank + 1.0])
    torch.distributed.all_reduce(total)
    peer.progress(f"rank {peer.rank} of {peer.size}")
    made = peer.cache / f"made-by-{peer.rank}"
    made.mkdir(exist_ok=True)
    (made / "made").write_text((peer.cache / "base" / "weights").read_text())
    return made, total.item() + argument["plus"]


def fail_together(argument: Marker, context):
    (context.cache / "base").mkdir(parents=True, exist_ok=True)
    return {"value": context.spread(fail_in_one, None, size=2, needs=())[1]}


def fail_in_one(argument, peer):
    import torch
    import torch.distributed

    if peer.rank:
        raise CandidateError("no memory for batches of 6 rows")
    torch.distributed.all_reduce(torch.zeros(1))
    return peer.cache, None
