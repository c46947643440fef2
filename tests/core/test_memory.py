import subprocess
import sys

import pytest

from bakeoff.core.memory import peak_memory_bytes

BIG = 300_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is told its parent's peak too")
def test_the_peak_is_of_this_process_not_of_its_parent():
    held = bytearray(b"x") * BIG
    assert peak_memory_bytes() > BIG
    code = "from bakeoff.core.memory import peak_memory_bytes; print(peak_memory_bytes())"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 1_000_000 < int(child.stdout) < BIG
    del held
