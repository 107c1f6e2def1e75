"""What a statement makes equal to what: columns to values it is given, to other columns, to keys of other tables."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import MetaData

OWNER = "merchant_id"
ROW_IDS = ("rowid", "ctid")

Node: TypeAlias = Hashable  # ("value", position) of what a statement is given, or (source, column)
Outputs: TypeAlias = "list[tuple[str | None, Node | None]]"  # of a query: names, and what they are
_NONE: frozenset[int] = frozenset()


class Tables(NamedTuple):
    """What is known of the tables: their columns, which of them names the owner, and what hangs on what."""

    columns: Mapping[str, tuple[str, ...]]
    owner: Mapping[str, str]
    same: Mapping[
        tuple[str, str], tuple[str, str]
    ]  # (table, column) → the (table, column) that is its own or its parent's

    @classmethod
    def of(cls, metadata: MetaData) -> "Tables":
        """Read it from the declared tables."""
        columns = {table.name: tuple(table.columns.keys()) for table in metadata.sorted_tables}
        owner, same = {}, {}
        for table in metadata.sorted_tables:
            named = table.info.get("owner", OWNER)
            if named in table.columns:
                owner[table.name] = named
            if "hangs_on" in table.info:
                column, parent, key = table.info["hangs_on"]
                same[table.name, column] = (parent, key)
            keys = [column.name for column in table.primary_key.columns]
            for key in (*ROW_IDS, *(keys if len(keys) == 1 else ())):
                same.setdefault((table.name, key), (table.name, key))
        return cls(columns, owner, same)

    def belongs(self, table: str) -> bool:
        """Tell whether a table's rows have owners."""
        return table in self.owner or any(name == table != parent for (name, _), (parent, _) in self.same.items())


@dataclass(slots=True)
class Source:
    """Something in a FROM clause: a table, or columns made elsewhere in the statement."""

    table: str | None = None
    outputs: list[Outputs] | None = None  # one for each part of a UNION; None = nothing is known

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(slots=True)
class Scope:
    """What names mean in one query: its sources by alias, the WITH queries, and the scope around it."""

    around: "Scope | None" = None
    sources: dict[str, Source] = field(default_factory=dict)
    named: dict[str, Source] = field(default_factory=dict)

    def with_query(self, name: str) -> Source | None:
        """Return what a WITH query of this name gives, here or around; None where there is none."""
        if name in self.named:
            return self.named[name]
        return self.around.with_query(name) if self.around else None


class Equalities:
    """What is equal to what in one statement, and what follows of it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._equal: dict[Node, list[Node]] = {}
        self._parts: dict[Node, Sequence[Node | None]] = {}

    def note(self, here: Node, there: Node) -> None:
        """Note that a column is equal to something; this says nothing of the rows of that."""
        self._equal.setdefault(here, []).append(there)

    def makes(self, here: Node, parts: Sequence[Node | None]) -> None:
        """Note that a column is one of these, each in its part of a UNION."""
        self._parts[here] = parts

    def binding(self, source: Source) -> frozenset[int]:
        """Return the positions of the values that say whose rows of a table are meant."""
        return self._bound(source, frozenset())

    def values(self, node: Node | None) -> frozenset[int]:
        """Return the positions of the values something is equal to."""
        return self._values(node, frozenset())

    def _bound(self, source: Source, seen: frozenset[Node]) -> frozenset[int]:
        assert source.table is not None
        found = _NONE
        if (owner := self._tables.owner.get(source.table)) is not None:
            found = self._values((source, owner), seen)
        for (table, column), there in self._tables.same.items():
            if table == source.table and not found:
                found = self._through((source, column), there, seen | {source})
        return found

    def _values(self, node: Node | None, seen: frozenset[Node]) -> frozenset[int]:
        if node is None or node in seen:
            return _NONE
        match node:
            case ("value", int(position)):
                return frozenset((position,))
        seen |= {node}
        found = _NONE
        if node in self._parts:
            found = frozenset.intersection(*(self._values(one, seen) for one in self._parts[node]))
        return found.union(*(self._values(other, seen) for other in self._equal.get(node, ())))

    def _through(self, node: Node, there: tuple[str, str], seen: frozenset[Node]) -> frozenset[int]:
        """Return the positions that bind the source whose key this column is equal to."""
        found = _NONE
        for source, column in self._reached(node, seen):
            if isinstance(source, Source) and (source.table, column) == there and source not in seen:
                found |= self._bound(source, seen | {source})
        return found

    def _reached(self, node: Node, seen: frozenset[Node]) -> Iterator[Any]:
        others = list(self._equal.get(node, ()))
        parts = self._parts.get(node, ())
        if len(parts) == 1 and parts[0] is not None:
            others.append(parts[0])
        for other in others:
            if other not in seen:
                yield other
                yield from self._reached(other, seen | {node, other})
