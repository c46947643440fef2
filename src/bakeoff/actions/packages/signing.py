"""Signatures of images by a key of one's own.

Source: cosign's "simple signing": the payload names the manifest's digest; the signature over its bytes, in base64,
stands beside it as an annotation. Keys are ECDSA (P-256, with SHA-256) or Ed25519, in PEM.
"""

import base64
import json
from pathlib import Path

from bakeoff.security import keys

__all__ = ["ANNOTATION", "KIND", "MEDIA", "sign", "signature_holds"]

KIND = "application/vnd.dev.cosign.artifact.sig.v1+json"
MEDIA = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"


def sign(digest: str, name: str, key: Path) -> tuple[bytes, str]:
    """The payload about the manifest with this digest, and its signature; the same key gives the same one again.

    Raises:
        UsageError: the key cannot be read, or is of another kind. MissingExtraError: `cryptography` is not installed.
    """
    private = keys.loaded(key, private=True)
    payload = {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    content = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    return content, base64.b64encode(keys.signed(private, content)).decode()


def signature_holds(content: bytes, signature: str, key: Path) -> bool:
    """Whether a signature over a payload is by the private half of a public key (or of a private one)."""
    return keys.holds(keys.loaded(key, private=False), base64.b64decode(signature), content)
