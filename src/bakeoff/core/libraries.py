"""Libraries of the system that packages need and do not bring: slim images are without them."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["DEBIAN", "libraries_of", "library_advice", "missing_libraries", "path_of"]

NEEDED = {"lightgbm": "libgomp.so.1"}
"""By distribution. What the others need, their wheels bring (PEP 600 leaves OpenMP to the system)."""
DEBIAN = {"libgomp.so.1": "libgomp1"}
"""By library: Debian's and Ubuntu's package of it."""
INSTALL = {
    "libgomp": f"apt-get install {DEBIAN['libgomp.so.1']} (Debian, Ubuntu), dnf install libgomp (Fedora, Red Hat)",
    "libomp": "brew install libomp",
}
REFUSED = re.compile(r"([\w.+-]+\.so[\d.]*): cannot open shared object file|Library not loaded: \S*?([\w.+-]+\.dylib)")
"""What the loader of Linux says, and that of macOS."""


def libraries_of(distributions: Iterable[str]) -> list[str]:
    """Libraries of the system that these distributions need on Linux."""
    return sorted({NEEDED[each] for each in distributions if each in NEEDED})


def missing_libraries(distributions: Iterable[str]) -> list[str]:
    """Libraries of the system that these distributions need, and that cannot be loaded, each with what installs it."""
    if sys.platform != "linux":
        return []
    return [_told(name) for name in libraries_of(distributions) if not _loads(name)]


def library_advice(message: str) -> str | None:
    """What to do about an error of the system's loader; None if the message is none.

    >>> library_advice("libgomp.so.1: cannot open shared object file: No such file or directory")
    'libgomp.so.1 of the system: apt-get install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora, Red Hat)'
    """
    refused = REFUSED.search(message)
    return None if refused is None else _told(refused[1] or refused[2])


def path_of(name: str) -> Path | None:
    """The file of a library that is loaded in this process or can be; only on Linux."""
    if sys.platform != "linux" or not _loads(name):
        return None
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    mapped = {Path(fields[5]) for line in lines if len(fields := line.split(maxsplit=5)) == 6}  # noqa: PLR2004
    return next((path for path in mapped if path.name.startswith(name)), None)  # libgomp.so.1 may be a link to ….1.0.0


def _loads(name: str) -> bool:
    import ctypes

    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _told(name: str) -> str:
    known = INSTALL.get(name.partition(".")[0])
    return f"{name} of the system: {known or 'install the package of your system that has it'}"
