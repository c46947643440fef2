import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.stores.parity import BLOCK, parity, restored


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 4 * BLOCK), seed=st.integers(0, 9), place=st.floats(0, 1, exclude_max=True))
def test_any_damage_within_a_block_is_undone(size, seed, place):
    data = random.Random(seed).randbytes(size)
    known = parity(data)
    start = int(place * size) // BLOCK * BLOCK
    end = min(start + BLOCK, size)
    assert restored(data[:start] + bytes(end - start) + data[end:], known) == data
    assert restored(data, known) == data


@pytest.mark.parametrize("size", [1, BLOCK])
def test_a_small_file_is_made_again_of_nothing(size):
    data = random.Random(0).randbytes(size)
    assert restored(b"", parity(data)) == data


def test_what_is_too_much_is_not_guessed():
    data = random.Random(0).randbytes(3 * BLOCK)
    known = parity(data)
    damaged = bytearray(data)
    damaged[0] ^= 1
    damaged[-1] ^= 1
    assert restored(bytes(damaged), known) is None
    assert restored(data, known[:-1]) is None
    assert restored(data, b"") is None
