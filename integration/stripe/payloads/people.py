"""Read customers, the connection to the merchant's account, and promotion codes."""

import msgspec

from integration.facts import CustomerSeen, Fact, PromotionSeen, Uninstalled
from integration.stripe.payloads.events import reader
from integration.stripe.values import LONGEST_TEXT, Person, Telling, buyer_of, email_of, named_id, text_of


class CustomerBody(msgspec.Struct):
    id: str | None = None
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    preferred_locales: list[str] | None = None
    deleted: bool | None = None
    livemode: bool = False


class _Any(msgspec.Struct):
    id: str | None = None


class _Code(msgspec.Struct):
    id: str | None = None
    code: str | None = None
    times_redeemed: int | None = None
    active: bool = True


def customer_facts(seen: CustomerBody, telling: Telling) -> tuple[Fact, ...]:
    """Tell a customer record, what the address was before this change, and whether the record is gone."""
    customer_id = named_id(seen.id, "the customer")
    buyer = buyer_of(customer_id, Person(email=seen.email, name=seen.name, phone=seen.phone))
    return (
        CustomerSeen(
            platform="stripe",
            buyer=msgspec.structs.replace(
                buyer,
                customer_email=buyer.email,
                locale=text_of(seen.preferred_locales[0]) if seen.preferred_locales else None,
            ),
            told_at=telling.told_at,
            former_email=email_of(telling.former_email),
            deleted=seen.deleted is True or telling.topic == "customer.deleted",
        ),
    )


def _uninstalled_facts(seen: _Any, telling: Telling) -> tuple[Fact, ...]:
    return (Uninstalled(told_at=telling.told_at),)


def _promotion_facts(seen: _Code, telling: Telling) -> tuple[Fact, ...]:
    uses = seen.times_redeemed or 0
    if not seen.code or (seen.active and not uses):
        return ()
    named = named_id(seen.id, "the promotion code")
    return (PromotionSeen(named, seen.code[:LONGEST_TEXT].upper(), uses, telling.told_at, seen.active),)


read_customer = reader("customer", CustomerBody, customer_facts)
read_deauthorized = reader("application", _Any, _uninstalled_facts)
read_uninstalled = reader("apps.install", _Any, _uninstalled_facts)
read_promotion_code = reader("promotion_code", _Code, _promotion_facts)
