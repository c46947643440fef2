"""AccessTokens: what is stored cannot be called with, what is revoked is refused within a second, in every process."""

import re

import pytest

from bakeoff.config.sections import RoleConfig
from bakeoff.core.errors import NotFoundError, StoreError, UsageError
from bakeoff.security.audit import AuditLog
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import FRESH_MS, AccessTokens
from bakeoff.testing.memory import MemoryRecords


class World:
    def __init__(self, own=None) -> None:
        self.now_ms = 1_000_000
        self.records = MemoryRecords(lambda: self.now_ms)
        self.roles = Roles(own or {})
        self.tokens = self.process()

    def process(self) -> AccessTokens:
        """The tokens as another process has them."""
        return AccessTokens(self.records.documents, self.roles, lambda: self.now_ms)


def test_a_token_is_its_owner():
    world = World()
    token, text = world.tokens.create("nightly", roles=["caller"], scopes=["endpoint:rev*"])
    principal = world.process().principal(text)
    assert principal is not None
    assert (principal.name, principal.permissions) == ("token nightly", {"predict", "feedback"})
    assert principal.reaches("endpoint", "reviews")
    assert not principal.reaches("endpoint", "taxis")
    assert not principal.reaches("experiment", "reviews")
    assert not principal.may("read")
    assert world.tokens.all() == [token]


def test_what_is_stored_is_no_token():
    world = World()
    _, text = world.tokens.create("nightly", roles=["admin"])
    (document,) = world.records.documents.find("tokens")
    secret = text.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in repr(document)
    assert world.process().principal(f"bkf_{document.key}_{document.body['hash']}"[: len(text)]) is None


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), str.upper, lambda _: ""]
)
def test_another_text_is_nobody(change):
    world = World()
    _, text = world.tokens.create("nightly", roles=["admin"])
    assert world.tokens.principal(change(text)) is None


def test_a_revoked_token_is_refused_within_a_second_elsewhere():
    world = World()
    _, text = world.tokens.create("nightly", roles=["admin"])
    elsewhere = world.process()
    assert elsewhere.principal(text) is not None
    assert elsewhere.is_fresh(text)
    world.tokens.revoke("nightly")
    world.now_ms += FRESH_MS
    assert not elsewhere.is_fresh(text)
    assert elsewhere.principal(text) is None
    assert FRESH_MS < 1000


def test_a_token_ends_at_its_time():
    world = World()
    _, text = world.tokens.create("nightly", roles=["admin"], lifetime_ms=100)
    world.now_ms += 99
    assert world.tokens.principal(text) is not None
    world.now_ms += 1
    assert world.tokens.principal(text) is None  # though what is known of it is fresh


def test_names_of_tokens_that_several_have_are_asked_for():
    world = World()
    first, _ = world.tokens.create("nightly", roles=["caller"])
    world.tokens.create("nightly", roles=["caller"])
    with pytest.raises(UsageError, match=f"2 that are called 'nightly'.*{first.id}"):
        world.tokens.revoke("nightly")
    assert world.tokens.revoke(first.id).revoked_ms == world.now_ms
    assert world.tokens.revoke("nightly").id != first.id  # the only one left
    with pytest.raises(NotFoundError, match="tokens list"):
        world.tokens.revoke("daily")


@pytest.mark.parametrize(
    ("roles", "scopes", "message"),
    [
        ([], [], "expected a role"),
        (["caler"], [], "Did you mean 'caller'?"),
        (["caller"], ["endpoints:a"], "Did you mean 'endpoint'?"),
        (["caller"], ["reviews"], "endpoint:reviews"),
    ],
)
def test_a_wrong_role_or_scope_makes_no_token(roles, scopes, message):
    world = World()
    with pytest.raises(UsageError, match=re.escape(message)):
        world.tokens.create("nightly", roles=roles, scopes=scopes)
    assert world.tokens.all() == []


def test_what_a_role_denies_no_other_allows():
    world = World({"no-writes": RoleConfig(deny=("track", "run")), "pusher": RoleConfig(allow=("track",))})
    _, text = world.tokens.create("ci", roles=["contributor", "no-writes"])
    principal = world.tokens.principal(text)
    assert principal is not None
    assert principal.permissions == {"read", "predict", "feedback", "annotate"}
    _, text = world.tokens.create("push", roles=["pusher"])
    assert world.tokens.principal(text).permissions == {"track"}


def test_a_role_of_nothing_is_an_error_of_the_file():
    with pytest.raises(UsageError, match=r"auth\.roles\.idle"):
        Roles({"idle": RoleConfig()})


@pytest.mark.parametrize("pattern", ["?", "[!p]*", "[*]", "pri?ate", "p*"])
def test_a_pattern_is_not_everything(pattern):
    world = World()
    _, text = world.tokens.create("some", roles=["admin"], scopes=[f"experiment:{pattern}"])
    assert not world.tokens.principal(text).everything("experiment")


def test_a_star_is_everything_of_its_kind_and_no_scope_of_each():
    world = World()
    _, star = world.tokens.create("star", roles=["admin"], scopes=["experiment:*"])
    _, none = world.tokens.create("none", roles=["admin"])
    assert [world.tokens.principal(star).everything(kind) for kind in ("experiment", "model")] == [True, False]
    assert world.tokens.principal(none).everything("model")


@pytest.mark.parametrize("name", ["", "  ", "a\x1b[31mb", "two\nlines"])
def test_a_name_that_cannot_be_shown_makes_no_token(name):
    world = World()
    with pytest.raises(UsageError, match="name of printable characters"):
        world.tokens.create(name, roles=["caller"])
    assert world.tokens.all() == []


def test_a_token_and_its_record_are_written_together_or_not_at_all():
    world = World()
    log = AuditLog(world.records.documents, lambda: world.now_ms)
    before = log.changes("another", "thing", who="ada")
    stale = [before]

    def audit(token):
        return stale.pop() if stale else log.changes("token created", f"token {token.id}", who="ada")

    log.add("meanwhile", "thing", who="bo")
    token, _ = world.tokens.create("nightly", roles=["viewer"], audit=audit)
    assert [each.action for each in log.records()] == ["meanwhile", "token created"]

    def broken(token):
        raise StoreError("the log is away")

    with pytest.raises(StoreError):
        world.tokens.create("other", roles=["viewer"], audit=broken)
    with pytest.raises(StoreError):
        world.tokens.revoke(token.id, audit=broken)
    assert world.tokens.all() == [token]


def test_sessions_that_have_ended_go_with_the_next_and_are_ended_without_reading_all():
    world = World()
    sessions = AccessTokens(world.records.documents, world.roles, lambda: world.now_ms, kind="session")
    old, _ = sessions.create("ada", roles=["viewer"], lifetime_ms=10)
    out, _ = sessions.create("ada", roles=["viewer"], lifetime_ms=1_000)
    sessions.revoke(out.id)
    world.now_ms += 10
    new, text = sessions.create("ada", roles=["viewer"], lifetime_ms=1_000)
    assert [each.id for each in sessions.all()] == [new.id]
    sessions.all = None
    assert sessions.revoke(new.id).revoked_ms == world.now_ms
    assert sessions.principal(text) is None
    with pytest.raises(NotFoundError):
        sessions.revoke(old.id)
