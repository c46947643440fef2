"""Packing: many short texts into few sequences of a fixed length, none cut that would fit.

Source: best-fit decreasing as in Ding et al. 2024, "Fewer Truncations Improve Language Modeling", §3.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.core.errors import UsageError

__all__ = ["PackedSequences", "TokenSpan", "pack"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TokenSpan:
    """Tokens `start` to `end` of text number `text`."""

    text: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSequences:
    """Sequences of pieces, none longer than `length` tokens; `filled` is the share of all places in use."""

    length: int
    sequences: tuple[tuple[TokenSpan, ...], ...]

    @property
    def filled(self) -> float:
        """Tokens by places; 0 when there are none."""
        tokens = sum(piece.end - piece.start for sequence in self.sequences for piece in sequence)
        return tokens / (self.length * len(self.sequences)) if self.sequences else 0.0


def pack(lengths: Sequence[int], length: int) -> PackedSequences:
    """Sequences of at most `length` tokens that hold every token of texts with so many tokens once.

    Only texts longer than `length` are cut. Sequences are in the order of their first text.

    >>> [[(p.text, p.end - p.start) for p in s] for s in pack([3, 5, 2], 5).sequences]
    [[(0, 3), (2, 2)], [(1, 5)]]
    """
    if length < 1 or any(count < 0 for count in lengths):
        raise UsageError(f"expected a length of at least 1 and no negative lengths, received {length!r}")
    pieces = [
        TokenSpan(text=text, start=start, end=min(start + length, count))
        for text, count in enumerate(lengths)
        for start in range(0, count, length)
    ]
    pieces.sort(key=lambda piece: (piece.start - piece.end, piece.text, piece.start))
    room: list[tuple[int, int]] = []  # (free places, sequence), ascending
    sequences: list[list[TokenSpan]] = []
    for piece in pieces:
        size = piece.end - piece.start
        place = bisect_left(room, (size, -1))
        free, number = room.pop(place) if place < len(room) else (length, len(sequences))
        if number == len(sequences):
            sequences.append([])
        sequences[number].append(piece)
        insort(room, (free - size, number))
    ordered = sorted(tuple(sorted(sequence)) for sequence in sequences)
    return PackedSequences(length=length, sequences=tuple(ordered))
