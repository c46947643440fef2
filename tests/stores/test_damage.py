"""What `make bench-versions-damage` does a thousand times."""

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("damage", Path(__file__).with_name("damage.py"))
damage = sys.modules["damage"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(damage)


def test_every_flip_and_cut_is_named_and_never_served(tmp_path):
    assert damage.flips(tmp_path, 24).keys() == {"lists", "packs", "trees", "whole"}


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_a_killed_writer_acknowledged_is_there(tmp_path):
    assert damage.kills(tmp_path, 2) > 0
