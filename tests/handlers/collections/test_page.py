"""The programme page: collections are typed like products, and the page says what is known of them."""

from typing import Any

import pytest

from config.schedule import JOBS, TICKS
from handlers.collections import store
from handlers.collections.rules import Read, Unread
from handlers.merchants.collections import LOOK
from tests.handlers.programme.test_pages import PAGE, form, reviewed, sells, versions
from tests.visits import NORA, House

PLACE = "earning.campaigns.+"
TYPED = {
    f"{PLACE}.name": "Winter",
    f"{PLACE}.starts": "2026-11-27",
    f"{PLACE}.ends": "2026-11-30",
    f"{PLACE}.multiplier": "2",
    f"{PLACE}.collections": "https://admin.shopify.com/store/nora/collections/77?view=1\n#78",
}


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops on each engine."""
    return await House(database).open()


async def told(house: House, collection: str, found: Read | Unread) -> None:
    """Nora's shop has been asked what is in a collection."""
    run, now = house.database.run, house.clock.now()
    assert await run(lambda: store.claim(NORA, collection, "x", now + 1, now + 2))
    assert await run(lambda: store.keep(NORA, collection, "x", found, now + 1))


async def test_collections_are_typed_previewed_saved_and_what_is_in_them_is_said(house: House) -> None:
    """Before it is saved nothing is known; then one is read and the other is not there."""
    nora = await house.signed_in(NORA)
    await sells(house, 1042)
    path, page = await reviewed(nora, form() | TYPED)
    assert "2 times the points for collection 77, collection 78" in page.text
    assert "Collection 77: what is in it is read from your shop once this is saved" in page.text
    assert "During “Winter”, an order like #1042 would earn <strong>87 points</strong>" in page.text
    await nora.post(path, {})
    assert (await versions(house))[-1][1].earning.campaigns["winter"].collections == ("77", "78")
    assert "is being read from your shop" in (await nora.get(PAGE)).text
    await told(house, "77", Read("Teas <b>", frozenset({"8123"})))
    await told(house, "78", Unread("gone"))
    page = await nora.get(PAGE)
    assert "“Teas &lt;b&gt;”: 1 product." in page.text and "Your shop has no collection 78" in page.text
    assert "During “Winter”, an order like #1042 would earn <strong>174 points</strong>" in page.text
    assert "\n77\n78</textarea>" in page.text
    program = (await versions(house))[-1][1]
    _, page = await reviewed(nora, form(program) | {"base": "2", "earning.campaigns.winter.multiplier": "3"})
    assert "3 times the points for the collection “Teas &lt;b&gt;”, collection 78" in page.text


async def test_what_is_typed_wrong_is_told_beside_the_field(house: House) -> None:
    """A handle is no number; ten are the most."""
    nora = await house.signed_in(NORA)
    for typed, said in (("winter-teas", "has no collection number"), ("\n".join(map(str, range(11))), "10 at most")):
        page = await nora.post(PAGE, form() | TYPED | {f"{PLACE}.collections": typed})
        assert page.status_code == 422 and said in page.text
        assert f'id="f-{PLACE}.collections-error"' in page.text


async def test_documents_name_collections_only_where_there_are_any(house: House) -> None:
    """The release before reads what this one writes, as long as nobody uses what it does not know."""
    nora = await house.signed_in(NORA)
    path, _ = await reviewed(nora, form() | TYPED | {f"{PLACE}.collections": ""})
    await nora.post(path, {})
    rows = await house.rows("SELECT document FROM program_versions WHERE merchant_id = ?1 AND version = 2", NORA)
    assert '"winter"' in rows[0][0] and "collections" not in rows[0][0].partition('"rewards"')[0]
    assert await house.rows("SELECT collection FROM collections WHERE merchant_id = ?1", NORA) == []


def test_the_job_a_page_asks_for_is_the_one_the_clock_has() -> None:
    """A name that nobody answers to would leave everything to the clock."""
    assert LOOK in {job.name for job in JOBS} and LOOK in {tick.job for tick in TICKS}
