"""E-mail addresses, also as people write them to hide them from programs: "ann at example dot org"."""

import re
from collections.abc import Iterator

from bakeoff.core.scripts import UNSPACED

__all__ = ["EMAIL_SIGNS", "emails"]

# What ends like a file is a file ("icon@2x.png"); what goes on with a path is a place to copy from ("git@host:a/b").
FILES = "png|jpe?g|gif|webp|svg|ico|css|jsx?|tsx?|html?|json|pdf|txt|map"
PLAIN = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64}(?:@|%40)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
    rf"(?!(?:{FILES})\b)(?:xn--[a-zA-Z0-9-]{{1,59}}|[^\W\d_]{{2,24}})(?![\w-]|\.[^\W\d_]|:[\w.~/-]{{1,99}}/)"
)
AT = r"(?:\s?[\[({<]\s?(?:at|AT|@|ät|arroba|chez)\s?[\])}>]\s?|\s?&#(?:64|x40);\s?)"
DOT = r"(?:\s?[\[({<]\s?(?:dot|DOT|punkt|punto|point|\.)\s?[\])}>]\s?|\s(?:dot|DOT)\s)"
LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
ENDS = (
    "com|org|net|edu|gov|info|io|ai|dev|app|co|me|eu|uk|de|fr|es|it|nl|ch|at|be|pl|se|no|dk|fi|jp|cn|in|br|au|ca|us|ru"
)
MARKED = re.compile(
    rf"(?<![\w.%+-])[\w.%+-]{{1,64}}(?:{AT}(?:{LABEL}(?:{DOT}|\.)){{1,4}}|@(?:{LABEL}(?:{DOT}|\.)){{0,3}}{LABEL}{DOT}(?:{LABEL}{DOT}){{0,2}})"
    rf"(?:[^\W\d_]{{2,24}})(?![\w-])"
)
# Words alone say it only where the name is no word, or after what announces an address.
SPOKEN = re.compile(
    rf"(?<![\w.%+-])([\w.%+-]{{1,64}}(?:\s(?:dot|DOT)\s[\w.%+-]{{1,64}}){{0,3}})\s(?:at|AT)\s(?:{LABEL}\s(?:dot|DOT)\s){{1,4}}(?i:{ENDS})(?![\w-])"
)
WEBMAIL = re.compile(
    r"(?i)\sat\s(?:g?mail|googlemail|yahoo|hotmail|outlook|live|icloud|proton(?:mail)?|gmx|aol|yandex|qq)\s"
)
NO_WORD = re.compile(r"[\d._+-]|\s")
ANNOUNCED = re.compile(
    r"(?i)(?:e-?mails?|mail(?:to)?|contact|write|reach|address|correo|courriel|schreib\w*)\b\W{0,3}(?:\w{1,8}\s){0,3}$"
)
REACH = 40

EMAIL_SIGNS = ("@", "%40", r"(?i:[\[({<]\s?(?:at|ät|arroba|chez)\s?[\])}>]|&#(?:64|x40);)", r"(?i)\sdot\s")
HIDDEN = re.compile(r"[\[({<]\s?(?:at|AT|@|ät|arroba|chez|dot|DOT|punkt|punto|point|\.)|\s(?:dot|DOT)\s|&#(?:64|x40);")


# Words of scripts without blanks that stand right beside an address in Latin letters: 请联系abc@x.com谢谢.
BESIDE = re.compile(
    f"(?P<before>[{UNSPACED}\uac00-\ud7a3]*)[A-Za-z0-9_.%+-]+@[A-Za-z0-9.-]+?\\.[A-Za-z]{{2,24}}(?P<after>[{UNSPACED}\uac00-\ud7a3]*)"
)


def _cut(match: re.Match[str]) -> tuple[int, int]:
    beside = None if match[0].isascii() else BESIDE.fullmatch(match[0])
    return (
        match.span()
        if beside is None
        else (match.start() + beside.end("before"), match.start() + beside.start("after"))
    )


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Where the text holds an address."""
    if "@" in text or "%40" in text:
        yield from (_cut(match) for match in PLAIN.finditer(text))
    if not HIDDEN.search(text):
        return
    yield from (match.span() for match in MARKED.finditer(text))
    for match in SPOKEN.finditer(text):
        before = text[max(0, match.start() - REACH) : match.start()]
        if NO_WORD.search(match[1]) or WEBMAIL.search(match[0]) or ANNOUNCED.search(before):
            yield match.span()
