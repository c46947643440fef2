"""Text files as clean UTF-8: encodings checked and converted, byte order marks and carriage returns removed."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bakeoff.core.errors import DataError

__all__ = ["AUTO", "Clean", "as_utf8"]

AUTO = "auto"
PIECE = 1 << 20
HEAD_BYTES = 4096
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
GUESSES = ("cp1252", "latin-1")
WESTERN_SHARE = 0.6
"""Of the letters of the words that have one beyond ASCII, fewer are beyond it in a western language."""
ODD_SHARE = 0.1
"""Of the letters beyond ASCII within words; with more that western languages do not have there, it is no such text."""
WORDS = re.compile(rb"[^\s,;\t\"\x00-\x1f]+")
WITHIN_WORDS = re.compile(
    r"(?<=[^\W\d_])([^\x00-\x7f\u2013\u2014\u2018\u2019\u00ad\u00b4\u00b7\u00aa\u00ba])(?=[^\W\d_])"
)
SIGNS = frozenset("–—‘’“”„‚…€£¥¢©®™°±²³½¼¾§·«»‹›¡¿†•×÷µ\xa0\xad´ªº").union(map(chr, range(128)))
"""What may stand in a text of ASCII letters, whatever its language."""
USUAL = {"euc_jis_2004": "euc_jp", "euc_jisx0213": "euc_jp", "cp1125": "cp866", "big5hkscs": "big5", "johab": "cp949"}
"""Encodings that read the same text, by the name that more people know."""
EXAMPLE_CODECS = '"cp1250", "cp1251", "koi8-r", "gb18030", "big5", "shift_jis", "euc-kr", …'
ZEROS_SHARE = 0.3
MOST_LINES = 1000
CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f")
FEW_CONTROLS = 3
CONTROLS_SHARE = 0.05
ASCII = bytes(range(128))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    r"""A file that is UTF-8 with "\n" line ends, and what was guessed of its encoding."""

    path: Path
    notes: tuple[str, ...] = ()


def as_utf8(path: Path, encoding: str, scratch: Path, name: str) -> Clean:
    r"""The file itself when it is plain UTF-8 with "\n" line ends, else a converted copy in `scratch`.

    A UTF-8 file with a few damaged lines among sound non-ASCII ones is left as it is: those lines are set
    aside when it is parsed. One whose non-ASCII text is mostly not UTF-8 is written in another encoding: UTF-16 is
    known by its zero bytes, and a western text is read as cp1252 (with a note), unless the project names an encoding.

    Args:
        path: The file.
        encoding: What the project says it is written in; "auto" looks.
        scratch: An existing folder for the copy.
        name: How messages call the file.

    Raises:
        DataError: the encoding is unknown, or not that of the file.
    """
    codec = "utf-8" if encoding == AUTO else _codec(encoding)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    marked = next((known for mark, known in MARKS.items() if head.startswith(mark)), None)
    notes: tuple[str, ...] = ()
    if encoding == AUTO:
        codec = (marked or _wide(head) or codec) if marked != "utf-8" else codec
    if codec in {"utf-8", "utf-8-sig"}:
        if marked not in {None, "utf-8"}:
            raise DataError(f'{name}: expected utf-8, found {marked} (by its first bytes). Set encoding = "{marked}".')
        if _is_binary(head):
            raise DataError(
                f"{name}: expected text, found zero bytes, as in a compressed or binary file. Give the file the "
                'ending of what it is (.gz, .zip, .parquet, …), or set encoding in [data] (perhaps "utf-16-le").'
            )
        returns, other = _check_utf8(path, name, guess=encoding == AUTO)
        if other is None:
            if marked is None and not returns:
                return Clean(path=path)
            return Clean(path=_rewritten(_raw_pieces(path, skip=3 if marked else 0), scratch / "clean"))
        codec, notes = other
    return Clean(path=_rewritten(_converted_pieces(path, codec, name), scratch / "clean"), notes=notes)


def _wide(head: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of western text is zero."""
    half = len(head) // 2
    if not half:
        return None
    zeros = (head[::2].count(0) / half, head[1::2].count(0) / half)
    if max(zeros) < ZEROS_SHARE or min(zeros) > ZEROS_SHARE / 3:
        return None
    codec = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return codec if _decodes(head[: half * 2], codec) else None


def _is_binary(head: bytes) -> bool:
    """Zero bytes among many others that no text has; a single one is damage, which costs its row."""
    controls = len(head) - len(head.translate(None, CONTROLS))
    return b"\0" in head and controls > FEW_CONTROLS and controls > CONTROLS_SHARE * len(head)


def _codec(encoding: str) -> str:
    """The codec's own name; refuses what Python also calls a codec, such as base64."""
    try:
        b"a".decode(encoding)
    except UnicodeDecodeError:
        pass  # one letter is no whole text in it
    except (LookupError, ValueError):
        raise DataError(f"[data] encoding: expected one such as 'utf-8' or 'latin-1', received {encoding!r}") from None
    return codecs.lookup(encoding).name


def _check_utf8(path: Path, name: str, *, guess: bool) -> tuple[bool, tuple[str, tuple[str, ...]] | None]:
    """Whether there are carriage returns, and the codec (with a note) when the file is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    returns = False
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                returns = returns or b"\r" in piece
                decoder.decode(piece)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _look_at_damage(path, name, guess=guess)
    return returns, None


def _look_at_damage(path: Path, name: str, *, guess: bool) -> tuple[bool, tuple[str, tuple[str, ...]] | None]:
    """Count sound and unsound non-ASCII lines; when the unsound are not the exception, tell the codec or raise."""
    sound = unsound = first = 0
    sample = b""
    words: list[bytes] = []
    returns = False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            returns = returns or b"\r" in line
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                sound += 1
            except UnicodeDecodeError as error:
                unsound += 1
                if unsound <= MOST_LINES:
                    words += [word for word in WORDS.findall(line) if not word.isascii()]
                if not first:
                    first, sample = number, line[max(0, error.start - 40) : error.start + 40].strip()
    if unsound < sound:
        return returns, None
    codec = next(codec for codec in GUESSES if _decodes_whole(path, codec))  # latin-1 knows every byte
    if guess and _is_western(words, codec):
        note = (
            f"{name} is not utf-8 and is read as {codec}, first in line {first}: {sample.decode(codec)!r}; "
            '[data] encoding = "…" names another'
        )
        return returns, (codec, (note,))
    likely = codec if _is_western(words, codec) else _likely(words)
    advice = f"Set encoding in [data] to what wrote the file ({EXAMPLE_CODECS})."
    if likely:
        shown = sample.decode(likely, "replace")
        advice = f'Set encoding = "{likely}" in [data] (there it reads {shown!r}), or whatever wrote the file.'
    raise DataError(
        f"{name}: expected text in utf-8, found bytes that are not, first in line {first}: {sample!r}. {advice}"
    )


def _is_western(words: list[bytes], codec: str) -> bool:
    """Whether words beyond ASCII look like those of a western language: mostly ASCII, and letters within."""
    texts = [text for word in words if not SIGNS.issuperset(text := word.decode(codec, "replace"))]
    high = sum(not char.isascii() for text in texts for char in text)
    letters = high + sum(char.isascii() and char.isalpha() for text in texts for char in text)
    if high > WESTERN_SHARE * letters:
        return False
    within = "".join(char for text in texts for char in WITHIN_WORDS.findall(text))
    return sum(not char.isalpha() for char in within) <= ODD_SHARE * len(within)


def _likely(words: list[bytes]) -> str | None:
    """The encoding that words beyond ASCII look most like, when the package that tells is installed."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    best = from_bytes(b" ".join(words)[: PIECE >> 2]).best()
    if best is None or best.encoding in {"utf_8", "ascii"}:
        return None
    return USUAL.get(best.encoding, best.encoding)


def _decodes_whole(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for piece in _raw_pieces(path, skip=0):
            decoder.decode(piece)
    except UnicodeDecodeError:
        return False
    return True


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _raw_pieces(path: Path, skip: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(skip)
        while piece := file.read(PIECE):
            yield piece


def _converted_pieces(path: Path, codec: str, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    try:
        for piece in _raw_pieces(path, skip=0):
            text = decoder.decode(piece)
            line += text.count("\n")
            yield text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode()
    except UnicodeDecodeError as error:
        around = bytes(error.object[max(0, error.start - 40) : error.start + 40])
        line += bytes(error.object[: error.start]).count(b"\n")
        raise DataError(
            f"{name}: expected text in {codec}, found bytes that are not, first in line {line}: {around!r}. "
            "Set encoding in [data] to what wrote the file."
        ) from None


def _rewritten(pieces: Iterator[bytes], target: Path) -> Path:
    r"""Write pieces with "\r\n" as "\n", and a lone "\r" too when the file has no other line end."""
    held = b""
    newlines = False
    with target.open("wb") as out:
        for piece in pieces:
            whole = held + piece
            sure = whole.rstrip(b"\r")
            held = whole[len(sure) :]
            clean = sure.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n")
            newlines = newlines or b"\n" in clean
            out.write(clean)
        out.write(held)
    if not newlines and target.stat().st_size:
        target.write_bytes(target.read_bytes().replace(b"\r", b"\n"))
    return target
