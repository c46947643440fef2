"""What the system lacks is told with what installs it."""

import ctypes
import sys

import pytest

from bakeoff.core import libraries
from bakeoff.core.errors import MissingExtraError
from bakeoff.core.explain import explained
from bakeoff.core.libraries import library_advice, missing_libraries, path_of

ABSENT = "libno-such-thing.so.7"


@pytest.mark.skipif(sys.platform != "linux", reason="asks the loader of Linux")
def test_what_cannot_be_loaded_is_missing(monkeypatch):
    assert missing_libraries(["lightgbm", "numpy"]) == []  # it is there, as LightGBM works here
    monkeypatch.setitem(libraries.NEEDED, "lightgbm", ABSENT)
    assert missing_libraries(["lightgbm", "numpy"]) == [
        f"{ABSENT} of the system: install the package of your system that has it"
    ]
    assert path_of(ABSENT) is None
    found = path_of("libgomp.so.1")
    assert found is not None
    assert found.is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the loader of Linux")
def test_the_loaders_error_names_the_library():
    with pytest.raises(OSError, match="no-such-thing") as caught:
        ctypes.CDLL(ABSENT)
    error = explained(caught.value)
    assert isinstance(error, MissingExtraError)
    assert str(error).startswith(f"expected {ABSENT} of the system")


def test_the_loader_of_macos_is_understood():
    message = "dlopen(lib_lightgbm.dylib, 0x0006): Library not loaded: @rpath/libomp.dylib\n  Referenced from: ..."
    assert library_advice(message) == "libomp.dylib of the system: brew install libomp"
    assert library_advice("Permission denied") is None
