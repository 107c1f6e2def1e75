"""Medians with their spread, and how they are printed."""

from collections.abc import Collection, Sequence
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

console = Console()


class Figure(NamedTuple):
    """One measured quantity over several repetitions."""

    least: float
    middle: float
    most: float

    def __str__(self) -> str:
        digits = 2 if self.most < 10 else 1 if self.most < 100 else 0
        return f"{self.middle:,.{digits}f} ({self.least:,.{digits}f} to {self.most:,.{digits}f})"


def figure(values: Sequence[float]) -> Figure:
    """Take the median of repetitions, with the least and the most."""
    return Figure(min(values), median(values), max(values))


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], words: Collection[int] = (0,)) -> None:
    """Print one table of figures."""
    console.print(table_of(title, columns, rows, words))


def table_of(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], words: Collection[int] = (0,)
) -> Table:
    """Make one table of figures, what they are of in the first column; `words` are the columns that begin left."""
    table = Table(title=title, title_justify="left")
    for n, column in enumerate(columns):
        table.add_column(column, justify="left" if n in words else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table
