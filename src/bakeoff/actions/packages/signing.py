"""Signatures of images by a key of one's own.

Source: cosign's "simple signing": the payload names the manifest's digest; the signature over its bytes, in base64,
stands beside it as an annotation. Keys are ECDSA (P-256, with SHA-256) or Ed25519, in PEM.
"""

import base64
import json
from pathlib import Path
from typing import Any

from bakeoff.core.errors import MissingExtraError, UsageError

__all__ = ["ANNOTATION", "KIND", "MEDIA", "sign", "signature_holds"]

KIND = "application/vnd.dev.cosign.artifact.sig.v1+json"
MEDIA = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"


def sign(digest: str, name: str, key: Path) -> tuple[bytes, str]:
    """The payload about the manifest with this digest, and its signature; the same key gives the same one again.

    Raises:
        UsageError: the key cannot be read, or is of another kind. MissingExtraError: `cryptography` is not installed.
    """
    private = _loaded(key, private=True)
    payload = {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    content = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    return content, base64.b64encode(_signed(private, content)).decode()


def signature_holds(content: bytes, signature: str, key: Path) -> bool:
    """Whether a signature over a payload is by the private half of a public key (or of a private one)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    public = _loaded(key, private=False)
    raw = base64.b64decode(signature)
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(raw, content, ec.ECDSA(hashes.SHA256()))
        else:
            public.verify(raw, content)
    except InvalidSignature:
        return False
    return True


def _signed(private: Any, content: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))  # RFC 6979
    return private.sign(content)


def _loaded(key: Path, *, private: bool) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ModuleNotFoundError:
        raise MissingExtraError('signatures need cryptography: pip install "bakeoff[tls]"') from None
    expected = "a key in PEM without a password, ECDSA P-256 or Ed25519 (openssl genpkey -algorithm ed25519)"
    try:
        data = key.read_bytes()
        is_private = private or b"PRIVATE KEY" in data
        loaded: Any = load_pem_private_key(data, None) if is_private else load_pem_public_key(data)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"expected {expected}, received {str(key)!r}: {error}") from error
    kinds = (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)
    curve = getattr(loaded, "curve", None)
    if not isinstance(loaded, kinds) or (curve is not None and curve.name != "secp256r1"):
        raise UsageError(f"expected {expected}, received {type(loaded).__name__}")
    return loaded if private or not is_private else loaded.public_key()
