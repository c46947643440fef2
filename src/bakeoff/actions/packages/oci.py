"""An image as a layout of the Open Container Initiative, built without a container engine.

Source: OCI image specification 1.1 (image-layout, manifest, config; `subject` for what refers to an image).
"""

import hashlib
import json
import platform
import shutil
import tarfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bakeoff.actions.packages.layers import Layer, layer
from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.types import Json

__all__ = ["Image", "Layout", "unpack"]

INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
CONFIG, EMPTY = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
ANNOTATION = "org.opencontainers.image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in a layout: its config, and the descriptors of its layers."""

    config: Mapping[str, Any]
    layers: Sequence[Mapping[str, Any]]


class Layout:
    """A layout that is being written.

    Args:
        folder: a new or empty one.
        time_ms: the time that stands in the image.
    """

    def __init__(self, folder: Path, *, time_ms: int) -> None:
        self.folder, self._blobs = folder, folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        self._created = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._manifests: list[Json] = []
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def base(self, place: Path) -> Image:
        """The image that others are put upon: of another layout, or of a root filesystem.

        Raises:
            UsageError: the folder is neither.
        """
        if (place / "oci-layout").is_file():
            return self._copied(place)
        if not any((place / name).is_dir() for name in ("usr", "bin", "lib")):
            raise UsageError(
                f"expected a base image as an OCI layout (with a file oci-layout) or a root filesystem (with usr), "
                f"received {str(place)!r}"
            )
        empty = {"architecture": architecture(), "os": "linux", "config": {}, "history": []}
        empty["rootfs"] = {"type": "layers", "diff_ids": []}
        return self.with_layer(Image(config=empty, layers=()), layer(self._blobs, [("", place)]), "the base's files")

    def with_layer(self, image: Image, made: Layer, what: str) -> Image:
        """The image with one more layer."""
        config = json.loads(json.dumps(image.config))
        config["rootfs"]["diff_ids"].append(made.diff_id)
        history = {"created": self._created, "created_by": f"bakeoff package: {what}"}
        config["history"] = [*config.get("history", []), history]
        descriptor = {"mediaType": LAYER, "digest": made.digest, "size": made.size}
        return Image(config=config, layers=[*image.layers, descriptor])

    def add_folders(
        self, image: Image, parts: Sequence[tuple[str, Path]], what: str, *, owned: Sequence[str] = (), user: int = 0
    ) -> Image:
        """The image with a layer of these folders, by the place where they go."""
        return self.with_layer(image, layer(self._blobs, parts, owned=owned, user=user), what)

    def put(self, image: Image, run: Mapping[str, Any], *, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
        """Write the image under a name; its descriptor. `run` replaces or adds to the base's way to run."""
        base = image.config.get("config") or {}
        environment = dict(each.partition("=")[::2] for each in base.get("Env") or ())
        environment |= dict(each.partition("=")[::2] for each in run["Env"])
        config = {**base, **run, "Env": [f"{key}={value}" for key, value in environment.items()]}
        config["Labels"] = {**(base.get("Labels") or {}), **labels}
        body = {**image.config, "created": self._created, "config": config}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._document(body, CONFIG),
            "layers": list(image.layers),
            "annotations": dict(labels),
        }
        return self._listed(manifest, platform={"architecture": body["architecture"], "os": body["os"]}, name=name)

    def refer(
        self, subject: Mapping[str, Any], content: bytes, *, kind: str, media: str, annotations: Mapping[str, str]
    ) -> None:
        """Write something about an image: what it is made of, who signed it."""
        blob = self._written(content, media) | ({"annotations": dict(annotations)} if annotations else {})
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": self._written(b"{}", EMPTY),
            "layers": [blob],
            "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
            "annotations": {f"{ANNOTATION}.created": self._created},
        }
        self._listed(manifest, artifactType=kind)

    def end(self) -> None:
        """Write the index."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._manifests}
        (self.folder / "index.json").write_bytes(_bytes(index))

    def _listed(self, manifest: Mapping[str, Any], *, name: str | None = None, **more: Any) -> dict[str, Any]:
        descriptor = self._document(manifest, MANIFEST) | more
        if name is not None:
            descriptor["annotations"] = {f"{ANNOTATION}.ref.name": name}
        self._manifests.append(descriptor)
        return descriptor

    def _document(self, body: Mapping[str, Any], media: str) -> dict[str, Any]:
        return self._written(_bytes(body), media)

    def _written(self, content: bytes, media: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self._blobs / digest).write_bytes(content)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    def _copied(self, place: Path) -> Image:
        manifest = _manifest_of(place)
        for each in manifest["layers"]:
            shutil.copyfile(_blob(place, each), self._blobs / each["digest"].partition(":")[2])
        return Image(config=json.loads(_blob(place, manifest["config"]).read_bytes()), layers=manifest["layers"])


def unpack(place: Path, folder: Path) -> dict[str, Any]:
    """Unpack the image of a layout into a folder, and see that every digest is right; its config.

    Raises:
        DataError: a blob is not what its digest says.
    """
    manifest = _manifest_of(place)
    config = json.loads(_checked(place, manifest["config"]).read_bytes())
    for each, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        path = _checked(place, each)
        with opened(path) as file:
            plain = _Reading(file)
            with tarfile.open(fileobj=plain, mode="r|") as tar:  # pyright: ignore[reportArgumentType, reportCallIssue] - it only reads
                for member in tar:
                    _extract(tar, member, folder)
            while plain.read(1 << 20):
                pass
        if plain.digest != diff_id:
            raise DataError(f"expected layer {each['digest']} to be {diff_id} unpacked, found {plain.digest}")
    return config


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """One member; the names of those that the layer takes away begin with ".wh."."""
    place = folder / member.name
    if not place.name.startswith(WHITEOUT):
        tar.extract(member, folder, filter="tar", numeric_owner=True)
        return
    if not place.parent.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"expected names inside of the image, found {member.name!r}")
    hidden = place.parent.iterdir() if place.name == OPAQUE else [place.parent / place.name.removeprefix(WHITEOUT)]
    for each in list(hidden):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)


class _Reading:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        """Of all that was read."""
        return f"sha256:{self._hash.hexdigest()}"


def architecture() -> str:
    """This machine's, in the words of images."""
    return MACHINES.get(platform.machine(), platform.machine())


def _manifest_of(place: Path) -> dict[str, Any]:
    """The manifest of the layout's image for this machine.

    Raises:
        UsageError: there is none.
    """
    index = json.loads((place / "index.json").read_bytes())
    waiting, architectures = list(index["manifests"]), []
    while waiting:
        each = waiting.pop(0)
        body = json.loads(_checked(place, each).read_bytes())
        if "manifests" in body:
            waiting += body["manifests"]
        elif "subject" not in body and body["config"]["mediaType"] == CONFIG:
            machine = json.loads(_blob(place, body["config"]).read_bytes())["architecture"]
            architectures.append(machine)
            if machine == architecture():
                return body
    raise UsageError(
        f"expected an image for {architecture()} in {str(place)!r}, found {', '.join(architectures) or 'none'}; "
        "copy it anew, for instance with 'skopeo copy docker://IMAGE oci:FOLDER'"
    )


def _blob(place: Path, descriptor: Mapping[str, Any]) -> Path:
    kind, _, digest = descriptor["digest"].partition(":")
    if kind != "sha256" or set(digest) - set("0123456789abcdef"):
        raise DataError(f"expected a digest sha256:..., found {descriptor['digest']!r}")
    return place / "blobs" / kind / digest


def _checked(place: Path, descriptor: Mapping[str, Any]) -> Path:
    path = _blob(place, descriptor)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if f"sha256:{digest}" != descriptor["digest"] or path.stat().st_size != descriptor["size"]:
        raise DataError(f"expected blob {descriptor['digest']} of {descriptor['size']} bytes, found sha256:{digest}")
    return path


@contextmanager
def opened(path: Path) -> Generator[IO[bytes]]:
    """A layer's archive, whatever it is compressed by.

    Raises:
        UsageError: by something that cannot be read here.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] == b"\x1f\x8b":
            import gzip

            with gzip.open(file) as plain:
                yield plain  # pyright: ignore[reportReturnType] - it reads as files do
        elif start == b"\x28\xb5\x2f\xfd":
            raise UsageError("expected layers as tar or gzip, found zstd; copy the image with gzip layers")
        else:
            yield file


def _bytes(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
