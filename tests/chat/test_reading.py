"""What models say, as they say it: habits of chat and reasoning models, and what must stay unread."""

import pytest

from bakeoff.chat.reading import AnswerChoices, answer_pieces, number_in, without_reasoning
from bakeoff.core.generation import Piece, ToolCall

LABELS = AnswerChoices.of(["positive", "negative", "neutral"])

NEGATIVE = [
    "negative",
    "Negative.",
    "**Negative**",
    "- negative",
    "# Negative",
    "`negative`",
    '"negative"',
    "Label: negative",
    "The sentiment is negative.",
    "Sentiment: **Negative**\n\nThe reviewer complains about the food.",
    "negative\n\nExplanation: it is not positive, as the food was awful.",
    "Sure! The review mentions the waiter.\n\nnegative",
    "<think>The user is unhappy, so positive is out.\nIt could be neutral.</think>\n\nnegative",
    "The user is unhappy, so positive is out.</think>negative",
    "<think>a</think><think>positive</think> Final answer: negative",
    "<reasoning>positive? no</reasoning>\n<answer>negative</answer>",
    "<|channel|>analysis<|message|>positive or negative<|end|><|start|>assistant<|channel|>final<|message|>negative",
    '{"label": "negative"}',
    '{"sentiment": "Negative", "confidence": 0.93}',
    '```json\n{"label": "negative"}\n```',
    'Here is the JSON you asked for: {"label": "negative", "reason": "not positive"}',
    '{"label": ["negative"]}',
    "```\nnegative\n```",
    "Step 1: it praises nothing. Step 2: it is not neutral.\nFinal answer: negative",
    "\\boxed{negative}",
    "$\\boxed{\\text{negative}}$",
    "[[negative]]",
    "I would say this is a negative review.",
    "negative<|im_end|>",
    "Answer: negative (the staff was rude)",
    "Classification = Negative",
    "It's negative, not positive.",
    "Not positive; negative.",
    "This is not a positive review. It is negative.",
    "The review is overwhelmingly negative, with no positive aspects.",
    "negative, because it complains. Not positive.",
    "Step 1: positive words: 0\nStep 2: negative words: 3\nTherefore: negative",
    "{'label': 'negative'}",
    '{"answer": {"label": "negative"}}',
    '{"label": "negative", "reason": "it says \\"awful',
    '{"label": "negative", "reason": "two\nlines"}',
]


@pytest.mark.parametrize("text", NEGATIVE)
def test_a_label_is_read_as_it_was_meant(text):
    assert LABELS.read(text) == 1


UNREAD = [
    "",
    "   ",
    "It is either positive or negative.",
    "positive or negative",
    "Label: positive or negative",
    "It is not negative.",
    "This isn't positive",
    "<think>It must be negative, since",
    "I'm sorry, but I can't help with that.",
    "<|channel|>analysis<|message|>it is negative",
    '{"label": "mixed", "note": "negative"}',
    '{"label": "neg',
    "It contains negatives and positives.",
    "non-committal",
    "non-negative",
    "neutral/mixed",
    "Classification: neutral/mixed",
    "I do not think that this is negative.",
    "The review is not the most positive one.",
    "This is not a very negative review.",
    "It isn't positive or negative.",
    '{"label": "negative" or "positive"}',
]


@pytest.mark.parametrize("text", UNREAD)
def test_what_names_no_label_is_not_guessed(text):
    assert LABELS.read(text) is None


@pytest.mark.parametrize(
    ("names", "text", "at"),
    [
        (["card", "card lost"], "card lost", 1),
        (["card", "card lost"], "The card is lost: card lost", None),
        (["-1", "0", "1"], "-1", 0),
        (["-1", "0", "1"], "Rating: -1", 0),
        (["-1", "0", "1"], "- 1", 2),
        (["1", "2"], "1.5", None),
        (["US", "us"], "us", 1),
        (["US", "us"], "Us", None),
        (["C", "C++", "C#"], "C++", 1),
        (["C", "C++", "C#"], "C#", 2),
        (["true", "false"], '{"answer": true}', 0),
        (["ärger", "freude"], "Das ist Ärger.", 0),
        (["spam", "ham"], "hamster", None),
        (["yes", "no"], "No, I would not say yes.", 1),
        (["yes", "no"], "There is no evidence.", 1),
        (["yes", "no"], "I can't say yes.", None),
        (["toxic", "non-toxic"], "Non-toxic, since nothing is toxic", 1),
        (["toxic", "non-toxic"], "It is not toxic.", None),
        (["A", "B", "C", "D"], r"**Answer: D** \boxed{\langle H\rangle \ll \Delta E}", 3),
        (["A", "B", "C", "D"], "Antwort:\n\nAntwort: C", 2),
        (["A", "B", "C", "D"], "I'd say that it's not A but rather D", 3),
        (["1", "2", "3", "4", "5"], "4/5", 3),
        (["1", "2", "3", "4", "5"], "Score: 5 out of 5", 4),
        (["1", "2", "3", "4", "5"], "4.5", None),
        (["1", "2", "3", "4", "5"], "3-4", None),
        (["bug report", "billing"], "billing (not a bug report)", 1),
    ],
)
def test_names_that_are_parts_of_each_other(names, text, at):
    assert AnswerChoices.of(names).read(text) == at


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42.0),
        ("$1,250.50", 1250.5),
        ("<think>7 or 8</think>9", 9.0),
        ('{"value": -3.5}', -3.5),
        ("**Answer:** 12", 12.0),
        ("3 apples and 4 pears make 7. The answer is 7.", 7.0),
        ("1e3", 1000.0),
        ("12 km (7 miles)", 12.0),
        ("between 3 and 5", None),
        ("<think>42", None),
        ("nan", None),
        ("no idea", None),
        ("1.250,50", None),
        ("3-4", None),
        ("2024-01-05", None),
        ("12:30", None),
        ("1 000", None),
        ("-5", -5.0),
        ("4/5", 4.0),
        ('{"rating": "4"}', 4.0),
    ],
)
def test_a_number_is_read_or_is_not_there(text, value):
    assert number_in(text) == value


def test_reasoning_is_set_aside_and_nothing_else():
    assert without_reasoning("I think <b>so</b>") == "I think <b>so</b>"
    assert without_reasoning("◁think▷hm◁/think▷yes") == "yes"
    assert without_reasoning("[THINK]hm[/THINK]yes</s>") == "yes"
    assert without_reasoning("<THINK>hm</THINK>\nyes") == "yes"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>hm</think>\nyes", "yes"),
        (" <think>a</think><think>b</think>yes", "yes"),
        ("<thin ice", "<thin ice"),
        ("<b>yes</b>", "<b>yes</b>"),
        ("  yes", "  yes"),
        ("[THINK]hm[/THINK]yes", "yes"),
        ("yes <think>no</think>", "yes <think>no</think>"),
        ("<think>never ends", ""),
        ("[", "["),
        ("", ""),
    ],
)
def test_a_stream_is_without_the_reasoning_that_it_begins_with(text, answer, size):
    parts = [Piece(text=text[at : at + size]) for at in range(0, len(text), size)]
    pieces = list(answer_pieces([*parts, Piece(finish="stop", completion_tokens=9)]))
    assert "".join(piece.text for piece in pieces) == answer
    assert (pieces[-1].finish, pieces[-1].completion_tokens) == ("stop", 9)


def test_calls_behind_reasoning_are_passed_on():
    call = ToolCall(index=0, id="c", name="f", arguments="{}")
    pieces = list(answer_pieces([Piece(text="<think>hm</think>"), Piece(calls=(call,)), Piece(finish="tool_calls")]))
    assert [(piece.text, piece.calls) for piece in pieces][:1] == [("", (call,))]
