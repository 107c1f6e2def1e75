"""What is kept of customers who open their own page: links mailed to them, which go with them."""

from handlers.account import store
from handlers.holders import Holder, Sections, Subject, deleting
from integration.database.steps import Steps


def export(subject: Subject) -> Steps[Sections]:
    """Show nothing: a link is a digest that lives for half an hour."""
    return {}
    yield  # A step function, though it asks for nothing.


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take back every link and session of the person."""
    return (yield from store.forget(subject.merchant_id, subject.numbers))


HOLDER = Holder("account", export, forget, deleting("account_links", "account_asks"))
