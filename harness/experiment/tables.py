"""Writes HTML tables for every page and exhibit: all text escaped, floats with four significant digits."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CELL = "border:1px solid #8884;padding:2px 8px;text-align:left;vertical-align:top"
"""Style of every table cell, inline because reports show tables inside pages of their own."""


def shown(value: object) -> str:
    """The text of one table cell: a dash for None, four significant digits for a float."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def html_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as HTML text; without headings none are written. Everything in it is escaped."""
    head = "".join(f'<th style="{CELL}">{html.escape(heading)}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f'<td style="{CELL}">{html.escape(shown(cell))}</td>' for cell in row) + "</tr>" for row in rows)
    return f'<table style="border-collapse:collapse">{f"<tr>{head}</tr>" if head else ""}{body}</table>'


def html_records(records: Sequence[Mapping[str, Any]]) -> str:
    """A table of records, with a column for each name that occurs in any of them. The empty text where there are no records."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return html_table(names, [[record.get(name) for name in names] for record in records]) if records else ""
