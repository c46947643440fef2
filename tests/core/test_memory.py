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


COUNTING = """
import subprocess, sys
from bakeoff.core.memory import peak_memory_bytes

before = peak_memory_bytes()
code = "held = bytearray(200_000_000); print(len(held), flush=True); input()"
with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
    child.stdout.readline()
    assert peak_memory_bytes() > before + 190_000_000
    child.communicate(b"go on\\n", 10)
assert peak_memory_bytes() < before + 100_000_000
"""


WITHOUT_LISTS = "from bakeoff.core import memory\nmemory._listed = lambda: None\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only ended children are counted")
@pytest.mark.parametrize("kernel", ["", WITHOUT_LISTS], ids=["listed", "looked for"])
def test_a_child_that_runs_counts_and_one_that_has_ended_does_not(kernel):
    # In a process of its own: children of other tests may end meanwhile.
    subprocess.run([sys.executable, "-c", kernel + COUNTING], check=True)
