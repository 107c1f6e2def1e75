"""Every address with what is one's own behind it: it stands, it changes nothing by being opened, whatever is in it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from handlers.account.store import new_link as new_account_link
from handlers.merchants.sessions import new_link
from handlers.reconcile.store import recovered_of
from integration.clock import DAY, HOUR
from integration.database.schema import metadata
from tests.browser.test_every_page import OUTSIDE, PAGES, signed
from tests.eventful import make_eventful
from tests.visits import NORA, House, Visitor

ELSA = 1
# What opening a page may write, and why that changes nothing for anybody.
WRITTEN_BY_LOOKING = {
    "looks": "who looked at whom is to be written down",
    "program_forecasts": "sums a page has counted, kept so that they are counted once a day",
    "installs": "a browser that goes to Shopify to install has to be known when it comes back",
}
_SIGNED = re.compile(r'"(/app/(?:messages/letter|customers/letter|customers/file|connections/files)/[^"]+)"')
_LATE = "/app/{rest:path}"


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's eventful shop and Otto's empty one, on each engine."""
    return await House(database, over={"recovered": recovered_of}).open()


async def outside(house: House, guest: Visitor, links: Mapping[str, str]) -> list[tuple[str, int]]:
    """List the addresses outside the door with what they answer; Elsa is in by a link mailed to her."""
    vault, now = house.context.vault, house.clock.now()

    async def mailed() -> str:
        made = await house.database.run(lambda: new_account_link(NORA, ELSA, "", None, vault, now))
        return f"/c/open/{made}"

    assert (await guest.client.post(await mailed())).status_code == 303
    fill = {
        **{name: link.removeprefix("https://regulars.example") for name, link in links.items()},
        "link": "/app/sign-in/" + await house.database.run(lambda: new_link(NORA, "link:nora", vault, now)),
        "stranger": house.token("stranger.myshopify.com"),
        "now": now,
        "me": "/c/me/" + vault.sign("me", NORA, ELSA, now + DAY),
        "open": await mailed(),
        "signed": signed(now),
    }
    return [(path.format(**fill), status) for several in OUTSIDE.values() for path, status in several]


def inside(draft: int = 7) -> list[tuple[str, int]]:
    """List the merchant's own addresses with what they answer."""
    return [
        (address.format(draft=draft), 404 if route == _LATE else 200)
        for route, several in PAGES.items()
        for address in several
    ]


async def everything(house: House, but: Sequence[str]) -> dict[str, list[str]]:
    """Return every row of every table but some, as it is."""
    tables = sorted(set(metadata.tables) - set(but))
    return {table: sorted(map(str, await house.rows(f"SELECT * FROM {table}"))) for table in tables}


async def come(visitor: Visitor, path: str, status: int) -> httpx.Response:
    """Open an address; one that is to show something is followed, since people who were merged have one page."""
    answer = await visitor.get(path)
    return await visitor.get(answer.headers["location"]) if status == 200 and answer.status_code == 302 else answer


async def opens(visitor: Visitor, addresses: Sequence[tuple[str, int]]) -> dict[str, httpx.Response]:
    """Open addresses, each of which answers as it should; returns the answers."""
    found, wrong = {}, []
    for path, status in addresses:
        found[path] = answer = await come(visitor, path, status)
        if answer.status_code != status:
            wrong.append(f"{path} answers {answer.status_code}, not {status}")
    assert wrong == []
    return found


async def test_opening_what_is_ones_own_changes_nothing(house: House) -> None:
    """Of every page, letter, file and link, in a shop in which all of it is there: no row of any table is another."""
    links = await make_eventful(house)
    nora, guest = await house.signed_in(NORA), house.stranger()
    others = await outside(house, guest, links)
    own = [*inside(), ("/app/install?shop=new.myshopify.com", 302), ("/", 302), ("/app/sign-in", 303)]
    before = await everything(house, list(WRITTEN_BY_LOOKING))
    answers = {**await opens(nora, own), **await opens(guest, others)}
    led = sorted({to for answer in answers.values() for to in _SIGNED.findall(answer.text)} - set(answers))
    assert {"letter", "files"} <= {to.split("/")[3] for to in led}, "letters as they looked, and files, are among them"
    await opens(nora, [(to, 200) for to in led])
    assert await everything(house, list(WRITTEN_BY_LOOKING)) == before


ODD = (
    "𝕲𝖎𝖔𝖛𝖆𝖓𝖓𝖆 👩‍👩‍👧‍👦🏳️‍🌈 مرحبا بالعالم \u202eevil\u202c <b>&amp;\"'</b> {{ 7*7 }} %s {0} \\ "
    + "Donaudampfschifffahrts" * 20
)
WRITTEN = json.dumps(ODD)[1:-1]  # within JSON
SHORT = json.dumps("".join(letter for letter in ODD if letter.isprintable())[:70])[1:-1]  # where no more can be typed
AMOUNTS = ("sales SET facts = replace(facts, '{0}', '{1}'), currency = '{1}'", "redemptions SET currency = '{1}'",
           "merchants SET currency = '{1}'")  # fmt: skip
# What Nora's shop becomes, one after the other: ?1 is ODD as it is, ?2 and ?3 as it stands in JSON.
SHOPS: Mapping[str, Sequence[str]] = {
    "names nobody expects": (
        "customers SET first_name = ?1, last_name = ?1",
        "sales SET name = ?1, facts = replace(facts, 'High Mountain Oolong', ?2)",
        "reviews SET product_title = ?1, words = ?1, name = ?1",
        "redemptions SET terms = replace(replace(terms, 'A walk through the garden', ?3), 'Come by.', ?2)",
        "imports SET file = ?1",
        "import_lines SET email = ?1",
        "program_versions SET document = replace(document, '5 off', ?3)",
        "program_drafts SET fields = replace(fields, '\"5\"', '\"' || ?2 || '\"')",
        "stripe_accounts SET name = ?1, reason = ?1",
        "messages SET reason = ?1",
        "events SET reason = ?1, topic = ?1",
        "journal SET did = ?1, who = ?1, about = ?1",
        "looks SET what = ?1, who = ?1",
        "merchants SET name = ?1",
    ),
    "money without cents": [one.format("EUR", "JPY") for one in AMOUNTS],
    "money with three digits": [one.format("JPY", "KWD") for one in AMOUNTS],
    "money nobody knows": [one.format("KWD", "XQZ") for one in AMOUNTS],
    "a place far away": ("merchants SET timezone = 'Pacific/Chatham', country = 'NZ', language = 'xx-Nope'",),
    "no Stripe": ("connections SET closed_at = 1 WHERE platform = 'stripe' AND", "stripe_accounts SET closed_at = 1"),
    "no Shopify": ("connections SET closed_at = 1",),
    "nobody reachable": (
        "customers SET first_name = NULL, last_name = NULL, email = NULL, locale = NULL, country = NULL",
        "merchants SET email = NULL, country = NULL",
        "sales SET email = NULL, name = NULL",
    ),
}
READERS = ("en", "ar", "ja", "de-CH", "xx, *;q=0.1", "\u202e")
# What answers otherwise from then on, by how its address begins.
OTHERWISE: Mapping[str, Mapping[str, int]] = {
    "names nobody expects": {"/app/programme/review/": 303},  # what was typed there cannot be: back to the form
    "no Stripe": {"/app/connections/stripe/11/": 404},
    "no Shopify": {"/proxy": 404, "/c/account/redeem?reward=five": 404},  # whose codes it would be
}


async def becomes(house: House, changes: Sequence[str]) -> None:
    """Change Nora's shop behind the program's back."""
    for change in changes:
        sql = f"UPDATE {change} {'' if change.endswith('AND') else 'WHERE '}"
        sql += "id = 1" if change.startswith("merchants") else "merchant_id = 1"
        for mark, words in (("?1", ODD), ("?2", WRITTEN), ("?3", SHORT)):
            sql = sql.replace(mark, "'" + words.replace("'", "''") + "'")
        await house.does(sql)


async def test_every_page_stands_whatever_is_in_the_shop(house: House) -> None:
    """Names of any script and length, money of any kind, no platform, nobody to write to, whoever reads it."""
    links = await make_eventful(house)
    otherwise: dict[str, int] = {}
    for number, (shop, changes) in enumerate(SHOPS.items()):
        await becomes(house, changes)
        house.clock.instant += 2 * HOUR  # nobody is mailed more than a few links an hour
        otherwise |= OTHERWISE.get(shop, {})
        nora = await house.signed_in(NORA, **{"Accept-Language": READERS[number % len(READERS)].encode()})
        guest = house.stranger(**{"Accept-Language": READERS[-1 - number % len(READERS)].encode()})
        others = await outside(house, guest, links)
        wrong = []
        for visitor, addresses in ((nora, inside()), (guest, others)):
            for path, usual in addresses:
                status = next((got for begins, got in otherwise.items() if path.startswith(begins)), usual)
                answer = await come(visitor, path, status)
                # A signature that is none is refused before anything is looked up.
                if answer.status_code not in ({status, usual} if usual == 400 else {status}):
                    wrong.append(f"{path} answers {answer.status_code}, not {status}")
        assert wrong == [], shop
