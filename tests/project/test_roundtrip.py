"""A file sent back to its endpoint gives the predictions of training time, to the last bit."""

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("roundtrip", Path(__file__).with_name("roundtrip.py"))
roundtrip = sys.modules["roundtrip"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(roundtrip)


@pytest.mark.parametrize("seed", range(12))
def test_every_door_means_what_training_meant(seed, tmp_path):
    _, wrong = roundtrip.differences(seed, tmp_path)
    assert wrong == {}
