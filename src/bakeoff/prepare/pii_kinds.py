"""What personal data and secrets look like: a pattern for each kind, and the check that a match must pass.

Every pattern starts at a place that a look-behind fixes and repeats within bounds, so that the time is linear
in the length of the text whatever it holds.
"""

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

__all__ = ["PATTERN_KINDS", "SIGNS", "PatternKind", "iban_is_valid", "luhn_is_valid", "spans"]

PatternKind: TypeAlias = Literal["secret", "email", "iban", "card", "ip", "phone"]
Span: TypeAlias = tuple[int, int]

EMAIL = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-]|\.[^\W\d_])"
)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}")
CARD = re.compile(r"(?<![\d.,-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d-]|[.,]\d)")
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)")
IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:.]{0,40}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,40}(?:\d|\.){0,15}(?![\w:])")
PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ .\-/]{0,2}(?:\(\d{1,4}\)|\d{1,5})){2,7}"  # international: E.164
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}"  # North America
    r"|0\d{1,4}[ /-]\d{2,5}(?:[ -]?\d{2,5}){1,4}"  # national, with the trunk prefix 0
    r")(?![\w-]|[.,]\d)"
)
# Tokens that their issuers gave a recognisable form.
TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{36,255}"
    r"|glpat-[A-Za-z0-9_-]{20,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,255}|hf_[A-Za-z0-9]{30,64}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,250}"  # Slack
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}"  # Stripe
    r"|sk-[A-Za-z0-9_-]{20,250}|AIza[A-Za-z0-9_-]{35}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"
    r"|eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,4000}"  # JSON Web Token (RFC 7519)
    r")(?![A-Za-z0-9_-])"
)
TOKEN_STARTS = (
    *("AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-", "hf_", "xox"),
    *("sk_", "rk_", "pk_", "sk-", "AIza", "SG.", "eyJ"),
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]{2,20} ){0,3}PRIVATE KEY-----"
    r"[A-Za-z0-9+/=\s:,-]{0,20000}?-----END (?:[A-Z]{2,20} ){0,3}PRIVATE KEY-----"
)
ASSIGNED = re.compile(
    r"(?i)(?:api[_-]?key|access[_-]?key|secret(?:[_-]?key)?|auth[_-]?token|access[_-]?token|password|passwd|pwd)"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\s\"',;<>\[\]]{8,200})"
)
LEAST_ENTROPY = 2.8  # bits for each character; words and placeholders lie below

# What a text must hold to hold one of the kind, in Rust syntax: said of whole columns at once.
SIGNS: dict[PatternKind, str] = {
    "secret": r"(?i:key|token|secret|password|passwd|pwd)[\"']?[\s\x1c-\x1f]{0,3}[:=]|PRIVATE KEY|AKIA|ASIA|gh[pousr]_"
    r"|github_pat_|glpat-|npm_|pypi-|hf_|xox[abeprs]-|[srp]k_(?:live|test)_|sk-[A-Za-z0-9_-]{20}|AIza|SG\.|eyJ",
    "email": "@",
    "iban": r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11}",
    "card": r"[2-6]\d{3}(?:[ -]?\d){9}",
    "ip": r"\d\.\d{1,3}\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:",
    "phone": r"\d(?:[ .()/-]{0,5}\d){7}",
}

# Length of an IBAN in each country (SWIFT, "IBAN Registry", ISO 13616).
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


def luhn_is_valid(digits: str) -> bool:
    """The check digit of card numbers.

    Source: ISO/IEC 7812-1, annex B.

    >>> luhn_is_valid("4111111111111111"), luhn_is_valid("4111111111111112")
    (True, False)
    """
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[::-2]) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0  # noqa: PLR2004 - casting out nines


def iban_is_valid(iban: str) -> bool:
    """The check digits of an account number (no spaces, capitals).

    Source: ISO 13616-1 with ISO/IEC 7064, MOD 97-10.

    >>> iban_is_valid("DE89370400440532013000"), iban_is_valid("DE88370400440532013000")
    (True, False)
    """
    number = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
    return int(number) % 97 == 1


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())


def _ibans(text: str) -> Iterator[Span]:
    """A match may run into the words after it, so it is cut at the length of its country."""
    for match in IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        places = [place for place, character in enumerate(match[0]) if character != " "][:length]
        if length == 0 or len(places) < length:
            continue
        end = match.start() + places[-1] + 1
        follows = text[end : end + 1]
        if not follows.isalnum() and iban_is_valid("".join(match[0][place] for place in places).upper()):
            yield match.start(), end


def _cards(text: str) -> Iterator[Span]:
    for match in CARD.finditer(text):
        digits = "".join(character for character in match[0] if character.isdigit())
        if digits.isascii() and luhn_is_valid(digits):
            yield match.span()


def _ips(text: str) -> Iterator[Span]:
    for pattern, mark in ((IPV4, "."), (IPV6, ":")):
        for match in pattern.finditer(text) if mark in text else ():
            found = match[0].rstrip(".")
            try:
                ipaddress.ip_address(found)
            except ValueError:
                continue
            if any(character.isdigit() for character in found):
                yield match.start(), match.start() + len(found)


def _phones(text: str) -> Iterator[Span]:
    for match in PHONE.finditer(text):
        digits = sum(character.isdigit() for character in match[0])
        if 8 <= digits <= 15:  # noqa: PLR2004 - E.164 allows 15; fewer than 8 are more often something else
            yield match.span()


def _secrets(text: str) -> Iterator[Span]:
    if "PRIVATE KEY" in text:
        yield from (match.span() for match in PRIVATE_KEY.finditer(text))
    if any(start in text for start in TOKEN_STARTS):
        yield from (match.span() for match in TOKENS.finditer(text))
    for match in ASSIGNED.finditer(text) if ":" in text or "=" in text else ():
        value = match[1]
        if _entropy(value) >= LEAST_ENTROPY and any(character.isdigit() for character in value):
            yield match.span(1)


def _entropy(text: str) -> float:
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


# In the order of preference where two kinds claim the same characters.
FINDERS: dict[PatternKind, Callable[[str], Iterator[Span]]] = {
    "secret": _secrets,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _ips,
    "phone": _phones,
}
PATTERN_KINDS: tuple[PatternKind, ...] = tuple(FINDERS)


def spans(text: str, kind: PatternKind) -> Iterator[Span]:
    """Where the text holds something of the kind."""
    return FINDERS[kind](text)
