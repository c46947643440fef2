"""Telephone numbers: international ones by their countries' plans, national ones by form or what announces them."""

import re
from collections.abc import Iterator

__all__ = ["PHONE_SIGN", "phones"]

LEAST_DIGITS, MOST_DIGITS = 8, 15
"""E.164 allows 15 digits; fewer than 8 are more often something else."""
LEAST_ANNOUNCED = 6
PHONE = re.compile(
    r"(?<![\w.+-])(?<!\d )(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ .\-/]{0,2}(?:\(\d{1,4}\)|\d{1,5})){2,7}"  # international: E.164
    r"|(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\)[ -]?[2-9]\d{2}[ .-]?\d{4}|[2-9]\d{2}[ .-][2-9]\d{2}[ .-]\d{4})"  # North America
    r"|(?:\+?\d{1,3} ?)?\(0?[1-9]\d{1,3}\)[ -]?\d{2,5}(?:[ -]?\d{2,5}){1,3}"  # the area in brackets
    r"|0\d{1,4}[ /-]\d{2,8}(?:[ -]?\d{2,5}){0,4}"  # national, with the trunk prefix 0
    r")(?: ?(?:x|ext\.?|extension|Durchwahl) ?\d{1,5})?(?![\w-]|\.\d)"
)
CUES = (
    r"tel(?:e(?:phone|fon[eo]?|fono|foon)|éfono|ef\.)?|t[ée]l(?:éphone)?|phone|mobiles?|mob|móvil|mobil"
    r"|cell(?:ulare|ular)?|celular|handy|portable|fax|whatsapp|sms|hotline|dial|call(?: me)?(?: at| on)?"
    r"|(?:reach|text|ring) (?:me|us)(?: at| on)?|phone ?n(?:o|umber)|ph|тел(?:ефон)?|电话|電話|手机|手機|携帯"
    r"|전화|휴대폰|โทร|फ़ोन|फोन|मोबाइल|هاتف|جوال|điện thoại|τηλ"
)
ANNOUNCED = re.compile(
    rf"(?i)(?<![^\W_])(?:{CUES})(?![^\W\d_])[^\w+\n(]{{0,6}}(?:(?:is|no|nr|number|№|n°)[^\w+\n(]{{1,4}})?"
    r"(\+?\(?\d[\d ()./-]{4,20}\d)(?![\w-]|\.\d)"
)
DATE = re.compile(
    r".*\((?:19|20)\d{2}\).*|(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\1(?:(?:19|20)\d{2}|\d{2})"
    r"|(?:19|20)\d{2}([-/. ])\d{1,2}\2\d{1,2}"
)
POSTCODE = re.compile(r"\d{5}-\d{4}")
"""A ZIP code with its four more digits."""
PHONE_SIGN = (
    r"\d(?:[ .()/\x{00a0}\x{2007}\x{2009}\x{202f}\x{2010}-\x{2013}-]{0,5}[\d\p{Nd}]){7}"
    rf"|(?i:{CUES}).{{0,20}}\d(?:[ .()/\x{{00a0}}\x{{2007}}\x{{2009}}\x{{202f}}\x{{2010}}-\x{{2013}}-]{{0,5}}\d){{5}}"
)


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Where the text holds a number."""
    for match in ANNOUNCED.finditer(text):
        digits = sum(character.isdigit() for character in match[1])
        if LEAST_ANNOUNCED <= digits <= MOST_DIGITS and not DATE.fullmatch(match[1]):
            yield match.span(1)
    for match in PHONE.finditer(text):
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
