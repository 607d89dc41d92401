"""Tables of scores as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, dicts with the same keys in one order, as Markdown; {"mean", "low", "high"} shows as an interval."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:z.3f} ({value['low']:z.3f} to {value['high']:z.3f})"
    return f"{value:z.3f}" if isinstance(value, float) else str(value)
