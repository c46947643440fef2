"""Images: the layout keeps to the image specification, the same release gives the same bytes, and signatures hold."""

import base64
import gzip
import hashlib
import io
import json
import tarfile

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bakeoff import Project
from bakeoff.actions.packages import package as packaging
from bakeoff.actions.packages.oci import unpack
from bakeoff.actions.packages.package import PYTHON
from bakeoff.actions.packages.signing import ANNOTATION, signature_holds
from bakeoff.core import libraries
from bakeoff.core.errors import DataError, UsageError
from bakeoff.core.libraries import path_of

DIGEST = {"type": "string", "pattern": "^sha256:[a-f0-9]{64}$"}
DESCRIPTOR = {
    "type": "object",
    "required": ["mediaType", "digest", "size"],
    "properties": {
        "mediaType": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9!#$&^_.+-]{1,127}$",
        },
        "digest": DIGEST,
        "size": {"type": "integer", "minimum": 0},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "artifactType": {"type": "string"},
        "platform": {
            "type": "object",
            "required": ["architecture", "os"],
            "properties": {"architecture": {"type": "string"}, "os": {"type": "string"}},
        },
    },
}
INDEX = {
    "type": "object",
    "required": ["schemaVersion", "manifests"],
    "properties": {
        "schemaVersion": {"const": 2},
        "mediaType": {"const": "application/vnd.oci.image.index.v1+json"},
        "manifests": {"type": "array", "items": DESCRIPTOR},
    },
}
MANIFEST = {
    "type": "object",
    "required": ["schemaVersion", "config", "layers"],
    "properties": {
        "schemaVersion": {"const": 2},
        "mediaType": {"const": "application/vnd.oci.image.manifest.v1+json"},
        "artifactType": {"type": "string"},
        "config": DESCRIPTOR,
        "subject": DESCRIPTOR,
        "layers": {"type": "array", "minItems": 1, "items": DESCRIPTOR},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
CONFIG = {
    "type": "object",
    "required": ["architecture", "os", "rootfs"],
    "properties": {
        "created": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "architecture": {"enum": ["amd64", "arm64"]},
        "os": {"const": "linux"},
        "config": {
            "type": "object",
            "properties": {
                "User": {"type": "string"},
                "ExposedPorts": {"type": "object", "patternProperties": {"^[0-9]+/tcp$": {"type": "object"}}},
                "Env": {"type": "array", "items": {"type": "string", "pattern": "^[A-Z_]+=.*$"}},
                "Entrypoint": {"type": "array", "items": {"type": "string"}},
                "Cmd": {"type": "array", "items": {"type": "string"}},
                "Labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "WorkingDir": {"type": "string"},
                "StopSignal": {"type": "string"},
            },
            "additionalProperties": False,
        },
        "rootfs": {
            "type": "object",
            "required": ["type", "diff_ids"],
            "properties": {"type": {"const": "layers"}, "diff_ids": {"type": "array", "items": DIGEST}},
        },
        "history": {"type": "array"},
    },
}
"""As the image specification 1.1 has them (image-index, image-manifest, config, content-descriptor), in short."""


@pytest.fixture
def base(tmp_path):
    """A root filesystem with a file in the place of Python."""
    place = tmp_path / "base"
    (place / "usr/local/bin").mkdir(parents=True)
    (place / "usr/local/bin" / PYTHON).write_text("#!/bin/sh\n")
    (place / "usr/local/bin" / PYTHON).chmod(0o755)
    (place / "usr/local/bin/python3").symlink_to(PYTHON)
    return place


@pytest.fixture
def few_packages(monkeypatch):
    """As if the release needed the family's own package alone: the layer of libraries is small."""
    monkeypatch.setattr(packaging, "needed", lambda _: ("firstword",))


@pytest.fixture
def key(tmp_path):
    return _written(ec.generate_private_key(ec.SECP256R1()), tmp_path / "key.pem")


def _written(private, path):
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def _blob(layout, descriptor):
    content = (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert hashlib.sha256(content).hexdigest() == descriptor["digest"].removeprefix("sha256:")
    assert len(content) == descriptor["size"]
    return content


def _document(layout, descriptor, schema):
    body = json.loads(_blob(layout, descriptor))
    jsonschema.validate(body, schema)
    return body


def test_the_layout_keeps_to_the_specification(ran, base, key, few_packages, tmp_path):
    layout = tmp_path / "image"
    with Project(ran) as project:
        made = project.package(layout, form="oci", base=base, key=key, image="registry.test/films:1")
        blob_id = project.release().blob_id
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_text())
    jsonschema.validate(index, INDEX)
    image, bill, signature = index["manifests"]
    assert (image["digest"], image["annotations"]) == (
        made.digest,
        {"org.opencontainers.image.ref.name": "registry.test/films:1"},
    )
    manifest = _document(layout, image, MANIFEST)
    config = _document(layout, manifest["config"], CONFIG)
    layers = [_blob(layout, each) for each in manifest["layers"]]
    plain = [gzip.decompress(each) for each in layers]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in plain]
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == [f"/usr/local/bin/{PYTHON}", "-m", "films"]
    members = {}
    for part in plain:
        with tarfile.open(fileobj=io.BytesIO(part)) as tar:
            members |= {each.name: each for each in tar}
    assert {(each.mtime, each.uname, each.gname) for each in members.values()} == {(0, "", "")}
    assert {name: each.uid for name, each in members.items() if each.uid} == {"var/lib/bakeoff": 65532}
    assert members["usr/local/bin/python3"].linkname == PYTHON
    assert members[f"usr/local/bin/{PYTHON}"].mode == 0o755
    assert f"opt/bakeoff/app/films/release/models/{blob_id}/model.json" in members
    assert "opt/bakeoff/lib/firstword.py" in members
    # what refers to the image
    about = _document(layout, bill, MANIFEST)
    assert about["subject"] == {key: image[key] for key in ("mediaType", "digest", "size")}
    document = json.loads(_blob(layout, about["layers"][0]))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    names = {each["name"]: each for each in document["components"]}
    assert names["firstword"]["version"] == "1.0"
    assert names["films"]["hashes"] == [{"alg": "BLAKE3", "content": blob_id}]
    signed = _document(layout, signature, MANIFEST)
    payload = _blob(layout, signed["layers"][0])
    assert json.loads(payload)["critical"]["image"] == {"docker-manifest-digest": made.digest}
    assert signature_holds(payload, signed["layers"][0]["annotations"][ANNOTATION], key)


def test_an_image_brings_what_the_base_lacks_of_a_system(ran, base, few_packages, tmp_path, monkeypatch):
    here = path_of("libgomp.so.1")
    if here is None:
        pytest.skip("needs a system with libgomp")
    monkeypatch.setitem(libraries.NEEDED, "firstword", "libgomp.so.1")
    with Project(ran) as project:
        project.package(tmp_path / "first", form="oci", base=base)
        (base / "lib/x86_64-linux-gnu").mkdir(parents=True)
        (base / "lib/x86_64-linux-gnu/libgomp.so.1").write_text("the base's own")
        project.package(tmp_path / "second", form="oci", base=base)
    assert _files(tmp_path / "first")["usr/lib/libgomp.so.1"] == here.read_bytes()
    assert "usr/lib/libgomp.so.1" not in _files(tmp_path / "second")


def _files(layout):
    image = json.loads((layout / "index.json").read_text())["manifests"][0]
    found = {}
    for each in json.loads(_blob(layout, image))["layers"]:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(_blob(layout, each)))) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    return found


def test_the_same_release_gives_the_same_bytes(ran, base, key, few_packages, tmp_path):
    with Project(ran) as project:
        for name in ("first", "second"):
            project.package(tmp_path / name, form="oci", base=base, key=key)
            (base / "usr/local/bin" / PYTHON).touch()
        for name in ("third", "fourth"):
            project.package(tmp_path / name, form="wheel")
    files = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("first", "second", "third", "fourth")
    }
    assert files["first"] == files["second"]
    assert files["third"] == files["fourth"]
    assert len(files["first"]) == 12


def test_a_layout_is_a_base_too_and_damage_is_seen(ran, base, few_packages, tmp_path):
    with Project(ran) as project:
        project.package(tmp_path / "first", form="oci", base=base)
        again = project.package(tmp_path / "second", form="oci", base=tmp_path / "first", name="again")
    config = unpack(tmp_path / "second", tmp_path / "root")
    assert len(config["rootfs"]["diff_ids"]) == 5
    assert config["config"]["Entrypoint"][-1] == again.module
    assert (tmp_path / "root/opt/bakeoff/app/films/__init__.py").is_file()
    assert (tmp_path / "root/opt/bakeoff/app/again/__init__.py").is_file()
    largest = max((tmp_path / "second/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="expected blob sha256:"):
        unpack(tmp_path / "second", tmp_path / "other")


def test_layers_take_files_away(tmp_path, ran, base, few_packages):
    """A layer of a base may take away what is below it."""
    (base / "usr/.wh.gone").write_text("")
    with Project(ran) as project:
        project.package(tmp_path / "image", form="oci", base=base)
    (tmp_path / "root/usr/gone/deep").mkdir(parents=True)  # as a layer below left it
    (tmp_path / "root/usr/gone/deep/file").write_text("")
    unpack(tmp_path / "image", tmp_path / "root")
    assert not (tmp_path / "root/usr/.wh.gone").exists()
    assert not (tmp_path / "root/usr/gone").exists()


def test_a_signature_of_another_key_or_payload_does_not_hold(tmp_path):
    from bakeoff.actions.packages.signing import sign

    for made in (lambda: ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate):
        key, other = _written(made(), tmp_path / "key.pem"), _written(made(), tmp_path / "other.pem")
        payload, signature = sign("sha256:" + "0" * 64, "films:1", key)
        assert sign("sha256:" + "0" * 64, "films:1", key) == (payload, signature)
        assert signature_holds(payload, signature, key)
        assert not signature_holds(payload.replace(b"films:1", b"films:2"), signature, key)
        assert not signature_holds(payload, signature, other)
        assert len(base64.b64decode(signature)) >= 64
    (tmp_path / "wrong.pem").write_text("no key")
    with pytest.raises(UsageError, match="expected a key in PEM"):
        sign("sha256:0", "films:1", tmp_path / "wrong.pem")


def test_what_an_image_needs_is_told(ran, tmp_path, few_packages):
    with Project(ran) as project:
        with pytest.raises(UsageError, match="expected --base for an image"):
            project.package(tmp_path / "out", form="oci")
        with pytest.raises(UsageError, match=r"OCI layout .* or a root filesystem"):
            project.package(tmp_path / "out", form="oci", base=tmp_path / "nowhere")
        (tmp_path / "empty/usr").mkdir(parents=True)
        with pytest.raises(UsageError, match=f"expected a base with {PYTHON}"):
            project.package(tmp_path / "out", form="oci", base=tmp_path / "empty")
        assert not (tmp_path / "out").exists()
