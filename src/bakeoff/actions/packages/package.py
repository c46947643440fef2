"""`bakeoff package`: the live release of an endpoint in the form that somebody runs."""

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import bakeoff
from bakeoff.actions.packages import manifests
from bakeoff.actions.packages.environment import copy_packages, needed, packages_of
from bakeoff.actions.packages.module import PackagedModule, module_of, write_module
from bakeoff.core.errors import UsageError
from bakeoff.core.libraries import DEBIAN, libraries_of, path_of
from bakeoff.core.lineage import EnvironmentOrigin
from bakeoff.environment.capture import capture
from bakeoff.environment.sbom import Material, sbom

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from bakeoff.project.project import Project

__all__ = ["Form", "Package", "PackageOptions", "package"]

Form: TypeAlias = Literal["oci", "docker", "k8s", "kserve", "systemd", "wheel"]
LIBRARIES, APP, SYSTEM = "opt/bakeoff/lib", "opt/bakeoff/app", "usr/lib"
SBOM_MEDIA = "application/vnd.cyclonedx+json"
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
BASES = ("usr/local/bin", "usr/bin", "bin", "opt/python/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageOptions:
    """What to make: the form, the base image (oci), the image's name, a key to sign with, the module's name."""

    form: Form
    base: Path | None = None
    image: str | None = None
    key: Path | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package: its form, folder, module and files at the top; the digest of an image; what else there is to say."""

    form: Form
    folder: str
    module: str
    model_version: str
    files: tuple[str, ...]
    digest: str | None = None
    notes: tuple[str, ...] = ()


def package(
    project: "Project", endpoint: str, folder: Path, options: PackageOptions, *, progress: Callable[[str], None]
) -> Package:
    """Write the package into a new folder.

    Raises:
        NotFoundError: nothing is released there. UsageError: the folder is not empty, or the form needs what is not
            given. MissingExtraError: a package that the release needs is not installed here.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"expected an empty or new folder, received {str(folder)!r}")
    module = module_of(project, endpoint, options.name)
    _require(options)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".package-", dir=folder.parent) as scratch:
            making = _Making(project=project, module=module, options=options, folder=folder, scratch=Path(scratch))
            progress(f"packaging {module.title} as {options.form}")
            digest, notes = making.forms[options.form]()
    except BaseException:
        shutil.rmtree(folder)  # half a package looks like a whole one
        raise
    return Package(
        form=options.form,
        folder=str(folder),
        module=module.name,
        model_version=module.release.model_version,
        files=tuple(sorted(path.name for path in folder.iterdir())),
        digest=digest,
        notes=tuple(notes),
    )


def _require(options: PackageOptions) -> None:
    if options.form == "oci" and options.base is None:
        raise UsageError(
            f"expected --base for an image: an OCI layout or a root filesystem with {PYTHON}, for instance by "
            f"'skopeo copy docker://docker.io/library/python:{PYTHON.removeprefix('python')}-slim oci:base'"
        )
    if options.form in {"k8s", "kserve"} and options.image is None:
        raise UsageError(
            f"expected --image for {options.form}: the name by which the image is pulled, REGISTRY/NAME@DIGEST"
        )
    stray = [
        name
        for name, given, forms in (("--base", options.base, {"oci"}), ("--key", options.key, {"oci"}))
        if given is not None and options.form not in forms
    ]
    if stray:
        raise UsageError(f"expected {' and '.join(stray)} with --as oci only, received --as {options.form}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    project: "Project"
    module: PackagedModule
    options: PackageOptions
    folder: Path
    scratch: Path

    @property
    def forms(self) -> Mapping[Form, Callable[[], tuple[str | None, list[str]]]]:
        return {
            "oci": self._oci,
            "docker": self._docker,
            "k8s": self._kubernetes,
            "kserve": self._kserve,
            "systemd": self._systemd,
            "wheel": self._wheel,
        }

    # --- an image -------------------------------------------------------------------------------

    def _oci(self) -> tuple[str | None, list[str]]:
        from bakeoff.actions.packages.oci import ImageLayout
        from bakeoff.actions.packages.signing import ANNOTATION, KIND, MEDIA, sign

        assert self.options.base is not None, "it was required"
        packages = packages_of(needed(self.module))
        libraries, app = self._filled(packages)
        layout = ImageLayout(self.folder, time_ms=self.module.release.created_ms)
        image = layout.base(self.options.base)
        python = _python_in(self.folder, image.layers)
        system = self._system_libraries(packages, image.layers)
        image = layout.add_folders(image, [(LIBRARIES, libraries), *system], "packages")
        owned = [manifests.STATE_FOLDER.strip("/")]
        image = layout.add_folders(image, [(APP, app)], self.module.title, owned=owned, user=manifests.USER)
        name = self.options.image or f"{_dns(self.module.endpoint)}:{self.module.release.number}"
        labels = {
            "org.opencontainers.image.title": self.module.title,
            "org.opencontainers.image.version": self.module.version,
        }
        environment = {"PYTHONPATH": f"/{LIBRARIES}:/{APP}", **manifests.container_environment()}
        run = {
            "User": f"{manifests.USER}:{manifests.USER}",
            "ExposedPorts": {f"{manifests.PORT}/tcp": {}},
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "Entrypoint": [f"/{python}", "-m", self.module.name],
            "Cmd": manifests.arguments(),
            "WorkingDir": manifests.STATE_FOLDER,
            "StopSignal": "SIGTERM",
        }
        descriptor = layout.put(image, run, name=name, labels=labels)
        layout.refer(descriptor, self._bill(packages), kind=SBOM_MEDIA, media=SBOM_MEDIA, annotations={})
        if self.options.key is not None:
            payload, signature = sign(descriptor["digest"], name, self.options.key)
            layout.refer(descriptor, payload, kind=KIND, media=MEDIA, annotations={ANNOTATION: signature})
        layout.end()
        notes = [] if self.options.key else ["not signed: --key names a key to sign with"]
        return descriptor["digest"], notes

    def _filled(self, packages: "Mapping[str, Distribution]") -> tuple[Path, Path]:
        libraries, app = self.scratch / "lib", self.scratch / "app"
        libraries.mkdir()
        app.mkdir()
        copy_packages(packages, libraries)
        write_module(self.project, self.module, app)
        return libraries, app

    def _system_libraries(
        self, packages: "Mapping[str, Distribution]", layers: Sequence[Mapping[str, Any]]
    ) -> list[tuple[str, Path]]:
        """A folder with what the packages need of a system and the base lacks, as it is on this one."""
        place = self.scratch / "system"
        for name in libraries_of(packages):
            here = path_of(name)
            if (
                here is not None
                and _in_layers(self.folder, layers, lambda path, name=name: path.endswith(f"/{name}")) is None
            ):
                place.mkdir(exist_ok=True)
                shutil.copy(here, place / name)
        return [(SYSTEM, place)] if place.exists() else []

    def _bundle(self) -> "Mapping[str, Distribution]":
        """Packages, module and bill of materials, as they lie beside each other without an image; the packages."""
        packages = packages_of(needed(self.module))
        libraries, app = self._filled(packages)
        shutil.move(libraries, self.folder / "lib")
        shutil.move(app, self.folder / "app")
        (self.folder / "sbom.cdx.json").write_bytes(self._bill(packages))
        return packages

    def _bill(self, packages: "Mapping[str, Distribution]") -> bytes:
        here, release = capture(), self.module.release
        environment = EnvironmentOrigin(
            python=here.python,
            platform=here.platform,
            packages={name: each.version for name, each in packages.items()},
            local=(),
        )
        model = Material(name=release.model, version=str(release.number), content=release.blob_id, is_model=True)
        document = sbom(self.module.name, environment, [model], tool=bakeoff.__version__, time_ms=release.created_ms)
        return json.dumps(document, indent=1, sort_keys=True).encode()

    def _docker(self) -> tuple[str | None, list[str]]:
        packages = self._bundle()
        (self.folder / "Dockerfile").write_text(self._dockerfile(packages), encoding="utf-8")
        (self.folder / ".dockerignore").write_text("**/__pycache__\n", encoding="utf-8")
        return None, [f"docker build -t {_dns(self.module.endpoint)} {self.folder}"]

    def _dockerfile(self, packages: "Mapping[str, Distribution]") -> str:
        environment = {"PYTHONPATH": f"/{LIBRARIES}:/{APP}", **manifests.container_environment()}
        command = json.dumps([PYTHON, "-m", self.module.name])
        asks = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{manifests.PORT}/health/ready', timeout=2)"
        lines = [
            f"# {self.module.title}, made by 'bakeoff package'",
            f"ARG BASE=python:{PYTHON.removeprefix('python')}-slim",
            "FROM ${BASE}",
            f"COPY lib /{LIBRARIES}",
            f"COPY app /{APP}",
            *(f"RUN {_loads_or_installs(each)}" for each in libraries_of(packages)),
            f"RUN install -d -o {manifests.USER} -g {manifests.USER} {manifests.STATE_FOLDER}",
            *(f"ENV {key}={json.dumps(value)}" for key, value in environment.items()),
            f"USER {manifests.USER}:{manifests.USER}",
            f"WORKDIR {manifests.STATE_FOLDER}",
            f"EXPOSE {manifests.PORT}",
            f"HEALTHCHECK --start-period=60s CMD {json.dumps([PYTHON, '-c', asks])}",
            f"ENTRYPOINT {command}",
            f"CMD {json.dumps(manifests.arguments())}",
        ]
        return "\n".join([*lines, ""])

    # --- manifests ------------------------------------------------------------------------------

    def _deployed(self) -> manifests.Deployed:
        assert self.options.image is not None, "it was required"
        size_mib = self.project.blobs.size_bytes(self.module.release.blob_id) >> 20
        return manifests.Deployed(
            name=_dns(self.module.endpoint),
            image=self.options.image,
            model_version=self.module.release.model_version,
            remote=self.project.config.privacy.remote,
            memory_mib=512 + 3 * size_mib,  # the libraries take 300 MiB, a model its file up to three times
        )

    def _kubernetes(self) -> tuple[str | None, list[str]]:
        return self._manifests(manifests.yaml_of(manifests.kubernetes(self._deployed())))

    def _kserve(self) -> tuple[str | None, list[str]]:
        return self._manifests(manifests.yaml_of(manifests.kserve(self._deployed())))

    def _manifests(self, text: str) -> tuple[str | None, list[str]]:
        (self.folder / f"{self.options.form}.yaml").write_text(text, encoding="utf-8")
        notes = [] if "@sha256:" in (self.options.image or "") else ["the image is not pinned: name it by its digest"]
        notes.append(manifests.LOG_NOTE)
        return None, [f"kubectl apply -f {self.folder}/{self.options.form}.yaml", *notes]

    # --- without containers ---------------------------------------------------------------------

    def _systemd(self) -> tuple[str | None, list[str]]:
        self._bundle()
        service = _service(self.module)
        unit, place = f"{service}.service", f"/opt/{service}"
        (self.folder / unit).write_text(self._unit(place), encoding="utf-8")
        return None, [f"copy the folder to {place} and the unit to /etc/systemd/system; systemctl enable --now {unit}"]

    def _unit(self, place: str) -> str:
        state = _service(self.module)
        sections = {
            "Unit": [f"Description={self.module.title}", "After=network.target"],
            "Service": [
                "Type=exec",
                f"ExecStart=/usr/bin/env {PYTHON} -m {self.module.name} serve --port {manifests.PORT}",
                f"Environment=PYTHONPATH={place}/lib:{place}/app",
                f"Environment=BAKEOFF_STATE=%S/{state} PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1",
                f"StateDirectory={state}",
                "DynamicUser=yes",
                "Restart=on-failure",
                "TimeoutStopSec=30",
                "NoNewPrivileges=yes",
                "ProtectSystem=strict",
                "ProtectHome=yes",
                "PrivateTmp=yes",
                "PrivateDevices=yes",
                "CapabilityBoundingSet=",
                "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
            ],
            "Install": ["WantedBy=multi-user.target"],
        }
        return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())

    def _wheel(self) -> tuple[str | None, list[str]]:
        app = self.scratch / "app"
        app.mkdir()
        write_module(self.project, self.module, app)
        name, version = self.module.name, self.module.version
        direct = needed(self.module)
        packages = packages_of(direct)
        requires = [f"Requires-Dist: {each}=={packages[each].version.partition('+')[0]}" for each in direct]
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Summary: {self.module.title}"]
        metadata += [f"Requires-Python: =={sys.version_info[0]}.{sys.version_info[1]}.*", *requires, ""]
        wheel = ["Wheel-Version: 1.0", "Generator: bakeoff", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
        files = {
            path.relative_to(app).as_posix(): path.read_bytes() for path in sorted(app.rglob("*")) if path.is_file()
        }
        info = f"{name}-{version}.dist-info"
        files |= {f"{info}/METADATA": "\n".join(metadata).encode(), f"{info}/WHEEL": "\n".join(wheel).encode()}
        files[f"{info}/sboms/sbom.cdx.json"] = self._bill(packages)
        _write_wheel(self.folder / f"{name}-{version}-py3-none-any.whl", files, f"{info}/RECORD")
        return None, [f"pip install {self.folder}/*.whl, then: python -m {name} serve"]


def _write_wheel(path: Path, files: Mapping[str, bytes], record: str) -> None:
    """The same files give the same bytes: the time of zip files begins with 1980."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(content)])
    writer.writerow([record, "", ""])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, record: table.getvalue().encode()}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _in_layers(layout: Path, layers: Sequence[Mapping[str, Any]], wanted: Callable[[str], bool]) -> str | None:
    """The first file of an image that is wanted, by its path; of the newest layer that has one."""
    import tarfile

    from bakeoff.actions.packages.oci import opened

    for each in reversed(layers):
        path = layout / "blobs" / "sha256" / each["digest"].partition(":")[2]
        with opened(path) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                if wanted(name := member.name.removeprefix("./")):
                    return name
    return None


def _loads_or_installs(library: str) -> str:
    """A step of a Dockerfile: see that a library of the system can be loaded, or install it where Debian's tool is."""
    fetch = (
        f"apt-get update && apt-get install -y --no-install-recommends {DEBIAN[library]} && rm -rf /var/lib/apt/lists/*"
    )
    return f"""{PYTHON} -c 'import ctypes; ctypes.CDLL("{library}")' || ({fetch})"""


def _python_in(layout: Path, layers: Sequence[Mapping[str, Any]]) -> str:
    """Where the Python of this version is in an image.

    Raises:
        UsageError: it is not there.
    """
    wanted = {f"{place}/{PYTHON}" for place in BASES}
    if (place := _in_layers(layout, layers, wanted.__contains__)) is not None:
        return place
    raise UsageError(
        f"expected a base with {PYTHON}, for which the packages are, in {' or '.join(f'/{each}' for each in BASES)}; "
        "found none; take a base with this Python, or make the package with that of the base"
    )


def _service(module: PackagedModule) -> str:
    """What systemd calls it: no name of another's service."""
    return f"bakeoff-{_dns(module.endpoint)}"


def _dns(name: str) -> str:
    """A name as DNS has them."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{'' if plain[:1].isalpha() else 'm-'}{plain}"[:50].strip("-")
