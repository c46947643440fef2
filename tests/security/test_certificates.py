"""TLS: a local authority, a server with it, clients of mutual TLS, and a certificate that is renewed."""

import ssl
import sys
import time

import httpx
import pytest

from bakeoff.core.errors import MissingExtraError, SecurityError, UsageError
from bakeoff.security.certificates import Tls, local_authority
from bakeoff.web.server import Server

pytest.importorskip("cryptography")


async def app(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def trusted(folder, tls=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def test_a_server_speaks_tls_and_nothing_else(tmp_path):
    tls = local_authority(tmp_path)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("key.pem", "authority.pem")] == [0o600, 0o644]
    with Server(app, tls=tls) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert httpx.get(server.url, verify=trusted(tmp_path)).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(server.url.replace("https", "http"))


def test_mutual_tls_takes_clients_of_its_authority_alone(tmp_path):
    made, other = local_authority(tmp_path / "ours"), local_authority(tmp_path / "theirs")
    tls = Tls(certificate=made.certificate, key=made.key, client_authority=tmp_path / "ours" / "authority.pem")
    with Server(app, tls=tls) as server:
        assert httpx.get(server.url, verify=trusted(tmp_path / "ours", made)).status_code == 200
        for client in (None, other):
            with pytest.raises(httpx.TransportError):
                httpx.get(server.url, verify=trusted(tmp_path / "ours", client))


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path):
    tls, renewed = local_authority(tmp_path / "old"), local_authority(tmp_path / "new")
    with Server(app, tls=tls) as server:
        assert httpx.get(server.url, verify=trusted(tmp_path / "old")).status_code == 200
        time.sleep(1.2)  # the server has looked at the old files once
        tls.key.write_bytes(renewed.key.read_bytes())
        tls.certificate.write_bytes(renewed.certificate.read_bytes())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                assert httpx.get(server.url, verify=trusted(tmp_path / "new")).status_code == 200
            except httpx.ConnectError:
                time.sleep(0.2)
            else:
                return
        pytest.fail("the renewed certificate was never served")


def test_what_is_no_certificate_is_an_error_of_the_settings(tmp_path):
    (tmp_path / "key.pem").write_text("nothing")
    (tmp_path / "certificate.pem").write_text("nothing")
    with pytest.raises(UsageError, match=r"tls\.certificate: expected a certificate and its key in PEM"):
        Server(app, tls=Tls(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem"))
    with pytest.raises(UsageError, match="found none at"):
        Server(app, tls=Tls(certificate=tmp_path / "no.pem", key=tmp_path / "key.pem"))
    with pytest.raises(UsageError, match=r"found .*certificate\.pem"):
        local_authority(tmp_path)


@pytest.mark.parametrize(("authenticated", "encrypted"), [(False, False), (True, False), (False, True)])
def test_a_public_address_needs_both(tmp_path, authenticated, encrypted):
    tls = local_authority(tmp_path) if encrypted else None
    with pytest.raises(SecurityError) as refused:
        Server(app, "0.0.0.0", authenticated=authenticated, tls=tls)
    assert ("bakeoff tokens create" in str(refused.value)) is not authenticated
    assert ("bakeoff certs dev" in str(refused.value)) is not encrypted


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(MissingExtraError, match=r'making certificates needs .*pip install "bakeoff\[tls\]"'):
        local_authority(tmp_path / "new")
    assert not (tmp_path / "new").exists()
