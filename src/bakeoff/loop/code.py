"""The project's own code, which is kept with the run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bakeoff.config.file import FILE_NAME
from bakeoff.core.lineage import CodeOrigin
from bakeoff.core.refs import BlobRef
from bakeoff.data.sources import GLOB, SCHEME
from bakeoff.environment.code import ProjectFiles, code_state, notebook, project_files
from bakeoff.loop.context import Stage

__all__ = ["recorded_code"]


def recorded_code(stage: Stage) -> CodeOrigin:
    """The project's code as it is now, its files stored."""
    data = tuple(_data_files(stage))
    state, cells = code_state(stage.folder, without=data), notebook()
    files = project_files(stage.folder, without=data, always=(FILE_NAME,))
    tree, unread = _tree(stage, files)
    left_out = (*files.left_out, *unread)
    if left_out:
        some = ", ".join(left_out[:3])
        stage.progress(
            f"code: {len(left_out)} files are not recorded, being too large, too many or not to be read: {some}"
        )
    return CodeOrigin(
        commit=state.commit,
        dirty=state.dirty,
        branch=state.branch,
        remote=state.remote,
        patch_blob=BlobRef(stage.blobs.put(state.patch)) if state.patch else None,
        tree_blob=tree,
        notebook_blob=BlobRef(stage.blobs.put(cells)) if cells else None,
        left_out=left_out,
    )


def _tree(stage: Stage, files: ProjectFiles) -> tuple[BlobRef, list[str]]:
    """The files as they are stored, and those that cannot be read or went away meanwhile."""
    unread: list[str] = []
    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        for name, path in files.files.items():
            try:
                content = path.read_bytes()
            except OSError:
                unread.append(name)
                continue
            target = Path(scratch) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return BlobRef(stage.blobs.put_tree(Path(scratch))), unread


def _data_files(stage: Stage) -> Iterator[Path]:
    """The files here that the sources name."""
    data = stage.config.data
    for location in [each for listed in data.sources.values() for each in listed] or data.source:
        if SCHEME.match(location):
            continue
        for place in (location, location.partition("!")[0]):
            path = stage.folder / place
            if GLOB.search(place) and not Path(place).is_absolute():
                yield from stage.folder.glob(place)
            else:
                yield path
