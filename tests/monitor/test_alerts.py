"""Alerts: they begin, go on and end once, and everybody who is to be told is told once."""

import json
import socketserver
import ssl
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bakeoff.config.sections import AlertRule, AlertsConfig, AlertTarget
from bakeoff.core.errors import ConfigError, NotFoundError, UsageError
from bakeoff.monitor.alerts import Alerts
from bakeoff.monitor.dashboards import dashboard, exposition, rules, write
from bakeoff.monitor.deliver import SIGNATURE, TIME, deliver, signature
from bakeoff.monitor.signals import MonitorReport, Signal
from bakeoff.security.certificates import local_authority
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.memory import MemoryRecords

HOUR = 3_600_000


def report(hour: float, value: float | None = 0.1, *, alert: bool = False, name: str = "drift") -> MonitorReport:
    now_ms = int(hour * HOUR)
    signal = Signal(
        name=name,
        value=value,
        limit=0.2,
        alert=alert,
        rows=9,
        since_ms=0,
        until_ms=now_ms,
        detail={"columns": {'a"b': 0.5}},
    )
    return MonitorReport(endpoint="late", release_id="r1", since_ms=0, until_ms=now_ms, signals=(signal,))


class Told:
    """Who was told what; the first `failures` deliveries fail."""

    def __init__(self, failures: int = 0) -> None:
        self.events, self.failures = [], failures

    def __call__(self, name, event):
        if self.failures:
            self.failures -= 1
            raise OSError("unreachable")
        self.events.append((name, event.kind, event.id))


def alerts(told, documents=None, **config) -> Alerts:
    documents = documents or MemoryRecords(FakeClock()).documents
    return Alerts(documents, "late", AlertsConfig(to={"us": AlertTarget(kind="log")}, **config), told)


def kinds(alerts: Alerts, *reports) -> list[str]:
    return [event.kind for each in reports for event in alerts.see(each)]


def test_an_alert_begins_once_and_ends_once():
    told = Told()
    seen = alerts(told)
    looks = [report(hour, alert=2 <= hour < 6) for hour in range(1, 12)]
    assert kinds(seen, *looks) == ["begun", "ended"]
    assert [kind for _, kind, _ in told.events] == ["begun", "ended"]


def test_one_calm_look_between_ends_nothing():
    seen = alerts(Told())
    assert kinds(seen, *[report(hour, alert=hour != 4) for hour in range(1, 9)]) == ["begun"]


def test_what_goes_on_is_told_again_after_the_cool_down():
    seen = alerts(Told(), cool_down_h=5)
    assert kinds(seen, *[report(hour, alert=True) for hour in range(1, 13)]) == ["begun", "goes on", "goes on"]


def test_what_comes_back_within_the_cool_down_is_not_told_until_it_is_over():
    seen = alerts(Told(), cool_down_h=10)
    on = {1, 4, 5, 6, 7, 8, 9, 10, 11, 12}
    assert kinds(seen, *[report(hour, alert=hour in on) for hour in range(1, 13)]) == ["begun", "ended", "begun"]


def test_a_rule_of_ones_own_has_a_limit_a_margin_and_patience():
    rule = AlertRule(signal="drift", above=0.3, margin=0.1, after=2, until=1, severity="critical")
    seen = alerts(Told(), rules={"much": rule})
    values = [0.4, 0.2, 0.4, 0.4, 0.25, 0.25, 0.2]
    assert kinds(seen, *[report(1 + at, value) for at, value in enumerate(values)]) == ["begun", "ended"]
    quiet = alerts(Told(), rules={"quiet": AlertRule(signal="volume", below=10)})
    assert kinds(quiet, report(1, 50, name="volume"), report(2, 5, name="volume")) == ["begun"]


def test_the_same_look_twice_tells_once_and_an_older_one_nothing():
    seen = alerts(Told())
    assert kinds(seen, report(3, alert=True), report(3, alert=True), report(2, alert=False)) == ["begun"]


def test_of_two_that_look_at_once_one_tells():
    documents, told = MemoryRecords(FakeClock()).documents, Told()

    class Beaten:
        def __getattr__(self, name):
            return getattr(documents, name)

        def put(self, *given, **named):
            if not told.events:
                alerts(told, documents).see(report(3, alert=True))
            return documents.put(*given, **named)

    alerts(told, Beaten()).see(report(3, alert=True))
    assert [kind for _, kind, _ in told.events] == ["begun"]


def test_what_could_not_be_delivered_is_delivered_at_the_next_look_under_the_same_id():
    told = Told(failures=1)
    seen = alerts(told)
    seen.see(report(1, alert=True))
    assert told.events == []
    seen.see(report(2, alert=True))
    ((_, kind, name),) = told.events
    assert (kind, name) == ("begun", f"late/drift/{HOUR}/begun/{HOUR}")


def test_who_looks_while_another_delivers_tells_nothing_twice():
    documents, told = MemoryRecords(FakeClock()).documents, Told()
    other = alerts(told, documents, rules={"quiet": AlertRule(signal="volume", below=10)})

    def slow(name, event):
        if not told.events:
            told(name, event)
            other.see(report(3.01, 5, name="volume"))  # adds an event; the first look delivers it
            assert len(told.events) == 1
        else:
            told(name, event)

    alerts(slow, documents).see(report(3, alert=True))
    assert [(kind, name.split("/")[1]) for _, kind, name in told.events] == [("begun", "drift"), ("begun", "quiet")]
    assert Alerts(documents, "late", AlertsConfig(), told)._state()[0].waiting == []


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize("later_ms", [301_000, -HOUR])
def test_what_a_killed_look_was_to_deliver_is_delivered_when_its_claim_ran_out(later_ms):
    documents, told = MemoryRecords(FakeClock()).documents, Told()

    def dying(name, event):
        raise Killed

    with pytest.raises(Killed):
        alerts(dying, documents).see(report(5, alert=True))
    alerts(told, documents).see(report(5.05, alert=True))
    assert told.events == []
    alerts(told, documents).see(report(5 + later_ms / HOUR, alert=True))  # also by a clock that was set back
    assert [name for _, _, name in told.events] == [f"late/drift/{5 * HOUR}/begun/{5 * HOUR}"]


def test_a_target_that_is_not_reached_is_tried_once_a_look_and_named_in_the_log(caplog):
    tried = []
    config = AlertsConfig(
        rules={"low": AlertRule(signal="drift", above=0.0)},
        to={"gone": AlertTarget(kind="log"), "there": AlertTarget(kind="log")},
    )

    def deliver(name, event):
        tried.append((name, event.rule))
        if name == "gone":
            raise OSError("unreachable")

    seen = Alerts(MemoryRecords(FakeClock()).documents, "late", config, deliver)
    seen.see(report(1, alert=True))
    assert sorted(tried) == [("gone", "drift"), ("there", "drift"), ("there", "low")]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        "gone was not reached with '[warning] late: drift begun', the next look tries again: OSError: unreachable"
    )
    seen.see(report(2, alert=True))
    assert len(tried) == 4


def test_silence_tells_nobody_and_ends():
    told = Told()
    seen = alerts(told, cool_down_h=24)
    seen.silence("dr*", 3 * HOUR)
    assert kinds(seen, report(1, alert=True), report(2, alert=True)) == []
    assert told.events == []
    seen.see(report(4, alert=True))  # it goes on after the silence, and nobody knew
    assert [(kind, name) for _, kind, name in told.events] == [("begun", f"late/drift/{HOUR}/begun/{4 * HOUR}")]
    with pytest.raises(NotFoundError, match="drift"):
        seen.silence("drfit", 1)


def test_what_ended_in_silence_is_told_after_it_if_it_had_been_told():
    told = Told()
    seen = alerts(told, cool_down_h=1)
    seen.see(report(1, alert=True))
    seen.silence("drift", 4 * HOUR)
    seen.see(report(2))
    assert [kind for _, kind, _ in told.events] == ["begun"]
    seen.see(report(3, alert=True))  # begins anew, ends, and nobody need know
    seen.see(report(3.5))
    seen.see(report(5))
    assert [kind for _, kind, _ in told.events] == ["begun", "ended"]


def test_only_what_is_severe_enough_is_told():
    told = Told()
    documents = MemoryRecords(FakeClock()).documents
    config = AlertsConfig(
        rules={"low": AlertRule(signal="drift", severity="info")},
        to={"pager": AlertTarget(kind="log", least="critical"), "log": AlertTarget(kind="log")},
    )
    Alerts(documents, "late", config, told).see(report(1, alert=True))
    assert [name for name, _, _ in told.events] == ["log"]


@pytest.fixture
def hook():
    """A server on loopback and what it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, dict(self.headers), body))
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def event():
    seen = alerts(Told())
    return seen.see(report(5, 0.4, alert=True))[0]


def test_a_webhook_is_signed_and_slack_has_its_shape(hook):
    url, got = hook
    deliver(AlertTarget(kind="webhook", url=f"{url}/a", key_env="KEY"), event(), {"KEY": "k"})
    deliver(AlertTarget(kind="slack", url_env="URL"), event(), {"URL": f"{url}/b"})
    (path, headers, body), (_, _, slack) = got
    assert path == "/a"
    assert headers[SIGNATURE] == signature("k", headers[TIME], body)
    assert json.loads(body) | {"id": ""} == {
        "format": 1, "id": "", "endpoint": "late", "rule": "drift", "signal": "drift", "kind": "begun",
        "severity": "warning", "value": 0.4, "limit": 0.2, "reason": "drift is 0.4 (limit 0.2)", "since_ms": 5 * HOUR,
        "time_ms": 5 * HOUR,
    }  # fmt: skip
    told = json.loads(slack)
    assert told["text"] == "[warning] late: drift begun"
    assert told["attachments"][0]["text"] == "drift is 0.4 (limit 0.2)"


def test_a_redirection_is_an_error_and_so_are_a_lacking_secret_and_another_scheme(hook):
    url, got = hook
    with pytest.raises(OSError, match="302"):
        deliver(AlertTarget(kind="webhook", url=f"{url}/away"), event(), {})
    assert len(got) == 1
    with pytest.raises(ConfigError, match="KEY"):
        deliver(AlertTarget(kind="webhook", url=url, key_env="KEY"), event(), {})
    with pytest.raises(UsageError, match="https"):
        deliver(AlertTarget(kind="webhook", url="file:///etc/passwd"), event(), {})
    with pytest.raises(UsageError, match="without spaces") as caught:
        deliver(AlertTarget(kind="slack", url_env="URL"), event(), {"URL": f"{url}/secret path"})
    assert "secret" not in str(caught.value)


def mail_to(host, port, **given):
    server = f"{host}:{port}"
    given = {"sender": "a@b.example", "recipients": ("c@d.example", "e@f.example")} | given
    return AlertTarget(kind="email", server=server, **given)


def test_mail_arrives(smtp):
    port, mails = smtp
    deliver(mail_to("127.0.0.1", port), event(), {})
    assert "Subject: [warning] late: drift begun" in mails[0]
    assert "drift is 0.4 (limit 0.2)" in mails[0]
    with pytest.raises(UsageError, match="TLS"):
        deliver(mail_to("127.0.0.1", port, user_env="U", key_env="K"), event(), {"U": "u", "K": "k"})
    with pytest.raises(UsageError, match="as mail leaves this machine"):
        deliver(mail_to("0.0.0.0", port), event(), {})  # no loopback address, and answered here
    assert len(mails) == 1


def test_mail_with_a_password_goes_to_a_server_that_is_who_it_says(tls_smtp, monkeypatch):
    port, mails, authority = tls_smtp
    secrets = {"U": "u", "K": "k"}
    with pytest.raises(ssl.SSLCertVerificationError):
        deliver(mail_to("localhost", port, user_env="U", key_env="K"), event(), secrets)
    assert mails == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    deliver(mail_to("localhost", port, user_env="U", key_env="K"), event(), secrets)
    assert "Subject: [warning] late: drift begun" in mails[0]


@pytest.fixture
def smtp():
    """The port of a server of mail on loopback that has no TLS, and the mails that it got."""
    with mail_server() as server:
        yield server


@pytest.fixture
def tls_smtp(tmp_path):
    """One that has TLS: its port, the mails that it got, and the file of the authority that signed its certificate."""
    pytest.importorskip("cryptography")
    context = local_authority(tmp_path).context()
    with mail_server(context) as (port, mails):
        yield port, mails, tmp_path / "authority.pem"


@contextmanager
def mail_server(tls=None):
    mails = []

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text):
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self):
            with suppress(OSError):
                self.say("220 here")
                self.talk()

        def finish(self):
            super().finish()
            self.request.close()

        def talk(self):
            data = None
            while raw := self.rfile.readline():
                line = raw.decode().rstrip("\r\n")
                word = line.upper().split(" ")[0]
                if data is not None:
                    if line != ".":
                        data.append(line)
                        continue
                    mails.append("\n".join(data))
                    data = None
                if word == "EHLO" and tls:
                    self.say("250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN")
                elif word == "STARTTLS":
                    self.say("220 go on")
                    self.request = tls.wrap_socket(self.request, server_side=True)
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
                elif word == "DATA":
                    data = []
                    self.say("354 go on")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("235 welcome" if word == "AUTH" else "250 fine")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1], mails
        server.shutdown()
        thread.join()


def test_test_fire_says_what_went_wrong_by_target():
    config = AlertsConfig(
        to={"log": AlertTarget(kind="log"), "gone": AlertTarget(kind="webhook", url="http://127.0.0.1:1/")}
    )
    tried = Alerts(
        MemoryRecords(FakeClock()).documents, "late", config, lambda name, event: deliver(config.to[name], event, {})
    ).test(5)
    assert tried["log"] is None
    assert "refused" in tried["gone"]


def test_prometheus_text_and_dashboards(tmp_path):
    text = exposition([report(5, 0.4, alert=True)])
    assert 'bakeoff_signal_value{endpoint="late",signal="drift"} 0.4\n' in text
    assert 'bakeoff_signal_alert{endpoint="late",signal="drift"} 1\n' in text
    assert 'bakeoff_drift_psi{endpoint="late",column="a\\"b"} 0.5\n' in text
    assert "bakeoff_monitor_time_seconds{" in text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    asked = json.dumps([dashboard(), rules()])
    assert {name for name in names if name in asked} >= names - {"bakeoff_signal_rows"}
    first, second = write(tmp_path / "made")
    assert json.loads(first.read_text())["panels"][0]["id"] == 1
    assert len(json.loads(second.read_text())["groups"][0]["rules"]) == 11
