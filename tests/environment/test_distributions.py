"""Packages as they are installed: what they state of their licence, and files that are others by now."""

import base64
import hashlib
import sys

import pytest

from bakeoff.environment.distributions import _terms, installed


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("MIT", "free"),
        ("Apache-2.0 OR BSD-2-Clause", "free"),
        ("BSD-3-Clause AND MIT AND 0BSD", "free"),
        ("GPL-3.0-only OR MIT", "free"),
        ("GPL-3.0-only AND MIT", "strong"),
        ("GPL-2.0-or-later", "strong"),
        ("GNU Affero General Public License v3", "strong"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "weak"),
        ("LGPL-3.0-only", "weak"),
        ("MPL-2.0 AND MIT", "weak"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "weak"),
        ("Python Software Foundation License", "free"),
        ("Proprietary", "unknown"),
        ("", "unknown"),
    ],
)
def test_terms_of_licences(licence, terms):
    assert _terms(licence) == terms


def test_a_changed_file_is_named(tmp_path, monkeypatch):
    info = tmp_path / "odd_thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: Odd_Thing\nVersion: 1.0\nLicense-Expression: MIT\n")
    lines = []
    for name in ("same.py", "other.py", "gone.py"):
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1").digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},5")
        (tmp_path / name).write_text("x = 1")
    (info / "RECORD").write_text("\n".join([*lines, "odd_thing-1.0.dist-info/RECORD,,"]))
    (tmp_path / "other.py").write_text("x = 2")
    (tmp_path / "gone.py").unlink()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (odd,) = installed()
    assert (odd.name, odd.version, odd.licence, odd.terms, odd.recorded) == ("odd-thing", "1.0", "MIT", "free", True)
    assert odd.changed == ("other.py", "gone.py")
