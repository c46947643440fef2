"""What a model's folder may hold: no code in any form, and nothing that says it is larger than it is.

Looked at before a model is loaded, file by file, reading heads and lengths alone: what would be unpacked is not.
"""

import ast
import bz2
import json
import lzma
import pickletools
import re
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any

from bakeoff.core.errors import SecurityError

__all__ = ["require_safe"]

HEAD = 1 << 16
UNPACKED = 8 << 20
"""Bytes of what is packed in a file that are looked at."""
DEEPEST = 4
LONGEST_HEADER = 100 << 20
MOST_WORDS = 5_000_000
MOST_RATIO, FREE_BYTES = 200, 64 << 20
CODE = frozenset({".py", ".pyc", ".pyo", ".so", ".dll", ".dylib", ".pyd", ".sh", ".exe", ".jar", ".class"})
PROGRAMS = (b"\x7fELF", b"MZ", b"#!", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe")
LOADERS = (b"\x89HDF\r\n\x1a\n", b"\x93PICKLE")
"""Forms whose readers run what a file names: HDF5 with layers of code."""
CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
IMPORTS = frozenset({"GLOBAL", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""Bytes of a value of safetensors."""
NAME = re.compile(r"[^\W\d][\w.]*")
NUMPY = re.compile(rb"\x93NUMPY([\x01-\x03])\x00")
CUSTOM_CODE = re.compile(r'"(?:auto_map|custom_pipelines|trust_remote_code)"\s*:\s*+(?!null|false|\{\s*\})')
ESCAPED = re.compile(r"\\u00(5f|[46][1-9a-f]|[57][0-9a])", re.IGNORECASE)
"""Letters and underscores as JSON may spell them."""
NPY_SHORT, NPY_LONG = struct.Struct("<H"), struct.Struct("<I")


def require_safe(folder: Path) -> None:
    """See that a model's files can be read without running code of theirs, or taking more memory than they have bytes.

    Raises:
        SecurityError: a file is a program, a pickle in some disguise, a link or a bomb; it names the file.
    """
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise _refusal(name, "a regular file", "a link or a device")
        if path.suffix.lower() in CODE:
            raise _refusal(name, "weights and settings", "code")
        with path.open("rb") as file:
            _check(name, file, path.stat().st_size, 0)


def _check(name: str, file: IO[bytes], size: int, depth: int) -> None:
    """Look at a file (or a member of one), and at what is packed in it."""
    head = file.read(HEAD)
    if head.startswith((*PROGRAMS, *LOADERS)):
        raise _refusal(name, "weights and settings", "a program, or a form that may hold code")
    if _is_pickle(file, size):
        raise _refusal(name, "a form without code (safetensors, ONNX, GGUF, numbers, text)", "a pickle")
    if depth > DEEPEST:
        raise _refusal(name, f"at most {DEEPEST} forms within each other", "more")
    for starts, look in FORMS.items():
        if head.startswith(starts):
            look(name, file, head, size, depth)
    if (match := NUMPY.match(head)) is not None:
        _numpy(name, head, size, match[1][0])
    elif name.endswith(".safetensors"):
        _safetensors(name, file, head, size)
    elif head[257:262] == b"ustar":
        raise _refusal(name, "single files", "an archive of tar")
    elif name.endswith(".json"):
        file.seek(0)
        text = file.read(LONGEST_HEADER).decode("utf-8", "replace")
        if CUSTOM_CODE.search(ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)):
            raise _refusal(name, "settings", "the name of code to be run (auto_map or its like)")


def _refusal(name: str, expected: str, received: str) -> SecurityError:
    return SecurityError(f"{name}: expected {expected} in a model, received {received}: do not use this model")


class _Skipped(bytes):
    """Bytes that were passed over: empty, but as long as they were."""

    length = 0

    def __len__(self) -> int:
        return self.length


class _Source:
    """A file as `pickletools` reads it: long texts and numbers, which say nothing here, are passed over."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def tell(self) -> int:
        return self._file.tell()

    def read(self, count: int) -> bytes:
        if count <= HEAD:
            return self._file.read(count)
        if count > self._size - self._file.tell():
            return b""
        self._file.seek(count, 1)
        skipped = _Skipped()
        skipped.length = count
        return skipped

    def readline(self) -> bytes:
        line = self._file.readline(HEAD)
        if line.endswith(b"\n") or len(line) < HEAD:
            return line
        quote = line[:1] if line[:1] in {b"'", b'"'} else b""
        while not (part := self._file.readline(HEAD)).endswith(b"\n"):
            if not part:
                return b""
        return quote * 2 + b"\n" if quote else b"0\n"


def _words(file: IO[bytes], size: int) -> Iterator[tuple[Any, Any, int | None]]:
    """The words of a pickle; odd escapes in what is no pickle are nobody's concern, and no warning."""
    source: Any = _Source(file, size)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield from pickletools.genops(source)


def _is_pickle(file: IO[bytes], size: int) -> bool:
    """Whether a file is a pickle that calls something, read word by word and not run; it is read as far as it is one.

    One of so many words that nobody can tell is taken to be one.

    A reader runs each word as it comes, so that what follows a call need not make sense. What takes from its stack more
    than there is, is another kind of file that only begins like one.
    """
    stack: list[bool] = []  # True: a mark
    calls = CALLS
    try:
        for count, (opcode, argument, _) in enumerate(_words(file, size)):
            if count > MOST_WORDS:
                return True
            if count == 0 and opcode.name == "PROTO":
                calls = CALLS | IMPORTS
            if opcode.name in {"GLOBAL", "INST"} and not all(map(NAME.fullmatch, str(argument).split(" ", 1))):
                return False
            before = list(opcode.stack_before)
            if pickletools.markobject in before:
                place = len(stack) - 1 - stack[::-1].index(True)
                del stack[place:]
                before = before[: before.index(pickletools.markobject)]
            elif len(stack) < len(before):
                return False
            del stack[len(stack) - len(before) :]
            stack += [each is pickletools.markobject for each in opcode.stack_after]
            if opcode.name in calls:
                return True
    except (ValueError, IndexError, struct.error, OverflowError, MemoryError):
        pass
    return False


def _zip(name: str, file: IO[bytes], _head: bytes, size: int, depth: int) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _require_dense(name, sum(each.file_size for each in members), size)
            for each in members:
                inside = f"{name}!{each.filename}"
                if each.filename.startswith("/") or ".." in Path(each.filename).parts or "\\" in each.filename:
                    raise _refusal(inside, "relative names", "one that leads out")
                if stat.S_ISLNK(each.external_attr >> 16) or Path(each.filename).suffix.lower() in CODE:
                    raise _refusal(inside, "weights and settings", "a link or code")
                if not each.is_dir():
                    with archive.open(each) as member:
                        _check(inside, member, each.file_size, depth + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _refusal(name, "a whole zip file without a password", f"{error}") from error


def _require_dense(name: str, unpacked: int, packed: int) -> None:
    if unpacked > FREE_BYTES and unpacked > MOST_RATIO * max(packed, 1):
        raise _refusal(name, f"at most {MOST_RATIO} times its size when unpacked", f"{unpacked:,} bytes of {packed:,}")


def _packed(unpack: Callable[[bytes], bytes]) -> "Callable[[str, IO[bytes], bytes, int, int], None]":
    def look(name: str, file: IO[bytes], _head: bytes, _size: int, depth: int) -> None:
        try:
            file.seek(0)
            inner = unpack(file.read(UNPACKED))
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            return  # it only begins like one
        _check(f"{name}!", BytesIO(inner), len(inner), depth + 1)

    return look


def _zstd(head: bytes) -> bytes:
    from bakeoff.data.zstd import zstd

    try:
        return zstd.ZstdDecompressor().decompress(head, UNPACKED)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def _numpy(name: str, head: bytes, size: int, version: int) -> None:
    """An array whose header says what it holds, and how much."""
    length = NPY_SHORT if version == 1 else NPY_LONG
    (header_bytes,) = length.unpack_from(head, 8)
    start = 8 + length.size
    if start + header_bytes > len(head):
        raise _refusal(name, f"a header of at most {HEAD} bytes", f"one of {header_bytes:,}")
    try:
        header = ast.literal_eval(head[start : start + header_bytes].decode("latin-1"))
        described, shape = header["descr"], header["shape"]
        parts = [str(part[1]) for part in described] if isinstance(described, list) else [str(described)]
        count = prod(int(each) for each in shape)
        widths = [int(re.sub(r"\D", "", part) or 1) * (4 if "U" in part else 1) for part in parts]
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, RecursionError, MemoryError) as error:
        raise _refusal(name, "an array of numpy", f"a header that makes no sense ({error})") from error
    if any("O" in part for part in parts):
        raise _refusal(name, "an array of numbers or texts", "one of Python objects")
    if count < 0 or count * sum(widths) > size - start - header_bytes:
        raise _refusal(name, "an array of the length that its header says", f"{size:,} bytes for shape {shape}")


def _safetensors(name: str, file: IO[bytes], head: bytes, size: int) -> None:
    """Source: the format's description: u64 length, JSON header, then the tensors' bytes without gaps."""
    length = int.from_bytes(head[:8], "little") if len(head) >= 8 else size  # noqa: PLR2004
    if length > min(LONGEST_HEADER, size - 8):
        raise _refusal(name, "a header that is in the file", f"one of {length:,} bytes")
    file.seek(8)
    try:
        tensors: Mapping[str, Any] = json.loads(file.read(length))
        for key, each in tensors.items():
            if key == "__metadata__":
                continue
            start, end = each["data_offsets"]
            needed = prod(map(int, each["shape"])) * SIZES.get(each["dtype"], 0)
            if (
                not 0 <= start <= end <= size - 8 - length
                or min([*each["shape"], 0]) < 0
                or needed not in {0, end - start}
            ):
                raise _refusal(name, f"{key!r} to have its bytes in the file", f"shape {each['shape']}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refusal(name, "a header of safetensors", f"{error!r}") from error


def _gguf(name: str, _file: IO[bytes], head: bytes, size: int, _depth: int) -> None:
    """Counts of a header, each of which stands for some bytes of the file."""
    tensors, settings = struct.unpack_from("<QQ", head, 8) if len(head) >= 24 else (size, size)  # noqa: PLR2004
    if 24 * tensors + 12 * settings > size:
        raise _refusal(name, "counts that fit the file", f"{tensors:,} tensors and {settings:,} settings")


FORMS: Mapping[bytes, Callable[[str, IO[bytes], bytes, int, int], None]] = {
    b"PK\x03\x04": _zip,
    b"GGUF": _gguf,
    b"\x1f\x8b": _packed(lambda head: zlib.decompressobj(31).decompress(head, UNPACKED)),
    b"x\x01": _packed(lambda head: zlib.decompressobj().decompress(head, UNPACKED)),
    b"x\x9c": _packed(lambda head: zlib.decompressobj().decompress(head, UNPACKED)),
    b"x\xda": _packed(lambda head: zlib.decompressobj().decompress(head, UNPACKED)),
    b"BZh": _packed(lambda head: bz2.BZ2Decompressor().decompress(head, UNPACKED)),
    b"\xfd7zXZ\x00": _packed(lambda head: lzma.LZMADecompressor(memlimit=FREE_BYTES).decompress(head, UNPACKED)),
    b"\x28\xb5\x2f\xfd": _packed(_zstd),
}
"""How forms begin that hold others, or counts."""
