"""What is printed survives any encoding and width, and steers no terminal."""

import io
import itertools
import json

import pytest

from bakeoff.cli.progress import clocked
from bakeoff.cli.tables import table
from bakeoff.cli.terminal import Terminal, loud, printable, terminal, width, write_text
from bakeoff.core.errors import StoreError
from bakeoff.core.streams import watched

STEERING = [chr(code) for code in range(32) if chr(code) not in "\t\n"]
STEERING += [chr(code) for code in range(0x7F, 0xA0)]
STEERING += ["\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ud83d", "\udcff"]


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("0.91 – 0.95", "latin-1", "0.91 - 0.95"),
        ("0.91 – 0.95", "cp1252", "0.91 – 0.95"),
        ("0.91 – 0.95", "ascii", "0.91 - 0.95"),
        ("≥ 3 → “ok”…", "ascii", '>= 3 -> "ok"...'),
        ("Zoë, €5, 日本", "latin-1", "Zoë, ?5, ??"),
        ("Zoë, €5, 日本", "cp1252", "Zoë, €5, ??"),
        ("Zoë, €5, 日本", "ascii", "Zoe, ?5, ??"),
        ("Zoë, €5, 日本 🙂", "utf-8", "Zoë, €5, 日本 🙂"),
        ("Zoë, 日本 🙂", "utf-16", "Zoë, 日本 🙂"),
        ("ｆｕｌｌ ½ ﬁ", "ascii", "full 12 fi"),
    ],
)
def test_what_an_encoding_lacks_becomes_the_nearest_plain_characters(text, encoding, shown):
    assert printable(text, encoding=encoding) == shown
    shown.encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "ascii", "koi8-r", "shift_jis", "cp437"])
def test_json_is_the_same_document_in_any_encoding(encoding):
    document = {"name": "Zoë 日本 🙂 \u2028\u202e\x85\x7f\x1b[31m – \ud83d", "high": 0.5}
    text = printable(json.dumps(document, ensure_ascii=False), encoding=encoding, as_json=True)
    assert json.loads(text.encode(encoding).decode(encoding)) == document


@pytest.mark.parametrize("character", STEERING)
def test_no_character_that_steers_a_terminal_is_sent(character):
    shown = printable(f"a{character}b\tc\n")
    assert shown.startswith("a\\")
    assert shown.endswith("b\tc\n")
    assert character not in shown


def test_sequences_are_shown_as_what_they_are():
    assert printable("\x1b]0;owned\x07 \x9b31m") == "\\x1b]0;owned\\x07 \\x9b31m"


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def test_a_stream_is_written_in_its_own_encoding():
    below = stream("latin-1")
    out = Terminal(below)
    assert out.write("0.5 – é\n") == 8
    out.flush()
    assert below.buffer.getvalue() == "0.5 - é\n".encode("latin-1")
    assert (out.encoding, out.isatty(), out.writable()) == ("latin-1", False, True)


class Seen(io.StringIO):
    encoding = "latin-1"

    def isatty(self):
        return True


@pytest.mark.parametrize(("no_color", "shown"), [("", "\x1b[1;31mlost - \\x1b[5m\x1b[0m"), ("1", "lost - \\x1b[5m")])
def test_what_must_not_be_overlooked_is_red_on_terminals_alone(monkeypatch, no_color, shown):
    monkeypatch.setenv("NO_COLOR", no_color)
    seen = Seen()
    Terminal(seen).write(loud("lost – \x1b[5m"))
    assert seen.getvalue() == shown
    below = stream("utf-8")
    plain = Terminal(below)
    plain.write(loud("lost"))
    plain.flush()
    assert below.buffer.getvalue() == b"lost"


class Left(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


def test_progress_that_nobody_reads_is_no_error_but_data_is():
    Terminal(Left(), optional=True).write("fitting")
    with pytest.raises(BrokenPipeError):
        Terminal(Left()).write("data")


def test_closed_streams_stay_closed(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with terminal(as_json=False):
        import sys

        assert sys.stdout is None
        assert isinstance(sys.stderr, Terminal)


def test_progress_needs_no_stderr(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with clocked() as show:
        show("fitting")
    assert not watched(None)
    assert watched(Seen())


@pytest.mark.parametrize(("value", "expected"), [("20", 20), ("7", 20), ("200", 200), ("0", 1_000), ("wide", 1_000)])
def test_width_is_that_of_columns(monkeypatch, value, expected):
    monkeypatch.setenv("COLUMNS", value)
    assert width() == expected


HEADS = [f"column {at}" for at in range(12)]
ROWS = [[f"r{row}c{at}" * (1 + 5 * (at % 3)) for at in range(12)] for row in range(3)]


@pytest.mark.parametrize("columns", range(20, 201, 12))
def test_no_width_loses_a_cell(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = table(HEADS, ROWS, right=HEADS[:2])
    beside, blocks = (
        itertools.chain(HEADS, *ROWS),
        (f"{head}:{cell}" for row in ROWS for head, cell in zip(HEADS, row, strict=True)),
    )
    given = "".join("".join(beside if "─" in shown else blocks).split())
    assert sorted("".join(shown.replace("─", "").split())) == sorted(given)
    assert max(map(len, shown.splitlines())) <= columns


def test_wide_texts_and_steering_characters_stay_in_their_cells(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    shown = table(["name", "日本語の列"], [["a\x1b[2Jb\x0bc", "日" * 60], ["x", "\u202eevil"]])
    assert shown.count("日") == 61
    assert "\x1b" not in shown
    assert "\\x1b[2Jb\\x0bc" in "".join(shown.split())


def test_files_are_utf_8_whatever_the_text(tmp_path):
    write_text(tmp_path / "page.html", "Zoë – 日本 \udcff\x1b[2J")
    assert (tmp_path / "page.html").read_bytes() == "Zoë – 日本 \ufffd\ufffd[2J".encode()
    with pytest.raises(StoreError, match="it is a folder, not a file"):
        write_text(tmp_path, "x")
