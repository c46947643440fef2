# ruff: noqa: E501 - patterns
"""Telephone numbers: international ones by their countries' plans, national ones by form or what announces them."""

import re
from collections.abc import Iterator

from bakeoff.prepare.text.plain_text import parted_text

__all__ = ["PHONE_SIGNS", "phones"]

LEAST_DIGITS, MOST_DIGITS = 8, 15
"""E.164 allows 15 digits; fewer than 8 are more often something else."""
LEAST_ANNOUNCED = 6
UNITS = r"(?! ?(?:km|kg|mm|cm|[MGk]B|€|£|\$|%|EUR|USD|people|times)\b)"
PHONE = re.compile(
    r"(?<![\w.+-])(?<!\d )(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ .\-/]{0,2}(?:\(\d{1,4}\)|\d{1,5})){2,7}"  # international: E.164
    r"|(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\)[ -]?[2-9]\d{2}[ .-]?\d{4}|[2-9]\d{2}(?:[ -][2-9]\d{2}[ -]|\.[2-9]\d{2}\.)\d{4})"  # North America
    r"|(?:\+?\d{1,3} ?)?\((?:0[1-9]\d{0,4}|[1-9]\d{1,3})\)[ -]?\d{2,5}(?:[ -]?\d{2,5}){1,3}"  # the area in brackets
    r"|0[1-9](?:\.\d{2}){4}"  # France
    r"|8[ -]?(?:\(\d{3}\)|\d{3})[ -]?\d{3}-\d{2}-\d{2}"  # Russia
    r"|0\d{1,5}(?: ?[/-] ?| )\d{2,8}(?:[ -]?\d{2,5}){0,4}"  # national, with the trunk prefix 0
    r")(?: ?(?:x|ext\.?|extension|Durchwahl) ?\d{1,5})?(?![\w-]|\.\d)" + UNITS
)
NOUNS = (
    r"tel(?:e(?:phone|fon[eo]?|fono|foon|fax)|éfono|efonnummer|ef\.)?|t[ée]l(?:éphone)?|phone|mobiles?|mob|móvil|mobil|mobiel"
    r"|cell(?:ulare|ular)?|celular|handy|portable|fax|whatsapp|sms|hotline|rufnummer|gsm|natel|tlf|tfno|tfn|fon|fono|kom"
    r"|ph|puh(?:elin(?:numero)?)?|тел(?:ефон)?|моб|номер|τηλ(?:εφωνο)?|κιν|טל(?:פון)?|נייד|फ़ोन|फोन|मोबाइल"
    r"|هاتف|جوال|تلفن|điện thoại|s?đt"
)
CALLS = (
    r"dial|(?:call|ring|text|phone|reach|contact)(?: (?:me|us|him|her|them))?|(?:call|ring|text|phone|reach|contact) \w{2,20}"
    r" (?:at|on|under)|bell on|(?:call|reach|text|ring) (?:me|us|him|her|them) (?:at|on)|(?:rufe?n?|erreich\w*|erreichbar)(?: \w{2,5}){0,3}"
    r" (?:unter|an|auf)|ruf (?:mich|uns) an|appel(?:ez|le|er)(?:[ -]moi)?(?: (?:le|au))?|join(?:dre|able) au"
    r"|ll[aá]m(?:a|e|ar|ame|eme|anos|enos)(?: al)?|chiam(?:a|ami|are|ate|ateci|i)(?: (?:il|al|lo))?"
    r"|lig(?:a|ue|ar)(?: (?:no|para(?: o)?))?|bel(?:len)?(?: (?:me|mij|ons))?(?: (?:op|naar))?|ring (?:til )?(?:mig|meg|oss|os)(?: på)?"
    r"|soita(?: numeroon)?|(?:za)?dzwo(?:nić|ń)(?: (?:na|pod)(?: numer)?)?|(?:za)?volejte(?: na)?|zavolaj(?:te)?(?: na)?"
    r"|(?:по)?звони(?:те|ть)?(?: (?:мне|нам))?(?: по(?: номеру)?)?|дзвон[іи]ть|καλεστε(?: \w{2,4}){0,2}|התקשרו?(?: ל)?"
    r"|gọi(?: \w+){0,3}"
)
NUMBER_WORD = r"(?:[ _-]?(?:no|nr|num(?:ber|mer|éro)?|numero|número|id|№|n°))?"
# What may stand before a number: a word by itself or at the end of a field's name, then signs and a few small words.
ANNOUNCES = re.compile(
    rf"(?:(?i:(?<![^\W_])(?:{NOUNS}|{CALLS}){NUMBER_WORD})|(?<=[a-z])(?:Phone|Mobile|Tel|Fax)(?:Number|No)?)(?![^\W\d_])"
    r"[^\w+\n(]{0,6}(?:(?:is|no|nr|number|number is|ist|est|es|at|on)[^\w+\n(]{1,4})?$"
    r"|(?:电话|電話|手机|手機|携帯|拨打|撥打|致电|致電|联系|聯繫|连絡|連絡先|전화|휴대폰|연락처|번호|โทร)[^\d\n+(]{0,6}$"
)
ISLAND = re.compile(r"(?<![\w+])[+(]{0,2}\d(?:[ ()./+-]{0,3}\d){5,20}")
ANNOUNCED = re.compile(r"\+?\(?\d[\d ()./-]{4,20}\d(?![\w-]|\.\d)")
REACH = 60
DATE = re.compile(
    r".*\((?:19|20)\d{2}\).*|(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\1(?:(?:19|20)\d{2}|\d{2})"
    r"|(?:19|20)\d{2}([-/. ])\d{1,2}\2\d{1,2}"
)
NO_NUMBER = re.compile(rf"{DATE.pattern}|0[0 -]*")
POSTCODE = re.compile(r"\d{5}-\d{4}")
"""A ZIP code with its four more digits."""
PHONE_SIGNS = (r"[0-9](?:[ .()/+-]{0,3}[0-9]){5}",)


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Where the text holds a number."""
    parted = parted_text(text)
    for island in ISLAND.finditer(parted):
        start = island.start()
        if ANNOUNCES.search(text[max(0, start - REACH) : start]):
            match = ANNOUNCED.match(parted, start)
            digits = sum(character.isdigit() for character in match[0]) if match else 0
            if match and LEAST_ANNOUNCED <= digits <= MOST_DIGITS and not NO_NUMBER.fullmatch(match[0]):
                yield match.span()
                continue
        yield from _formed(parted, start, island.end() + 12)


def _formed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Numbers that are known by their form alone; `end` leaves room for an extension."""
    for match in PHONE.finditer(text, start, end):
        digits = sum(character.isdigit() for character in match[0])
        # One more group of digits, and it is a row of a table.
        is_row = match[0][0] not in "+(" and re.match(r" \d{2}", text[match.end() : match.end() + 3])
        other = is_row or DATE.fullmatch(match[0]) or POSTCODE.fullmatch(match[0])
        if LEAST_DIGITS <= digits <= MOST_DIGITS and not other and _is_possible(match[0]):
            yield match.span()


def _is_possible(number: str) -> bool:
    """Whether a number with a country's code may exist in its plan; without `phonenumbers`, and for others, it may."""
    if not number.startswith(("+", "00")):
        return True
    try:
        import phonenumbers
    except ModuleNotFoundError:
        return True
    written = number if number.startswith("+") else f"+{number[2:]}"
    try:
        parsed = phonenumbers.parse(written.replace("(0)", ""))
    except phonenumbers.NumberParseException:
        return False
    sure = phonenumbers.is_possible_number if number.startswith("+") else phonenumbers.is_valid_number
    return bool(sure(parsed))
