"""HTML for notebooks: tables, facts and bars that take the colours of the page they stand in, dark or light.

Everything that comes from data is escaped here, and nowhere else: parts are plain text unless they are `Html`.
"""

import html
from collections.abc import Iterable, Sequence

__all__ = ["Html", "bar", "escaped", "extended", "facts", "notebook", "paragraph", "table"]

LONGEST = 200
"""Characters of a cell that are shown."""
STYLE = """
.bakeoff{font:13px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:inherit;max-width:62rem;
--ink:currentColor;--muted:color-mix(in srgb,currentColor 68%,transparent);
--line:color-mix(in srgb,currentColor 20%,transparent);--s1:#3b82d6;--s2:#dd6b20;--s3:#2f9e57;--s4:#9f5fd9;
--s5:#d6478a;--s6:#1593aa;--s7:#a8811a;--s8:#7d8794;--good:#2f9e57;--bad:#dc4c3e}
.bakeoff h4{font-size:15px;font-weight:600;margin:0 0 .3em;color:inherit}
.bakeoff p{margin:.35em 0;max-width:52rem;color:inherit}.bakeoff .muted{color:var(--muted)}
.bakeoff .good{color:var(--good)}.bakeoff .bad{color:var(--bad)}
.bakeoff table{border-collapse:collapse;margin:.5em 0;font:inherit;color:inherit;font-variant-numeric:tabular-nums}
.bakeoff table tr,.bakeoff table thead,.bakeoff table tbody tr:nth-child(odd){background:transparent}
.bakeoff table th,.bakeoff table td{text-align:left;vertical-align:top;padding:.25em 1.1em .25em 0;border:0;
border-bottom:1px solid var(--line);color:inherit;max-width:26rem;white-space:normal;overflow-wrap:anywhere}
.bakeoff table th{font-weight:500;color:var(--muted)}.bakeoff table .n{text-align:right;white-space:nowrap}
.bakeoff .bar{display:inline-block;position:relative;width:9rem;height:.9em;vertical-align:middle}
.bakeoff .bar i,.bakeoff .bar b{position:absolute;top:50%;transform:translateY(-50%);border-radius:1em}
.bakeoff .bar i{height:.3em;background:var(--s1);opacity:.45}
.bakeoff .bar b{width:.62em;height:.62em;margin-left:-.31em;background:var(--s1)}
""".replace("\n", "")

END = "</div>"


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """A value as HTML: what is `Html` as it is, nothing as a dash, other text escaped and cut where it grows long.

    >>> escaped("<b>"), escaped(None)
    ('&lt;b&gt;', '–')
    """
    if isinstance(value, Html):
        return value
    text = "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    return Html(html.escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"))


def notebook(title: str, *parts: str) -> str:
    """What a notebook shows of an object: a title and parts below it, `Html` or text that becomes a paragraph."""
    return extended(f'<div class="bakeoff"><style>{STYLE}</style><h4>{escaped(title)}</h4>{END}', *parts)


def extended(shown: str, *parts: str) -> str:
    """What `notebook` made, with further parts at its end."""
    body = "".join(part if isinstance(part, Html) else paragraph(part) for part in parts if part)
    return f"{shown.removesuffix(END)}{body}{END}"


def paragraph(text: str, kind: str = "") -> Html:
    """A paragraph; `kind` is "muted", "good" or "bad"."""
    return Html(f'<p class="{kind}">{html.escape(text)}</p>')


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table; columns of numbers are aligned to the right."""
    cells = [list(row) for row in rows]
    numeric = [
        any(isinstance(row[at], int | float) and not isinstance(row[at], bool) for row in cells)
        for at in range(len(head))
    ]
    kinds = [' class="n"' if each else "" for each in numeric]
    top = "".join(f"<th{kind}>{escaped(name)}</th>" for kind, name in zip(kinds, head, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escaped(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in cells
    )
    return Html(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and values, a line each; what is None is left out."""
    lines = "".join(
        f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in pairs if value is not None
    )
    return Html(f"<table><tbody>{lines}</tbody></table>")


def bar(value: float, low: float | None, high: float | None, *, least: float, most: float) -> Html:
    """A value between the ends of its interval, on a scale from `least` to `most`."""
    width = (most - least) or 1.0
    start, point, end = (
        100 * (each - least) / width for each in (value if low is None else low, value, value if high is None else high)
    )
    return Html(
        f'<span class="bar" role="img" aria-label="{value:.4g}"><i style="left:{start:.1f}%;width:{end - start:.1f}%">'
        f'</i><b style="left:{point:.1f}%"></b></span>'
    )
