"""The page of one reward: typed, put beside what else is typed and not saved, and reviewed with it."""

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.merchants.door import Visit
from handlers.merchants.frame import moved, render, show
from handlers.merchants.offers import CODES, INCREMENTAL, OF_MONEY, Reward
from handlers.merchants.typed import (
    Wrong,
    named_id,
    plain_number,
    read_collections,
    read_count,
    read_decimal,
    read_products,
    read_words,
    sentence,
)
from handlers.merchants.wording import KINDS_OF_REWARDS, reward_means, reward_words
from handlers.points.forecast import would_earn
from handlers.points.rules import MICRO
from handlers.programme import store
from handlers.programme.rules import CATALOGUE, EMPTY
from handlers.programme.views import Desk, Wish, look, reader_of, wished

TEMPLATES = Path(__file__).parent / "templates"
HERE = "/app/programme"


async def kinds_page(request: Request, visit: Visit) -> Response:
    """Show the kinds of rewards there are, and what each needs."""
    context: Context = request.app.state.context
    desk = await context.database.read(lambda: look(visit, None))
    scopes = await context.database.read(lambda: store.scopes(visit.merchant_id))
    kinds = [(kind, words, lacking(kind, desk.shop.platforms, scopes)) for kind, words, _ in KINDS_OF_REWARDS]
    return show(visit, "reward_kinds.html", TEMPLATES, kinds=kinds, explained=EXPLAINED)


async def reward_page(request: Request, visit: Visit) -> Response:
    """Show one reward as it is, or a new one of a kind."""
    context: Context = request.app.state.context
    desk, wish = await _at_hand(context, visit)
    one = request.path_params["reward"]
    there = wish.program.rewards.catalogue.get(one)
    kind = request.query_params.get("kind", "")
    if there is None and (one != "new" or kind not in EXPLAINED):
        raise HTTPException(404)
    fields = reward_fields(there) if there is not None else {**TOGETHER, "enabled": "on", **USUAL[kind], "kind": kind}
    return _form(visit, desk, wish, context.clock.now(), one, fields, {})


async def reward_part(request: Request, visit: Visit) -> Response:
    """Answer with the preview alone, of what is typed so far; nothing is kept."""
    context: Context = request.app.state.context
    form, desk, wish, there, kind = await _reward_form(request, visit)
    reward, _ = reward_typed(kind, form, there)
    return render(
        "reward_preview.html", TEMPLATES, visit=visit, **_preview(visit, desk, wish, reward, context.clock.now())
    )


async def reward_posted(request: Request, visit: Visit) -> Response:
    """Take a reward that was typed, or take one out: nothing changes before that is reviewed and saved."""
    context: Context = request.app.state.context
    one = request.path_params["reward"]
    form, desk, wish, there, kind = await _reward_form(request, visit)
    text = ""
    if form.get("do") != "remove":
        reward, errors = reward_typed(kind, form, there)
        scopes = await context.database.read(lambda: store.scopes(visit.merchant_id))
        if reward is not None and reward.enabled and (reason := lacking(kind, desk.shop.platforms, scopes)):
            reward, errors = None, {"enabled": f"{reason} Until then it cannot be offered."}
        if reward is None:
            return _form(visit, desk, wish, context.clock.now(), one, {**form, "kind": kind}, errors, 422)
        if form.get("do") == "preview":
            return _form(visit, desk, wish, context.clock.now(), one, {**form, "kind": kind}, {})
        text = reward.model_dump_json()
        if one == "new":
            taken = {*wish.program.rewards.catalogue, *desk.current.program.rewards.catalogue, "new"}
            one = named_id(reward.name, taken)
    unsaved = desk.unsaved
    fields = {**(unsaved.fields if unsaved is not None else {}), f"{CATALOGUE}.{one}": text}
    base = unsaved.base if unsaved is not None else desk.current.number
    now = context.clock.now()
    if wished(desk, fields, base).program == desk.current.program:
        return moved(request, visit, HERE, "There is nothing to save: everything is as it was.")
    number = await context.database.run(lambda: store.keep_draft(visit.merchant_id, base, fields, visit.who, now))
    return moved(request, visit, f"{HERE}/review/{number}")


async def _reward_form(request: Request, visit: Visit) -> tuple[Mapping[str, str], Desk, Wish, Reward | None, str]:
    """Read a reward's form: what was typed, the programme, its wish, the reward as it is, and its kind; or 404."""
    form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    desk, wish = await _at_hand(request.app.state.context, visit)
    one = request.path_params["reward"]
    there = wish.program.rewards.catalogue.get(one)
    kind = there.kind if there is not None else form.get("kind", "")
    if (there is None and one != "new") or kind not in EXPLAINED:
        raise HTTPException(404)
    return form, desk, wish, there, kind


async def _at_hand(context: Context, visit: Visit) -> tuple[Desk, Wish]:
    """Read the programme with what this person has typed and not saved over it."""
    desk = await context.database.read(lambda: look(visit, None))
    if desk.unsaved is None:
        return desk, wished(desk, {}, desk.current.number)
    return desk, wished(desk, desk.unsaved.fields, desk.unsaved.base)


def _preview(visit: Visit, desk: Desk, wish: Wish, reward: Reward | None, now: int) -> dict[str, Any]:
    """Say in words what a reward is and means; nothing of one that cannot be read yet."""
    if reward is None:
        return {"said": "", "means": [], "worth": ""}
    reader = reader_of(visit, desk)
    earned = [would_earn(desk.shop, wish.program, sale, now) for sale in desk.sales]
    points = [one.micropoints for one in earned if one is not None and one.micropoints]
    usual = Decimal(sum(points)) / len(points) / MICRO if points else Decimal(0)
    return {
        "said": reward_words(reward, reader),
        "means": reward_means(reward, wish.program, usual, reader),
        "worth": plain_number(reward.value) if reward.value else "",
        "points": reward.points,
    }


def _form(
    visit: Visit,
    desk: Desk,
    wish: Wish,
    now: int,
    one: str,
    fields: Mapping[str, str],
    errors: Mapping[str, str],
    status: int = 200,
) -> Response:
    kind = fields["kind"]
    reward, _ = reward_typed(kind, fields, wish.program.rewards.catalogue.get(one))
    return show(
        visit,
        "reward.html",
        TEMPLATES,
        status,
        one=one,
        kind=kind,
        kind_words={name: said for name, said, _ in KINDS_OF_REWARDS}[kind],
        explained=EXPLAINED[kind],
        fields=fields,
        errors=errors,
        has_value=kind in OF_MONEY or kind == "promotion_code",
        has_percent=kind in ("percentage_off", "promotion_code"),
        is_code=kind in CODES,
        at_shopify=PLATFORMS[kind] == "shopify",
        tiers=desk.current.program.tiers.ladder,
        may_be_incremental=kind in INCREMENTAL,
        titles=desk.titles,
        currency=visit.currency,
        **_preview(visit, desk, wish, reward, now),
    )


PLATFORMS = {kind: platform for kind, _, platform in KINDS_OF_REWARDS}
# What the shop must have allowed, where a kind needs more than every shop allows at once.
SCOPES = {
    "store_credit": ("read_store_credit_accounts", "write_store_credit_account_transactions"),
    "gift_card": ("write_gift_cards",),
}
EXPLAINED: Mapping[str, str] = {
    "amount_off": "A code that takes an amount of money off an order, once.",
    "percentage_off": "A code that takes a share off an order, once.",
    "free_shipping": "A code that pays for shipping, once.",
    "free_product": "A code that takes the price of one piece off a product, once.",
    "store_credit": "Money on the customer's account at your shop, which they spend like cash, also bit by bit. It"
    " needs Shopify's customer accounts with store credit; who has no account with you gets their points back.",
    "gift_card": "A gift card of your shop, under a code of its own, spent like cash, also bit by bit. Whoever knows"
    " the code can spend it. Once something was spent, it cannot be taken back. Your reports show it as issued.",
    "promotion_code": "A code at Stripe that takes an amount or a share off, once: in Stripe's checkout and payment"
    " links, where you allow promotion codes there, and on invoices.",
    "balance_credit": "Money that Stripe takes off the customer's next invoices by itself. For customers with"
    " subscriptions or invoices; who has no record at Stripe gets their points back.",
    "by_hand": "Anything else: a service, a visit, early access. Customers read how to get it, and you note when it was"
    " handed over.",
}
TOGETHER = {"with_product_discounts": "on", "with_shipping_discounts": "on"}  # what a new code may be combined with
USUAL: Mapping[str, dict[str, str]] = {
    "amount_off": {"name": "5 off", "points": "500", "value": "5", "min_order": "10", "valid_days": "90"},
    "percentage_off": {"name": "10 % off", "points": "800", "percent": "10", "valid_days": "90"},
    "free_shipping": {"name": "Free shipping", "points": "400", "valid_days": "90"},
    "free_product": {"points": "1000", "valid_days": "90"},
    "store_credit": {"name": "5 store credit", "points": "500", "value": "5", "valid_days": "0"},
    "gift_card": {"name": "Gift card of 10", "points": "1000", "value": "10", "valid_days": "0"},
    "promotion_code": {"name": "5 off", "points": "500", "value": "5", "valid_days": "90"},
    "balance_credit": {"name": "5 off your next invoice", "points": "500", "value": "5", "valid_days": "0"},
    "by_hand": {"points": "1000", "valid_days": "90"},
}


def lacking(kind: str, platforms: Collection[str], scopes: Collection[str] | None) -> str:
    """Say what a shop lacks for a kind of reward; nothing where it can be offered.

    `scopes` are what Shopify lets us do, None where that is not known.
    """
    platform = PLATFORMS[kind]
    if platform and platform not in platforms:
        return f"This needs {platform.title()}, which is not connected."
    # Whoever may write may read.
    missing = [
        scope
        for scope in SCOPES.get(kind, ())
        if scopes is not None and scope not in scopes and scope.replace("read_", "write_", 1) not in scopes
    ]
    if missing:
        return f"This needs a permission that Shopify has not given us ({', '.join(missing)}): allow it first."
    return ""


# --- What is typed ------------------------------------------------------------------------------

_REWARD_SWITCHES = (
    "enabled",
    "incremental",
    "with_order_discounts",
    "with_product_discounts",
    "with_shipping_discounts",
)
_REWARD_NUMBERS = ("value", "percent", "min_order")
_REWARD_COUNTS = ("points", "valid_days", "stock", "per_customer", "most_steps")
_NOT_SHOWN = ("timezone",)
_READERS: Mapping[str, Callable[[str], list[str]]] = {
    "products": read_products,
    "collections": read_collections,
    "tiers": lambda text: list(read_words(re.split(r"[,\n]", text))),
}
_REWARD_TEXTS = ("name", "starts", "ends", "instructions")
# Where a refusal of the whole reward belongs, by a word in it.
_REWARD_PLACES = (
    ("share a discount", "shared"),
    ("percentage", "percent"),
    ("value", "value"),
    ("product", "products"),
    ("how the customer", "instructions"),
    ("multiple", "incremental"),
    ("ends after", "ends"),
)


def reward_typed(
    kind: str, fields: Mapping[str, str], kept: Reward | None = None
) -> tuple[Reward | None, dict[str, str]]:
    """Read one reward's own page; returns the reward, or what to do about each field.

    What the page does not show stays as it was `kept`.
    """
    read: dict[str, Any] = {"kind": kind, "shared": fields.get("shared") == "on"}
    if kept is not None:
        read |= {name: value for name, value in kept.model_dump(mode="json").items() if name in _NOT_SHOWN}
    read |= {name: fields.get(name) == "on" for name in _REWARD_SWITCHES}
    errors: dict[str, str] = {}
    for name in (*_REWARD_NUMBERS, *_REWARD_COUNTS, *_REWARD_TEXTS, *_READERS):
        text = fields.get(name, "").strip()
        if not text:
            continue
        try:
            if name in _REWARD_NUMBERS:
                read[name] = str(read_decimal(text))
            elif name in _REWARD_COUNTS:
                read[name] = read_count(text)
            else:
                read[name] = _READERS[name](text) if name in _READERS else text
        except Wrong as wrong:
            errors[name] = str(wrong)
    if read.get("products") and read.get("collections"):
        errors["collections"] = "Choose either products or collections."
    try:
        reward = Reward.model_validate(read)
        return (None, errors) if errors else (reward, {})
    except ValidationError as failure:
        for error in failure.errors(include_url=False):
            words = str(error["msg"])
            place = str(error["loc"][0]) if error["loc"] else next((f for w, f in _REWARD_PLACES if w in words), "name")
            missing = error["type"] in EMPTY
            errors.setdefault(place, "Write something here." if missing else sentence(error))
        return None, errors


def reward_fields(reward: Reward) -> dict[str, str]:
    """Return a reward as the fields of its page: what `reward_typed` reads back as the same."""
    fields = {"kind": reward.kind, "shared": "on" if reward.shared else ""}
    fields |= {name: "on" if getattr(reward, name) else "" for name in _REWARD_SWITCHES}
    fields |= {name: plain_number(value) for name in _REWARD_NUMBERS if (value := getattr(reward, name))}
    fields |= {name: str(value) for name in _REWARD_COUNTS if (value := getattr(reward, name)) is not None}
    fields |= {name: getattr(reward, name) or "" for name in _REWARD_TEXTS}
    fields |= {name: "\n".join(getattr(reward, name)) for name in ("products", "collections")}
    return fields | {"tiers": ", ".join(reward.tiers)}
