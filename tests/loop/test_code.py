"""The code that is recorded with a run."""

import json
from types import SimpleNamespace

from bakeoff.config.sections import DataConfig
from bakeoff.loop.code import recorded_code
from bakeoff.stores.blobs import open_blobs


def test_a_file_that_cannot_be_read_ends_no_run(tmp_path, monkeypatch):
    """It may be another user's, or go away meanwhile."""
    folder, work = tmp_path / "project", tmp_path / "work"
    for each in (folder, work):
        each.mkdir()
    for name in ("bakeoff.toml", "a.py", "gone.py"):
        (folder / name).write_text(name)
    read = type(folder).read_bytes

    def refused(path):
        if path.name == "gone.py":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(type(folder), "read_bytes", refused)
    lines, blobs = [], open_blobs("file://blobs", folder=tmp_path, clock=lambda: 1)
    config = SimpleNamespace(data=DataConfig(source=("data.csv",), target="y"))
    stage = SimpleNamespace(folder=folder, work=work, config=config, blobs=blobs, progress=lines.append)
    code = recorded_code(stage)
    assert sorted(json.loads(blobs.get(code.tree_blob))["files"]) == ["a.py", "bakeoff.toml"]
    assert code.left_out == ("gone.py",)
    assert lines == ["code: 1 files are not recorded, being too large, too many or not to be read: gone.py"]
