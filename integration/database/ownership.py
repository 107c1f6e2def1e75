"""Whose rows a statement touches: by which of its values every table in its text is bound to an owner.

A row's owner stands in its table's column `merchant_id` (`info={"owner": "id"}` of a table names another one). A table
is bound where the statement makes that column equal to a value it is given, by itself or by way of other tables:

    SELECT s.name FROM customers c JOIN sales s ON s.merchant_id = c.merchant_id WHERE c.merchant_id = ?1

Tables without an owner may hang on one that has (`info={"hangs_on": ("event_id", "events", "id")}`): they are bound by
that equality. What is not understood is not bound. Only equalities of an AND count, not those under OR, NOT or in a
CASE; of a LEFT JOIN's condition, only those that bind the joined table.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from integration.database.equalities import ROW_IDS, Equalities, Node, Outputs, Scope, Source, Tables
from integration.database.words import Words, is_bracket, parted, read

_CLAUSES = frozenset(("select", "from", "where", "group", "having", "window", "order", "limit", "offset", "returning"))
_CLAUSES |= {"set", "for", "values", "using", "fetch"}
_JOINS = frozenset(("join", "cross", "inner", "left", "right", "full", "natural", ",", "outer"))
_NO_TABLES = frozenset(("savepoint", "release", "rollback"))


class Unproven(Exception):
    """A statement touches a table and does not say whose rows of it, or is not understood."""


def owners(text: str, kind: str, tables: Tables) -> tuple[frozenset[int], ...]:
    """Return, for each table with owners that a statement touches, the positions of the values that bind it.

    `kind` as in `steps.Sql`. Raises Unproven.
    """
    reading = _Reading(tables, kind)
    reading.query(read(text), Scope())
    return tuple(reading.proofs())


class _Reading:
    def __init__(self, tables: Tables, kind: str) -> None:
        self._tables = tables
        self._kind = kind
        self._touched: list[Source] = []
        self._written: list[tuple[Source, Node | None]] = []  # rows that are put in, and what names their owner
        self._equalities = Equalities(tables)
        self._read: dict[int, tuple[Any, list[Outputs]]] = {}

    def proofs(self) -> Iterator[frozenset[int]]:
        """Yield the values each table is bound by; raises Unproven where one is not."""
        for source in self._touched:
            if not (found := self._equalities.binding(source)):
                raise Unproven(f"{source.table}: whose rows?")
            yield found
        for source, node in self._written:
            if not (found := self._equalities.values(node)):
                raise Unproven(f"{source.table}: whose is the new row?")
            yield found

    # --- Queries ---

    def query(self, words: Words, around: Scope) -> list[Outputs]:
        """Read a SELECT, with all its UNIONs, or a statement that writes; return what it gives, for each part."""
        if id(words) in self._read:
            return self._read[id(words)][1]
        scope = Scope(around)
        rest = self._with(words, scope)
        parts = list(_united(rest))
        found = [self._part(part, Scope(scope)) for part in parts]
        self._read[id(words)] = (words, found)
        return found

    def _with(self, words: Words, scope: Scope) -> Words:
        if not words or words[0] != "with":
            return words
        at = 2 if words[1] == "recursive" else 1
        while True:
            name, at = str(words[at]), at + 1
            columns = None
            if is_bracket(words[at]):
                columns, at = [str(word) for word in words[at] if word != ","], at + 1
            while words[at] in ("as", "not", "materialized"):
                at += 1
            source = scope.named[name] = Source()
            outputs = self.query(words[at], scope)
            if columns is not None:
                outputs = [[(n, node) for n, (_, node) in zip(columns, part, strict=False)] for part in outputs]
            # What calls itself is not known while it is read, and stays so.
            if words[1] != "recursive":
                source.outputs = outputs
            at += 1
            if at >= len(words) or words[at] != ",":
                return words[at:]
            at += 1

    def _part(self, words: Words, scope: Scope) -> Outputs:
        match words[0] if words else None:
            case "select":
                return self._select(words, scope)
            case "values":
                self._inside(words, scope)
                return []
            case "insert":
                return self._insert(words, scope)
            case "update":
                return self._update(words, scope)
            case "delete":
                return self._delete(words, scope)
            case str(word) if word in _NO_TABLES:
                return []
            case tuple() if len(words) == 1:  # a part in brackets
                return self._only(self.query(words[0], scope))
        raise Unproven(f"what is {words[:3]}?")

    def _select(self, words: Words, scope: Scope) -> Outputs:
        clauses = _clauses(words)
        for name, clause in clauses:
            if name == "from":
                self._from(clause, scope)
        self._where(clauses, scope)
        (first, *_) = (clause for name, clause in clauses if name == "select")
        self._rest(clauses, scope)
        return self._outputs(first, scope)

    def _update(self, words: Words, scope: Scope) -> Outputs:
        clauses = _clauses(words)
        target = self._target(clauses[0][1][1:], scope)
        for name, clause in clauses:
            if name == "from":
                self._from(clause, scope)
            elif name == "set":
                self._not_given_away(target, clause)
        self._where(clauses, scope)
        self._rest(clauses, scope)
        return self._returned(clauses, scope)

    def _delete(self, words: Words, scope: Scope) -> Outputs:
        clauses = _clauses(words)
        (first, *_) = (clause for name, clause in clauses if name == "from")
        self._target(first, scope)
        for name, clause in clauses:
            if name == "using":
                self._from(clause, scope)
        self._where(clauses, scope)
        self._rest(clauses, scope)
        return self._returned(clauses, scope)

    def _insert(self, words: Words, scope: Scope) -> Outputs:
        at = words.index("into") + 1
        if words[1:at] not in (("into",), ("or", "ignore", "into")):
            raise Unproven("what becomes of the row that is there?")
        table, at = str(words[at]), at + 1
        alias = table
        if words[at] == "as":
            alias, at = str(words[at + 1]), at + 2
        names = [str(word) for word in words[at] if word != ","] if is_bracket(words[at]) else []
        conflict = next((n for n in range(at, len(words)) if words[n : n + 2] == ("on", "conflict")), len(words))
        returning = next((n for n in range(at, len(words)) if words[n] == "returning"), len(words))
        given = words[at + 1 : min(conflict, returning)]
        source = scope.sources[alias] = Source(self._known(table))
        if self._tables.belongs(table):
            owner = self._tables.owner.get(table)
            if owner not in names:
                raise Unproven(f"{table}: whose is the new row?")
            for node in self._given(given, names.index(owner), scope):
                self._written.append((source, node))
            self._on_conflict(words[conflict:returning], source)
        elif given[0] != "values":
            self.query(given, scope)
        else:
            self._inside(given, scope)
        self._inside(words[conflict:], scope)
        return self._outputs(words[returning + 1 :], scope)

    def _given(self, words: Words, position: int, scope: Scope) -> Iterator[Node | None]:
        if words == ("values", "{rows}"):
            yield ("value", position)
        elif words[0] == "values":
            self._inside(words, scope)
            for row in parted(words[1:], ","):
                yield self._node(tuple(parted(row[0], ","))[position], scope)
        else:
            for outputs in self.query(words, scope):
                yield outputs[position][1] if position < len(outputs) else None

    def _on_conflict(self, words: Words, source: Source) -> None:
        """What is there already is the same owner's: the owner is a part of the key it is known by."""
        if not words or words[-2:] == ("do", "nothing"):
            return
        assert source.table is not None
        if not is_bracket(words[2]) or self._tables.owner[source.table] not in words[2]:
            raise Unproven(f"{source.table}: whose row is in the way?")
        self._not_given_away(source, words)

    def _not_given_away(self, source: Source, words: Words) -> None:
        owner = self._tables.owner.get(source.table or "")
        if any(words[n] == owner and words[n + 1] == "=" for n in range(len(words) - 1)):
            raise Unproven(f"{source.table}: a row changes hands")

    def _where(self, clauses: list[tuple[str, Words]], scope: Scope) -> None:
        for name, clause in clauses:
            if name == "where":
                self._facts(clause, scope, None)

    def _rest(self, clauses: list[tuple[str, Words]], scope: Scope) -> None:
        for name, clause in clauses:
            if name not in ("from", "using"):
                self._inside(clause, scope)

    def _returned(self, clauses: list[tuple[str, Words]], scope: Scope) -> Outputs:
        return next((self._outputs(clause, scope) for name, clause in clauses if name == "returning"), [])

    def _inside(self, words: Any, scope: Scope) -> None:
        """Read the queries that stand anywhere inside."""
        for word in words:
            if is_bracket(word):
                if word and word[0] in ("select", "with", "values", "insert", "update", "delete"):
                    self.query(word, scope)
                else:
                    self._inside(word, scope)

    # --- What stands in FROM ---

    def _target(self, words: Words, scope: Scope) -> Source:
        table = self._known(str(words[0]))
        rest = [word for word in words[1:] if word != "as"]
        source = scope.sources[str(rest[0]) if rest else table] = Source(table)
        if self._tables.belongs(table):
            self._touched.append(source)
        return source

    def _from(self, words: Words, scope: Scope) -> None:
        at, conditions = 0, []
        how: set[str] = set()
        while at < len(words):
            at = self._source(words, at, scope)
            joined = next(reversed(scope.sources.values()))
            if at < len(words) and words[at] == "on":
                end = at + 1
                while end < len(words) and words[end] not in _JOINS:
                    end += 1
                conditions.append((words[at + 1 : end], joined if "left" in how else None))
                at = end
            how = set()
            while at < len(words) and words[at] in _JOINS:
                how.add(str(words[at]))
                at += 1
            if how & {"right", "full", "natural"} or (at < len(words) and not how):
                raise Unproven(f"how is {words[at - 1 : at + 2]} joined?")
        for condition, only in conditions:
            self._facts(condition, scope, only)
            self._inside(condition, scope)

    def _source(self, words: Words, at: int, scope: Scope) -> int:
        """Read one source and its alias; return where it ends."""
        if words[at] == "lateral":
            at += 1
        head, at = words[at], at + 1
        name = ""
        if is_bracket(head):
            source = Source(outputs=self.query(head, scope))
        elif at < len(words) and is_bracket(words[at]) and not self._is_table(str(head), scope):
            self._inside(words[at], scope)
            source, at = Source(outputs=[self._called(str(head), words[at])]), at + 1
            name = str(head)
        else:
            name = str(head)
            made = scope.with_query(name)
            if made is not None:
                source = Source(outputs=made.outputs)
            else:
                source = Source(self._known(name))
                if self._tables.belongs(name):
                    self._touched.append(source)
        if at < len(words) and words[at] == "as":
            at += 1
        if at < len(words) and isinstance(words[at], str) and words[at] not in _JOINS | {"on", "indexed", "not"}:
            name, at = str(words[at]), at + 1
        if at < len(words) and is_bracket(words[at]):
            names, at = [str(word) for word in words[at] if word != ","], at + 1
            if source.outputs is not None:
                source.outputs = [
                    [(n, node) for n, (_, node) in zip(names, part, strict=False)] for part in source.outputs
                ]
        if at < len(words) and words[at] in ("indexed", "not"):
            at += 3 if words[at] == "indexed" else 2
        if name in scope.sources:
            raise Unproven(f"{name} stands for two things")
        scope.sources[name] = source
        return at

    def _called(self, function: str, arguments: Words) -> Outputs:
        """Say what a function in FROM gives: `unnest` of whole columns of values gives those."""
        if function == "unnest" and self._kind != "plain":
            return [("", self._value(part)) for part in parted(arguments, ",")]
        return []

    def _is_table(self, name: str, scope: Scope) -> bool:
        return name in self._tables.columns or scope.with_query(name) is not None

    def _known(self, table: str) -> str:
        if table not in self._tables.columns:
            raise Unproven(f"what is {table}?")
        return table

    # --- Columns and what they are equal to ---

    def _outputs(self, words: Words, scope: Scope) -> Outputs:
        if words[:1] == ("distinct",):
            words = words[3:] if words[1:2] == ("on",) else words[1:]
        outputs: Outputs = []
        for item in parted(words, ","):
            name = item[-1]
            if item == ("*",) or (len(item) == 1 and isinstance(name, str) and name.endswith(".*")):
                outputs += self._everything(str(name), scope)
            elif len(item) > 2 and item[-2] == "as":
                outputs.append((str(name), self._node(item[:-2], scope)))
            else:
                outputs.append((str(name).rpartition(".")[2] if len(item) == 1 else None, self._node(item, scope)))
        return outputs

    def _everything(self, star: str, scope: Scope) -> Outputs:
        sources = scope.sources.values() if star == "*" else [scope.sources.get(star.removesuffix(".*"), Source())]
        outputs: Outputs = []
        for source in sources:
            if source.table is not None:
                outputs += [(name, (source, name)) for name in self._tables.columns[source.table]]
            elif source.outputs:
                outputs += [(name, self._made(source, n)) for n, (name, _) in enumerate(source.outputs[0])]
        return outputs

    def _facts(self, words: Words, scope: Scope, only: Source | None) -> None:
        """Note which columns a condition makes equal to what; of `only` this source, where one is given."""
        if "or" in words:
            return
        for part in parted(words, "and"):
            match part:
                case [tuple(inner)] if not _is_query(inner) and "," not in inner:
                    self._facts(inner, scope, only)
                case [*left, "=", "any", [["array", tuple(inner)]] | ["array", tuple(inner)]] | [
                    *left,
                    "=" | "in",
                    tuple(inner),
                ] if _is_query(inner):
                    self._in_query(tuple(left), inner, scope, only)
                case [tuple(left), "=", tuple(right)]:
                    for here, there in zip(parted(left, ","), parted(right, ","), strict=False):
                        self._same(self._node(here, scope), self._node(there, scope), scope, only)
                case _ if part.count("=") == 1:
                    middle = part.index("=")
                    one, other = self._node(part[:middle], scope), self._node(part[middle + 1 :], scope)
                    self._same(one, other, scope, only)

    def _in_query(self, left: Words, inner: Words, scope: Scope, only: Source | None) -> None:
        columns = tuple(parted(left[0], ",")) if len(left) == 1 and is_bracket(left[0]) else (left,)
        found = self.query(inner, scope)
        for position, column in enumerate(columns):
            given: Node = (("of", id(inner)), position)
            self._equalities.makes(given, [part[position][1] if position < len(part) else None for part in found])
            self._same(self._node(column, scope), given, scope, only)

    def _same(self, one: Node | None, other: Node | None, scope: Scope, only: Source | None) -> None:
        """Note that two are equal, as far as it says something of this query's own sources."""
        for here, there in ((one, other), (other, one)):
            match here:
                case (Source() as source, str()) if there is not None:
                    if source is only or (only is None and source in scope.sources.values()):
                        self._equalities.note(here, there)

    def _node(self, words: Words, scope: Scope) -> Node | None:
        """Return what an expression is, where it is a column or a value and nothing else."""
        match words:
            case ["+", *rest]:
                return self._node(tuple(rest), scope)
            case [tuple(inner)] if not _is_query(inner) and "," not in inner:
                return self._node(inner, scope)
            case ["cast", [*cast, "as", str()]]:
                return self._node(tuple(cast), scope)
            case [str(word)] if word[:1] not in "?$'":
                return self._named(word, scope)
            case ["json_extract", ["value", ",", str(path)]] if self._kind != "plain":
                # The columns of a keyed statement, as SQLite is given them.
                return ("value", int(path[3:-2])) if path[1:3] == "$[" else None
        return self._value(words)

    def _value(self, words: Words) -> Node | None:
        match words:
            case [str(word), "::", *_] | [str(word)] if word[:1] in ("?", "$") and word[1:].isdigit():
                return ("value", int(word[1:]) - 1)
        return None

    def _named(self, word: str, scope: Scope) -> Node | None:
        alias, _, column = word.rpartition(".")
        here: Scope | None = scope
        while here is not None:
            if alias:
                if alias in here.sources:
                    return self._column(here.sources[alias], column)
            else:
                having = [source for source in here.sources.values() if self._has(source, column)]
                if having:
                    return self._column(having[0], column) if len(having) == 1 else None
            here = here.around
        return None

    def _has(self, source: Source, column: str) -> bool:
        if source.table is not None:
            return column in self._tables.columns[source.table] or column in ROW_IDS
        return source.outputs is None or any(name == column for name, _ in source.outputs[0] if source.outputs)

    def _column(self, source: Source, column: str) -> Node | None:
        if source.table is not None:
            return (source, column)
        places = [n for n, (name, _) in enumerate(source.outputs[0]) if name == column] if source.outputs else []
        return self._made(source, places[0]) if len(places) == 1 else None

    def _made(self, source: Source, place: int) -> Node:
        """Return a column that was made elsewhere in the statement: what it is there, in every part of a UNION."""
        node: Node = (source, f"#{place}")
        assert source.outputs is not None
        self._equalities.makes(node, [part[place][1] if place < len(part) else None for part in source.outputs])
        return node

    def _only(self, outputs: Sequence[Outputs]) -> Outputs:
        return outputs[0] if len(outputs) == 1 else []


def _is_query(words: Any) -> bool:
    return bool(words) and words[0] in ("select", "with")


def _united(words: Words) -> Iterator[Words]:
    """Part a query by UNION and its like; `ALL` belongs to none of the parts."""
    begin = 0
    for at, word in enumerate(words):
        if word in ("union", "intersect", "except"):
            yield words[begin:at]
            begin = at + 2 if words[at + 1] == "all" else at + 1
    yield words[begin:]


def _clauses(words: Words) -> list[tuple[str, Words]]:
    """Part a statement by its clauses; what stands before the first is named by nothing."""
    begins = [
        at
        for at, word in enumerate(words)
        # IS DISTINCT FROM is no clause.
        if word in _CLAUSES and not (word == "from" and words[at - 1] == "distinct")
    ]
    found = [("", words[: begins[0]])] if begins[:1] != [0] else []
    for begin, end in zip(begins, [*begins[1:], len(words)], strict=True):
        found.append((words[begin], words[begin + 1 : end]))
    return found
