"""Numbers that are personal where a word says what they are: of documents, vehicles, accounts, cards and devices.

Each kind is a pattern whose group `value` is the number, and the check that it must pass.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["DOCUMENT_SIGNS", "DocumentKind", "documents"]

DocumentKind: TypeAlias = Literal[
    "passport",
    "driving_licence",
    "vehicle",
    "plate",
    "vat",
    "bank_account",
    "imei",
    "health_id",
    "card_code",
    "card_expiry",
    "device_id",
]
NUMBER = r"(?:\s?(?:no|number|nr|num|nummer|numéro|número|id|#|№|nº|n°)\.?)?(?:\s(?:is|was|ist))?[\s:：=#\"'.-]{0,4}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """`words` announce it; `value` is what it looks like; `others`: patterns that need no word, and their sign."""

    words: str
    value: str
    is_valid: Callable[[str], bool] = bool
    others: str = ""
    others_sign: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        announced = rf"(?<![^\W_])(?i:{self.words}){NUMBER}(?P<value>{self.value})(?![\w-])"
        return re.compile(f"{announced}|{self.others}" if self.others else announced)


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _has_digits(least: int) -> Callable[[str], bool]:
    return lambda text: len(_digits(text)) >= least


def _luhn(text: str) -> bool:
    digits = _digits(text)
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0  # noqa: PLR2004


def _mrz_check(text: str) -> int:
    """Source: ICAO Doc 9303, part 3, §4.9: weights 7, 3, 1; letters from A = 10, the filler is 0."""
    return sum((int(c, 36) if c != "<" else 0) * (7, 3, 1)[i % 3] for i, c in enumerate(text)) % 10


def _passport(text: str) -> bool:
    if len(text) != 44:  # noqa: PLR2004 - a line of the machine-readable zone
        return len(_digits(text)) >= 6  # noqa: PLR2004
    parts = ((text[:9], text[9]), (text[13:19], text[19]), (text[21:27], text[27]))
    return all(str(_mrz_check(part)) == check for part, check in parts)


VIN = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def vin_is_valid(text: str) -> bool:
    """The check digit of a vehicle's number.

    Source: 49 CFR §565.15(c).

    >>> vin_is_valid("1M8GDM9AXKP042788"), vin_is_valid("1M8GDM9AXKP042789")
    (True, False)
    """
    total = sum((int(c) if c.isdigit() else VIN[c]) * w for c, w in zip(text, VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == text[8]


def _bank(text: str) -> bool:
    """A routing number by the ABA's weights 3, 7, 1; others by their length."""
    return len(_digits(text)) >= 6 or text.isalpha() or len(text) in {8, 11}  # noqa: PLR2004


DOCUMENTS: dict[DocumentKind, _Document] = {
    "passport": _Document(
        words="passports?|reisepass|passeport|pasaporte|passaporto|passaporte|paspoort|护照(?:号码?)?",
        value=r"[A-Z]{0,2}\d{6,9}[A-Z]?|[A-Z0-9]{9}",
        is_valid=_passport,
        others=r"(?<![\w<])(?P<bare>[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<]\d)(?![\w<])",
        others_sign=r"[0-9][A-Z<]{3}[0-9]{7}[MFX<][0-9]{7}",
    ),
    "driving_licence": _Document(
        words=r"driv(?:er['’]?s?|ing) licen[cs]e|führerschein|permis de conduire|permiso de conducir|patente di guida",
        value=r"[A-Z0-9](?:[ -]?[A-Z0-9]){4,17}",
        is_valid=_has_digits(4),
    ),
    "vehicle": _Document(
        words=r"vin|chassis|fahrgestell|fin\b",
        value=r"[A-HJ-NPR-Z0-9]{17}",
        is_valid=lambda text: 0 < len(_digits(text)) < 17,  # noqa: PLR2004
        others=r"(?<![\w.-])(?=\d{0,16}[A-HJ-NPR-Z])(?P<bare>[1-9A-HJ-NPR-Z][A-HJ-NPR-Z0-9]{7}[0-9X][A-HJ-NPR-Z0-9]{4}\d{4})(?![\w-])",
        others_sign=r"[A-HJ-NPR-Z0-9]{13}[0-9]{4}",
    ),
    "plate": _Document(
        words=r"(?:licen[cs]e|number|registration) plates?|kennzeichen|plaque d['’]immatriculation|matrícula|targa",
        value=r"[A-ZÄÖÜ0-9](?:[ -]?[A-ZÄÖÜ0-9]){3,8}",
        is_valid=_has_digits(1),
    ),
    "vat": _Document(
        words=r"vat(?: reg(?:istration)?)?|ust-?id(?:-?nr)?|tva|p\.? ?iva|btw|nif",
        value=r"[A-Z]{2}[A-Z0-9]{8,12}",
        is_valid=_has_digits(7),
    ),
    "bank_account": _Document(
        words=r"(?:bank )?account|acct|a/c|routing|aba|sort ?code|konto|blz|bankleitzahl|bic|swift(?: code)?",
        value=r"\d{2}-\d{2}-\d{2}|\d(?:[ -]?\d){5,16}|[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?",
        is_valid=_bank,
    ),
    "imei": _Document(words="imei", value=r"\d{2}[ -]?\d{6}[ -]?\d{6}[ -]?\d", is_valid=_luhn),
    "health_id": _Document(
        words=r"medicare|mbi|versicherten(?:nummer|nr)|kvnr|health (?:insurance|card)|member id|mrn",
        value=r"[A-Z0-9](?:-?[A-Z0-9]){6,13}",
        is_valid=_has_digits(5),
    ),
    "card_code": _Document(words=r"cvv2?|cvc2?|card (?:security |verification )?code|security code", value=r"\d{3,4}"),
    "card_expiry": _Document(
        words=r"exp(?:\.|iry|ires|iration)?(?: date)?|valid (?:thru|through|until)|gültig bis|expire le",
        value=r"(?:0[1-9]|1[0-2])\s?[/-]\s?(?:20)?[2-9]\d",
    ),
    "device_id": _Document(
        words=r"idfa|gaid|aaid|advertising id|device id|udid|imsi",
        value=r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|[0-9A-Fa-f]{40}|\d{14,15}",
    ),
}
PATTERNS = {kind: document.pattern for kind, document in DOCUMENTS.items()}
DOCUMENT_SIGNS: dict[DocumentKind, tuple[str, ...]] = {
    kind: (rf"(?i:{document.words})", *((document.others_sign,) if document.others_sign else ()))
    for kind, document in DOCUMENTS.items()
}


def documents(kind: DocumentKind) -> Callable[[str], Iterator[tuple[int, int]]]:
    """A function that tells where a text holds a number of the kind."""
    pattern, is_valid = PATTERNS[kind], DOCUMENTS[kind].is_valid

    def find(text: str) -> Iterator[tuple[int, int]]:
        for match in pattern.finditer(text):
            if match["value"] is not None:
                if is_valid(match["value"]):
                    yield match.span("value")
            elif (vin_is_valid if kind == "vehicle" else _passport)(match["bare"]):
                yield match.span("bare")

    return find
