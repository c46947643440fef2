"""Text files as clean UTF-8: encodings checked and converted, byte order marks and carriage returns removed."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from bakeoff.core.errors import DataError

__all__ = ["as_utf8"]

PIECE = 1 << 20
HEAD_BYTES = 4096
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
GUESSES = ("cp1252", "latin-1")


def as_utf8(path: Path, encoding: str, scratch: Path, name: str) -> Path:
    r"""The file itself when it is plain UTF-8 with "\n" line ends, else a converted copy in `scratch`.

    A UTF-8 file with a few damaged lines among sound non-ASCII ones is left as it is: those lines are set
    aside when it is parsed. One whose non-ASCII text is mostly not UTF-8 is written in another encoding.

    Args:
        path: The file.
        encoding: What the project says it is written in.
        scratch: An existing folder for the copy.
        name: How messages call the file.

    Raises:
        DataError: the encoding is unknown, or not that of the file.
    """
    codec = _codec(encoding)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    marked = next((found for mark, found in MARKS.items() if head.startswith(mark)), None)
    if codec in {"utf-8", "utf-8-sig"}:
        if marked == "utf-16":
            raise DataError(f'{name}: expected utf-8, found utf-16 (by its first bytes). Set encoding = "utf-16".')
        if b"\0" in head:
            raise DataError(
                f"{name}: expected text, found zero bytes, as in a compressed or binary file. Give the file the "
                'ending of what it is (.gz, .zip, .parquet, …), or set encoding in [data] (perhaps "utf-16-le").'
            )
        returns = _check_utf8(path, name)
        if marked is None and not returns:
            return path
        return _rewritten(_raw_pieces(path, skip=3 if marked else 0), scratch / "clean")
    return _rewritten(_converted_pieces(path, codec, name), scratch / "clean")


def _codec(encoding: str) -> str:
    """The codec's own name; refuses what Python also calls a codec, such as base64."""
    try:
        b"a".decode(encoding)
    except UnicodeDecodeError:
        pass  # one letter is no whole text in it
    except (LookupError, ValueError):
        raise DataError(f"[data] encoding: expected one such as 'utf-8' or 'latin-1', received {encoding!r}") from None
    return codecs.lookup(encoding).name


def _check_utf8(path: Path, name: str) -> bool:
    """Whether there are carriage returns; raises when the file is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    returns = False
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                returns = returns or b"\r" in piece
                decoder.decode(piece)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        returns = _tolerate_damage(path, name)
    return returns


def _tolerate_damage(path: Path, name: str) -> bool:
    """Count sound and unsound non-ASCII lines; raises when the unsound are not the exception."""
    sound = unsound = first = 0
    sample = b""
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
                if not first:
                    first, sample = number, line[max(0, error.start - 40) : error.start + 40]
    if unsound < sound:
        return returns
    guess = next(guess for guess in GUESSES if _decodes(sample, guess))
    raise DataError(
        f"{name}: expected text in utf-8, found bytes that are not, first in line {first}: {sample!r}. "
        f'Set encoding = "{guess}" in [data] (there it reads {sample.decode(guess)!r}), or whatever wrote the file.'
    )


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
            held = b"\r" if whole.endswith(b"\r") else b""
            clean = (whole[:-1] if held else whole).replace(b"\r\n", b"\n")
            newlines = newlines or b"\n" in clean
            out.write(clean)
        out.write(held)
    if not newlines and target.stat().st_size:
        target.write_bytes(target.read_bytes().replace(b"\r", b"\n"))
    return target
