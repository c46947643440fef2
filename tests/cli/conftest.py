import json
import sys
from dataclasses import dataclass

import pytest

from bakeoff.cli.main import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def errors(self):
        """Error lines on stderr; there must never be a traceback."""
        assert "Traceback" not in self.err
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def bakeoff(monkeypatch, capsys):
    """Call the command line in this process."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["bakeoff", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(code=ended.value.code or 0, out=out, err=err)

    return call
