"""Archives whose headers are the bomb: what they announce is refused before it is read."""

import io
import resource
import tarfile

import pytest

from bakeoff.core.errors import SecurityError
from bakeoff.data.archives import open_archive


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_gigabytes_is_refused_unread(tmp_path, kind):
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        assert archive.fileobj is not None
        archive.fileobj.write(header(kind, 1 << 30))
        for _ in range(64):
            archive.fileobj.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        pytest.raises(SecurityError, match=r"bomb\.tar\.gz: expected headers of at most 1,048,576 bytes"),
        open_archive(path),
    ):
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # kB: far from what is announced


@pytest.mark.parametrize("shape", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(tmp_path, shape):
    path, name = tmp_path / "long.tar", "a/" * 100 + "ü.csv"
    with tarfile.open(path, "w", format=shape) as archive:
        info = tarfile.TarInfo(name)
        info.size = 3
        archive.addfile(info, io.BytesIO(b"a\n1"))
    with open_archive(path) as (member,), member.open() as file:
        assert (member.name, file.read()) == (name, b"a\n1")
