"""Signatures of models: what was signed is verified, and nothing else is."""

import base64
import dataclasses
import json

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bakeoff import Project
from bakeoff.core.errors import NotFoundError, SecurityError, UsageError
from bakeoff.security.signatures import sign_folder, verify_folder


def pair(folder, name, private):
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return secret, public


@pytest.fixture
def folder(tmp_path):
    model = tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    (model / "b.txt").write_text("b")
    (model / "deep" / "a.bin").write_bytes(b"\0" * 100)
    return model


@pytest.mark.parametrize("kind", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_what_was_signed_is_verified_and_nothing_else(tmp_path, folder, kind):
    secret, public = pair(tmp_path, "release", kind)
    _, other = pair(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
    bundle = json.loads(json.dumps(sign_folder(folder, "films/1", secret)))
    signer = verify_folder(folder, bundle, [other, public])
    assert signer == bundle["verificationMaterial"]["publicKey"]["hint"]
    (folder / "model.sig").write_text(json.dumps(bundle))
    assert verify_folder(folder, bundle, [public]) == signer

    def refused(match, bundle=bundle, trusted=public):
        with pytest.raises(SecurityError, match=match):
            verify_folder(folder, bundle, [trusted])

    refused("by one of the trusted keys", trusted=other)
    refused("without a signature", bundle=None)
    refused("received another", bundle={})
    assert verify_folder(folder, bundle, [public], "films/1") == signer
    for another in ("films/2", "films/11", "taxis/1", ""):
        with pytest.raises(SecurityError, match=f"expected a signature of {another}, received one of 'films/1'"):
            verify_folder(folder, bundle, [public], another)
    (folder / "added").write_text("")
    refused("'added' was added")
    (folder / "added").unlink()
    (folder / "b.txt").write_text("c")
    refused("'b.txt' was changed")
    (folder / "b.txt").unlink()
    refused("'b.txt' is missing")
    (folder / "b.txt").symlink_to("/etc/passwd")
    refused("the link 'b.txt'")


def test_no_part_of_a_bundle_can_be_another(tmp_path, folder):
    secret, public = pair(tmp_path, "release", ed25519.Ed25519PrivateKey.generate())
    bundle = sign_folder(folder, "films/1", secret)
    envelope = bundle["dsseEnvelope"]
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["resources"] = []
    edited = base64.b64encode(json.dumps(payload).encode()).decode()
    signature = base64.b64encode(b"\0" * 64).decode()
    for change in (
        {"payload": edited},
        {"payloadType": "text/plain"},
        {"signatures": [{"sig": signature}]},
        {"signatures": []},
    ):
        with pytest.raises(SecurityError, match="trusted keys"):
            verify_folder(folder, {**bundle, "dsseEnvelope": {**envelope, **change}}, [public])


def refuse_under_other_names(project):
    """A signature is of one version: not of another with its files, of another model, or wherever it is put."""
    live, documents = project.endpoints.show().live, project.records.documents
    signature = dict(documents.get("model_signatures", live.model_version).body)
    for name, number in ((live.model, live.number + 50), ("taxis", live.number)):
        other = dataclasses.replace(live, model=name, number=number)
        with pytest.raises(SecurityError, match="without a signature"):
            project._load_release(other)
        for place in (other.model_version, other.blob_id):  # earlier, a signature stood under its tree
            documents.put("model_signatures", place, signature)
            with pytest.raises(
                SecurityError, match=f"of {other.model_version}, received one of '{live.model_version}'"
            ):
                project._load_release(other)
            documents.delete("model_signatures", place)
    documents.delete("model_signatures", live.model_version)
    with pytest.raises(SecurityError, match="without a signature"):
        project._load_release(live)
    documents.put("model_signatures", live.blob_id, signature)
    project._load_release(live)
    project.verify_model(live.model_version)


def test_a_project_that_asks_for_signatures_loads_what_is_signed(ran, tmp_path):
    secret, public = pair(tmp_path, "release", ec.generate_private_key(ec.SECP256R1()))
    _, other = pair(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
    toml = ran / "bakeoff.toml"
    text = toml.read_text()
    toml.write_text(f'{text}[security]\nrequire_signed = true\npublic_keys = ["{public}"]\n')
    row = [{"review": "great film", "year": 1999}]
    with Project(ran) as project:
        with pytest.raises(NotFoundError, match="received one without a signature"):
            project.predict(row)
        assert project.sign_model(key=secret) == f"films/{project.endpoints.show().live.number}"
    with Project(ran) as project:  # one that runs tries again after a while
        assert project.predict(row)[0].label == "yes"
        assert project.verify_model() == project.verify_model("champion", keys=[public])
        with pytest.raises(SecurityError, match="trusted keys"):
            project.verify_model(keys=[other])
        assert [each.action for each in project.audit.records()][-1] == "model_signatures written"
        refuse_under_other_names(project)
    toml.write_text(text)
    with Project(ran) as project, pytest.raises(UsageError, match="public key"):
        project.verify_model()
