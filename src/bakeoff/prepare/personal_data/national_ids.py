"""Numbers that states give to persons, by the check digits that their issuers define.

Each entry names the country, how the number is written, and the formula of its check. Sources are the issuing
authorities' definitions; python-stdnum documents all of them in one place.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["NATIONAL_IDS", "NationalId", "national_ids", "verhoeff_is_valid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NationalId:
    """A country's number: `pattern` of how it is written, `is_valid` of its letters and digits alone."""

    country: str
    name: str
    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool]


def _sum(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0  # noqa: PLR2004


def _ssn(digits: str) -> bool:
    """USA, Social Security Administration: no area 000, 666 or 900–999, no group 00, no serial 0000."""
    return digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _nhs(digits: str) -> bool:
    """United Kingdom, NHS Data Dictionary: modulus 11 over weights 10 to 2."""
    check = 11 - _sum(digits[:9], range(10, 1, -1)) % 11
    return check % 11 == int(digits[9]) and check != 10  # noqa: PLR2004


def _nir(text: str) -> bool:
    """France, INSEE: the key is 97 less the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    number = text.upper().replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number[:13]) % 97 == int(number[13:])


def _steuer_id(digits: str) -> bool:
    """Germany, § 139b AO: ISO/IEC 7064 MOD 11, 10; one digit comes twice or three times among the first ten."""
    most = max(digits[:10].count(digit) for digit in digits[:10])
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return most in {2, 3} and (11 - product) % 10 == int(digits[10])


def _dni(text: str) -> bool:
    """Spain, Ministerio del Interior: the letter is the number modulo 23; of foreigners X, Y, Z stand for 0, 1, 2."""
    number = text[:-1].upper().translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1].upper()


ODD_DIGITS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
ODD_LETTERS = (*ODD_DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (*ODD_DIGITS, *ODD_LETTERS), strict=True))


def _codice_fiscale(text: str) -> bool:
    """Italy, D.M. 23/12/1976: letters and digits at odd places by a table, at even places by their order."""
    upper = text.upper()
    even = sum(int(c) if c.isdigit() else ord(c) - 65 for c in upper[1:15:2])
    return chr(65 + (sum(ODD[c] for c in upper[0:15:2]) + even) % 26) == upper[15]


def _bsn(digits: str) -> bool:
    """Netherlands, RvIG: the eleven-test, the last digit with weight -1."""
    return digits != "000000000" and _sum(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _rijksregister(digits: str) -> bool:
    """Belgium, RRN: 97 less the number modulo 97; who is born from 2000 on has a 2 before it."""
    number, check = digits[:9], int(digits[9:])
    return check in {97 - int(number) % 97, 97 - int(f"2{number}") % 97} and _is_month(digits[2:4])


def _pesel(digits: str) -> bool:
    """Poland, PESEL: weights 1, 3, 7, 9; the month also tells the century."""
    check = (10 - _sum(digits[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10
    return check == int(digits[10]) and 1 <= int(digits[2:4]) % 20 <= 12 and 1 <= int(digits[4:6]) <= 31  # noqa: PLR2004


def _personnummer(text: str) -> bool:
    """Sweden, Skatteverket: Luhn over ten digits."""
    digits = text[-10:]
    return _luhn(digits) and _is_month(digits[2:4]) and 1 <= int(digits[4:6]) % 60 <= 31  # noqa: PLR2004


def _hetu(text: str) -> bool:
    """Finland, DVV: the character is the number of nine digits modulo 31."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10].upper() and _is_month(
        text[2:4]
    )


def _fodselsnummer(digits: str) -> bool:
    """Norway, Skatteetaten: two check digits modulus 11."""
    one = _sum(digits[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    two = _sum(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11
    return one == two == 0 and _is_month(digits[2:4]) and 1 <= int(digits[:2]) % 40 <= 31  # noqa: PLR2004


def _cpf(digits: str) -> bool:
    """Brazil, Receita Federal: two check digits modulus 11; never one digit alone."""
    if len(set(digits)) == 1:
        return False
    one = _sum(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    two = _sum(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return (one, two) == (int(digits[9]), int(digits[10]))


def _sin(digits: str) -> bool:
    """Canada, Service Canada: Luhn; none begins with 0 or 8."""
    return digits[0] not in "08" and _luhn(digits)


def _tfn(digits: str) -> bool:
    """Australia, ATO: weighted sum divisible by 11."""
    return _sum(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 and len(set(digits)) > 1


def _resident_id(text: str) -> bool:
    """China, GB 11643-1999: ISO/IEC 7064 MOD 11-2."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[_sum(text[:17], weights) % 11] == text[17].upper() and _is_month(text[10:12])


PERMUTED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _dihedral(a: int, b: int) -> int:
    """The product of two elements of the symmetries of a pentagon: 0–4 turn it, 5–9 flip it."""
    if a < 5:  # noqa: PLR2004
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5  # noqa: PLR2004
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5  # noqa: PLR2004


def verhoeff_is_valid(digits: str) -> bool:
    """The check digit of India's Aadhaar.

    Source: J. Verhoeff 1969, "Error Detecting Decimal Codes".

    >>> verhoeff_is_valid("2363"), verhoeff_is_valid("2364")
    (True, False)
    """
    check = 0
    for place, digit in enumerate(reversed(digits)):
        permuted = int(digit)
        for _ in range(place % 8):
            permuted = PERMUTED[permuted]
        check = _dihedral(check, permuted)
    return check == 0


def _rrn(digits: str) -> bool:
    """South Korea, Ministry of the Interior: weights 2 to 9, then 2 to 5."""
    check = (11 - _sum(digits[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return check == int(digits[12]) and _is_month(digits[2:4])


def _tc(digits: str) -> bool:
    """Türkiye, Nüfus İşleri: the tenth and the eleventh digit."""
    odd, even = sum(map(int, digits[0:9:2])), sum(map(int, digits[1:8:2]))
    return (odd * 7 - even) % 10 == int(digits[9]) and sum(map(int, digits[:10])) % 10 == int(digits[10])


def _ahv(digits: str) -> bool:
    """Switzerland, ZAS: the check digit of an EAN-13 that begins with 756."""
    return (10 - _sum(digits[:12], (1, 3) * 6) % 10) % 10 == int(digits[12])


def _is_month(digits: str) -> bool:
    return 1 <= int(digits) <= 12  # noqa: PLR2004


def _id(country: str, name: str, pattern: str, is_valid: Callable[[str], bool]) -> NationalId:
    return NationalId(
        country=country, name=name, pattern=re.compile(rf"(?<![\w.-])(?:{pattern})(?![\w-]|[.,]\d)"), is_valid=is_valid
    )


NATIONAL_IDS: tuple[NationalId, ...] = (
    _id("US", "SSN", r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}", _ssn),
    _id("GB", "NHS number", r"\d{3} \d{3} \d{4}|\d{3}-\d{3}-\d{4}", _nhs),
    _id("FR", "NIR", r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _nir),
    _id("DE", "Steuer-ID", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", _steuer_id),
    _id("ES", "DNI/NIE", r"(?:\d{8}|[XYZxyz]-?\d{7})-?[A-Za-z]", _dni),
    _id("IT", "codice fiscale", r"(?i:[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z])", _codice_fiscale),
    _id("NL", "BSN", r"\d{9}|\d{4}\.\d{2}\.\d{3}", _bsn),
    _id("BE", "Rijksregisternummer", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}|\d{11}", _rijksregister),
    _id("PL", "PESEL", r"\d{11}", _pesel),
    _id("SE", "personnummer", r"(?:19|20)?\d{6}[-+]\d{4}", _personnummer),
    _id("FI", "henkilötunnus", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", _hetu),
    _id("NO", "fødselsnummer", r"\d{6} ?\d{5}", _fodselsnummer),
    _id("BR", "CPF", r"\d{3}\.\d{3}\.\d{3}-\d{2}|\d{11}", _cpf),
    _id("CA", "SIN", r"\d{3}[ -]\d{3}[ -]\d{3}", _sin),
    _id("AU", "TFN", r"\d{3} \d{3} \d{3}", _tfn),
    _id("CN", "resident id", r"[1-9]\d{5}(?:19|20)\d{9}[\dXx]", _resident_id),
    _id("IN", "Aadhaar", r"[2-9]\d{3} \d{4} \d{4}", verhoeff_is_valid),
    _id("KR", "resident registration number", r"\d{6}-[1-8]\d{6}", _rrn),
    _id("TR", "T.C. kimlik no", r"[1-9]\d{10}", _tc),
    _id("CH", "AHV", r"756\.?\d{4}\.?\d{4}\.?\d{2}", _ahv),
)
# What is digits alone could be any number: it counts only where a word says what it is, a little before it.
BARE = re.compile(r"\d+( \d+)*")
SAID = re.compile(
    r"(?i:bsn|sofi|burgerservice|pesel|cpf|t\.?c\.? ?(?:kimlik|no)|tckn|tfn|tax[ _-]?(?:file|id|no)|steuer|idnr|nhs"
    r"|sin\b|social[ _-]?(?:insurance|security)|fødsels|personnummer|person(?:al)?[ _-]?(?:id|no|number)"
    r"|national[ _-]?(?:id|no|number)"
    r"|rijksregister|registre national|niss|insz|id[ _-]?number|identity|ssn|aa?dhaa?r|uid(?:ai)?\b|आधार)"
)
SAID_REACH = 40
# Where digits are close together; the longest number has so many characters before and after them.
NUMBERS = re.compile(r"\d(?:[ .+-]{0,2}\d){4,}|(?<=[A-Za-z])\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}")
BEFORE, AFTER = 10, 10


def national_ids(text: str) -> Iterator[tuple[int, int]]:
    """Where the text holds a number whose form and check digits are those of a country."""
    begin, end = -1, -1
    for number in NUMBERS.finditer(text):
        if begin < 0 or number.start() - BEFORE > end:
            yield from _national_ids(text, begin, end)
            begin = max(0, number.start() - BEFORE)
        end = number.end() + AFTER
    yield from _national_ids(text, begin, end)


def _national_ids(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Those in a part of the text; what stands before the part is seen by the patterns all the same."""
    if begin < 0:
        return
    for kind in NATIONAL_IDS:
        for match in kind.pattern.finditer(text, begin, end):
            plain = re.sub(r"[ .+-]", "", match[0]) if kind.country != "FI" else match[0]
            if BARE.fullmatch(match[0]) and len(plain) < 13 and not SAID.search(_before(text, match.start())):  # noqa: PLR2004
                continue
            if kind.is_valid(plain):
                yield match.span()


def _before(text: str, start: int) -> str:
    return text[max(0, start - SAID_REACH) : start]
