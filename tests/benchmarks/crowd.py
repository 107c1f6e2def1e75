"""A large merchant for measurements: 100,000 customers and a million entries, written as settling would have."""

import asyncio
import itertools
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import asyncpg
from rich.progress import Progress
from sqlalchemy import make_url

from handlers.merchants.connections import Wish, add_merchant
from handlers.merchants.offers import Reward
from handlers.merchants.programs import change_program
from handlers.merchants.referring import Referrals
from handlers.points.seal import linked
from handlers.rewards.store import terms_of
from integration.clock import DAY, HOUR, MINUTE
from integration.database.engine import Database
from integration.database.steps import Row, Steps, ask, plain
from integration.vault import Vault
from tests.benchmarks.figures import console

CUSTOMERS = 100_000
ENTRIES = 1_000_000
EACH = 4  # purchases of most people
BUSY = 1  # the number of who buys all the time
BUSY_SALES, BUSY_MESSAGES, BUSY_REVIEWS = 1_500, 400, 100  # with two entries a sale 5,000 items, refunds beside
REFUNDED_EVERY = 25  # sales
ADJUSTED_EVERY = 3  # people, until there are enough entries
MESSAGES, REVIEWS, WAITING = 150_000, 50_000, 2_000
EVENTS, AMISS_EVERY = 200_000, 100  # events kept, of the latest sales; of those that went amiss the body is kept, too
CHANGES, LOOKS = 20_000, 20_000  # what staff did, and whom they looked at
REWARDS, WALK = 20_000, 20  # taken, and what each costs; handed over by hand
FRIENDS = 2_000  # orders made with the code of somebody's friend
IMPORTS, IMPORT_LINES = 20, 1_000
INDEBTED_EVERY, DEBT = 100, 500  # people who owe points
ROWS_AT_ONCE = 20_000
REWARD = Reward(name="A walk", kind="by_hand", points=WALK, instructions="Come by.")
NOW = 1_800_000_000_000_000
YEAR = 365 * DAY
SHOP = "large.myshopify.com"
_FIRST = "Ada Bo Cleo Dee Eli Fay Gus Hal Ida Jo Kay Lee Mia Noa Ola Pia Quin Rae Sol Tea Uma Val Wim Xia Yan Zoë"
_LAST = "Ahl Berg Cole Dahl Engel Falk Gray Holm Iver Jung Kemp Lund Moor Nash Ohm Park Quist Reed Stone Thal"
_SYLLABLES = "ba de ki lo mu na pe ri so tu"
FIRST, LAST, SYLLABLES = _FIRST.split(), _LAST.split(), _SYLLABLES.split()

Rows = Iterator[tuple[Any, ...]]


class Crowd(NamedTuple):
    """What was written."""

    merchant_id: int
    customers: int
    sales: int
    entries: int
    events: int
    rewards: int
    friends: int  # orders made with a friend's code; every fifth waits for the merchant
    waiting: int  # the highest number of a sale whose note waits, with so many before it
    stripe: int  # number of the connection of a Stripe account


def name_of(number: int) -> tuple[str, str]:
    """Name somebody: there are some 260,000 different people to be."""
    tail = SYLLABLES[number // 7 % 10] + SYLLABLES[number // 70 % 10]
    return FIRST[number % len(FIRST)], LAST[number // 3 % len(LAST)] + tail


def shopify_id(number: int) -> str:
    """Return what Shopify calls somebody."""
    return str(7_000_000 + number)


def friends_code(number: int) -> str:
    """Write the code of one of the links, and of the one code that was asked for with it."""
    return "ABCDEFGH" + str(222_222 + number).replace("0", "H").replace("1", "J")


def email_of(number: int) -> str:
    """Return somebody's address."""
    first, last = name_of(number)
    return f"{first}.{last}.{number}@mail{number % 40}.example".lower()


async def fill(database: Database, customers: int = CUSTOMERS, entries: int = ENTRIES) -> Crowd:
    """Write a merchant with so many customers and about so many entries; the audit finds nothing to say."""
    began = time.perf_counter()
    wish = Wish(name="Large Shop", shop=SHOP, currency="EUR", timezone="Europe/Paris", email="owner@large.example")
    vault = Vault(["0123456789abcdef" * 2])
    merchant = (await database.run(lambda: add_merchant(wish, vault, NOW - 2 * YEAR))).id
    settings = {
        "earning.enabled": True, "earning.points_per_unit": "1", "earning.hold_days": 0,
        "referrals.enabled": True, "rewards.enabled": True,
        "rewards.catalogue": {"walk": REWARD.model_dump(mode="json")},
    }  # fmt: skip
    await database.run(lambda: change_program(merchant, settings, NOW - 2 * YEAR))
    book = _Book(merchant, customers, entries)
    tables = (
        ("customers", "merchant_id number shopify_id first_name last_name email locale country email_at name_at"
         " created_at", book.people()),
        ("customer_identities", "merchant_id kind value customer", book.identities()),
        ("sales", "merchant_id number facts revision customer platform platform_id name email currency total_minor"
         " sold_at standing program_version eligible_minor created_at", book.sales()),
        ("sale_identities", "merchant_id platform kind value sale", book.sale_names()),
        ("ledger_entries", "merchant_id number key sale source destination micropoints reason detail at",
         book.entries()),
        ("accounts", "merchant_id account micropoints", book.accounts()),
        ("messages", "merchant_id key kind customer sale channel state due_at next_attempt_at sent_at address details"
         " created_at", book.messages()),
        ("events", "source connection delivery_id topic merchant_id received_at claims next_attempt_at worked_at"
         " failed_at outcome reason sale", book.events()),
        ("event_bodies", "event_id body", book.bodies()),
        ("journal", "merchant_id at mark who did about detail", book.changes()),
        ("looks", "merchant_id at mark who what customer", book.looks()),
        ("reviews", "merchant_id sale line customer product_title stars words written_at", book.reviews()),
        ("redemptions", "merchant_id number key customer reward version kind terms points value_minor currency state"
         " code asked_at issued_at spent postings", book.rewards()),
        ("discounts_off", "merchant_id platform_id reward terms since_at", iter([
            (merchant, "gid://shopify/DiscountCodeNode/1", "walk", terms_of(REWARD), NOW - DAY)])),
        ("referral_links", "merchant_id code customer state created_at", book.links()),
        ("referral_codes", "merchant_id code link customer asker state kind terms value_minor currency platform_id"
         " created_at expires_at", book.codes()),
        ("referrals", "merchant_id sale referrer friend state why at", book.friends()),
        ("imports", "merchant_id number state digest file encoding newcomers who lines good micropoints moved read_at"
         " begun_at finished_at", book.imports()),
        ("import_lines", "merchant_id number line email micropoints", book.import_lines()),
        ("connections", "merchant_id platform account created_at connected_at", iter([
            (merchant, "stripe", "a-path-by-hand", NOW - YEAR, NOW - YEAR)])),
    )  # fmt: skip
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Writing the books, {database.dialect}", total=book.about)
        for table, columns, rows in tables:
            await _write(database, table, columns.split(), _counted(rows, lambda many: bar.advance(task, many)))

    def close() -> Steps[list[Row]]:
        sql = "UPDATE books SET next_customer = ?2, next_sale = ?3, next_entry = ?4, head = ?5 WHERE merchant_id = ?1"
        return (yield from ask(plain(sql), (merchant, customers + 1, len(book.sold) + 1, book.next_entry, book.head)))

    await database.run(close)
    await _analyse(database)
    seconds = time.perf_counter() - began
    found = await database.read(
        lambda: ask(plain("SELECT max(id) FROM connections WHERE merchant_id = ?1"), (merchant,))
    )
    sales = len(book.sold)
    crowd = Crowd(
        merchant,
        customers,
        sales,
        book.next_entry - 1,
        min(EVENTS, sales),
        book.taken,
        book.brought,
        min(MESSAGES, sales),
        found[0][0],
    )
    console.print(
        f"  {database.dialect}: {crowd.customers:,} customers, {crowd.sales:,} sales and {crowd.entries:,} entries"
        f" written in {seconds:,.0f} s"
    )
    return crowd


class _Book:
    """The rows of one merchant, each made when it is asked for, in an order that fits the next."""

    def __init__(self, merchant: int, customers: int, entries: int) -> None:
        self.merchant, self.customers, self.wanted = merchant, customers, entries
        self.next_entry, self.head = 1, ""
        self.balances: dict[str, int] = {}
        self.taken = min(REWARDS, customers // 2)
        self.brought = min(FRIENDS, customers // 2)
        dice = random.Random(7)
        buyers = [BUSY] * min(BUSY_SALES, entries // 4)
        # Two entries a sale, and what is left over as adjustments.
        each = max(1, min(EACH, (entries // 2 - len(buyers)) // max(1, customers)))
        buyers += [number for number in range(2, customers + 1) for _ in range(each)]
        dice.shuffle(buyers)
        step = (YEAR - HOUR) // len(buyers)
        self.sold = [(buyer, NOW - YEAR + n * step + n % 997) for n, buyer in enumerate(buyers)]

    @property
    def about(self) -> int:
        """How many rows there will be, about."""
        return 5 * self.customers + 2 * len(self.sold) + self.wanted + MESSAGES + EVENTS + 2 * REVIEWS

    def people(self) -> Rows:
        for n in range(1, self.customers + 1):
            first, last = name_of(n)
            at = NOW - YEAR + n * MINUTE
            yield (self.merchant, n, shopify_id(n), first, last, email_of(n), "fr-FR", "FR", at, at, at)

    def identities(self) -> Rows:
        for n in range(1, self.customers + 1):
            yield (self.merchant, "shopify", shopify_id(n), n)
            yield (self.merchant, "email", email_of(n), n)

    def sales(self) -> Rows:
        for number, (buyer, at) in enumerate(self.sold, start=1):
            kept = 1_800 if number % REFUNDED_EVERY == 0 else 6_000
            yield (self.merchant, number, _facts(number, buyer, at), 1, buyer, "shopify", str(500_000 + number),
                   f"#{number}", email_of(buyer), "EUR", 6_000, at, "counted", 2, kept, at)  # fmt: skip

    def sale_names(self) -> Rows:
        for number in range(1, len(self.sold) + 1):
            yield (self.merchant, "shopify", "order", str(500_000 + number), number)

    def entries(self) -> Rows:
        """Post each sale to what it is worth, through pending as a hold would; rewards; then adjust people by hand."""
        issued = "program:issued"
        for number, (buyer, at) in enumerate(self.sold, start=1):
            pending, mine = f"customer:{buyer}:pending", f"customer:{buyer}:available"
            yield self._entry(f"sale:{number}:0", number, issued, pending, 60, "accrual", None, at)
            yield self._entry(f"sale:{number}:1", number, pending, mine, 60, "release", None, at + 1)
            if number % REFUNDED_EVERY == 0:
                yield self._entry(f"sale:{number}:2", number, mine, issued, 42, "reversal", None, at + HOUR)
        for n in range(1, self.taken + 1):
            mine = f"customer:{self._taker(n)}:available"
            yield self._entry(
                f"redeem:{n}:0", None, mine, "program:redeemed", WALK, "redeemed", "reward walk", NOW - DAY
            )
        for n in range(INDEBTED_EVERY, self.customers + 1, INDEBTED_EVERY):
            mine, lost = f"customer:{n}:available", "was given by mistake"
            yield self._entry(f"mistake:{n}", None, mine, issued, DEBT, "adjustment", lost, NOW - DAY)
        for n in itertools.count(1):
            if self.next_entry > self.wanted:
                return
            mine = f"customer:{n * ADJUSTED_EVERY % self.customers + 1}:available"
            yield self._entry(f"adjust:{n}", None, issued, mine, 5, "adjustment", "a birthday present", NOW - DAY)

    def _entry(self, key: str, sale: int | None, source: str, destination: str, points: int, reason: str,
               detail: str | None, at: int) -> tuple[Any, ...]:  # fmt: skip
        amount = points * 1_000_000
        entry = (self.next_entry, key, sale, source, destination, amount, reason, detail, at)
        self.head = linked(self.head, entry)
        self.next_entry += 1
        for name, change in ((source, -amount), (destination, amount)):
            self.balances[name] = self.balances.get(name, 0) + change
        return (self.merchant, *entry)

    def _taker(self, n: int) -> int:
        return n + 1

    def accounts(self) -> Rows:
        for name, amount in self.balances.items():
            yield (self.merchant, name, amount)

    def messages(self) -> Rows:
        busy = (n for n, (buyer, _) in enumerate(self.sold, start=1) if buyer == BUSY)
        numbers = dict.fromkeys([*itertools.islice(busy, BUSY_MESSAGES), *range(1, min(MESSAGES, len(self.sold)) + 1)])
        for place, number in enumerate(numbers):
            buyer, at = self.sold[number - 1]
            waits = place >= len(numbers) - WAITING
            state, sent_at = ("scheduled", None) if waits else ("sent", at + HOUR)
            due_at = NOW + number * MINUTE if waits else at + HOUR
            yield (self.merchant, f"thank_you:sale:{number}", "thank_you", buyer, number, "email", state, due_at,
                   due_at, sent_at, None if waits else email_of(buyer), '{"country":"FR"}', at)  # fmt: skip

    def reviews(self) -> Rows:
        busy = (n for n, (buyer, _) in enumerate(self.sold, start=1) if buyer == BUSY)
        numbers = dict.fromkeys(
            [*itertools.islice(busy, BUSY_REVIEWS), *range(1, min(REVIEWS, len(self.sold) // 2) + 1)]
        )
        for number in numbers:
            buyer, at = self.sold[number - 1]
            yield (self.merchant, number, "1", buyer, "Oolong", 3 + number % 3, "Very good tea.", at + 9 * DAY)

    def rewards(self) -> Rows:
        terms = terms_of(REWARD)
        for n in range(1, self.taken + 1):
            yield (self.merchant, n, f"wish-{n}", self._taker(n), "walk", 2, "by_hand", terms, WALK, 0, "EUR", "issued",
                   f"WALK{n:06}", NOW - DAY, NOW - DAY, WALK * 1_000_000, 1)  # fmt: skip

    def links(self) -> Rows:
        for n in range(1, self.brought + 1):
            yield (self.merchant, friends_code(n), self.customers - n, "open", NOW - DAY)

    def codes(self) -> Rows:
        terms = Referrals().welcome.model_dump_json()
        for n in range(1, self.brought + 1):
            code, platform = friends_code(n), f"gid://shopify/DiscountCodeNode/{n}"
            yield (self.merchant, code, code, self.customers - n, "", "made", "amount_off", terms, 1_000, "EUR",
                   platform, NOW - DAY, NOW + 29 * DAY)  # fmt: skip

    def friends(self) -> Rows:
        """Every fifth waits for the merchant; the others had bought before."""
        for n in range(1, self.brought + 1):
            held = n % 5 == 0
            yield (self.merchant, n, self.customers - n, self.sold[n - 1][0], "held" if held else "refused",
                   "household" if held else "not_first", self.sold[n - 1][1])  # fmt: skip

    def imports(self) -> Rows:
        for n in range(1, IMPORTS + 1):
            at = NOW - YEAR - n * DAY
            yield (self.merchant, n, "done", f"digest {n}", f"smile-{n}.csv", "utf-8", "leave", "link:owner",
                   IMPORT_LINES, IMPORT_LINES, 0, IMPORT_LINES, at, at, at)  # fmt: skip

    def import_lines(self) -> Rows:
        for n in range(1, IMPORTS + 1):
            for line in range(2, IMPORT_LINES + 2):
                yield (self.merchant, n, line, email_of(n * IMPORT_LINES + line), 0)

    def events(self) -> Rows:
        """One delivery for each of the latest sales, in the order of their numbers."""
        for n, number in enumerate(self._told(), start=1):
            _, at = self.sold[number - 1]
            ending: tuple[Any, ...] = (at, None, "applied", None, number)
            if n % AMISS_EVERY == 0:
                ending = (None, at, None, "after 8 attempts: KeyError", None)
            yield ("shopify", SHOP, f"w{number}", "orders/paid", self.merchant, at, 1, at, *ending)

    def bodies(self) -> Rows:
        for n, number in enumerate(self._told(), start=1):
            if n % AMISS_EVERY == 0:
                yield (n, json.dumps({"id": 500_000 + number, "note": "x" * 6_000}).encode())

    def _told(self) -> range:
        return range(max(1, len(self.sold) + 1 - EVENTS), len(self.sold) + 1)

    def changes(self) -> Rows:
        for n in range(1, CHANGES + 1):
            about = f"customer:{n % self.customers + 1}"
            yield (self.merchant, NOW - n * MINUTE, f"m{n}", "link:owner", "adjusted points", about, '{"points":5}')

    def looks(self) -> Rows:
        for n in range(1, LOOKS + 1):
            yield (self.merchant, NOW - n * MINUTE, f"m{n}", "link:owner", "customer", n % self.customers + 1)


def _facts(number: int, buyer: int, at: int) -> str:
    first, last = name_of(buyer)
    back, refunds, status = 1, "", "paid"
    if number % REFUNDED_EVERY == 0:
        refund = (
            f'{{"id":"{number}","stamp":{at + HOUR},"lines":[{{"line_id":"2","quantity":1,"subtotal_minor":4200}}],'
            f'"money_minor":4200,"created_at":{at + HOUR}}}'
        )
        back, refunds, status = 0, f'"refunds":[{refund}],', "partially_refunded"
    order = (
        f'"order":{{"id":"{500_000 + number}","updated_at":{at},"currency":"EUR","digest":"d{number}",'
        f'"name":"#{number}","created_at":{at},"processed_at":{at},"financial_status":"{status}","total_minor":6000,'
        '"lines":[{"id":"1","quantity":1,"current_quantity":1,"price_minor":1800,"product_id":"11","title":"Oolong"},'
        f'{{"id":"2","quantity":1,"current_quantity":{back},"price_minor":4200,"product_id":"12","title":"Teapot"}}],'
        f'{refunds}"buyer":{{"platform_id":"{7_000_000 + buyer}","email":"{email_of(buyer)}","first_name":"{first}",'
        f'"last_name":"{last}","locale":"fr-FR"}},"country":"FR","source_name":"web"}}'
    )
    kept = f',"refunds":{{"{number}":{refunds[11:-2]}}}' if refunds else ""
    return f"{{{order}{kept}}}"


def _counted(rows: Rows, tell: Callable[[int], None]) -> Rows:
    for n, row in enumerate(rows, start=1):
        if n % ROWS_AT_ONCE == 0:
            tell(ROWS_AT_ONCE)
        yield row


async def _write(database: Database, table: str, columns: list[str], rows: Rows) -> None:
    if database.dialect == "sqlite":
        await asyncio.to_thread(_into_sqlite, database.url, table, columns, rows)
        return
    connection = await asyncpg.connect(database.url)
    try:
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            await connection.copy_records_to_table(table, records=some, columns=columns)
    finally:
        await connection.close()


def _into_sqlite(url: str, table: str, columns: list[str], rows: Rows) -> None:
    connection = sqlite3.connect(make_url(url).database or "", isolation_level=None)
    try:
        connection.execute("PRAGMA cache_size=-400000")
        connection.execute("BEGIN IMMEDIATE")
        marks = ", ".join("?" * len(columns))
        connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        connection.execute("COMMIT")
    finally:
        connection.close()


async def _analyse(database: Database) -> None:
    """Have PostgreSQL look at what was written, as it does by itself within minutes."""
    if database.dialect == "postgresql":
        connection = await asyncpg.connect(database.url)
        try:
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()
