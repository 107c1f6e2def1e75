"""An import's lines as entries: so many points to whoever has the address, and back where it is undone."""

from collections.abc import Callable, Iterable

from handlers.customers.identify import People, Person, load, save
from handlers.exchange.rules import FORGOTTEN
from handlers.exchange.store import Import, advance, leave_out
from handlers.holders import Name
from handlers.merchants.books import lock_books, save_books
from handlers.points.expiry import settle_before_taking, stir
from handlers.points.posting import Posting, post
from handlers.points.rules import ISSUED, account
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

BATCH = 500  # lines of one transaction

TOLD_LONG_AGO = 1
"""The instant of what a file tells of a person: whatever a platform tells is newer."""


Gone = Callable[[int, Iterable[Name]], Steps[frozenset[Name]]]
"""Says which names of a merchant's are of people who were forgotten."""


def take(one: Import, token: str, now: int, *, gone: Gone) -> Steps[Import | None]:
    """Bring the next lines in: entries, customers where there were none, and the cursor, or nothing of it.

    Whoever was forgotten is left out: a list of another app does not bring them back. None where there were no more
    lines. Nobody is mailed. Raises store.Lost under a lost lease.
    """
    merchant_id = one.merchant_id
    counters = yield from lock_books([merchant_id])
    lines = yield from ask(_TO_TAKE, (merchant_id, one.number, one.after_line, BATCH))
    if not lines:
        return None
    dead = yield from gone(merchant_id, {("email", line[1]) for line in lines})
    left = [line for line in lines if ("email", line[1]) in dead]
    taken = [line for line in lines if ("email", line[1]) not in dead]
    one = yield from advance(one, token, lines[-1][0], len(taken), 0)
    people = (yield from load({merchant_id: {("email", line[1]) for line in taken}}, counters, now))[merchant_id]
    postings, owned = [], []
    for line, email, first_name, last_name, micropoints in taken:
        customer = _owner(people, email, first_name, last_name)
        key = f"import:{one.number}:{line}"
        mine = account(customer, "available")
        # What the file is called stays out of the books: it may be somebody's name, and entries are for ever.
        postings.append(Posting(merchant_id, key, ISSUED, mine, micropoints, "import"))
        owned.append((merchant_id, one.number, line, customer))
    yield from save([people])
    yield from post(postings, counters, now)
    yield from save_books(counters.values())
    yield from ask(_OWNED, owned)
    yield from ask(_LEFT_OUT, [(merchant_id, one.number, line[0]) for line in left])
    if left:
        return (yield from leave_out(merchant_id, one.number, len(left), sum(line[4] for line in left)))
    return one


def take_back(one: Import, token: str, now: int) -> Steps[Import | None]:
    """Take the next lines back by entries the other way, as far as the points are still available.

    What was spent meanwhile stays spent: an import that is undone leaves nobody in debt. None where there were no
    more lines.
    """
    merchant_id = one.merchant_id
    counters = yield from lock_books([merchant_id])
    lines = yield from ask(_TO_TAKE_BACK, (merchant_id, one.number, one.after_line, BATCH))
    if not lines:
        return None
    owners: dict[int, int] = dict((yield from ask(_OWNERS, sorted({(merchant_id, line[1]) for line in lines}))))
    yield from settle_before_taking(merchant_id, set(owners.values()), counters[merchant_id], now)
    names = {account(owner, "available") for owner in owners.values()}
    available: dict[str, int] = dict((yield from ask(_AVAILABLE, [(merchant_id, name) for name in sorted(names)])))
    postings, noted, total = [], [], 0
    for line, customer, micropoints in lines:
        mine = account(owners.get(customer, customer), "available")
        amount = min(micropoints, max(0, available.get(mine, 0)))
        available[mine] = available.get(mine, 0) - amount
        total += amount
        noted.append((merchant_id, one.number, line, amount))
        if amount:
            key = f"import:{one.number}:{line}:undone"
            postings.append(Posting(merchant_id, key, mine, ISSUED, amount, "import_undone"))
    one = yield from advance(one, token, lines[-1][0], len(lines), total)
    yield from post(postings, counters, now)
    yield from save_books(counters.values())
    yield from ask(_NOTED, noted)
    # What had lapsed of a line that is undone did not take the place of anything else: the clock gives that back.
    yield from stir({(merchant_id, owner) for owner in owners.values()}, now)
    return one


def _owner(people: People, email: str, first_name: str | None, last_name: str | None) -> int:
    """Say whose points they are: the address's owner, or somebody new who goes by it."""
    owner = people.owner(email)
    if owner is None:
        told = Person(emails=(email,), email=email, first_name=first_name, last_name=last_name, told_at=TOLD_LONG_AGO)
        owner = people.claim(told)
    assert owner is not None
    return owner


_TO_TAKE = plain(
    "SELECT line, email, first_name, last_name, micropoints FROM import_lines WHERE merchant_id = ?1 AND number = ?2"
    " AND line > ?3 AND problem IS NULL AND email IS NOT NULL ORDER BY line LIMIT ?4"
)
_TO_TAKE_BACK = plain(
    "SELECT line, customer, micropoints FROM import_lines WHERE merchant_id = ?1 AND number = ?2"
    " AND line > ?3 AND customer IS NOT NULL ORDER BY line LIMIT ?4"
)
_LEFT_OUT = keyed(
    f"UPDATE import_lines SET email = NULL, first_name = NULL, last_name = NULL, problem = '{FORGOTTEN}'"
    " FROM {keys} k WHERE import_lines.merchant_id = k.merchant_id AND import_lines.number = k.number"
    " AND import_lines.line = k.line",
    merchant_id=BIG,
    number=BIG,
    line=BIG,
)
_OWNED = keyed(
    "UPDATE import_lines SET customer = k.customer FROM {keys} k WHERE import_lines.merchant_id = k.merchant_id"
    " AND import_lines.number = k.number AND import_lines.line = k.line",
    merchant_id=BIG,
    number=BIG,
    line=BIG,
    customer=BIG,
)
_NOTED = keyed(
    "UPDATE import_lines SET taken_back = k.amount FROM {keys} k WHERE import_lines.merchant_id = k.merchant_id"
    " AND import_lines.number = k.number AND import_lines.line = k.line",
    merchant_id=BIG,
    number=BIG,
    line=BIG,
    amount=BIG,
)
# Whom a number means by now: points that hang on no sale have moved along with a merge.
_OWNERS = keyed(
    "SELECT c.number, coalesce(c.merged_into, c.number) FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_AVAILABLE = keyed(
    "SELECT a.account, a.micropoints FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)
