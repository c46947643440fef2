"""What personal data and secrets look like: a pattern for each kind, and the check that a match must pass.

Every pattern starts at a place that a look-behind fixes and repeats within bounds, so that the time is linear
in the length of the text whatever it holds.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from bakeoff.prepare.personal_data.addresses import ADDRESS_SIGNS, addresses
from bakeoff.prepare.personal_data.documents import DOCUMENT_SIGNS, DocumentKind, documents
from bakeoff.prepare.personal_data.emails import EMAIL_SIGNS, emails
from bakeoff.prepare.personal_data.national_ids import national_ids
from bakeoff.prepare.personal_data.phones import PHONE_SIGNS, phones
from bakeoff.prepare.personal_data.secrets import CREDENTIAL_SIGNS, SECRET_SIGNS, credentials, secrets
from bakeoff.prepare.personal_data.wallets import wallets
from bakeoff.prepare.text.plain_text import parted_text

__all__ = ["PATTERN_KINDS", "SIGNS", "PatternKind", "iban_is_valid", "luhn_is_valid", "spans"]

PatternKind: TypeAlias = (
    Literal[
        "secret",
        "credential",
        "email",
        "iban",
        "card",
        "wallet",
        "mac",
        "ip",
        "national_id",
        "birth_date",
        "phone",
        "address",
    ]
    | DocumentKind
)
Span: TypeAlias = tuple[int, int]

IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
CARD = re.compile(r"(?<![\d.+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d-]|\.\d)")
DECIMAL = re.compile(r"(?<!\d)\d,$")
IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)")
# Four numbers after one of these are a version, or a place in a document.
VERSION = re.compile(
    r"(?i)(?:\bv|version|release|build|rev|revision|firmware|section|chapter|clause|appendix|article|annex|table|fig(?:ure|\.)?"
    r"|kapitel|abschnitt|chapitre|cap[íi]tulo|§|==|>=|<=|~=)[ :=\"']{0,3}$"
)
# So are four small ones after a name such as OpenSSL.
SMALL = re.compile(r"\d(?:\.[0-2]?\d){3}")
PRODUCT = re.compile(r"(?<![\w.])[A-Z][A-Za-z]{0,20}[a-z][A-Z][A-Za-z]{0,20} $")
# A part of an array, x[1::2], is no address.
SLICE, INDEX = re.compile(r"\d{0,3}::\d{0,3}"), re.compile(r"[\w\])]\[(?:[^\[\]\n]*, ?)?$")
IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:.]{0,40}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,40}(?:\d|\.){0,15}(?![\w:])")
MAC = re.compile(
    r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2})(?![\w:-]|\.\w)"
)
DATE = (
    r"(?:\d{1,2}[./ -]\d{1,2}[./ -](?:19|20)?\d{2}|(?:19|20)\d{2}[-/.]\d{1,2}[-/.]\d{1,2}"
    r"|\d{1,2}(?:st|nd|rd|th|\.)? (?:of )?[^\W\d_]{3,12}\.?,? (?:19|20)\d{2}"
    r"|[A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?,? (?:19|20)\d{2})"
)
ANY_DATE = re.compile(rf"(?<!\d)(?:{DATE})(?!\d)")
BORN = re.compile(
    r"(?i:(?<![^\W_])(?:born|birth|birthday|birthdate|date of birth|d\.?o\.?b\.?|geboren|geburtsdatum|geb\.|née?"
    r"|naissance|nacid[oa]|nacimiento|nat[oa]|nascita|nascid[oa]|nascimento|urodzon[ya]|urodzenia|geboortedatum|född"
    r"|født|fødselsdato|födelsedatum|syntynyt|syntymäaika|narozen[aíý]?|született|doğum(?: tarihi)?|родил(?:ся|ась)"
    r"|рождения|рожд\.|народи(?:вся|лася)|народження|γεννηθηκε|γεννησης|ngày sinh|تاريخ الميلاد|जन्म(?: ?तिथि)?)"
    r"[^\d\n]{0,25}$)|(?<![\w.])b\. ?$"
)
REACH = 48
EASTERN = r"(?:19|20)\d{2}年\d{1,2}月\d{1,2}日"
BORN_EAST = re.compile(
    rf"(?:生年月日|出生(?:日期|年月日)?|生日|誕生日|생년월일)[^\d\n]{{0,6}}({EASTERN})|({EASTERN})(?=(?:に|、)?(?:生まれ|誕生|出生|生))"
)
# What a text must hold to hold one of the kind, in Rust syntax: asked of many `plain` texts at once.
SIGNS: dict[PatternKind, tuple[str, ...]] = {
    "secret": SECRET_SIGNS,
    "credential": CREDENTIAL_SIGNS,
    "email": EMAIL_SIGNS,
    "iban": (r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11}",),
    "card": (r"[2-6][0-9]{3}(?:[ -]?[0-9]){9}",),
    "wallet": (r"0x[0-9a-fA-F]{40}|[13LMmn2][1-9A-HJ-NP-Za-km-z]{25}|(?:bc|tb|ltc)1",),
    "mac": (r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.",),
    "ip": (r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:",),
    "national_id": (r"[0-9](?:[ .+/-]{0,2}[0-9]){6}|[A-Za-z]{6}[0-9]{2}[A-Za-z]|[0-9]{6}[-+A-Z][0-9]{3}",),
    "birth_date": (r"(?:19|20)[0-9]{2}|[0-9][./ -][0-9]{1,2}[./ -][0-9]{2}",),
    "phone": PHONE_SIGNS,
    "address": ADDRESS_SIGNS,
    **DOCUMENT_SIGNS,
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


def _ibans(text: str) -> Iterator[Span]:
    """A match may run into the words after it, so it is cut at the length of its country."""
    for match in IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        places = [place for place, character in enumerate(match[0]) if character not in " -"][:length]
        if length == 0 or len(places) < length:
            continue
        end = match.start() + places[-1] + 1
        follows = text[end : end + 1]
        if not follows.isalnum() and iban_is_valid("".join(match[0][place] for place in places).upper()):
            yield match.start(), end


# How long a card's number is by what it begins with (ISO/IEC 7812, the networks' tables): a barcode has 13 digits too.
NETWORKS = re.compile(r"4\d{12}|3[47]\d{13}|3[0689]\d{12}|[2-6]\d{15}(?:\d{3})?|6[2-9]\d{15,16}")
IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -][A-Za-z0-9]{4}){0,6}[ -]$")


def _cards(text: str) -> Iterator[Span]:
    for match in CARD.finditer(text):
        digits = "".join(character for character in match[0] if character.isdigit())
        if not NETWORKS.fullmatch(digits) or IBAN_HEAD.search(text[max(0, match.start() - 40) : match.start()]):
            continue
        # "3,4111…" alone is a number with a decimal comma; among other cells it is a cell.
        start = match.start()
        decimal = DECIMAL.search(text[max(0, start - 3) : start]) and text[match.end() : match.end() + 1] != ","
        if luhn_is_valid(digits) and not decimal:
            yield match.span()


def _ips(text: str) -> Iterator[Span]:
    for pattern, mark in ((IPV6, ":"), (IPV4, ".")):  # the last part of the first may look like the second
        for match in pattern.finditer(text) if mark in text else ():
            found = match[0].rstrip(".")
            before = text[max(0, match.start() - 24) : match.start()]
            if pattern is IPV4 and (VERSION.search(before) or (SMALL.fullmatch(found) and PRODUCT.search(before))):
                continue
            if SLICE.fullmatch(found) and INDEX.search(before):
                continue
            try:
                ipaddress.ip_address(found)
            except ValueError:
                continue
            if any(character.isdigit() for character in found):
                yield match.start(), match.start() + len(found)


def _macs(text: str) -> Iterator[Span]:
    return (match.span() for match in MAC.finditer(text))


def _birth_dates(text: str) -> Iterator[Span]:
    for match in ANY_DATE.finditer(text):
        if BORN.search(text[max(0, match.start() - REACH) : match.start()]):
            yield match.span()
    if "年" in text:
        yield from (match.span(1) if match[1] else match.span(2) for match in BORN_EAST.finditer(text))


# In the order of preference where two kinds claim the same characters.
FINDERS: dict[PatternKind, Callable[[str], Iterator[Span]]] = {
    "credential": credentials,
    "secret": secrets,
    "email": emails,
    "iban": _ibans,
    "card": _cards,
    "wallet": wallets,
    "mac": _macs,
    "ip": _ips,
    "national_id": national_ids,
    "birth_date": _birth_dates,
    "phone": phones,
    "address": addresses,
    **{kind: documents(kind) for kind in DOCUMENT_SIGNS},
}
PATTERN_KINDS: tuple[PatternKind, ...] = tuple(FINDERS)


# Those that read what stands before a number, in whatever script.
READ_WORDS: frozenset[PatternKind] = frozenset(
    {"secret", "credential", "email", "birth_date", "phone", "address", *DOCUMENT_SIGNS}
)


def spans(text: str, kind: PatternKind) -> Iterator[Span]:
    """Where the text (see `plain`) holds something of the kind."""
    return FINDERS[kind](text if kind in READ_WORDS else parted_text(text))
