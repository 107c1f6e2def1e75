"""Who is who: one person across platforms, whatever order the claims came in."""

from handlers.customers.rules import Node, eldest, normalise, owners


def shop(number: int, shopify_id: str, *emails: str, gone_into: int | None = None) -> Node:
    """A Shopify customer."""
    return Node(number, shopify_id, set(emails), gone_into)


def other(number: int, *emails: str) -> Node:
    """A Stripe customer or a guest."""
    return Node(number, None, set(emails))


def who(*nodes: Node) -> tuple[dict[int, int], dict[str, int]]:
    """Work out who is who among these."""
    return owners({node.number: node for node in nodes})


def test_a_guest_belongs_to_the_shopify_customer_of_that_address() -> None:
    """Whoever opened the account first in time, the account is the person."""
    of_node, of_email = who(other(1, "ann@x.example"), shop(2, "77", "ann@x.example"))
    assert of_node == {1: 2, 2: 2}
    assert of_email == {"ann@x.example": 2}


def test_two_shopify_customers_with_one_address_stay_two_persons() -> None:
    """A household shares a mailbox, not its points; the address belongs to the older account."""
    of_node, of_email = who(shop(1, "900", "home@x.example"), shop(2, "88", "home@x.example"))
    assert of_node == {1: 1, 2: 2}
    assert of_email == {"home@x.example": 2}


def test_a_stripe_customer_who_changes_address_stays_one_person() -> None:
    """Former and present address are one circle."""
    of_node, of_email = who(
        other(1, "old@x.example"), other(2, "old@x.example", "new@x.example"), other(3, "new@x.example")
    )
    assert set(of_node.values()) == {1}
    assert of_email == {"old@x.example": 1, "new@x.example": 1}


def test_a_circle_belongs_to_the_oldest_shopify_customer_who_claims_any_of_it() -> None:
    """One claim is enough; an address claimed directly stays with its own claimant."""
    of_node, of_email = who(
        other(1, "a@x.example", "b@x.example", "c@x.example"),
        shop(2, "50", "a@x.example"),
        shop(3, "60", "b@x.example"),
    )
    assert of_node == {1: 2, 2: 2, 3: 3}
    assert of_email == {"a@x.example": 2, "b@x.example": 3, "c@x.example": 2}


def test_merged_customers_are_followed_to_the_end_of_the_chain() -> None:
    """A into B, B into C: all are C, and so are A's addresses."""
    of_node, of_email = who(
        shop(1, "10", "a@x.example", gone_into=2), shop(2, "20", gone_into=3), shop(3, "30"), other(4, "a@x.example")
    )
    assert of_node == {1: 3, 2: 3, 3: 3, 4: 3}
    assert of_email["a@x.example"] == 3


def test_a_circle_of_merges_does_not_hang() -> None:
    """Two merges told against each other must not loop."""
    of_node, _ = who(shop(1, "10", gone_into=2), shop(2, "20", gone_into=1))
    assert set(of_node) == {1, 2}


def test_shopify_ids_are_compared_as_numbers() -> None:
    """“9” is older than “10”."""
    assert eldest([(1, "10"), (2, "9")]) == 2
    assert eldest([(5, None), (4, None)]) == 4
    assert eldest([]) is None


def test_addresses_are_compared_trimmed_and_in_lower_case() -> None:
    """People type them in every way."""
    assert normalise("  Ann@Shop.Example ") == "ann@shop.example"
