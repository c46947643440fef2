"""Personal data as people write it, and what only looks like it: 600 of each, the same for tests and benchmarks.

Forms come from issuers' documentation and everyday carriers (prose, csv, JSON, logs, code, links), not from the patterns
that look for them. Tokens are put together here, so that no scanner takes this file for a leak.
"""

# fmt: off
# ruff: noqa: E501

import hashlib
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

from bakeoff.prepare.personal_data.kinds import IBAN_LENGTHS, iban_is_valid, luhn_is_valid
from bakeoff.prepare.personal_data.national_ids import NATIONAL_IDS

UPPER, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
MIXED, HEX, B64 = UPPER + LOWER + DIGITS, "0123456789abcdef", UPPER + LOWER + DIGITS + "-_"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
COUNTS = {
    "email": 60, "phone": 70, "iban": 50, "card": 50, "ip": 50, "mac": 40, "wallet": 30, "national_id": 70,
    "birth_date": 40, "address": 40, "secret": 70, "credential": 30,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A text, and what it holds (nothing: a hard negative)."""

    text: str
    kind: str | None
    value: str = ""


def some(r: random.Random, n: int, of: str = MIXED) -> str:
    return "".join(r.choices(of, k=n))


def grouped(text: str, size: int, mark: str) -> str:
    return mark.join(text[i : i + size] for i in range(0, len(text), size))


NAMES = ["anna", "lee", "j.smith", "maria-luisa", "bob_77", "o.neil", "x.y.z", "kim.park", "zoe42", "t.müller", "info.desk", "first+tag", "a1"]
HOSTS = (
    ["example.org", "mail.example.co.uk", "sub.host.de", "bücher.example", "firma-gmbh.de", "uni.ac.jp", "x.io", "site.museum", "EXAMPLE.COM"]
)


def email(r: random.Random) -> str:
    name, host = r.choice(NAMES), r.choice(HOSTS)
    plain = f"{name}@{host}"
    bare, (one, *rest) = r.choice(["anna.lee", "j_smith", "bob77"]), r.choice(["example.org", "acme.co.uk"]).split(".")
    dots = " dot ".join([one, *rest])
    return r.choice(
        [
            *[plain] * 6,
            f"{bare} (at) {one} (dot) {' (dot) '.join(rest)}",
            f"{bare}[at]{one}[dot]{'[dot]'.join(rest)}",
            f"{bare} at {dots}",
            f"{bare}@{one} dot {' dot '.join(rest)}",
            f"{bare} [at] {one}.{'.'.join(rest)}",
        ]
    )


def phone(r: random.Random) -> str:
    d = lambda n: some(r, n, DIGITS)  # noqa: E731
    return r.choice(
        [
            f"+44 20 7946 {d(4)}", f"+1-415-555-{d(4)}", f"+1 (212) 555-{d(4)}", f"+49 (0)30 {r.randint(2, 8)}{d(6)}",
            f"(212) 555-{d(4)}", f"415.555.{d(4)}", f"415-555-{d(4)}", f"+33 1 42 68 {d(2)} {d(2)}",
            f"0041 44 668 {d(2)} {d(2)}", f"+86138{d(8)}", f"030 {r.randint(2, 8)}{d(6)}", f"020 7946 {d(4)}",
            f"07700 900{d(3)}", f"01 42 68 {d(2)} {d(2)}", f"+91 98{d(3)} {d(5)}", f"+55 11 9{d(4)}-{d(4)}",
            f"+81 3-{r.randint(3, 6)}{d(3)}-{d(4)}", f"+61 4{r.randint(0, 3)}{d(1)} {d(3)} {d(3)}", f"+34 91 {r.randint(2, 8)}{d(2)} {d(2)} {d(2)}",
            f"06 12 {d(2)} {d(2)} {d(2)}", f"0171/{r.randint(2, 8)}{d(6)}", f"1-800-555-{d(4)}", f"+1 650 253 {d(4)}",
            f"+39 06 698{d(5)}", f"+7 495 {r.randint(2, 9)}{d(2)}-{d(2)}-{d(2)}", f"tel:+1-201-555-0{d(3)}", f"0{r.choice('23')}1-{r.randint(2, 8)}{d(6)}",
        ]
    ).removeprefix("tel:")


PHONE_AROUND = ["Call {} now", "tel: {}", "Phone {}, ext. 4", "{}", "Tel. {}", "mobile {} or home", "you can reach me at {}"]


def iban(r: random.Random, *, valid: bool = True) -> str:
    country = r.choice(sorted(IBAN_LENGTHS))
    letters = {"GB": 4, "NL": 4, "IE": 4, "LV": 4, "BG": 4, "RO": 4}.get(country, 0)
    body = some(r, letters, UPPER) + some(r, IBAN_LENGTHS[country] - 4 - letters, DIGITS)
    checks = [f"{n:02d}" for n in range(2, 99)]
    right = next(c for c in checks if iban_is_valid(country + c + body))
    number = country + (right if valid else r.choice([c for c in checks if c != right])) + body
    return r.choice([number, grouped(number, 4, " "), grouped(number, 4, "\u00a0"), number.lower(), grouped(number, 4, "-")])


def card(r: random.Random, *, valid: bool = True) -> str:
    start, length = r.choice([("4", 16), ("51", 16), ("34", 15), ("6011", 16), ("3530", 16), ("36", 14), ("2223", 16)])
    body = start + some(r, length - len(start) - 1, DIGITS)
    right = next(c for c in DIGITS if luhn_is_valid(body + c))
    number = body + (right if valid else r.choice([c for c in DIGITS if c != right]))
    if length == 15:
        return r.choice([number, f"{number[:4]} {number[4:10]} {number[10:]}", f"{number[:4]}-{number[4:10]}-{number[10:]}"])
    return r.choice([number, number, grouped(number, 4, " "), grouped(number, 4, "-"), grouped(number, 4, "\u00a0")])


def ip(r: random.Random) -> str:
    four = ".".join(str(r.randint(1, 254)) for _ in range(4))
    groups = [f"{r.randint(1, 65535):x}" for _ in range(8)]
    return r.choice([four, four, f"10.{r.randint(0, 9)}.0.{r.randint(1, 9)}", ":".join(groups), f"2001:db8::{groups[0]}",
                     f"::ffff:{four}", f"fe80::1:{groups[0]}", f"2001:0DB8:{groups[1].upper()}::1"])


def mac(r: random.Random) -> str:
    pairs = [f"{r.randrange(256):02x}" for _ in range(6)]
    return r.choice([":".join(pairs), "-".join(pairs).upper(), ":".join(pairs).upper(),
                     ".".join(a + b for a, b in zip(*[iter(pairs)] * 2, strict=True))])


def base58check(r: random.Random, version: int) -> str:
    content = bytes([version]) + r.randbytes(20)
    number = int.from_bytes(content + hashlib.sha256(hashlib.sha256(content).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, rest = divmod(number, 58)
        text = BASE58[rest] + text
    return "1" * (version == 0) + text


def bech32(r: random.Random) -> str:
    alphabet, values = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", [0, *(r.randrange(32) for _ in range(32))]
    prefix = [ord(c) >> 5 for c in "bc"] + [0] + [ord(c) & 31 for c in "bc"]
    check = 1
    for value in [*prefix, *values, 0, 0, 0, 0, 0, 0]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    check ^= 1
    return "bc1" + "".join(alphabet[v] for v in [*values, *(check >> 5 * (5 - i) & 31 for i in range(6))])


def wallet(r: random.Random) -> str:
    return r.choice([lambda: base58check(r, 0), lambda: base58check(r, 5), lambda: bech32(r), lambda: "0x" + some(r, 40, HEX)])()


ID_FORMS: dict[str, tuple[str, str]] = {
    "US": ("SSN {}", "ddd-dd-dddd"), "GB": ("NHS number {}", "ddd ddd dddd"), "FR": ("NIR : {}", "1 dd 0d dd ddd ddd dd"),
    "DE": ("Steuer-ID {}", "dd ddd ddd ddd"), "ES": ("DNI {}", "ddddddddA"), "IT": ("CF {}", "AAAAAAddAddAdddA"),
    "NL": ("BSN: {}", "ddddddddd"), "BE": ("Rijksregisternummer {}", "dd.0d.1d-ddd.dd"), "PL": ("PESEL {}", "dd0d1dddddd"),
    "SE": ("personnummer {}", "dd0d1d-dddd"), "FI": ("henkilötunnus {}", "1d0ddd-dddA"), "NO": ("fødselsnummer {}", "1d0ddd ddddd"),
    "BR": ("CPF {}", "ddd.ddd.ddd-dd"), "CA": ("SIN {}", "ddd ddd ddd"), "AU": ("TFN {}", "ddd ddd ddd"),
    "CN": ("身份证 {}", "11010119dd0d1ddddd"), "IN": ("Aadhaar {}", "dddd dddd dddd"), "KR": ("주민등록번호 {}", "dd0d1d-1dddddd"),
    "TR": ("TC kimlik no {}", "ddddddddddd"), "CH": ("AHV {}", "756.dddd.dddd.dd"),
}


def national_id(r: random.Random, country: str = "", *, valid: bool = True) -> tuple[str, str]:
    """How it is called, and the number."""
    country = country or r.choice(sorted(ID_FORMS))
    around, form = ID_FORMS[country]
    (kind,) = [kind for kind in NATIONAL_IDS if kind.country == country]
    while True:
        number = "".join(r.choice(DIGITS) if c == "d" else r.choice(UPPER) if c == "A" else c for c in form)
        plain = "".join(c for c in number if c not in " .+-") if country != "FI" else number
        try:
            if kind.pattern.fullmatch(number) and bool(kind.is_valid(plain)) == valid:
                return around, number
        except (ValueError, KeyError, IndexError):
            continue


MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]


def date(r: random.Random) -> str:
    y, m, d = r.randint(1930, 2012), r.randint(1, 12), r.randint(1, 28)
    return r.choice([f"{y}-{m:02}-{d:02}", f"{d:02}.{m:02}.{y}", f"{m}/{d}/{y}", f"{d} {MONTHS[m - 1]} {y}",
                     f"{MONTHS[m - 1]} {d}, {y}", f"{MONTHS[m - 1][:3]} {d}, {y}", f"{d}. {MONTHS[m - 1]} {y}", f"{d:02}/{m:02}/{y}"])


BORN_AROUND = ["born on {}", "DOB: {}", "date of birth {}", "geboren am {} in Bonn", "née le {}", "birthday: {}", "She was born {}",
               "D.O.B. {}", "Geburtsdatum: {}", '{{"birth_date": "{}"}}', "nacido el {}", "date_of_birth,{}"]


def address(r: random.Random) -> str:
    n = r.randint(1, 299)
    return r.choice([
        f"{n} {r.choice(['Evergreen Terrace', 'Maple Street', 'Oak Ave', 'N Main St', 'Sunset Blvd'])}, Springfield, IL {r.randint(10000, 99999)}",
        f"{n} {r.choice(['Baker Street', 'High Road', 'Church Lane'])}, London {r.choice(['SW1A 2AA', 'NW1 6XE', 'E1 6AN'])}",
        f"{r.choice(['Hauptstraße', 'Bahnhofstr.', 'Goetheweg', 'Am Markt'])} {n}, {r.randint(10000, 99999)} Berlin",
        f"{n} rue de la Paix, 750{r.randint(10, 20)} Paris", f"Calle Mayor {n}, 280{r.randint(10, 50)} Madrid",
        f"Via Roma {n}, 001{r.randint(10, 99)} Roma", f"Damstraat {n}, 10{r.randint(10, 99)} JL Amsterdam",
        f"P.O. Box {r.randint(100, 9999)}",
    ])


TOKENS: dict[str, Callable[[random.Random], str]] = {
    "aws": lambda r: "AK" + "IA" + some(r, 16, UPPER + "234567"), "aws-sts": lambda r: "AS" + "IA" + some(r, 16, UPPER + "234567"),
    "github": lambda r: r.choice(["gh" + x + "_" for x in "pousr"]) + some(r, 36), "github-pat": lambda r: "github" + "_pat_" + some(r, 22) + "_" + some(r, 59),
    "gitlab": lambda r: "gl" + "pat-" + some(r, 20, B64), "npm": lambda r: "np" + "m_" + some(r, 36), "pypi": lambda r: "py" + "pi-AgEIcHlwaS5vcmc" + some(r, 70, B64),
    "docker": lambda r: "dckr" + "_pat_" + some(r, 27, B64), "hf": lambda r: "h" + "f_" + some(r, 34, UPPER + LOWER), "slack-bot": lambda r: "xo" + f"xb-{some(r, 12, DIGITS)}-{some(r, 12, DIGITS)}-{some(r, 24)}",
    "slack-app": lambda r: "xa" + f"pp-1-A{some(r, 10, UPPER + DIGITS)}-{some(r, 13, DIGITS)}-{some(r, 64, HEX)}", "slack-hook": lambda r: "hooks.slack" + f".com/services/T{some(r, 8, UPPER + DIGITS)}/B{some(r, 8, UPPER + DIGITS)}/{some(r, 24)}",
    "stripe": lambda r: "sk" + "_live_" + some(r, 24), "stripe-r": lambda r: "rk" + "_live_" + some(r, 40), "stripe-hook": lambda r: "wh" + "sec_" + some(r, 32), "openai": lambda r: "sk" + "-" + some(r, 48), "openai-project": lambda r: "sk" + "-proj-" + some(r, 60, B64),
    "anthropic": lambda r: "sk" + "-ant-api03-" + some(r, 93, B64) + "AA", "groq": lambda r: "gs" + "k_" + some(r, 52), "xai": lambda r: "xa" + "i-" + some(r, 80), "replicate": lambda r: "r" + "8_" + some(r, 37), "perplexity": lambda r: "pp" + "lx-" + some(r, 48),
    "nvidia": lambda r: "nv" + "api-" + some(r, 64, B64), "google": lambda r: "AI" + "za" + some(r, 35, B64), "google-oauth": lambda r: "GO" + "CSPX-" + some(r, 28, B64), "google-access": lambda r: "ya" + "29." + some(r, 60, B64), "sendgrid": lambda r: "S" + f"G.{some(r, 22, B64)}.{some(r, 43, B64)}",
    "mailgun": lambda r: "ke" + "y-" + some(r, 32, HEX), "mailchimp": lambda r: some(r, 32, HEX) + "-us" + str(r.randint(1, 21)), "brevo": lambda r: "xk" + "eysib-" + some(r, 64, HEX) + "-" + some(r, 16), "digitalocean": lambda r: "do" + "p_v1_" + some(r, 64, HEX), "shopify": lambda r: "sh" + "pat_" + some(r, 32, HEX),
    "square": lambda r: "sq" + "0atp-" + some(r, 22, B64), "vault": lambda r: "hv" + "s." + some(r, 90, B64), "terraform": lambda r: some(r, 14) + ".at" + "lasv1." + some(r, 67, B64), "databricks": lambda r: "da" + "pi" + some(r, 32, HEX), "linear": lambda r: "li" + "n_api_" + some(r, 40),
    "atlassian": lambda r: "AT" + "ATT3" + some(r, 186, B64), "telegram": lambda r: some(r, 10, "123456789") + ":AA" + some(r, 33, B64), "discord": lambda r: "M" + some(r, 23) + "." + some(r, 6) + "." + some(r, 27, B64), "pulumi": lambda r: "pu" + "l-" + some(r, 40, HEX), "postman": lambda r: "PM" + "AK-" + some(r, 24, HEX) + "-" + some(r, 34, HEX),
    "newrelic": lambda r: "NR" + "AK-" + some(r, 27, UPPER), "grafana": lambda r: "gl" + "sa_" + some(r, 32) + "_" + some(r, 8, HEX), "grafana-cloud": lambda r: "gl" + "c_" + some(r, 60), "sentry": lambda r: "sn" + "trys_" + some(r, 60), "doppler": lambda r: "dp" + ".pt." + some(r, 43), "supabase": lambda r: "sb" + "p_" + some(r, 40, HEX),
    "figma": lambda r: "fi" + "gd_" + some(r, 40, B64), "notion": lambda r: "nt" + "n_" + some(r, 46), "twilio": lambda r: "S" + "K" + some(r, 32, HEX), "posthog": lambda r: "ph" + "c_" + some(r, 43), "tailscale": lambda r: "ts" + f"key-auth-{some(r, 17)}-{some(r, 32)}", "rubygems": lambda r: "ru" + "bygems_" + some(r, 48, HEX),
    "jwt": lambda r: "ey" + "J" + some(r, 33, B64) + ".ey" + "J" + some(r, 70, B64) + "." + some(r, 43, B64), "pem": lambda r: "-----BEGIN RSA " + "PRIVATE KEY-----\n" + grouped(some(r, 128), 64, "\n") + "\n-----END RSA " + "PRIVATE KEY-----",
    "pem-json": lambda r: "-----BEGIN " + "PRIVATE KEY-----\\n" + some(r, 64) + "\\n-----END " + "PRIVATE KEY-----", "openssh": lambda r: "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + some(r, 70) + "\n-----END OPENSSH " + "PRIVATE KEY-----", "age": lambda r: "AGE-" + "SECRET-KEY-1" + some(r, 58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    "airtable": lambda r: "pa" + "t" + some(r, 14) + "." + some(r, 64, HEX), "planetscale": lambda r: "ps" + "cale_tkn_" + some(r, 43, B64), "easypost": lambda r: "EZ" + "AK" + some(r, 54), "dynatrace": lambda r: "dt" + "0c01." + some(r, 24, UPPER + DIGITS) + "." + some(r, 64, UPPER + DIGITS), "okta": lambda r: "00" + some(r, 40, B64),
}
PLAIN_TOKENS = [name for name in TOKENS if name != "okta"]
ASSIGNED = ['password = "{}"', "API_KEY={}", '"client_secret": "{}"', "secret_key: {}", "DB_PASSWORD='{}'", "auth_token = '{}'",
            "AWS_SECRET_ACCESS_KEY={}", "Authorization: Bearer {}", "--password {}", "passwd: {}"]


def secret(r: random.Random, number: int) -> tuple[str, str]:
    """What stands around it, and the secret."""
    if number < len(PLAIN_TOKENS):
        return r.choice(["token {}", '"{}"', "export X={}", "{}", "curl -H 'X: {}' https://x.org"]), TOKENS[PLAIN_TOKENS[number]](r)
    return r.choice(ASSIGNED), some(r, 10) + r.choice("!#_-") + some(r, 12) + str(r.randint(10, 99))


def credential(r: random.Random) -> tuple[str, str]:
    user, word = r.choice(["admin", "root", "app_user", "svc"]), some(r, 9) + r.choice("!$%_") + "7"
    host = r.choice(["db.example.org:5432/prod", "mongo-0.internal/x", "cache:6379"])
    scheme = r.choice(["postgres", "postgresql+psycopg", "mysql", "mongodb+srv", "amqp", "https", "ftp", "redis"])
    return r.choice([
        (f"{scheme}://{{}}@{host}", f"{user}:{word}"), (f"{scheme}://{{}}@{host}", f"{user}:{word}"), (f"redis://{{}}@{host}", f":{word}"),
        (f"Server=tcp:x;Database=y;User ID={user};Password={{}};Encrypt=True", word), (f"jdbc:sqlserver://x;user={user};password={{}};", word),
    ])


AROUND = ["Please see {} today.", "({})", "{}", "Her details: {}, as agreed", "look:\n{}\nthen go on", "“{}”", "Bob,{},yes", '{{"v": "{}", "n": 1}}',
          "| {} | x |", "<td>{}</td>", "v={}&y=1", "2024-05-01 12:00:01 INFO user={} ok", "- {}"]


def positives(seed: int = 14) -> list[Sample]:
    r = random.Random(seed)
    samples: list[Sample] = []
    for kind, count in COUNTS.items():
        for number in range(count):
            around = r.choice(AROUND)
            if kind == "secret":
                around, value = secret(r, number)
            elif kind == "credential":
                around, value = credential(r)
            elif kind == "national_id":
                around, value = national_id(r, sorted(ID_FORMS)[number % len(ID_FORMS)])
            elif kind == "birth_date":
                around, value = r.choice(BORN_AROUND), date(r)
            elif kind == "phone":
                around, value = r.choice([*PHONE_AROUND, around]), phone(r)
            elif kind == "email":
                value = email(r)
                around = r.choice(["mail {}", "contact: {}", "write to {}", "e-mail {} please"]) if " at " in value else around
            else:
                value = {"iban": iban, "card": card, "ip": ip, "mac": mac, "wallet": wallet, "address": address}[kind](r)
            samples.append(Sample(text=around.format(value), kind=kind, value=value))
    return samples


def _h(r: random.Random, n: int) -> str:
    return some(r, n, HEX)


def _d(r: random.Random, n: int) -> str:
    return r.choice("123456789") + some(r, n - 1, DIGITS)


NEGATIVES: list[Callable[[random.Random], str]] = [
    lambda r: card(r, valid=False),
    lambda r: iban(r, valid=False),
    lambda r: national_id(r, r.choice(["ES", "IT", "BR", "CH", "SE", "FI", "CN"]), valid=False)[1],
    lambda r: f"on 20{_d(r, 2)}-0{r.randint(1, 9)}-1{r.randint(0, 9)} at 1{r.randint(0, 9)}:30:45",
    lambda r: f"Chrome/{_d(r, 3)}.0.{_d(r, 4)}.{_d(r, 3)} Safari/537.36",
    lambda r: f"version {r.randint(1, 9)}.{r.randint(0, 30)}.{r.randint(0, 9)}.{r.randint(0, 9)} was released",
    lambda r: f"ISBN 978-{r.randint(0, 9)}-{_d(r, 3)}-{_d(r, 5)}-{r.randint(0, 9)}",
    lambda r: f"order {_d(r, 10)} shipped",
    lambda r: f"invoice no. {_d(r, 4)}-{_d(r, 4)}-{_d(r, 4)}",
    lambda r: f"tracking 1Z{some(r, 6, UPPER + DIGITS)}{_d(r, 10)}",
    lambda r: f"{_h(r, 8)}-{_h(r, 4)}-4{_h(r, 3)}-a{_h(r, 3)}-{_h(r, 12)}",
    lambda r: f"commit {_h(r, 40)}",
    lambda r: f"sha256:{_h(r, 64)}",
    lambda r: f"md5 {_h(r, 32)}",
    lambda r: f"3.14159265{_d(r, 6)}",
    lambda r: f"{r.randint(1, 9)},{_d(r, 3)},{_d(r, 3)} dollars",
    lambda r: f"{r.randint(1, 9)}.{_d(r, 3)}.{_d(r, 3)},00 EUR",
    lambda r: f"lat {r.randint(10, 80)}.{_d(r, 6)}, lon {r.randint(10, 99)}.{_d(r, 6)}",
    lambda r: f"unix time 17{_d(r, 8)} ms 17{_d(r, 11)}",
    lambda r: f"{r.randint(256, 999)}.{r.randint(256, 999)}.1.1",
    lambda r: "std::vector<int> and a::b::c",
    lambda r: f"at 1{r.randint(0, 9)}:{_d(r, 2)}:{_d(r, 2)}.{_d(r, 3)}",
    lambda r: f"twitter @{some(r, 8, LOWER)} at home",
    lambda r: f"npm i {some(r, 6, LOWER)}@{r.randint(1, 9)}.{r.randint(0, 9)}.{r.randint(0, 9)}",
    lambda r: f"@decorator\ndef {some(r, 5, LOWER)}(self): pass",
    lambda r: r.choice(["meet me at noon dot", "look at example dot com for help", "available at shop dot example", "we were at dot com heights"]),
    lambda r: r.choice(["password: please choose", "password = os.environ['DB_PASSWORD']", 'api_key = "YOUR_API_KEY_HERE"', "token: <your token>",
                        'password="${DB_PASSWORD}"', "secret_key = get_secret('name')", "passwd = ********", "password: string", "api_key: null",
                        'client_secret = "changeme"', "auth_token = settings.AUTH_TOKEN", "Bearer tokens are described in the documentation",
                        "password = request.form['password']", "the API_KEY=xxxxxxxxxxxxxxxx placeholder", "API_KEY=your-api-key-goes-here"]),
    lambda r: r.choice(["sk-learn-extension-with-a-long-name", "git-hub-p-something", "task-force-and-others-in-a-row-of-words", "sk-estimator-checks-for-all-users",
                        "AKIAfoo", "risk-based-assessment-of-the-project"]),
    lambda r: r.choice(["http://host:8080/x@y", "see http://a.org:80/b", "https://example.com/@user/post", "postgres://localhost:5432/db",
                        "https://medium.com/@someone/a-post", "ssh://git.example.org:22/repo"]),
    lambda r: f"room {r.randint(100, 999)}-{r.randint(100, 999)}, floor {r.randint(1, 9)}",
    lambda r: f"scores {_d(r, 2)}-{_d(r, 2)} {_d(r, 2)}-{_d(r, 2)} {_d(r, 2)}-{_d(r, 2)}",
    lambda r: f"pp. {_d(r, 3)}-{_d(r, 3)}, vol. {_d(r, 2)} (19{_d(r, 2)})",
    lambda r: f"doi:10.{_d(r, 4)}/j.{some(r, 5, LOWER)}.20{_d(r, 2)}.{_d(r, 6)}",
    lambda r: f"arXiv:{_d(r, 4)}.{_d(r, 5)}v{r.randint(1, 3)}",
    lambda r: f"the meeting is on {date(r)}",
    lambda r: f"published {date(r)}, updated {date(r)}",
    lambda r: f"{_d(r, 5)} {_d(r, 5)} {_d(r, 5)}",
    lambda r: f"EAN {_d(r, 13)}",
    lambda r: f"matrix [{_d(r, 3)} {_d(r, 3)} {_d(r, 3)} {_d(r, 4)}]",
    lambda r: f"{r.randint(1900, 2020)} {r.randint(1900, 2020)} {r.randint(1900, 2020)} {r.randint(1900, 2020)}",
    lambda r: f"RGB #{_h(r, 6)} and 0x{_h(r, 8)}",
    lambda r: f"{_h(r, 2)}:{_h(r, 2)}:{_h(r, 2)} fingerprint",
    lambda r: ":".join(_h(r, 2) for _ in range(16)),
    lambda r: f"12:{_d(r, 2)}:{_d(r, 2)}:{_d(r, 2)}",
    lambda r: f"section {r.randint(1, 9)}.{r.randint(1, 9)}.{r.randint(1, 9)} and {r.randint(1, 9)}.{r.randint(1, 9)}",
    lambda r: f"population {_d(r, 3)} {_d(r, 3)} {_d(r, 3)}",
    lambda r: f"part no. {some(r, 2, UPPER)}{_d(r, 2)}-{_d(r, 6)}-{_d(r, 4)}",
    lambda r: f"{_d(r, 3)}-{_d(r, 2)}-{_d(r, 3)} units, {_d(r, 3)}-00-{_d(r, 4)}",
    lambda r: f"0x{_h(r, 39)} and 0x{_h(r, 64)}",
    lambda r: "1" + some(r, 33, BASE58),
    lambda r: f"the {r.randint(2, 90)} streets of the old town, {r.randint(1000, 9999)} people",
    lambda r: f"{r.randint(2, 20)} ways to drive home",
    lambda r: f"git@github.com:org{r.randint(1, 9)}/repo.git",
    lambda r: f"image@sha256:{_h(r, 12)} and @{some(r, 5, LOWER)}.com",
    lambda r: f"id={_d(r, 9)}&page={_d(r, 2)}",
    lambda r: f"GET /items/{_d(r, 8)}/{_d(r, 8)} 200 {_d(r, 4)}",
    lambda r: f"{_d(r, 4)}/{_d(r, 4)}/{_d(r, 4)}",
    lambda r: f"he was born to run; chapter {r.randint(1, 9)}, page {r.randint(1, 99)}",
    lambda r: f"SKU {some(r, 3, UPPER)}-{_d(r, 8)}",
    lambda r: f"temperatures -{_d(r, 2)} -{_d(r, 2)} -{_d(r, 2)} -{_d(r, 2)}",
]


def negatives(seed: int = 15, count: int = 600) -> list[Sample]:
    r = random.Random(seed)
    plain = ["{}", "{}", "see {} there", "“{}”", "x,{},y"]
    return [Sample(text=r.choice(plain).format(NEGATIVES[n % len(NEGATIVES)](r)), kind=None) for n in range(count)]
