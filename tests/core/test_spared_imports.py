"""What scipy asks numpy for and does not use is loaded by its first use."""

import subprocess
import sys

SCRIPT = """
import sys
from bakeoff.compute.fork_server import shareable
from bakeoff.core.spared_imports import spare, waits

spare()
import scipy.special

assert "numpy" in shareable() and "numpy.testing" not in shareable()
assert waits("numpy.testing") and waits("numpy.f2py")
import numpy.testing

numpy.testing.assert_equal(scipy.special.stdtr(3, 0), 0.5)
assert not waits("numpy.testing") and waits("numpy.f2py")
spare()
assert not waits("numpy.testing") and "numpy.testing" in shareable()
"""


def test_a_module_waits_for_its_first_use_and_is_no_other():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
