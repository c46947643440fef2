"""Start a package and hold its predictions against those of the release that it was made of."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.actions.packages import manifests
from bakeoff.actions.packages.module import module_of, write_module
from bakeoff.actions.packages.package import APP, LIBRARIES, Package
from bakeoff.core.errors import CandidateError, NotFoundError, UsageError
from bakeoff.core.types import Predictions

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.project.estimator import Estimator
    from bakeoff.project.project import Project

__all__ = ["PackageCheck", "check", "example_rows", "module_command", "started"]

ROWS = 100
START_S = 120
SAME = 1e-9
EXAMPLES = {"text": "some text", "categorical": "a", "numeric": 1.5, "datetime": "2026-01-31T12:00:00", "boolean": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageCheck:
    """What the packaged thing answered: rows, how it was run, how long it took to answer, the greatest difference."""

    rows: int
    ran: str
    ready_s: float
    greatest_difference: float


def check(project: "Project", made: Package, endpoint: str) -> PackageCheck:
    """Start what was packaged, ask it, and compare.

    Raises:
        CandidateError: it does not start, or answers otherwise. UsageError: it cannot be run on this machine.
    """
    release = module_of(project, endpoint, made.module).release
    model = project.model(release.model_version)
    table = example_rows(project, model, min(ROWS, project.served(endpoint).max_rows))
    expected = model.predictions(table)
    started = time.monotonic()
    with _running(project, made, endpoint) as (url, ran):
        ready_s = time.monotonic() - started
        answers = _asked(url, table)
    difference = _difference(expected, answers)
    if difference > SAME:
        raise CandidateError(
            f"expected the package to answer as {release.model_version} does, found differences up to {difference:.3g} "
            f"on {table.height} rows; the package's libraries or machine differ from those here"
        )
    return PackageCheck(rows=table.height, ran=ran, ready_s=round(ready_s, 2), greatest_difference=difference)


def example_rows(project: "Project", model: "Estimator", most: int) -> "pl.DataFrame":
    """The first test rows of a model's run; one that is made up, where none are left."""
    inputs = model.model.signature.inputs
    table = _rows(project, model.version, [column.name for column in inputs])
    if table is None:
        import polars as pl

        table = pl.DataFrame([{column.name: EXAMPLES[column.kind] for column in inputs}])
    return table.head(most)


def _rows(project: "Project", version: str, inputs: Sequence[str]) -> "pl.DataFrame | None":
    """Test rows of the model's run, if there are any left."""
    from bakeoff.loop.stored_outcome import rows_of
    from bakeoff.registry.lineage import find_version

    try:
        model = find_version(project.records.versions, project.config.project.name, version)
        if model.run_id is None:
            return None
        rows = rows_of(project.records, project.blobs, model.run_id, "test")
    except NotFoundError:
        return None
    return rows.select([name for name in inputs if name in rows.columns])


def _asked(url: str, table: "pl.DataFrame") -> list[Mapping[str, Any]]:
    body = msgspec.json.encode({"rows": table.to_dicts()})
    request = urllib.request.Request(f"{url}/predict", body, {"content-type": "application/json"})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=START_S) as answer:  # noqa: S310
            return json.load(answer)["predictions"]
    except OSError as error:
        detail = getattr(error, "read", bytes)()[:500].decode("utf-8", "replace")
        raise CandidateError(f"expected the package to answer rows, received {error} {detail}") from error


def _difference(expected: Predictions, answers: Sequence[Mapping[str, Any]]) -> float:
    """The greatest difference of a number; infinite where a label or a text is another one."""
    if len(answers) != len(expected):
        return float("inf")
    greatest, shares = 0.0, expected.probabilities_nk
    for i, answer in enumerate(answers):
        value = expected.values_n[i].item() if hasattr(expected.values_n[i], "item") else expected.values_n[i]
        if shares is not None:
            given = answer["probabilities"]
            greatest = max(
                greatest,
                *(abs(given[name] - float(share)) for name, share in zip(expected.classes, shares[i], strict=True)),
            )
        if isinstance(value, float) and answer.get("label") is None:
            greatest = max(greatest, abs(value - answer["value"]) / max(abs(value), 1.0))
        elif str(value) != str(answer.get("label") if answer.get("label") is not None else answer.get("value")):
            return float("inf")
    return greatest


# --- starting -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _running(project: "Project", made: Package, endpoint: str) -> Generator[tuple[str, str]]:
    """The package, serving; its URL, and in words how it is run."""
    with tempfile.TemporaryDirectory(prefix="bakeoff-check-", ignore_cleanup_errors=True) as scratch:
        place = Path(scratch)
        place.chmod(0o755)  # an image does not run as who unpacks it
        command, environment, ran = _command(project, made, endpoint, place)
        environment.setdefault("BAKEOFF_STATE", str(place / "state"))
        with started(command, environment, place) as (url, _):
            yield url, ran


@contextlib.contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], place: Path) -> Generator[tuple[str, int]]:
    """A package's command, serving in a folder to whoever calls: its URL and process id.

    Raises:
        CandidateError: it does not serve.
    """
    # What is looked at are answers: callers need no token for it, and made-up rows may violate the contract.
    environment = {**environment, "BAKEOFF_AUTH__REQUIRED": "false", "BAKEOFF_ENDPOINT__CONTRACT": "log"}
    log = place / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=place
        ) as process,
    ):
        try:
            yield _url(process, log), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Where it serves, as it says when it does.

    Raises:
        CandidateError: it ends, or says nothing in time.
    """
    import select

    assert process.stdout is not None, "it was piped"
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else b""
    try:
        return json.loads(line)["url"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the one is reached by the other
    except (ValueError, KeyError):
        output = " ".join(log.read_text("utf-8", "replace").split())[-1500:]
        raise CandidateError(
            f"expected the package to serve within {START_S} s, it printed: {output or line!r}"
        ) from None


def _command(project: "Project", made: Package, endpoint: str, place: Path) -> tuple[list[str], dict[str, str], str]:
    """How the package is started here: a command, its variables, and in words."""
    folder, serve = Path(made.folder), ["-m", made.module, "serve"]
    if made.form == "oci":
        return _of_image(folder, place / "root")
    if made.form == "wheel":
        wheel, target = next(folder.glob("*.whl")), place / "installed"
        _installed(wheel, target)
        return (
            [sys.executable, *serve],
            _environment(target, *_here()),
            "installed by pip beside the packages that are here",
        )
    if made.form in {"docker", "systemd"}:
        paths = folder / Path(LIBRARIES).name, folder / Path(APP).name
        # Without "site", so that nothing but what was bundled is there to be imported.
        return [sys.executable, "-S", *serve], _environment(*paths), "by this Python with the bundled packages alone"
    command, environment = module_command(project, endpoint, made.module, place, manifests.arguments())
    return (
        command,
        {**environment, **manifests.container_environment(), **_own_state(place)},
        "by this Python, with the arguments and variables of the manifest; the image itself was not started",
    )


def module_command(
    project: "Project", endpoint: str, name: str | None, place: Path, arguments: Sequence[str] = ("serve",)
) -> tuple[list[str], dict[str, str]]:
    """A command, and its variables, that serves the live release by this Python from a folder of its own."""
    module = module_of(project, endpoint, name)
    write_module(project, module, place / "app")
    return (
        [sys.executable, "-m", module.name, *arguments],
        {**_environment(place / "app", *_here()), **_own_state(place)},
    )


def _own_state(place: Path) -> dict[str, str]:
    return {"BAKEOFF_STATE": str(place / "state"), "HOME": str(place), "TMPDIR": str(place)}


def _environment(*paths: str | Path) -> dict[str, str]:
    """Variables with these places as the path of modules; without settings of the project, which the package has."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("BAKEOFF_", "PYTHON"))}
    return {**own, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}


def _here() -> list[str]:
    """Where modules are found here beside the packages of this Python."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _installed(wheel: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    done = subprocess.run([*command, str(wheel)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CandidateError(
            f"expected pip to install {wheel.name}, it printed: {' '.join(done.stderr.split())[-500:]}"
        )


def _of_image(layout: Path, root: Path) -> tuple[list[str], dict[str, str], str]:
    """The image's own command in its own root; as its own user where we may become that one."""
    from bakeoff.actions.packages.oci import unpack

    root.mkdir()
    image = unpack(layout, root)["config"]
    environment = dict(each.partition("=")[::2] for each in image["Env"])
    run = [*image["Entrypoint"], *image["Cmd"]]
    if os.getuid() == 0 and (chroot := shutil.which("chroot")):
        command = [chroot, f"--userspec={image['User']}", str(root), *run]
        return command, environment, f"in its own root, as {image['User']}"
    if unshare := shutil.which("unshare"):
        (root / environment["BAKEOFF_STATE"].strip("/")).chmod(0o777)
        command = [unshare, "--user", "--map-root-user", f"--root={root}", "--wd=/", *run]
        return command, environment, "in its own root, in a namespace"
    raise UsageError("expected chroot (as root) or unshare to run an image's files; run the image with your engine")
