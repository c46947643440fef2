"""Files that attack whoever reads them: none runs code, writes outside, or takes much memory."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import resource
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from bakeoff.chat.template import ChatTemplate
from bakeoff.core.errors import DataError, SecurityError
from bakeoff.data.archives import decompress, extract, open_archive
from bakeoff.data.zstd import zstd
from bakeoff.security.model_files import require_safe

MOST_BYTES = 256 << 20


class Bad:
    """Makes a file when it is read."""

    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def pickled(mark, protocol=4):
    return pickle.dumps(Bad(mark), protocol)


def zipped(members, mode=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", mode) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(name, data=b"x", kind=tarfile.REGTYPE, link=""):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def array(header, data=b""):
    text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def objects(mark):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bad(mark)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def tensors(header, data=b"", length=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def zeros(count):
    return b"\0" * count


MODELS = {
    "pickle.bin": pickled,
    "pickle protocol 0": lambda mark: pickled(mark, 0),
    "pickle protocol 1": lambda mark: pickled(mark, 1),
    "pickle protocol 2": lambda mark: pickled(mark, 2),
    "pickle protocol 5": lambda mark: pickled(mark, 5),
    "padded.bin": lambda mark: pickle.dumps(["x" * 200_000, b"y" * 200_000, Bad(mark)], 4),
    "padded by many": lambda mark: pickle.dumps([*range(100_000), Bad(mark)], 2),
    "padded lines": lambda mark: pickle.dumps(["x" * 200_000, Bad(mark)], 0),
    "padded quotes": lambda mark: b"(S'" + b"x" * 200_000 + b"'\n0" + pickled(mark, 0),
    "padded.gz": lambda mark: gzip.compress(pickle.dumps(["x" * 200_000, Bad(mark)], 4)),
    "padded.pt": lambda mark: zipped({"a/data.pkl": pickle.dumps(["x" * 200_000, Bad(mark)], 2)}),
    "weights.safetensors": pickled,
    "model.json": pickled,
    "tree.txt": lambda mark: pickled(mark, 0),
    "pickle before junk": lambda mark: pickled(mark)[:-1] + b"\xff" * 100,
    "long pickle": lambda mark: pickle.dumps([Bad(mark), "x" * 200_000]),
    "joblib.gz": lambda mark: gzip.compress(pickled(mark)),
    "joblib.z": lambda mark: zlib.compress(pickled(mark)),
    "joblib.z fast": lambda mark: zlib.compress(pickled(mark), 1),
    "joblib.bz2": lambda mark: bz2.compress(pickled(mark)),
    "joblib.xz": lambda mark: lzma.compress(pickled(mark)),
    "joblib.zst": lambda mark: zstd.compress(pickled(mark)),
    "twice.gz": lambda mark: gzip.compress(bz2.compress(pickled(mark, 2))),
    "torch.pt": lambda mark: zipped({"archive/data.pkl": pickled(mark), "archive/version": b"3"}),
    "stored.pt": lambda mark: zipped({"a/data.pkl": pickled(mark, 2)}, zipfile.ZIP_STORED),
    "zip in zip": lambda mark: zipped({"inner.zip": zipped({"x": pickled(mark)})}),
    "torch.tar": lambda mark: tarred("pickle", pickled(mark)),
    "objects.npy": objects,
    "objects.npz": lambda mark: zipped({"a.npy": objects(mark)}),
    "model.h5": lambda _: b"\x89HDF\r\n\x1a\n" + zeros(100),
    "layer.py": lambda _: b"import os",
    "library.so": lambda _: b"\x7fELF" + zeros(100),
    "renamed library": lambda _: b"\x7fELF" + zeros(100),
    "script": lambda _: b"#!/bin/sh\ntrue\n",
    "config.json": lambda _: json.dumps({"auto_map": {"AutoModel": "mine--evil.Model"}}).encode(),
    "escaped.json": lambda _: rb'{"auto\u005fm\u0061p": {"AutoModel": "mine--evil.Model"}}',
    "huge.npy": lambda _: array("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }"),
    "negative.npy": lambda _: array("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
    "code.npy": lambda _: array("{'descr': __import__('os').mkdir('x'), 'shape': (1,), }"),
    "long header.npy": lambda _: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" * 100,
    "header.safetensors": lambda _: tensors({}, length=2**40),
    "shape.safetensors": lambda _: tensors({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}, zeros(8)),
    "outside.safetensors": lambda _: tensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**40]}}),
    "list.safetensors": lambda _: tensors([]),
    "counts.gguf": lambda _: b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + zeros(100),
    "slip.npz": lambda _: zipped({"../../outside.npy": b"x"}),
    "bomb.npz": lambda _: zipped({f"{n}.npy": zeros(40 << 20) for n in range(2)}),
    "broken.zip": lambda _: zipped({"a": b"x" * 100})[:60],
}


@pytest.fixture
def bounded():
    """The process's peak of memory grows by less than the limit."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_such_a_file_is_not_loaded(tmp_path, bounded, name):
    folder, mark = tmp_path / "model", tmp_path / "ran"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    (folder / name).write_bytes(MODELS[name](mark))
    with pytest.raises(SecurityError, match="do not use this model") as raised:
        require_safe(folder)
    assert str(raised.value).startswith(name)
    assert not mark.exists()


def test_links_and_devices(tmp_path):
    for number, make in enumerate((lambda p: p.symlink_to("/etc/passwd"), os.mkfifo)):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        make(folder / "weights.safetensors")
        with pytest.raises(SecurityError, match="a link or a device"):
            require_safe(folder)


def test_what_models_are_made_of_is_let_through(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(9.0), b=np.array(["x", "ßß"]), c=np.zeros((0, 3)), d=np.array(1))
    files = {
        "a.npz": buffer.getvalue(),
        "w.safetensors": tensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, zeros(8)),
        "tree.txt": b"tree\nversion=v4\nnum_class=1\n",
        "vocab.txt": b"c\ncat\ncan\n(R.\nb.\nab.\niR.\ntR.\n",
        "readme": b"b. first. Then (so) it goes.\n",
        "merges.txt": b"#version: 0.2\ni n\nt h\n",
        "config.json": json.dumps({"auto_map": {}, "trust_remote_code": False}).encode(),
        "numbers.bin": np.random.default_rng(0).bytes(300_000),
        "empty": b"",
        "zeros.bin": b"B" + zeros(300_000),
        "lines.bin": b"I" + b"7" * 300_000,
        "marks.txt": b"(" * 200_000,
        "escapes.json": rb'{"\u0041uto": "\u00e9", "auto\u005fmap": null}',
        "chat_template.jinja": b"{{ messages[0].content }}",
        "m.gguf": b"GGUF" + struct.pack("<IQQ", 3, 2, 3) + zeros(200),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    require_safe(tmp_path)


ARCHIVES = {
    "slip.zip": lambda: zipped({"../out.csv": b"x"}),
    "absolute.zip": lambda: zipped({"/tmp/out.csv": b"x"}),
    "backslash.zip": lambda: zipped({"..\\out.csv": b"x"}),
    "drive.zip": lambda: zipped({"C:/out.csv": b"x"}),
    "slip.tar": lambda: tarred("a/../../out.csv"),
    "link.tar": lambda: tarred("a", kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "hard.tar": lambda: tarred("a", kind=tarfile.LNKTYPE, link="/etc/passwd"),
    "device.tar": lambda: tarred("a", kind=tarfile.CHRTYPE),
    "bomb.zip": lambda: zipped({"a.csv": zeros(80 << 20)}),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_of_data(tmp_path, bounded, name):
    path, folder = tmp_path / name, tmp_path / "in" / "deep"
    path.write_bytes(ARCHIVES[name]())
    folder.mkdir(parents=True)
    with pytest.raises((SecurityError, DataError)), open_archive(path) as members:
        extract(path, members, folder)
    assert sorted(each.name for each in tmp_path.rglob("*")) == sorted([name, "in", "deep"])


def test_bombs_of_compressed_data(tmp_path, bounded):
    for suffix, packed in ((".gz", gzip.compress(zeros(80 << 20))), (".zst", zstd.compress(zeros(80 << 20)))):
        (tmp_path / f"a.csv{suffix}").write_bytes(packed)
        with pytest.raises(SecurityError, match="times the packed size"):
            decompress(tmp_path / f"a.csv{suffix}", tmp_path / "out.csv")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.mkdir('ran') }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ messages.append(1) }}",
        "{{ messages|attr('__class__') }}{{ (messages|attr('__class__')).__mro__ }}",
        "{{ 'a' * 10000000000 }}",
        "{{ [0] * 10000000000 }}",
        "{{ 9 ** 99999999 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '%*d' % (9999999999, 1) }}",
        "{{ '{:>9999999999}'.format('a') }}",
        "{{ 'a'.ljust(9999999999) }}",
        "{{ 'a'|center(9999999999) }}",
        "{{ '%9999999999d'|format(1) }}",
        "{% for i in range(999999999) %}a{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_templates_with_code(tmp_path, monkeypatch, bounded, template):
    pytest.importorskip("jinja2")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        ChatTemplate(template).render([{"role": "user", "content": "x"}])
    assert list(tmp_path.iterdir()) == []


def test_forms_for_texts_show_nothing_of_objects():
    pytest.importorskip("jinja2")
    template = ChatTemplate("{{ '{0.__class__}|{1}'.format(messages, 'a') }}")
    assert template.render([{"role": "user", "content": "x"}]) == "|a"
