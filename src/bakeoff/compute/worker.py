"""The process that runs one job: reads it from stdin, writes progress and its result to stdout as JSON lines."""

import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec

from bakeoff.compute.fork_server import shareable
from bakeoff.core.children import end_with_parent
from bakeoff.core.errors import BakeoffError, BudgetError
from bakeoff.core.explain import explained
from bakeoff.core.jobs import JobContext, call
from bakeoff.core.memory import peak_resident_bytes
from bakeoff.core.types import Json

__all__ = ["main", "result_of"]


def _run(request: dict[str, Any], out: TextIO) -> dict[str, Any]:
    def progress(line: str) -> None:
        print(json.dumps({"progress": line}), file=out, flush=True)

    def keep(path: Path) -> None:
        print(json.dumps({"keep": str(path)}), file=out, flush=True)

    context = JobContext(
        inputs={name: Path(path) for name, path in request["inputs"].items()},
        outputs={name: Path(path) for name, path in request["outputs"].items()},
        scratch=Path(request["scratch"]),
        cache=Path(request["cache"]),
        threads=request["threads"],
        progress=progress,
        keep=keep,
    )
    return result_of(request["function"], request["argument"], context)


def result_of(function: str, argument: Json, context: JobContext) -> dict[str, Any]:
    """The `value` of a job, or its `error` in one line, with the `traceback` where it is not one of ours.

    Where a budget of money ended it, `out_of_budget` has the figures.
    """
    try:
        return {"value": call(function, argument, context)}
    except BudgetError as error:
        return {"error": str(error), "out_of_budget": msgspec.to_builtins(error.why)}
    except BakeoffError as error:
        return {"error": str(error)}
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a candidate does becomes its error
        ours = explained(error)
        text = str(ours) if ours is not error else f"{type(error).__name__}: {str(error) or 'no message'}"
        return {"error": text.splitlines()[0], "traceback": traceback.format_exc()}


def _use_threads(environ: Mapping[str, str], threads: int) -> None:
    """Use so many: libraries that a fork server has loaded were begun with another number."""
    os.environ |= environ
    if "threadpoolctl" in sys.modules or "numpy" in sys.modules:
        from bakeoff.core.threads import limited

        limited(threads)


def main() -> None:
    """Run the job that stands on stdin's first line."""
    request = json.loads(sys.stdin.buffer.readline())
    end_with_parent(lambda: os._exit(3))
    sys.path[:] = request["path"]
    os.chdir(request["folder"])
    _use_threads(request["environ"], request["threads"])
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not break the protocol
    message = _run(request, out)
    peak_bytes = peak_resident_bytes()
    if request["modules"]:
        message["modules"] = shareable()
    print(json.dumps(message | {"peak_memory_bytes": peak_bytes}), file=out, flush=True)
    out.flush()
    os._exit(0)  # some libraries' threads hang at interpreter exit


if __name__ == "__main__":
    main()
