"""Jobs that the tests of compute run in worker processes."""

import gc
import importlib
import os
import signal
import sys
import time

from bakeoff.core.jobs import Argument


class Number(Argument, frozen=True, kw_only=True):
    x: int = 0
    s: float = 0.0
    name: str = ""


def double(argument: Number, context):
    context.progress(f"doubling {argument.x}")
    return {"y": argument.x * 2, "threads": os.environ["OMP_NUM_THREADS"], "given": context.threads}


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
