# ruff: noqa: E501 - patterns
"""Postal addresses by how they are written: street and house number, postcode and town where these follow."""

import re
from collections.abc import Iterator

__all__ = ["ADDRESS_SIGNS", "addresses"]

NAME = r"[^\W\d_][\w'’.-]{0,25}"
CAPITAL = r"(?=[^\W\d_])(?![a-zà-öø-ÿ])" + NAME
STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Highway|Hwy"
    "|Parkway|Pkwy|Circle|Cir|Close|Crescent|Row|Gardens|Mews|Alley|Trail|Broadway"
)
GERMANIC = (
    "straße|strasse|str\\.|weg|platz|allee|gasse|damm|ufer|straat|laan|plein|gracht|kade|vägen|gatan|gade|vej|veien"
)
FRENCH = "rue|avenue|av\\.|boulevard|bd|place|allée|chemin|impasse|quai|cours|route|ruelle"
ROMANCE = "Calle|C/|Avenida|Avda\\.|Plaza|Paseo|Via|Viale|Piazza|Corso|Rua|Travessa|Largo|Vicolo"
POSTCODES = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"  # United Kingdom, Canada
TOWN = rf"{CAPITAL}(?: {CAPITAL}){{0,3}}"
CONTINENTAL = rf"(?:,\s?|\s?\n)(?:[A-Z]{{1,2}}-)?(?:\d{{4,5}}(?:-\d{{3}})?|\d{{3}} \d{{2}}|\d{{2}}-\d{{3}})(?: [A-Z]{{2}})? {TOWN}"
FLAT = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|No|#)\.? ?[\w-]{1,6})?"
AMERICAN = rf"(?:(?:,\s?|\s?\n){TOWN},? [A-Z]{{2}},? \d{{5}}(?:-\d{{4}})?)"
BRITISH = rf"(?:(?:,\s?|\s?\n)(?:{TOWN},?(?: [A-Z]{{2,3}})? (?:{POSTCODES}|\d{{4}})|{TOWN}))"
MONTH = r"(?:\w+ )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Juli|Juin|Copyright)"
FORMS = (
    (
        rf"\d{{1,5}}[A-Za-z]?,? (?:[NSEW]{{1,2}}\.? )?(?:{CAPITAL} ){{1,3}}(?:{STREET})\b\.?(?: (?:North|South|East|West|[NSEW]{{1,2}})\b)?{FLAT}"
        rf"(?:{AMERICAN}|{BRITISH})?"
    ),
    rf"\d{{1,4}}(?: ?bis| ?ter)?,? (?:{FRENCH}) [\w'’ -]{{2,40}}?{CONTINENTAL}",
    rf"(?:{ROMANCE}) (?:[\w'’.]{{1,20}} ){{0,3}}[\w'’.]{{1,20}},? (?:n\.?º? ?)?\d{{1,4}}[A-Za-z]?{CONTINENTAL}",
    rf"(?:{CAPITAL} ){{0,2}}[A-ZÄÖÜÅØÆ][\w-]{{0,25}}(?:{GERMANIC}) \d{{1,4}} ?[a-z]?\b(?:{CONTINENTAL})?",
    rf"(?!{MONTH}){CAPITAL}(?: [\w'’.-]{{1,20}}){{0,3}} \d{{1,3}} ?[a-z]?{CONTINENTAL}",
    (
        r"(?:P\.? ?O\.? ?Box|Post Office Box|Postfach|Apartado(?: de Correos)?|Boîte Postale|Postbus|Casella Postale)"
        rf" \d[\d ]{{1,7}}\d(?:{AMERICAN}|{CONTINENTAL}|{BRITISH})?"
    ),
    rf"(?:ul|al|pl|os)\. (?:{CAPITAL} ){{1,3}}\d{{1,4}}[a-zA-Z]?(?:/\d{{1,4}}|(?: m\.? ?\d{{1,4}}))?(?:{CONTINENTAL})?",
    rf"(?:ул\.|улица|вул\.|пр\.|просп\.) ?{CAPITAL}(?: {CAPITAL}){{0,2}},? (?:д\.? ?)?\d{{1,4}}[а-я]?(?:,? кв\.? ?\d{{1,4}})?",
    rf"(?:Av\.|Avenida|Rua|R\.|Alameda|Praça) (?:[\w'’.]{{1,20}} ){{0,3}}[\w'’.]{{1,20}},? \d{{1,5}}(?:,\s?{TOWN})?",
    r"〒\d{3}-?\d{4}[^\n]{0,40}|[\u4e00-\u9fff]{1,12}(?:路|街|道|巷|大道|胡同)\d{1,5}(?:号|號)(?:\d{1,4}(?:室|楼|层))?",
)
ADDRESS = re.compile(rf"(?<![\w.])(?:{'|'.join(FORMS)})(?!\w)")
# Several, as one pattern of all would be read ten times as slowly.
ADDRESS_SIGNS = (
    rf" (?:{STREET})(?:[^A-Za-z]|$)",
    rf"(?i:{GERMANIC}) [0-9]",
    rf"[0-9](?: ?bis| ?ter)?,? (?:{FRENCH}) ",
    r"[0-9] ?[a-z]?(?:,\s?|\s?\n)(?:[A-Z]{1,2}-)?(?:[0-9]{4}|[0-9]{3} [0-9]|[0-9]{2}-[0-9])",
    r"(?i:box|postfach|apartado|correos|postale|postbus) [0-9]|〒|(?:路|街|道|巷|同)[0-9]",
    r"(?:ul|al|pl|os)\. |ул|вул|пр\.|просп|(?:Av|R)\. |Avenida|Rua |Alameda |Praça ",
)
# A year, and whose right it is to copy: "1997, Thomas G. Lane".
YEAR = re.compile(r"(?:19|20)\d{2}\b")


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where the text holds an address."""
    for match in ADDRESS.finditer(text):
        if not (YEAR.match(match[0]) and not re.search(r"\d", match[0][4:])):
            yield match.span()
