"""The page of rewards taken: found by code, handed over, taken back, and journaled."""

from typing import Any

import pytest

from handlers.rewards import desk
from tests.visits import NORA, House, Visitor

WALK = '{"name": "A walk", "kind": "by_hand", "points": 5, "instructions": "Come by."}'


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, where Elsa has taken two walks."""
    house = await House(database).open()
    for number, code in ((1, "WALKONE"), (2, "WALKTWO")):
        await house.does(
            "INSERT INTO redemptions (merchant_id, number, key, customer, reward, version, kind, terms, points,"
            " value_minor, currency, state, asked_at, code, spent)"
            " VALUES (?1, ?2, ?3, 1, 'walk', 1, 'by_hand', ?4, 5, 0, 'EUR', 'issued', 0, ?3, 5000000)",
            NORA, number, code, WALK,
        )  # fmt: skip
    return house


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


async def states(house: House) -> list[str]:
    """What became of the walks."""
    return [row[0] for row in await house.rows("SELECT state FROM redemptions WHERE merchant_id = ?1 ORDER BY 1", NORA)]


async def test_a_code_at_the_counter_finds_its_reward(nora: Visitor) -> None:
    """Whatever its case; an unknown one is said to be so."""
    everything = (await nora.get("/app/rewards")).text
    assert "WALKONE" in everything and "WALKTWO" in everything
    found = (await nora.get("/app/rewards?q=walkone")).text
    assert "WALKONE" in found and "WALKTWO" not in found
    assert "Nothing found" in (await nora.get("/app/rewards?q=%C2%B2")).text
    assert (await nora.get("/app/rewards/%C2%B2")).status_code == 404


async def test_rewards_are_found_by_whoever_has_them(house: House, nora: Visitor) -> None:
    """By address, whatever its case, or by number; a stranger's address finds nothing."""
    await house.does("INSERT INTO customers (merchant_id, number, created_at) VALUES (?1, 1, 0)", NORA)
    await house.does(
        "INSERT INTO customer_identities (merchant_id, kind, value, customer) VALUES (?1, 'email', 'e@x.example', 1)",
        NORA,
    )
    for sought in ("E%40x.example", "1", "%231"):
        found = (await nora.get(f"/app/rewards?q={sought}")).text
        assert "WALKONE" in found and "WALKTWO" in found and ">Customer 1</a>" in found
    await house.does("UPDATE customers SET first_name = 'Elsa', last_name = 'Berg' WHERE merchant_id = ?1", NORA)
    assert ">Elsa Berg</a>" in (await nora.get("/app/rewards")).text
    for sought in ("f%40x.example", "2", "x%40"):
        assert "Nothing found" in (await nora.get(f"/app/rewards?q={sought}")).text


async def test_rewards_are_listed_by_what_became_of_them(
    house: House, nora: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, beside what is sought; a state there is none of is said to be empty."""
    await house.does("UPDATE redemptions SET state = 'asked' WHERE number = 2")
    waiting = (await nora.get("/app/rewards?state=open")).text
    assert "WALKTWO" in waiting and "WALKONE" not in waiting
    assert "WALKTWO" not in (await nora.get("/app/rewards?state=issued&q=walktwo")).text
    assert "No reward is in this state now." in (await nora.get("/app/rewards?state=refused")).text
    await house.does("UPDATE redemptions SET state = 'returning' WHERE number = 1")
    monkeypatch.setattr(desk, "PAGE", 1)
    first = (await nora.get("/app/rewards?state=open")).text
    assert "WALKTWO" in first and "WALKONE" not in first
    assert "/app/rewards?state=open&amp;before=2" in first
    assert "WALKONE" in (await nora.get("/app/rewards?state=open&before=2")).text


async def test_what_was_handed_over_is_used_and_journaled(house: House, nora: Visitor) -> None:
    """Once: at the second till it is said that it was handed over before, and nothing is journaled."""
    for words in ("Noted", "Nothing was done: this reward is used already."):
        answer = await nora.post("/app/rewards/1", {"do": "handed-over"})
        assert words in (await nora.get(answer.headers["location"])).text
    assert await states(house) == ["issued", "used"]
    rows = await house.rows(
        "SELECT count(*) FROM journal WHERE merchant_id = ?1 AND did = 'handed a reward over'", NORA
    )
    assert rows[0][0] == 1


async def test_looks_at_rewards_are_noted(house: House, nora: Visitor) -> None:
    """Codes are worth money, and who has one is somebody's own affair."""
    for path in ("/app/rewards", "/app/rewards", "/app/rewards/1"):
        await nora.get(path)
    rows = await house.rows("SELECT what, customer FROM looks WHERE merchant_id = ?1 ORDER BY customer", NORA)
    assert sorted(map(str, rows)) == ["('rewards and codes', 1)", "('rewards and codes', None)"]


async def test_a_reward_is_taken_back_by_the_merchant(house: House, nora: Visitor) -> None:
    """Its points come back once its platform, if there is one, has switched it off."""
    assert "Take this reward back" in (await nora.get("/app/rewards/2/take-back")).text
    await nora.post("/app/rewards/2", {"do": "take-back"})
    assert await states(house) == ["issued", "returning"]


CARD = '{"name": "A card", "kind": "gift_card", "value": "5", "points": 100}'


@pytest.mark.parametrize(
    ("state", "used", "restored", "words"),
    [
        ("issued", 1_80, 0, "€3.20 of €5.00 left"),
        ("used", 1_80, 64_000_000, "€1.80 of €5.00 used, the rest taken back"),
        ("expired", 1_80, 0, "€1.80 of €5.00 used"),
        ("issued", 0, 0, ""),
    ],
)
async def test_money_that_was_used_in_part_says_how_much(
    house: House, nora: Visitor, state: str, used: int, restored: int, words: str
) -> None:
    """Where its code is sought, on its own page, and before what is left is taken back."""
    await house.does(
        "INSERT INTO redemptions (merchant_id, number, key, customer, reward, version, kind, terms, points,"
        " value_minor, currency, state, asked_at, code, spent, used_minor, restored)"
        " VALUES (?1, 9, 'card', 1, 'card', 1, 'gift_card', ?2, 100, 500, 'EUR', ?3, 0, 'CARDONE', 0, ?4, ?5)",
        NORA, CARD, state, used, restored,
    )  # fmt: skip
    for path in ("/app/rewards?q=cardone", "/app/rewards/9"):
        page = " ".join((await nora.get(path)).text.split())
        assert words in page
        assert words or " of €5.00" not in page
    asked = (await nora.get("/app/rewards/9/take-back")).text
    assert ("as far as we know" in asked) == bool(used)


async def test_nothing_is_done_that_nobody_chose(house: House, nora: Visitor) -> None:
    """A form without a choice, or a reward that is used already."""
    await nora.post("/app/rewards/1", {})
    await nora.post("/app/rewards/1", {"do": "handed-over"})
    await nora.post("/app/rewards/1", {"do": "take-back"})
    assert await states(house) == ["issued", "used"]


TENTH = '{"name": "A tenth off", "kind": "percentage_off", "percent": "10", "points": 5, "shared": true}'
DISCOUNT = "gid://shopify/DiscountCodeNode/7"


async def is_switched_off(house: House, codes: int) -> None:
    """Nora has switched a discount off in Shopify of which customers have codes."""
    await house.does(
        "INSERT INTO discounts_off (merchant_id, platform_id, reward, terms, since_at) VALUES (?1, ?2, 'tenth', ?3, 0)",
        NORA, DISCOUNT, TENTH,
    )  # fmt: skip
    for number in range(10, 10 + codes):
        await house.does(
            "INSERT INTO redemptions (merchant_id, number, key, customer, reward, version, kind, terms, points,"
            " value_minor, currency, state, asked_at, code, spent, platform_id)"
            " VALUES (?1, ?2, ?3, 1, 'tenth', 1, 'percentage_off', ?4, 5, 0, 'EUR', 'issued', 0, ?3, 5000000, ?5)",
            NORA, number, f"TENTH{number}", TENTH, DISCOUNT,
        )  # fmt: skip


async def test_what_is_switched_off_in_shopify_is_said_with_what_to_do(house: House, nora: Visitor) -> None:
    """With how many codes it is about, and where it is switched on again; not while one looks for something."""
    assert "switched off" not in (await nora.get("/app/rewards")).text
    await is_switched_off(house, 2)
    page = (await nora.get("/app/rewards")).text
    assert "“A tenth off” is switched off in Shopify" in page
    assert "2 codes that customers have do not work" in " ".join(page.split())
    assert "Look again" in page and "/app/rewards/switched-off/7" in page
    assert "is switched off" not in (await nora.get("/app/rewards?q=walkone")).text


async def test_the_points_of_codes_that_are_off_are_given_back_once_that_is_confirmed(
    house: House, nora: Visitor
) -> None:
    """What was asked for is journaled with who did it; the walks stay as they are."""
    await is_switched_off(house, 2)
    confirm = (await nora.get("/app/rewards/switched-off/7")).text
    assert "2 unused codes" in confirm
    answer = await nora.post("/app/rewards/switched-off/7")
    assert answer.status_code == 303
    assert await states(house) == ["issued", "issued", "returning", "returning"]
    rows = await house.rows("SELECT did, detail FROM journal WHERE did LIKE 'gave back%'")
    assert [(row[0], '"rewards": 2' in row[1] or '"rewards":2' in row[1]) for row in rows] == [
        ("gave back what was switched off", True)
    ]
    assert (await nora.get("/app/rewards/switched-off/8")).status_code == 404


async def test_looking_again_says_where_the_shop_cannot_be_asked(house: House, nora: Visitor) -> None:
    """Nora's shop is not connected here: what was switched off stays so."""
    await is_switched_off(house, 1)
    answer = await nora.post("/app/rewards/look")
    page = (await nora.get(answer.headers["location"])).text
    assert "Shopify could not be asked" in page
    assert "is switched off in Shopify" in page
