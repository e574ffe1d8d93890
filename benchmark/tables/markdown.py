"""Markdown tables."""

import re
from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows of cells as a Markdown table, the first row its head, the first column to the left."""
    lines = ["| " + " | ".join(in_markdown(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- |" + " --: |" * (len(rows[0]) - 1), *lines[1:]])


def in_markdown(text: object) -> str:
    """Return a text for Markdown, in a table or not: its own marks and tags show as they are."""
    return re.sub(r"([\\`*_|\[\]~])", r"\\\1", str(text).replace("&", "&amp;").replace("<", "&lt;"))
