from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.hashing import digest, digest_file, digest_json, digest_sources

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner, max_size=4)
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_equal_documents_hash_equal_in_any_order(document):
    assert digest_json(document) == digest_json(dict(reversed(document.items())))


def test_a_file_hashes_as_its_bytes(tmp_path):
    data = b"x" * (3 << 20) + b"y"
    (tmp_path / "file").write_bytes(data)
    assert digest_file(tmp_path / "file") == digest(data)


def test_the_hash_of_sources_sees_names_and_contents_but_no_other_files(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("1")
    before = digest_sources(package)
    (package / "notes.txt").write_text("other")
    assert digest_sources(package) == before
    (package / "a.py").rename(package / "b.py")
    renamed = digest_sources(package)
    (package / "b.py").write_text("2")
    assert len({before, renamed, digest_sources(package)}) == 3
