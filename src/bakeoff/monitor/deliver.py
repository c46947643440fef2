"""Delivery of alerts: the log, signed webhooks, Slack's incoming webhooks, mail."""

import hashlib
import hmac
import json
import logging
import smtplib
import ssl
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from http.client import InvalidURL
from typing import Any

from bakeoff.config.file import secret
from bakeoff.config.sections import AlertTarget
from bakeoff.core.addresses import is_loopback
from bakeoff.core.errors import UsageError
from bakeoff.core.moments import moment
from bakeoff.monitor.alerts import AlertEvent, encoded

__all__ = ["SIGNATURE", "deliver", "signature"]

_logger = logging.getLogger("bakeoff.alerts")

SIGNATURE, TIME = "X-Bakeoff-Signature", "X-Bakeoff-Time"
TIMEOUT_S = 10.0
COLOURS = {"info": "#439fe0", "warning": "#daa038", "critical": "#d00000"}


def deliver(target: AlertTarget, event: AlertEvent, environ: Mapping[str, str] | None = None) -> None:
    """Tell a target of an event.

    Args:
        target: who, and how.
        event: what.
        environ: where secrets are taken from; the process's own environment by default.

    Raises:
        ConfigError: a variable that is named has no value.
        UsageError: the URL is none of HTTP, or mail would go over the wire in clear.
        OSError: it could not be reached, or refused; or who answers has no certificate that is trusted.
    """
    match target.kind:
        case "log":
            level = logging.INFO if event.kind == "ended" or event.severity == "info" else logging.WARNING
            _logger.log(level, "%s: %s", event.title, event.reason)
        case "webhook":
            body = json.dumps(encoded(event)).encode()
            key = secret(target.key_env, environ) if target.key_env else None
            time_s = str(event.time_ms // 1000)
            signed = {} if key is None else {SIGNATURE: signature(key, time_s, body), TIME: time_s}
            _post(_url(target, environ), body, signed)
        case "slack":
            _post(_url(target, environ), json.dumps(_slack(event)).encode(), {})
        case "email":
            _mail(target, event, environ)


def signature(key: str, time_s: str, body: bytes) -> str:
    """What proves that who sent a body knows the key: HMAC-SHA256 of the time, a dot, and the body.

    >>> signature("key", "1700000000", b"{}")[:16]
    'sha256=9d713ed40'
    """
    return "sha256=" + hmac.new(key.encode(), f"{time_s}.".encode() + body, hashlib.sha256).hexdigest()


def _url(target: AlertTarget, environ: Mapping[str, str] | None) -> str:
    url = target.url or secret(target.url_env or "", environ)
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"expected a URL that begins with https:// or http://, received {url[:12]!r}…")
    return url


class _Refuse(urllib.request.HTTPRedirectHandler):
    """A redirection is not followed: what is told was meant for that address."""

    def redirect_request(self, *_given: Any, **_named: Any) -> None:
        """Nothing."""


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})  # noqa: S310 - checked
    try:
        urllib.request.build_opener(_Refuse()).open(request, timeout=TIMEOUT_S).close()  # an answer but 2xx raises
    except InvalidURL:  # its message has the address, which may be secret
        raise UsageError("expected a URL without spaces and line ends in it, received one with some") from None


def _slack(event: AlertEvent) -> dict[str, Any]:
    fields = {"signal": event.signal, "value": event.value, "limit": event.limit, "since": moment(event.since_ms)}
    shown = [
        {"title": name, "value": f"{value:.4g}" if isinstance(value, float) else str(value), "short": True}
        for name, value in fields.items()
        if value is not None
    ]
    colour = "#2eb886" if event.kind == "ended" else COLOURS[event.severity]
    return {"text": event.title, "attachments": [{"color": colour, "text": event.reason, "fields": shown}]}


def _mail(target: AlertTarget, event: AlertEvent, environ: Mapping[str, str] | None) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = event.title, target.sender, ", ".join(target.recipients)
    message["Message-ID"] = f"<{hashlib.sha256(event.id.encode()).hexdigest()[:32]}@bakeoff>"
    message.set_content(
        f"{event.reason}\n\nsignal: {event.signal}\nvalue: {event.value}\nlimit: {event.limit}\n"
        f"since: {moment(event.since_ms)}\n"
    )
    host, _, port = (target.server or "").partition(":")
    with smtplib.SMTP(host, int(port or 587), timeout=TIMEOUT_S) as server:
        server.ehlo()
        if target.user_env or not is_loopback(host):
            if not server.has_extn("starttls"):
                raise UsageError(
                    f"expected {target.server} to offer TLS (STARTTLS), as mail leaves this machine or a password is "
                    "to be sent; it does not: name a server that does, or a relay on this machine"
                )
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        if target.user_env and target.key_env:
            server.login(secret(target.user_env, environ), secret(target.key_env, environ))
        server.send_message(message)
