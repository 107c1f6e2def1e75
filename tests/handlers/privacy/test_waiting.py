"""What is to be handed over is handed over before anybody is forgotten, for as long as the law leaves time for both."""

import io
import json
import zipfile
from typing import Any

import pytest

from handlers.privacy import jobs, store
from handlers.privacy.rules import DATA, LOOK_AGAIN, REDACT, SHOP, WAIT_FOR_FILES, WITHIN
from handlers.watch.store import take_readings
from integration.clock import DAY
from integration.errors import Unavailable
from tests.visits import MONDAY_NOON, NORA, SHOPS, House

ELSA = [("shopify", "501"), ("email", "elsa@home.example")]
OSKAR = [("shopify", "502"), ("email", "oskar@home.example")]


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, with Elsa and Oskar."""
    house = await House(database).open()
    for number, (_, shopify_id), (_, email) in ((1, *ELSA), (2, *OSKAR)):
        await house.does(
            "INSERT INTO customers (merchant_id, number, shopify_id, email, created_at) VALUES (1, ?1, ?2, ?3, 5)",
            number, shopify_id, email,
        )  # fmt: skip
        for kind, value in (("shopify", shopify_id), ("email", email)):
            await house.does("INSERT INTO customer_identities VALUES (1, ?1, ?2, ?3)", kind, value, number)
    return house


async def asks(house: House, *wishes: tuple[str, list[tuple[str, str]]]) -> None:
    """Shopify asks for all of it within the same minute."""

    def ask() -> Any:
        for kind, names in wishes:
            yield from store.open_request(NORA, kind, "shopify", names, house.clock.now())

    await house.database.run(ask)


async def stand(house: House) -> dict[int, store.Request]:
    """The requests as they are once a run is over, by number."""
    await jobs.carry_out(house.context)
    found = await house.database.read(lambda: store.requests(NORA, only_open=False))
    return {one.id: one for one in found}


async def fetched(house: House, request: int) -> dict[str, Any]:
    """What the file of a request holds, once the merchant has downloaded it."""
    file = await house.database.run(lambda: store.fetch(NORA, request, house.clock.now()))
    assert file is not None
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        told: dict[str, Any] = json.loads(archive.read("data.json"))
    return told


async def known(house: House) -> list[str]:
    return [row[0] for row in await house.rows("SELECT email FROM customers WHERE email IS NOT NULL ORDER BY number")]


@pytest.mark.parametrize("first", [DATA, REDACT])
async def test_a_file_is_made_and_fetched_before_its_person_is_forgotten(house: House, first: str) -> None:
    """Whichever was asked first; who has nothing to be handed over is forgotten at once."""
    second = REDACT if first == DATA else DATA
    await asks(house, (first, ELSA), (second, ELSA), (REDACT, OSKAR))
    stands = await stand(house)
    asked, forgetting = (1, 2) if first == DATA else (2, 1)
    assert (stands[asked].stage, stands[forgetting].stage, stands[3].stage) == ("done", "find", "done")
    assert f"data request {asked} has been downloaded" in (stands[forgetting].reason or "")
    assert stands[forgetting].numbers == (1,)  # so that Elsa's page says what it waits for
    assert await known(house) == ["elsa@home.example"]
    assert (await fetched(house, asked))["person"][0]["email"] == "elsa@home.example"
    house.clock.offset += LOOK_AGAIN
    assert (await stand(house))[forgetting].stage == "done"
    assert await known(house) == []
    assert await house.rows("SELECT request FROM privacy_files") == []


async def test_a_file_nobody_downloads_does_not_hold_the_law_up(house: House) -> None:
    """After two weeks the person goes, and the file with them; its receipt says so."""
    await asks(house, (DATA, ELSA), (REDACT, ELSA))
    await stand(house)
    house.clock.offset += WAIT_FOR_FILES - 1
    assert (await stand(house))[2].stage == "find"
    # Nobody is alarmed about what waits on purpose, and everybody once it does not.
    for later, due in ((0, None), (1, MONDAY_NOON + WITHIN)):
        at = house.clock.now() + later
        seen = await house.database.read(lambda at=at: take_readings(at))  # type: ignore[misc]
        assert (seen.privacy, seen.privacy_due_at) == ({REDACT: 1}, due)
    house.clock.offset += 1
    stands = await stand(house)
    assert (stands[2].stage, stands[1].reason) == ("done", "the file went, unread, when the person was forgotten")
    assert stands[2].done_at is not None and stands[2].done_at < stands[2].due_at
    assert await known(house) == ["oskar@home.example"]


async def test_a_file_that_cannot_be_made_is_not_called_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for as long; then it is void, with the reason."""

    def broken(*_: Any) -> Any:
        raise Unavailable("the disk is full")

    await asks(house, (DATA, ELSA), (REDACT, ELSA))
    monkeypatch.setattr(jobs, "bundle", broken)
    stands = await stand(house)
    assert (stands[1].reason, stands[2].stage) == ("the disk is full", "find")
    house.clock.offset += WAIT_FOR_FILES
    stands = await stand(house)
    assert (stands[1].stage, stands[2].stage) == ("void", "done")
    assert stands[1].reason == "request 2, to forget, could not wait for it any longer"


async def test_a_request_nobody_was_found_for_yet_is_waited_for_by_its_names(house: House) -> None:
    """It failed before it came to a number; the other is of the same address, in other letters."""
    await asks(house, (DATA, [("email", "Elsa@Home.example")]), (REDACT, ELSA))
    await house.does("UPDATE privacy_requests SET next_at = ?1 WHERE id = 1", house.clock.now() + DAY)
    assert (await stand(house))[2].stage == "find"
    assert await known(house) == ["elsa@home.example", "oskar@home.example"]


async def test_a_shop_that_left_is_forgotten_after_its_files_were_fetched(house: House) -> None:
    """Data requests of the same minute are answered first; nobody is forgotten before, and all are after."""
    await house.does("UPDATE connections SET closed_at = 1 WHERE merchant_id = 1")
    await asks(house, (SHOP, [("shop", SHOPS[NORA])]), (DATA, ELSA))
    stands = await stand(house)
    assert (stands[1].stage, stands[2].stage) == ("find", "done")
    assert "data request 2 has been downloaded" in (stands[1].reason or "")
    assert (await fetched(house, 2))["person"][0]["email"] == "elsa@home.example"
    house.clock.offset += LOOK_AGAIN
    assert (await stand(house))[1].stage == "done"
    assert await known(house) == []


async def test_a_shop_is_forgotten_in_time_though_a_file_waits(house: House) -> None:
    """The receipt of the file says that nobody read it."""
    await house.does("UPDATE connections SET closed_at = 1 WHERE merchant_id = 1")
    await asks(house, (DATA, ELSA), (SHOP, [("shop", SHOPS[NORA])]))
    await stand(house)
    house.clock.offset += WAIT_FOR_FILES
    stands = await stand(house)
    assert (stands[2].stage, stands[1].reason) == ("done", "the file went, unread, with the whole shop")


async def test_many_that_wait_hold_nobody_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due later takes no place among those that are due."""
    monkeypatch.setattr(jobs, "MOST_REQUESTS", 1)
    await asks(house, (DATA, ELSA), (REDACT, ELSA), (REDACT, OSKAR))
    for _ in range(3):
        stands = await stand(house)
    assert [stands[number].stage for number in (1, 2, 3)] == ["done", "find", "done"]


async def test_the_forget_page_says_that_a_file_waits(house: House) -> None:
    """Before, after, and on the person's page; with the file downloaded it says nothing of it."""
    nora = await house.signed_in()
    assert "has not been downloaded yet" not in (await nora.get("/app/customers/1/forget")).text
    await asks(house, (DATA, ELSA))
    await stand(house)
    page = " ".join((await nora.get("/app/customers/1/forget")).text.split())
    assert "A file of their data has not been downloaded yet" in page and "Dec 7, 2026 at the latest" in page
    answer = await nora.post("/app/customers/1/forget", {"typed": "elsa@home.example"})
    said = (await nora.get(answer.headers["location"])).text
    assert "They are forgotten once the file of their data has been downloaded" in said
    await stand(house)
    assert "data request 1 has been downloaded" in (await nora.get("/app/customers/1")).text
    assert "data request 1 has been downloaded" in (await nora.get("/app/requests")).text
    await fetched(house, 1)
    house.clock.offset += LOOK_AGAIN
    assert (await stand(house))[2].stage == "done"
    page = (await nora.get("/app/customers/1")).text
    assert "This person was forgotten on" in page and "download it" not in page


async def test_a_file_that_was_kept_long_enough_says_that_nobody_read_it(house: House) -> None:
    """It is not offered any more."""
    nora = await house.signed_in()
    await asks(house, (DATA, ELSA))
    await stand(house)
    assert "the file is on the customer" in (await nora.get("/app/requests")).text
    house.clock.offset += WITHIN + DAY
    await jobs.prune(house.context)
    nora = await house.signed_in()
    assert "nobody downloaded the file" in (await nora.get("/app/requests")).text
    assert "download it" not in (await nora.get("/app/customers/1")).text
