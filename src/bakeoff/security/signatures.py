"""Signatures of model folders, made and checked without a network: what is signed is the SHA-256 of each file.

Source: OpenSSF Model Signing, version 1.0: a Sigstore bundle (v0.3) with a DSSE envelope, whose payload is an in-toto
statement; `model_signing verify key` of that project reads what is written here with an ECDSA key, and the reverse.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.core.errors import SecurityError
from bakeoff.core.types import Json
from bakeoff.security import keys

__all__ = ["SIGNATURE_FILE", "sign_folder", "verify_folder"]

SIGNATURE_FILE = "model.sig"
"""Where a signature stands in a folder; it does not sign itself."""
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"
PAYLOAD, BUNDLE = "application/vnd.in-toto+json", "application/vnd.dev.sigstore.bundle.v0.3+json"


def sign_folder(folder: Path, name: str, key: Path) -> dict[str, Json]:
    """The signature of a folder by a private key, as a bundle.

    Raises:
        SecurityError: it holds a link. UsageError: the key cannot be read.
    """
    private = keys.loaded(key, private=True)
    digests = _digests(folder)
    whole = hashlib.sha256(b"".join(map(bytes.fromhex, digests.values()))).hexdigest()
    predicate = {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": [SIGNATURE_FILE],
        },
        "resources": [{"name": path, "algorithm": "sha256", "digest": value} for path, value in digests.items()],
    }
    subject = [{"name": name, "digest": {"sha256": whole}}]
    statement = {"_type": STATEMENT, "subject": subject, "predicateType": PREDICATE, "predicate": predicate}
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    signature = keys.signed(private, _encoded(PAYLOAD, payload))
    return {
        "mediaType": BUNDLE,
        "verificationMaterial": {
            "publicKey": {"hint": keys.fingerprint(private.public_key())},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }


def verify_folder(
    folder: Path, bundle: Mapping[str, Any] | None, trusted: Sequence[Path], name: str | None = None
) -> str:
    """See that a folder holds exactly the files that one of the trusted keys signed; that key's fingerprint.

    With a `name` they must have been signed under it: a signature of one version is none of another.

    Raises:
        SecurityError: there is no signature, it is by none of these keys or of another name, or a file is another,
            lacks or was added.
        UsageError: a key cannot be read.
    """
    advice = "'bakeoff models sign' signs a version"
    if bundle is None:
        raise SecurityError(f"expected a signed model, received one without a signature; {advice}")
    try:
        envelope = bundle["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]]
        signed = _encoded(str(envelope["payloadType"]), payload)
        statement = json.loads(payload)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise SecurityError(f"expected a bundle with a signature of a model, received another: {error!r}") from error
    publics = [keys.loaded(key, private=False) for key in trusted]
    by = [key for key in publics if any(keys.holds(key, signature, signed) for signature in signatures)]
    if not by:
        known = ", ".join(keys.fingerprint(key)[:12] for key in publics) or "none"
        raise SecurityError(f"expected a signature by one of the trusted keys ({known}), received another; {advice}")
    _compare(folder, statement, name)
    return keys.fingerprint(by[0])


def _compare(folder: Path, statement: Any, name: str | None) -> None:
    try:
        kinds = (statement["_type"], statement["predicateType"])
        names = [each["name"] for each in statement["subject"]]
        resources = statement["predicate"]["resources"]
        expected = {each["name"]: each["digest"] for each in resources if each["algorithm"] == "sha256"}
    except (KeyError, TypeError, ValueError) as error:
        raise SecurityError(f"expected a statement about files of a model, received another: {error!r}") from error
    if kinds != (STATEMENT, PREDICATE):
        raise SecurityError(f"expected a statement of {PREDICATE}, received one of {kinds[1]!r}")
    if name is not None and names != [name]:
        raise SecurityError(
            f"expected a signature of {name}, received one of {', '.join(map(repr, names)) or 'nothing'}: who vouches "
            f"for this version signs it, too ('bakeoff models sign {name}')"
        )
    actual = _digests(folder)
    for path in sorted({*expected, *actual}):
        if expected.get(path) != actual.get(path):
            what = "was added" if path not in expected else "is missing" if path not in actual else "was changed"
            raise SecurityError(f"expected the files that were signed, but {path!r} {what}: do not use this model")


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its path, in the order of their paths."""
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*"), key=lambda each: each.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise SecurityError(f"expected regular files in a model, received the link {name!r}: do not use this model")
        if path.is_file() and name != SIGNATURE_FILE:
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _encoded(kind: str, payload: bytes) -> bytes:
    """What a DSSE signature is of: its pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)
