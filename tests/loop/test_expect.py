"""What is imported while jobs run."""

import sys

from bakeoff.loop.expect import meanwhile


def test_a_module_that_fails_meanwhile_is_left_to_who_needs_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "one_that_fails.py").write_text("raise SystemError('in two threads at once')")
    (tmp_path / "one_that_works.py").write_text("")
    with meanwhile(["one_that_fails", "one_that_works"]):
        pass
    assert "one_that_fails" not in sys.modules
    assert "one_that_works" in sys.modules
