import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from bakeoff.families.features.vectors_cache import VectorCache


class Encoder:
    def __init__(self, value: float = 0.0) -> None:
        self.seen: list[str] = []
        self.value = value

    def __call__(self, texts):
        self.seen += texts
        return np.array([[len(text), self.value] for text in texts], dtype=np.float16)


def test_each_text_is_encoded_once(tmp_path: Path) -> None:
    first, second = Encoder(), Encoder()
    texts = ["a", "bbb", "a", "", "cc"]
    one = VectorCache(tmp_path, "e", 2).vectors(texts, first)
    two = VectorCache(tmp_path, "e", 2).vectors([*texts, "new"], second)
    assert sorted(first.seen) == ["", "a", "bbb", "cc"]
    assert second.seen == ["new"]
    np.testing.assert_array_equal(two[:5], one)
    assert one[:, 0].tolist() == [1, 3, 1, 0, 2]


def test_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    VectorCache(tmp_path, "e", 2).vectors(["a"], Encoder(1.0))
    assert VectorCache(tmp_path, "f", 2).vectors(["a"], Encoder(2.0))[0, 1] == 2


def test_what_was_encoded_before_a_failure_is_kept(tmp_path: Path) -> None:
    class Failing(Encoder):
        def __call__(self, texts):
            if self.seen:
                raise RuntimeError("killed")
            return super().__call__(texts)

    texts = [f"{i:04}" for i in range(1000)]
    with pytest.raises(RuntimeError):
        VectorCache(tmp_path, "e", 2).vectors(texts, Failing())
    rest = Encoder()
    VectorCache(tmp_path, "e", 2).vectors(texts, rest)
    assert 0 < len(rest.seen) < 1000


def test_a_file_that_is_no_database_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "vectors.sqlite").write_bytes(b"torn" * 1000)
    assert VectorCache(tmp_path, "e", 2).vectors(["a"], Encoder()).shape == (1, 2)


def test_no_texts(tmp_path: Path) -> None:
    assert VectorCache(tmp_path, "e", 2).vectors([], Encoder()).shape == (0, 2)


def _fill(folder: Path, start: int) -> None:
    VectorCache(folder, "e", 2).vectors([f"text {i}" for i in range(start, start + 1500)], Encoder())


def test_processes_may_fill_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(tmp_path, start)) for start in (0, 700)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    encoder = Encoder()
    VectorCache(tmp_path, "e", 2).vectors([f"text {i}" for i in range(2200)], encoder)
    assert encoder.seen == []
