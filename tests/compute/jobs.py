"""Jobs that the tests of compute run in worker processes."""

import importlib
import os
import signal
import sys
import time


def double(argument, progress):
    progress(f"doubling {argument['x']}")
    return {"y": argument["x"] * 2, "threads": os.environ["OMP_NUM_THREADS"]}


def chatter(argument, progress):
    print("a library prints")
    os.write(1, b"and writes\n")
    return {}


def fail(argument, progress):
    raise ValueError("no such luck\nsecond line")


def die(argument, progress):
    os.kill(os.getpid(), signal.SIGKILL)


def quit_(argument, progress):
    raise SystemExit(4)


def sleep(argument, progress):
    progress(str(os.getpid()))
    time.sleep(argument["s"])
    return {}


def fail_silently(argument, progress):
    raise MemoryError


def fill_the_disk(argument, progress):
    raise OSError(28, os.strerror(28), "/data/model")


def panic(argument, progress):
    import polars as pl

    raise pl.exceptions.PanicException("called unwrap() on None")


def imported(argument, progress):
    name = argument["name"]
    known = name in sys.modules
    module = importlib.import_module(name)
    return {"known": known, "value": getattr(module, "VALUE", None), "parent": os.getppid(), "home": os.environ["HOME"]}
