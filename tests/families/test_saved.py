from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bakeoff.core.errors import CorruptError
from bakeoff.core.types import Column, Signature
from bakeoff.families import saved
from bakeoff.families.saved import Array


@dataclass(frozen=True, kw_only=True)
class Tree:
    signature: Signature
    arrays: tuple[Array, ...]
    words: dict[str, float]


TREE = Tree(
    signature=Signature(
        task="classification", inputs=(Column(name="t", kind="text", dtype="String"),), classes=("ä", "b")
    ),
    arrays=(np.arange(6.0).reshape(2, 3), np.array([], dtype=np.int64)),
    words={"naïve 🙂": 1e-300},
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    saved.write(tmp_path, "mine", TREE, {"extra.onnx": b"\x00\xff"})
    tree, files = saved.read(tmp_path, "mine", Tree)
    assert (tree.signature, tree.words) == (TREE.signature, TREE.words)
    for read, written in zip(tree.arrays, TREE.arrays, strict=True):
        np.testing.assert_array_equal(read, written)
        assert read.dtype == written.dtype
    assert files["extra.onnx"] == b"\x00\xff"


def test_a_number_of_numpys_is_one_of_json(tmp_path: Path) -> None:
    saved.write(tmp_path, "mine", replace(TREE, words={"slope": np.float64(0.25), "lag": np.int64(7)}))
    tree, _ = saved.read(tmp_path, "mine", Tree)
    assert tree.words == {"slope": 0.25, "lag": 7.0}


def test_the_signature_can_be_read_alone(tmp_path: Path) -> None:
    saved.write(tmp_path, "mine", TREE)
    assert msgspec.json.decode((tmp_path / "signature.json").read_bytes(), type=Signature) == TREE.signature


def test_a_model_of_another_family_is_refused(tmp_path: Path) -> None:
    saved.write(tmp_path, "mine", TREE)
    with pytest.raises(CorruptError, match=r"family 'theirs'.*'mine'.*fit the candidate again"):
        saved.read(tmp_path, "theirs", Tree)


def test_objects_are_refused() -> None:
    """An array of objects could only be read back by unpickling."""
    tree = Tree(signature=TREE.signature, arrays=(np.array([object()]),), words={})
    with pytest.raises(ValueError, match="allow_pickle"):
        saved.write(Path(), "mine", tree)
    assert not Path("model.json").exists()


@pytest.mark.parametrize(
    "manifest", ["[]", "{}", '{"family":"mine","format":1}', '{"family":"mine","format":1,"files":{}}']
)
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(CorruptError):
        saved.read(tmp_path, "mine", Tree)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "model" / "manifest.json").write_text('{"family":"mine","format":1,"files":{"../secret":"0"}}')
    with pytest.raises(CorruptError, match="file name"):
        saved.read_files(tmp_path / "model", "mine")
