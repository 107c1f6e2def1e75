"""Metafields and tags of a pretend shop's customers: written all or none, taken away; by Shopify's rules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from integration.sandbox.graph import Node
from integration.sandbox.shopify import Shop

MOST_AT_ONCE = 25
MOST_TAG = 40  # characters
_CUSTOMER = "/Customer/"
_KINDS = ("number_integer", "single_line_text_field", "json")


@dataclass(slots=True)
class Metafields:
    """What stands beside one shop's customers, by customer, namespace and key."""

    shop: Shop
    definitions: dict[tuple[str, str], Node] = field(default_factory=dict)
    values: dict[tuple[str, str, str], str] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)  # by customer
    writes: int = 0  # metafields written

    def of(self, customer: int) -> dict[str, str]:
        """What stands beside one customer, by key."""
        owner = f"gid://shopify/Customer/{customer}"
        return {key: value for (at, _, key), value in self.values.items() if at == owner}

    def fields(self) -> Node:
        """The mutations about metafields."""
        return {
            "metafieldDefinitionCreate": self._define,
            "metafieldsSet": self._set,
            "metafieldsDelete": self._delete,
            "tagsAdd": self._tag,
            "tagsRemove": self._untag,
        }

    def tagged(self, nodes: Sequence[Node | None]) -> list[Node | None]:
        """Show the customers among nodes with their tags."""
        return [
            one | {"tags": self.tags.get(one["id"], [])} if one and _CUSTOMER in one["id"] else one for one in nodes
        ]

    def _tag(self, id: str, tags: Sequence[str]) -> Node:
        """Add tags; what is there already, in whatever case, stays as it is."""
        if not self._knows(id):
            return {"node": None, "userErrors": [{"field": ["id"], "message": "Customer does not exist"}]}
        if any(len(tag) > MOST_TAG for tag in tags):
            return {"node": None, "userErrors": [{"field": ["tags"], "message": "Tag is too long"}]}
        mine = self.tags.setdefault(id, [])
        for tag in tags:
            mine += [tag] if tag.casefold() not in {each.casefold() for each in mine} else []
        return {"node": {"id": id}, "userErrors": []}

    def _untag(self, id: str, tags: Sequence[str]) -> Node:
        if not self._knows(id):
            return {"node": None, "userErrors": [{"field": ["id"], "message": "Customer does not exist"}]}
        gone = {tag.casefold() for tag in tags}
        self.tags[id] = [tag for tag in self.tags.get(id, []) if tag.casefold() not in gone]
        return {"node": {"id": id}, "userErrors": []}

    def _define(self, definition: Node) -> Node:
        name = (definition["namespace"], definition["key"])
        if definition["type"] not in _KINDS:
            return {
                "createdDefinition": None,
                "userErrors": [_error(["definition", "type"], "INVALID", "no such type")],
            }
        if name in self.definitions:
            told = _error(["definition", "key"], "TAKEN", "Key is in use for Customer metafields on the namespace.")
            return {"createdDefinition": None, "userErrors": [told]}
        self.definitions[name] = definition
        return {
            "createdDefinition": {"id": f"gid://shopify/MetafieldDefinition/{len(self.definitions)}"},
            "userErrors": [],
        }

    def _set(self, metafields: Sequence[Node]) -> Node:
        if len(metafields) > MOST_AT_ONCE:
            return _refused(
                [_error(["metafields"], "LESS_THAN_OR_EQUAL_TO", "Exceeded the maximum metafields input limit of 25.")]
            )
        errors = [error for place, one in enumerate(metafields) for error in self._wrong(place, one)]
        if errors:
            return _refused(errors)
        for one in metafields:
            self.values[one["ownerId"], one["namespace"], one["key"]] = one["value"]
        self.writes += len(metafields)
        return {
            "metafields": [{"id": f"gid://shopify/Metafield/{n}"} for n in range(len(metafields))],
            "userErrors": [],
        }

    def _wrong(self, place: int, one: Node) -> list[Node]:
        at = ["metafields", str(place)]
        if not self._knows(one["ownerId"]):
            return [_error([*at, "ownerId"], "INVALID", "Owner does not exist.", place)]
        if not one["value"]:
            return [_error([*at, "value"], "BLANK", "Value can't be blank.", place)]
        if one["type"] == "number_integer" and not one["value"].lstrip("-").isdigit():
            return [_error([*at, "value"], "INVALID_VALUE", "Value must be an integer.", place)]
        return []

    def _delete(self, metafields: Sequence[Node]) -> Node:
        gone = []
        for one in metafields:
            name = (one["ownerId"], one["namespace"], one["key"])
            gone.append({"ownerId": one["ownerId"]} if self.values.pop(name, None) is not None else None)
        return {"deletedMetafields": gone, "userErrors": []}

    def _knows(self, owner: str) -> bool:
        kind, _, number = owner.removeprefix("gid://shopify/").partition("/")
        return kind == "Customer" and number.isdigit() and int(number) in self.shop.customers


def _refused(errors: list[Node]) -> Node:
    return {"metafields": None, "userErrors": errors}


def _error(field: list[str], code: str, message: str, place: int | None = None) -> dict[str, Any]:
    return {"field": field, "code": code, "message": message, "elementIndex": place}
