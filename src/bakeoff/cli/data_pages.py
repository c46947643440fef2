"""What `bakeoff data` prints, and the files that it writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.cli.ledger_page import ledger_page
from bakeoff.cli.tables import table
from bakeoff.cli.terminal import one_line, write_text
from bakeoff.core import narrow
from bakeoff.core.ledger import Ledger
from bakeoff.core.records import Version

if TYPE_CHECKING:
    from bakeoff.project.snapshots import FileChange, FilesDifference
    from bakeoff.registry.table_difference import TableDifference
    from bakeoff.report.card import DataCard

__all__ = ["card_page", "dataset_page", "difference_page", "write_card"]

MOST_COLUMNS = 40
MOST_NOTES = 10


def write_card(card: "DataCard", *, html: Path | None, png: Path | None) -> list[str]:
    """Write the page and the pictures that are asked for; the files."""
    written: list[Path] = []
    if html is not None:
        from bakeoff.report.card_html import html as page

        write_text(html, page(card))
        written.append(html)
    if png is not None:
        from bakeoff.report.card_charts import charts
        from bakeoff.report.pictures import write

        written += write({f"column-{name}": chart for name, chart in charts(card).items()}, png)
    return [str(file) for file in written]


def card_page(card: "DataCard") -> str:
    """The card in the terminal."""
    from bakeoff.report.numbers import cut, in_a_line, part

    shown = card.columns[:MOST_COLUMNS]
    rows = [
        [cut(c.name, 30), c.role, c.kind, f"{c.missing:,}", f"{c.distinct:,}", cut(in_a_line(c), 60)] for c in shown
    ]
    near, doubles = card.duplicates.near, card.duplicates
    lines = [
        f"{card.project}: {card.rows:,} rows, {len(card.columns):,} columns, dataset {card.version[:12]}",
        f"split by {card.split}: " + ", ".join(f"{each.rows:,} {each.name}" for each in card.parts),
        "",
        table(["column", "role", "kind", "missing", "distinct", "values"], rows, right=["missing", "distinct"]),
        *([f"… and {len(card.columns) - len(shown):,} more columns"] if len(card.columns) > len(shown) else []),
        "",
        f"repeated rows  {doubles.exact:,}; same inputs with another target {doubles.conflicting:,}",
    ]
    if near:
        lines.append(f"nearly alike   {near.rows:,} in {near.clusters:,} groups, of {near.looked_at:,} rows looked at")
    for each in card.languages:
        told = ", ".join(f"{code} {part(rows / max(each.looked_at, 1))}" for code, rows in list(each.rows.items())[:5])
        lines.append(f"languages      {each.column}: {told} (of {each.looked_at:,} looked at)")
    for found in card.personal:
        counts = ", ".join(f"{times:,} {kind}" for kind, times in found.counts.items() if times)
        lines += [f"personal data  {found.column}: {counts}"] if counts else []
    if card.classes:
        shares = [f"{name} {part(rows / max(card.rows, 1))}" for name, rows in list(card.classes.items())[:8]]
        lines.append(f"classes        {', '.join(shares)}")
    for step in card.steps:
        told = "learns with the model" if step.fitted else f"{step.rows_in:,} → {step.rows_out:,} rows"
        lines.append(
            f"step           {step.step}: {told}" + (f", {step.cells_changed:,} cells" if step.cells_changed else "")
        )
    if card.contract:
        kept = f"{len(card.contract.violations)} with a warning" if card.contract.violations else "all kept"
        lines.append(f"contract       {card.contract.file}: {card.contract.rules} rules, {kept}")
    lines += ["", ledger_page(card.ledger), ""] if card.ledger else []
    lines += [f"warning: {told}" for told in card.warnings]
    lines += [f"note: {note}" for note in card.notes[:MOST_NOTES]]
    return "\n".join(lines)


def dataset_page(versions: Sequence[Version]) -> str:
    """The newest of some dataset versions, then the others in a line each."""
    if not versions:
        return "no dataset version yet: bakeoff run makes one, bakeoff data card looks at the data before"
    from bakeoff.report.ledger import headline

    newest, about = versions[0], narrow.json_object(versions[0].lineage)
    columns = about.get("gathered", {}).get("schema", {}).get("columns", [])
    contract, ledger = about.get("contract"), about.get("gathered", {}).get("ledger")
    lines = [
        f"dataset   {newest.name}/{newest.number}  {newest.content}",
        f"rows      {about['rows']:,} ({about['from_feedback']:,} from feedback, {about['rejected']:,} rejected)",
        *([f"ledger    {headline(Ledger.from_json(ledger))}"] if ledger else []),
        f"split     by {about['split']}: "
        + ", ".join(f"{about[part]:,} {part}" for part in ("train", "validation", "test")),
        f"contract  {contract['rules']} rules of {contract['file']}, version {contract['version'][:12]}"
        if contract
        else "contract  none",
        *(f"source    {each['table']}: {each['location']}  {each['digest'][:12]}" for each in about.get("files", ())),
        "",
        table(
            ["column", "kind", "missing"],
            [[each["name"], each["kind"], f"{each['missing']:,}"] for each in columns[:MOST_COLUMNS]],
            right=["missing"],
        ),
        *(f"{each.name}/{each.number}  {each.content[:12]}  {each.lineage['rows']} rows" for each in versions[1:]),
    ]
    return "\n".join(lines)


def difference_page(difference: "FilesDifference") -> str:
    """What differs of two versions."""
    signs = {"added": "+", "removed": "-", "changed": "~", "renamed": ">"}
    lines = [f"{signs[each.how]} {_file(each)}" for each in difference.files[:MOST_COLUMNS]]
    if len(difference.files) > MOST_COLUMNS:
        lines.append(f"… and {len(difference.files) - MOST_COLUMNS:,} more")
    lines += _table_lines(difference.table) if difference.table is not None else []
    counts = {how: sum(each.how == how for each in difference.files) for how in signs}
    changes = ", ".join(f"{count:,} {how}" for how, count in counts.items() if count)
    ends = one_line(f"{difference.first} and {difference.second}")
    table = difference.table
    rows = "other rows" if table and table.other_rows else "other columns" if table and table.other_columns else ""
    lines.append(f"{ends}: {changes or rows or 'no difference'}")
    return "\n".join(lines)


def _file(change: "FileChange") -> str:
    names = " > ".join(one_line(name) for name in (change.before, change.name) if name)
    mode = {None: "", True: ", executable now", False: ", not executable now"}[change.executable]
    return f"{names}  {change.size_bytes:,} bytes{mode}"


def _table_lines(differs: "TableDifference") -> list[str]:
    before, after = differs.rows
    by = f"by {', '.join(differs.key)}" if differs.key else "as wholes"
    changed = "" if differs.changed is None else f", {differs.changed:,} changed"
    lines = [
        f"rows      {before:,} → {after:,}",
        f"rows      compared {by}: {differs.added:,} added, {differs.removed:,} removed{changed}",
    ]
    if any(differs.unread):
        unread = f"{differs.unread[0]:,} of the first, {differs.unread[1]:,} of the second"
        lines.append(f"rows      lines that could not be read as rows, and are not compared: {unread}")
    lines += [f"column    + {one_line(name)}" for name in differs.columns_added]
    lines += [f"column    - {one_line(name)}" for name in differs.columns_removed]
    lines += [f"column    ~ {one_line(name)}: {was} → {now}" for name, (was, now) in differs.retyped.items()]
    lines += [f"cells     {one_line(name)}: {count:,} changed" for name, count in differs.changed_by_column.items()]
    lines += [
        f"example   {one_line(', '.join(map(str, each.key)))}: {one_line(each.column)} {each.before!r} → {each.after!r}"
        for each in differs.examples
    ]
    moved = [[one_line(each.column), f"{each.psi:.3f}", _ks(each.measures)] for each in differs.shifts if each.psi > 0]
    return (
        [*lines, "", table(["column", "PSI", "KS"], moved[:MOST_COLUMNS], right=["PSI", "KS"]), ""] if moved else lines
    )


def _ks(measures: Mapping[str, float]) -> str:
    return f"{measures['ks']:.3f}" if "ks" in measures else ""
