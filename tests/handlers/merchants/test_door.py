"""Who gets in, how, and who does not."""

from typing import Any

import pytest

from tests.visits import NORA, House


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops on each engine."""
    return await House(database).open()


async def test_a_one_time_link_opens_the_pages(house: House) -> None:
    """Nora follows her link, presses the button, and sees her shop's name."""
    nora = await house.signed_in(NORA)
    page = await nora.get("/app")
    assert page.status_code == 200
    assert "Nora&#39;s Tea" in page.text


async def test_the_admin_opens_the_pages(house: House) -> None:
    """In Shopify's admin, a session token opens the shop's pages: in the address of a document, as a bearer after."""
    admin = house.embedded()
    assert (await admin.get("/app")).status_code == 200
    document = await house.stranger().get(f"/app?id_token={house.token()}&embedded=1")
    assert "shopify-api-key" in document.text
