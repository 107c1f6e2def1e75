"""Answers GraphQL documents from plain nested values: what a document selects is what it gets.

A field is a key of a dict; a callable value takes the field's arguments. There is no schema: a field nobody
provided is an error with its name, so that a document the pretend platform cannot answer is seen at once.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    parse,
    value_from_ast_untyped,
)

MUTATION_COST = 10
DEFAULT_PAGE = 10
MOST_A_PAGE = 250

Node = dict[str, Any]
T = TypeVar("T")


def connection(items: Sequence[Node]) -> Callable[..., Node]:
    """A field that pages through items by `first` and `after`, as nodes and as edges."""

    def page(first: int = DEFAULT_PAGE, after: str | None = None, **_: Any) -> Node:
        start = 0 if after is None else int(after) + 1
        stop = start + min(first, MOST_A_PAGE)
        part = items[start:stop]
        return connected(part, [str(start + place) for place in range(len(part))], start > 0, stop < len(items))

    return page


def sorted_connection(items: Iterable[T], key: Callable[[T], tuple[int, int]], node: Callable[[T], Node]) -> Any:
    """A field that pages through items in the order of a key, which the cursor names.

    So what moves to another place while it is paged through neither hides nor repeats its neighbours. Only the
    items of the page asked for become nodes.
    """
    ordered = sorted(((key(item), item) for item in items), key=lambda pair: pair[0])

    def page(first: int = DEFAULT_PAGE, after: str | None = None, **_: Any) -> Node:
        start = 0
        if after is not None:
            value, number = after.split("-")
            start = bisect_right(ordered, (int(value), int(number)), key=lambda pair: pair[0])
        shown = ordered[start : start + min(first, MOST_A_PAGE)]
        cursors = [f"{pair[0][0]}-{pair[0][1]}" for pair in shown]
        return connected([node(pair[1]) for pair in shown], cursors, start > 0, start + len(shown) < len(ordered))

    return page


def connected(nodes: Sequence[Node], cursors: Sequence[str], before: bool, after: bool) -> Node:
    """One page of a connection: its nodes, each with its cursor, and whether there are more."""
    return {
        "nodes": list(nodes),
        "edges": [{"node": node, "cursor": cursor} for node, cursor in zip(nodes, cursors, strict=True)],
        "pageInfo": {
            "hasNextPage": after,
            "hasPreviousPage": before,
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
        },
    }


def weight(answer: Any) -> int:
    """What an answer really costs: a point for every object in it."""
    if isinstance(answer, list):
        return sum(map(weight, answer))
    if isinstance(answer, dict):
        return 1 + sum(map(weight, answer.values()))
    return 0


class Request:
    """One document with its variables, read once; GraphQLError where it cannot be parsed."""

    def __init__(self, document: str, variables: Mapping[str, Any]) -> None:
        self._variables = dict(variables)
        parsed: DocumentNode = parse(document)
        self._fragments = {
            each.name.value: each for each in parsed.definitions if isinstance(each, FragmentDefinitionNode)
        }
        operations = [each for each in parsed.definitions if isinstance(each, OperationDefinitionNode)]
        if len(operations) != 1:
            raise GraphQLError("one operation a document, please")
        self._operation = operations[0]
        for definition in self._operation.variable_definitions or ():
            name = definition.variable.name.value
            if name not in self._variables and definition.default_value is not None:
                self._variables[name] = value_from_ast_untyped(definition.default_value)

    @property
    def kind(self) -> str:
        """`query` or `mutation`."""
        return str(self._operation.operation.value)

    def cost(self) -> int:
        """What Shopify would reserve for it: 1 an object, a connection by its `first`, 10 a mutation."""
        return self.base() + self._cost(self._operation.selection_set)

    def base(self) -> int:
        """What its mutations cost whatever they answer, each under its own name."""
        return MUTATION_COST * len(self._fields(self._operation.selection_set)) if self.kind == "mutation" else 0

    def answer(self, root: Node) -> Node:
        """Select from `root`; GraphQLError for a field that is not there."""
        return self._select(self._operation.selection_set, root, "QueryRoot")

    def lines(self, root: Node) -> Iterator[Node]:
        """Answer as a bulk operation does: an object a line, what is in its connections in lines of their own."""
        for field in self._fields(self._operation.selection_set):
            yield from self._children(field, root, None)

    def _children(self, field: FieldNode, value: Node, parent: str | None) -> Iterator[Node]:
        """Write out one connection: every node, each followed by what is in its own connections."""
        selection = self._node_of(field)
        if selection is None:
            raise GraphQLError(f"'{field.name.value}' is no connection with edges and nodes")
        fields = self._fields(selection)
        deeper = [each for each in fields if each.selection_set is not None and self._node_of(each) is not None]
        after: str | None = None
        while True:
            page = value[field.name.value](**self._arguments(field), first=MOST_A_PAGE, after=after)
            for node in page["nodes"]:
                own = self._select_fields([each for each in fields if each not in deeper], node, field.name.value)
                yield own | ({"__parentId": parent} if parent else {})
                for each in deeper:
                    yield from self._children(each, node, str(node["id"]))
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return

    def _node_of(self, field: FieldNode) -> SelectionSetNode | None:
        """What is selected of a connection's nodes; None where the field is no connection."""
        for name in ("edges", "node"):
            inner = self._fields(field.selection_set) if field.selection_set else []
            found = next((each for each in inner if each.name.value == name), None)
            if found is None:
                return None
            field = found
        return field.selection_set

    def _fields(self, selection: SelectionSetNode) -> list[FieldNode]:
        fields: list[FieldNode] = []
        for each in selection.selections:
            if isinstance(each, FieldNode):
                fields.append(each)
            elif isinstance(each, InlineFragmentNode):
                fields.extend(self._fields(each.selection_set))
            elif isinstance(each, FragmentSpreadNode):
                fields.extend(self._fields(self._fragments[each.name.value].selection_set))
        return fields

    def _arguments(self, field: FieldNode) -> dict[str, Any]:
        given = {
            argument.name.value: value_from_ast_untyped(argument.value, self._variables)
            for argument in field.arguments or ()
        }
        return {name: value for name, value in given.items() if value is not Undefined}

    def _select(self, selection: SelectionSetNode, value: Node, kind: str) -> Node:
        return self._select_fields(self._fields(selection), value, kind)

    def _select_fields(self, fields: Sequence[FieldNode], value: Node, kind: str) -> Node:
        selected: Node = {}
        for field in fields:
            name = field.name.value
            key = field.alias.value if field.alias else name
            if name not in value:
                raise GraphQLError(f"Field '{name}' doesn't exist on type '{value.get('__typename', kind)}'")
            found = value[name]
            if callable(found):
                found = found(**self._arguments(field))
            selected[key] = self._project(field, found)
        return selected

    def _project(self, field: FieldNode, found: Any) -> Any:
        if isinstance(found, list):
            limit = self._arguments(field).get("first", len(found))
            return [self._project(field, each) for each in found[:limit]]
        if field.selection_set is None or found is None:
            return found
        return self._select(field.selection_set, found, field.name.value)

    def _cost(self, selection: SelectionSetNode) -> int:
        total = 0
        for field in self._fields(selection):
            if field.selection_set is None:
                continue
            inner = self._cost(field.selection_set)
            first = self._arguments(field).get("first")
            total += 1 + (first * inner if isinstance(first, int) else inner)
        return total
