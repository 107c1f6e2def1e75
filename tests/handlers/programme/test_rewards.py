"""The page of one reward: typed, put beside what else is not saved, reviewed, and in force only then."""

from typing import Any

import pytest

from handlers.merchants.offers import Reward, Rewards
from handlers.merchants.rules import Program
from handlers.programme.desk import EXPLAINED, PLATFORMS, reward_fields, reward_typed
from tests.forms import fields_of
from tests.handlers.programme.test_pages import PAGE, follows, form, proof, versions
from tests.visits import NORA, House, Visitor

FIVE = {
    "kind": "amount_off", "name": "5 off", "points": "500", "value": "5", "min_order": "10", "valid_days": "90",
    "enabled": "on", "with_product_discounts": "on", "with_shipping_discounts": "on", "shared": "", "do": "review",
}  # fmt: skip


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


async def typed(nora: Visitor, one: str = "new", **changes: str) -> str:
    """Type a reward and go to the review; returns its path."""
    answer = await nora.post(f"{PAGE}/rewards/{one}", FIVE | changes)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"].partition("?")[0])


async def test_a_reward_is_in_force_once_it_was_reviewed_and_saved(house: House, nora: Visitor) -> None:
    """What it is stands in the review in words; nothing changes before it is saved."""
    assert (await nora.get(f"{PAGE}/rewards")).status_code == 200
    assert 'value="500"' in (await nora.get(f"{PAGE}/rewards/new?kind=amount_off")).text
    path = await typed(nora)
    review = await nora.get(path)
    assert "“5 off”: Money off an order, €5.00, for 500 points, on orders from €10.00" in review.text
    assert "Rewards are switched off after saving: nobody can take one" in review.text
    assert (await versions(house))[-1][1].rewards.catalogue == {}
    await nora.post(path, {"base": "1"})
    saved = (await versions(house))[-1][1].rewards
    assert saved.catalogue["5-off"].points == 500
    assert not saved.enabled
    page = (await nora.get(PAGE)).text
    assert f'href="{PAGE}/rewards/5-off"' in page


async def test_a_change_and_a_removal_are_reviewed_like_any_other(house: House, nora: Visitor) -> None:
    """Who has taken it already keeps it: the review says so."""
    await nora.post(await typed(nora), {"base": "1"})
    path = await typed(nora, "5-off", points="600")
    review = (await nora.get(path)).text
    assert "for 500 points" in review and "for 600 points" in review
    assert "Who has taken one already keeps it" in review
    await nora.post(path, {"base": "2"})
    assert (await versions(house))[-1][1].rewards.catalogue["5-off"].points == 600
    await nora.post(await typed(nora, "5-off", do="remove"), {"base": "3"})
    assert (await versions(house))[-1][1].rewards.catalogue == {}


async def test_a_reward_joins_what_else_was_typed_and_not_saved(house: House, nora: Visitor) -> None:
    """A rate typed on the programme's page is not lost by adding a reward."""
    await nora.post(PAGE, form(earning__points_per_unit="2") | {"do": "preview"})
    path = await typed(nora)
    review = (await nora.get(path)).text
    assert "Points for each €1 spent" in review and "“5 off”" in review
    kept = await nora.get(f"{PAGE}?draft={path.rpartition('/')[2]}")
    assert "new, not saved" in kept.text
    assert 'name="rewards.catalogue.5-off"' in kept.text
    await nora.post(path, {"base": "1"})
    program = (await versions(house))[-1][1]
    assert (program.earning.points_per_unit, len(program.rewards.catalogue)) == (2, 1)


async def test_rewards_go_live_only_after_their_preview(house: House, nora: Visitor) -> None:
    """What customers will see stands on the page before it is switched on for the first time."""
    await nora.post(await typed(nora), {"base": "1"})
    program = (await versions(house))[-1][1]
    answer = await nora.post(PAGE, form(program, rewards__enabled="on") | {"base": "2", "do": "review"})
    path = answer.headers["location"].partition("?")[0]
    refused = await follows(nora, await nora.post(path, {"base": "2"}))
    assert "look at the preview first" in refused.text
    review = await nora.get(path)
    assert "can spend their points on rewards" in review.text and "What points buy" in review.text
    await nora.post(path, {"base": "2", **proof(review)})
    assert (await versions(house))[-1][1].rewards.enabled


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"points": "many"}, "points", "Write a whole number"),
        ({"points": "0"}, "points", "Write 1 or more."),
        ({"points": ""}, "points", "Write something here."),
        ({"value": ""}, "value", "needs a value"),
        ({"name": " "}, "name", "Write something here."),
        ({"starts": "2026-12-01", "ends": "2026-11-01"}, "ends", "ends after it starts"),
        ({"incremental": "on", "shared": "on"}, "shared", "share a discount"),
    ],
)
async def test_what_cannot_be_a_reward_is_said_beside_its_field(
    house: House, nora: Visitor, changes: dict[str, str], place: str, words: str
) -> None:
    """What was typed stays, and nothing is kept."""
    answer = await nora.post(f"{PAGE}/rewards/new", FIVE | changes)
    assert answer.status_code == 422
    assert f'id="f-{place}-error">' in answer.text and words in answer.text
    assert len(await versions(house)) == 1


async def test_a_page_of_no_reward_is_not_found(nora: Visitor) -> None:
    """Neither an unknown reward nor an unknown kind."""
    for path in (f"{PAGE}/rewards/none", f"{PAGE}/rewards/new", f"{PAGE}/rewards/new?kind=gold"):
        assert (await nora.get(path)).status_code == 404


def test_a_reward_is_what_its_fields_say() -> None:
    """What the page shows reads back as the same reward."""
    reward = Reward(name="Half", kind="percentage_off", points=9, percent="50", products=("1", "2"), stock=3)
    assert reward_typed("percentage_off", reward_fields(reward)) == (reward, {})


PARTS: dict[str, dict[str, Any]] = {
    "amount_off": {"value": "5", "incremental": True, "most_steps": 7, "min_order": "10", "collections": ["7", "8"]},
    "percentage_off": {"percent": "10", "products": ["1", "2"], "shared": True, "with_order_discounts": True},
    "free_shipping": {"with_shipping_discounts": False},
    "free_product": {"value": "24", "products": ["81"]},
    "store_credit": {"value": "5", "incremental": True},
    "gift_card": {"value": "10"},
    "promotion_code": {"percent": "15", "min_order": "20"},
    "balance_credit": {"value": "5"},
    "by_hand": {"instructions": "Come by."},
}
DISCOUNTS = ("with_order_discounts", "with_product_discounts", "with_shipping_discounts")
LIMITS = {
    "stock": 9,
    "per_customer": 2,
    "valid_days": 45,
    "tiers": ["Gold", "Silver"],
    "starts": "2026-11-01",
    "ends": "2026-12-24",
}


@pytest.mark.parametrize("kind", sorted(EXPLAINED))
async def test_the_form_keeps_everything_of_a_reward(house: House, nora: Visitor, kind: str) -> None:
    """Opened and saved with another price it is otherwise as it was: what a form leaves out would be lost."""
    reward = Reward.model_validate({"name": "One", "kind": kind, "points": 9, **LIMITS, **PARTS[kind]})
    program = Program(rewards=Rewards(catalogue={"one": reward}))
    await house.does("UPDATE connections SET platform = ?2 WHERE merchant_id = ?1", NORA, PLATFORMS[kind] or "shopify")
    await house.does(
        "UPDATE program_versions SET document = ?2 WHERE merchant_id = ?1", NORA, program.model_dump_json()
    )
    fields = fields_of((await nora.get(f"{PAGE}/rewards/one")).text, f"{PAGE}/rewards/one")
    answer = await nora.post(f"{PAGE}/rewards/one", fields | {"points": "12", "do": "review"})
    assert answer.status_code == 303, answer.text
    await nora.post(str(answer.headers["location"].partition("?")[0]), {"base": "1"})
    after = (await versions(house))[-1][1].rewards.catalogue["one"]
    kept = {"points": 12, "timezone": after.timezone}
    if not PARTS[kind].keys() & {"with_order_discounts", "with_shipping_discounts"}:
        kept |= {name: getattr(after, name) for name in DISCOUNTS}
    assert after == reward.model_copy(update=kept)


async def test_a_kind_the_shop_cannot_make_is_refused_with_the_reason(house: House, nora: Visitor) -> None:
    """No Stripe; a shop that has not allowed store credit: said where kinds are chosen, and where one is typed."""
    await house.does("UPDATE connections SET scopes = '[\"write_discounts\"]' WHERE merchant_id = ?1", 1)
    kinds = (await nora.get(f"{PAGE}/rewards")).text
    assert kinds.count("This needs Stripe, which is not connected.") == 2
    assert kinds.count("This needs a permission that Shopify has not given us") == 2
    assert "new?kind=store_credit" not in kinds and "new?kind=amount_off" in kinds
    for kind, words in (("balance_credit", "needs Stripe"), ("store_credit", "read_store_credit_accounts")):
        answer = await nora.post(f"{PAGE}/rewards/new", FIVE | {"kind": kind})
        assert answer.status_code == 422
        assert 'id="f-enabled-error">' in answer.text and words in answer.text
    later = await nora.post(f"{PAGE}/rewards/new", FIVE | {"kind": "store_credit", "enabled": ""})
    assert later.status_code == 303, "it may be written down for later"


async def test_both_shapes_are_explained_where_one_is_chosen(nora: Visitor) -> None:
    """A discount for each customer, or one with many codes: what it costs stands beside the choice."""
    page = (await nora.get(f"{PAGE}/rewards/new?kind=percentage_off")).text
    assert fields_of(page, f"{PAGE}/rewards/new").get("with_product_discounts") == "on"
    assert "Only that customer can use the code" in page and "they can be passed on" in page
    assert "How Shopify keeps it" not in (await nora.get(f"{PAGE}/rewards/new?kind=promotion_code")).text


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """What cannot be read hides neither what is missing nor what does not fit."""
    typed = FIVE | {"name": "", "points": "many", "value": "5x"}
    assert set(reward_typed("amount_off", typed)[1]) == {"name", "points", "value"}
    days = FIVE | {"starts": "2026-12-31", "ends": "2026-12-01", "timezone": "Europe/Paris"}
    assert "ends" in reward_typed("amount_off", days)[1]


async def test_a_reward_is_previewed_as_it_is_typed(house: House, nora: Visitor) -> None:
    """What it is in a sentence, and what it means for the shop; what cannot be read says nothing."""
    path = f"{PAGE}/rewards/new"
    with_earning = form(earning__enabled="on", earning__points_per_unit="4") | {"do": "preview"}
    await nora.post(PAGE, with_earning)
    many = FIVE | {"incremental": "on", "most_steps": "3", "min_order": "4"}
    for said in (await nora.post(f"{path}/preview", many), await nora.post(path, many | {"do": "preview"})):
        assert said.status_code == 200
        assert "“5 off”: Money off an order, €5.00, for 500 points, and any multiple, up to 3 times" in said.text
        assert "Customers have enough for it after buying for €125.00, at 4 points for each €1." in said.text
        assert "€5.00 of that goes back to them: 4 %." in said.text
        assert "€15.00 for 1,500 points, and the smallest order stays €4.00." in said.text
        assert "An order can cost nothing with it" in said.text
        assert "until they are on, nobody can take it" in said.text
        assert "/app/programme/what-if?points=500&amp;worth=5" in said.text
    unread = (await nora.post(f"{path}/preview", FIVE | {"points": "many"})).text
    assert "Once every field can be read" in unread and "What it means" not in unread
    assert (await nora.post(f"{path}/preview", {"kind": "a horse"})).status_code == 404
    assert (await versions(house))[-1][1].rewards.catalogue == {}
