"""Keys for signatures: ECDSA P-256 (with SHA-256) and Ed25519, in PEM."""

import hashlib
from pathlib import Path
from typing import Any

from bakeoff.core.errors import MissingExtraError, UsageError

__all__ = ["fingerprint", "holds", "loaded", "signed"]


def loaded(key: Path, *, private: bool) -> Any:
    """The key of a file; the public half, unless the private one is wanted.

    Raises:
        UsageError: it cannot be read, or is of another kind. MissingExtraError: `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ModuleNotFoundError:
        raise MissingExtraError('signatures need cryptography: pip install "bakeoff[tls]"') from None
    expected = "a key in PEM without a password, ECDSA P-256 or Ed25519 (openssl genpkey -algorithm ed25519)"
    try:
        data = key.read_bytes()
        is_private = private or b"PRIVATE KEY" in data
        result: Any = load_pem_private_key(data, None) if is_private else load_pem_public_key(data)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"expected {expected}, received {str(key)!r}: {error}") from error
    kinds = (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)
    curve = getattr(result, "curve", None)
    if not isinstance(result, kinds) or (curve is not None and curve.name != "secp256r1"):
        raise UsageError(f"expected {expected}, received {type(result).__name__}")
    public = getattr(result, "public_key", None)
    return result if private or public is None else public()


def signed(private: Any, content: bytes) -> bytes:
    """A signature; the same key gives the same one of the same content."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))  # RFC 6979
    return private.sign(content)


def holds(public: Any, signature: bytes, content: bytes) -> bool:
    """Whether a signature of content is by the private half of a key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        else:
            public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def fingerprint(public: Any) -> str:
    """SHA-256 of a public key in PEM, in hexadecimal."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
