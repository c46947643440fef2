"""TLS: contexts that read their files anew when they change, and a local authority to try it with."""

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["Tls", "local_authority"]

DAYS = 90
AUTHORITY = "bakeoff local authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files of a server's certificate (with its chain) and key, and of the authority that clients must be of."""

    certificate: Path
    key: Path
    client_authority: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A context of TLS 1.2 and newer.

        Raises:
            UsageError: a file cannot be read, or does not hold what it should.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.load(context)
        if self.client_authority is not None:
            self._read("client_authority", self.client_authority, context.load_verify_locations)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Read certificate and key anew; connections that begin afterwards have them."""
        self._read("certificate", self.certificate, lambda path: context.load_cert_chain(path, self.key))

    def stamp(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return tuple(
            path.stat().st_mtime_ns if path.exists() else 0
            for path in (self.certificate, self.key, self.client_authority)
            if path is not None
        )

    def _read(self, key: str, path: Path, load: Callable[[Path], object]) -> None:
        for each in (path, self.key):
            if not each.is_file():
                raise UsageError(f"tls.{key}: expected a file in PEM, found none at {each}")
        try:
            load(path)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise UsageError(f"tls.{key}: expected a certificate and its key in PEM, found {path}: {error}") from error


def local_authority(folder: Path, names: Sequence[str] = ("localhost", "127.0.0.1", "::1")) -> Tls:
    """Make a certificate for these names, signed by an authority of this folder's own; for trying, never for others.

    The authority's key is used once and not kept. Files: `authority.pem` (for clients), `certificate.pem`, `key.pem`.

    Raises:
        MissingExtraError: the package `cryptography` is not there. UsageError: there are such files already.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MissingExtraError.of("making certificates", "tls", "cryptography") from error
    files = [folder / name for name in ("authority.pem", "certificate.pem", "key.pem")]
    there = [str(path) for path in files if path.exists()]
    if there:
        raise UsageError(f"expected no certificates in {folder}, found {', '.join(there)}; take another folder")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _signed(AUTHORITY, authority_key, authority_key, names=())
    certificate = _signed(names[0], key, authority_key, names=names)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    contents = (authority.public_bytes(pem), certificate.public_bytes(pem), private)
    folder.mkdir(parents=True, exist_ok=True)
    for path, data, mode in zip(files, contents, (0o644, 0o644, 0o600), strict=True):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    return Tls(certificate=files[1], key=files[2])


def _signed(
    subject: str, key: "ec.EllipticCurvePrivateKey", by: "ec.EllipticCurvePrivateKey", *, names: Sequence[str]
) -> "x509.Certificate":
    """A certificate of a key for these names; without names, of an authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    ca, now = not names, dt.datetime.now(dt.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **usage),
            critical=True,
        )
    )
    if names:
        kinds = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(kinds), critical=False)
        made = made.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    return made.sign(by, hashes.SHA256())


def _general_name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
