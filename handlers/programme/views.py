"""What the programme's pages show: what they stand on, wishes over it, previews, pictures, differences in words."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from babel import Locale
from babel.numbers import get_decimal_symbol
from pydantic import ValidationError

from handlers.context import Context
from handlers.merchants.asking import CHANNELS, GROUPS, setting_named, setting_of
from handlers.merchants.books import shops
from handlers.merchants.collections import Seen, seen_of, stays_of
from handlers.merchants.door import Visit
from handlers.merchants.naming import named
from handlers.merchants.programs import Written, pinned, versions_before
from handlers.merchants.rules import Campaign, Program, Shop, Version
from handlers.merchants.tiering import Tier, Tiers
from handlers.merchants.typed import Wrong, plain_number, read_count, read_money
from handlers.merchants.wording import (
    Change,
    Reader,
    changes,
    collections_said,
    friends_words,
    label,
    reward_words,
    spoken,
    tier_words,
    ways_words,
)
from handlers.messages.letters import choose_words, words_file
from handlers.messages.letters import preview as sample_letter
from handlers.messages.rules import language
from handlers.points.forecast import Forecast, Reward, made_up_order, would_earn, would_earn_during
from handlers.programme import store
from handlers.programme.rules import CAMPAIGNS, CATALOGUE, LADDER, NEW, merged, shown, typed_of, understand
from handlers.programme.store import Asked, Draft
from handlers.sales.books import LoadedSale
from integration.database.steps import Steps
from integration.money import exponent

EXAMPLES = 3  # orders a preview shows
LETTERS = {"thanks": "thank_you", "reviews": "review_request", "expiry": "points_expiring"}
LETTERS |= {name: name for name in ("tier_reached", "tier_ending", "tier_lost")}
LETTERS |= {name: name for name in ("birthday_gift", "anniversary_gift", "gift")}
TOLD_OF = (LETTERS["thanks"], LETTERS["reviews"])  # messages a forecast counts
CAMPAIGNS_SHOWN = 2  # campaigns a preview shows
USUAL_REWARD = (500, 5)  # points, and major units of money, of a reward where the merchant has named none
LAST = 1 << 62  # beyond every number
_TIERS_KEPT = ("by", "over", "kept_months", "grace_days")
TAKEN_OUT = (
    "Meanwhile this one was taken out. It stands here as you typed it: save to put it back, or take it out, too."
)


class Desk(NamedTuple):
    """What the page stands on."""

    shop: Shop
    written: Written  # the version in force
    draft: Draft | None
    unsaved: Draft | None  # something this person typed before and did not save
    sales: Sequence[LoadedSale]  # of late
    collections: Mapping[str, Seen]  # that campaigns name or have named, by number

    @property
    def current(self) -> Version:
        return self.written.version

    @property
    def titles(self) -> Mapping[str, str]:
        """Titles of the products in the latest orders, by product id."""
        orders = [sale.facts.order for sale in self.sales if sale.facts.order is not None]
        return {line.product_id: line.title for order in orders for line in order.lines if line.product_id}


class Wish(NamedTuple):
    """The programme somebody wants: theirs over what is in force now."""

    program: Program
    base: Program  # over which it was typed
    errors: Mapping[str, str]
    meanwhile: Sequence[Change]  # what others changed since the page was opened
    both: Sequence[str]  # settings and campaigns that were changed here and meanwhile, too


def look(visit: Visit, draft: int | None) -> Steps[Desk]:
    """Read what the page stands on; with a draft's number that draft, with None what was left unsaved."""
    shop = (yield from shops([visit.merchant_id]))[visit.merchant_id]
    written = (yield from versions_before(visit.merchant_id, LAST, 1))[0]
    found = None if draft is None else (yield from store.read_draft(visit.merchant_id, draft))
    unsaved = None if draft is not None else (yield from store.last_draft(visit.merchant_id, visit.who))
    sales = yield from store.latest_sales(visit.merchant_id)
    desk = Desk(shop, written, found, unsaved, sales, (yield from seen_of(shop.id)))
    if not desk.collections:
        return desk
    stays = yield from stays_of((shop.id, product) for product in desk.titles)
    return desk._replace(shop=dataclasses.replace(shop, stays=stays.get(shop.id, {})))


def wished(desk: Desk, fields: Mapping[str, str], base: int) -> Wish:
    """Read what was typed over version `base` as a programme, put over what others changed since."""
    version = desk.shop.version(base) or desk.current
    now = desk.current.program
    typed = understand(version.program, fields, {*now.earning.campaigns, *now.tiers.ladder})
    mine = pinned(typed.program, desk.shop.timezone)
    if version.number == desk.current.number:
        return Wish(mine, version.program, typed.errors, (), ())
    program, both = merged(version.program, mine, desk.current.program)
    return Wish(program, version.program, typed.errors, changes(version.program, desk.current.program), both)


def form_fields(visit: Visit, desk: Desk, typed: Mapping[str, str], wish: Wish) -> dict[str, str]:
    """Return what the form's fields hold: what was typed, or my changes over what others changed meanwhile."""
    mark = "," if get_decimal_symbol(visit.locale) == "," else "."
    fields = shown(desk.current.program, mark) | shown(wish.program, mark)
    for table in (CAMPAIGNS, LADDER):
        for one in set(setting_of(desk.current.program, table)) - set(setting_of(wish.program, table)):
            fields[f"{table}.{one}.remove"] = "on"
    if not wish.meanwhile:
        return {**fields, **typed}
    # What cannot be read is in no programme: it stays as it was typed, beside what else was changed of its campaign.
    base = shown(wish.base, mark)
    wrong = {name.rpartition(".")[0] for name in wish.errors if name.startswith((f"{CAMPAIGNS}.", f"{LADDER}."))}
    kept = (*wish.errors, f"{CAMPAIGNS}.{NEW}.", f"{LADDER}.{NEW}.")
    return fields | {
        name: value
        for name, value in typed.items()
        if name.startswith(kept)
        or (name.rpartition(".")[0] in wrong and (name not in fields or value != base.get(name)))
    }


class Planned(NamedTuple):
    """A campaign, or a tier, as the form has it."""

    key: str
    name: str
    is_gone: bool  # somebody took it out while it was being changed here


def planned(table: str, desk: Desk, typed: Mapping[str, str], wish: Wish) -> Sequence[Planned]:
    """List the campaigns, or tiers, of the form: those there are, and those changed here that others took out."""
    there: Mapping[str, Campaign | Tier] = setting_of(desk.current.program, table)
    if table == LADDER:
        there = dict(desk.current.program.tiers.ascending)
    wrong = {name.split(".")[2] for name in wish.errors if name.startswith(f"{table}.")}
    mine = [
        one
        for one in typed_of(table, typed)
        if one not in there and (one in setting_of(wish.program, table) or one in wrong)
    ]
    return [
        *(Planned(one, each.name, False) for one, each in there.items()),
        *(Planned(one, typed.get(f"{table}.{one}.name") or one, True) for one in mine),
    ]


class Offered(NamedTuple):
    """A reward in a list: what it is, and whether it is new or changed here and not saved."""

    key: str
    name: str
    words: str
    state: str


def rewards_listed(now: Program, wanted: Program, reader: Reader) -> Sequence[Offered]:
    """List the rewards somebody wants, the cheapest first; what is taken out stays until that is saved."""
    before, after = now.rewards.catalogue, wanted.rewards.catalogue
    listed = []
    for one in dict.fromkeys((*before, *after)):
        each = after.get(one) or before[one]
        state = "taken out, not saved" if one not in after else ""
        if one in after and before.get(one) != after[one]:
            state = "new, not saved" if one not in before else "changed, not saved"
        listed.append((each.points, Offered(one, each.name, reward_words(each, reader), state)))
    return [offered for _, offered in sorted(listed, key=lambda pair: (pair[0], pair[1].key))]


def channels(desk: Desk, fields: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """List the channels to choose from: the usual ones, those of the latest orders, those that were typed."""
    seen = [order.source_name for sale in desk.sales if (order := sale.facts.order) is not None and order.source_name]
    typed = fields.get("earning.exclude_channels.shown", "").split("\n")
    named = dict(CHANNELS)
    return [
        (name, named.get(name, name)) for name in dict.fromkeys([*named, *typed, *sorted(set(seen))]) if name.strip()
    ]


def previews(context: Context, visit: Visit, desk: Desk, program: Program) -> dict[str, Any]:
    """What orders of late would earn, and how a note and a request would read."""
    now = context.clock.now()
    found = [would_earn(desk.shop, program, sale, now) for sale in desk.sales]
    counted = [one for one in found if one is not None and one.micropoints]
    others = [one for one in found if one is not None and not one.micropoints]
    # What earns nothing is worth a look, too: one of those, where there is any.
    examples = (counted[: EXAMPLES - 1] + others[:1] + counted[EXAMPLES - 1 :])[:EXAMPLES]
    is_made_up = not examples
    if is_made_up and (made_up := would_earn(desk.shop, program, made_up_order(visit.currency, now), now)) is not None:
        examples = [made_up]
    sample = next((sale for sale in desk.sales if sale.facts.order is not None), made_up_order(visit.currency, now))
    planned = sorted(
        (one for one in program.earning.campaigns.values() if one.ends_at > now), key=lambda one: one.starts_at
    )
    soon = planned[:CAMPAIGNS_SHOWN]
    campaigns = [(one.name, would_earn_during(one, desk.shop, program, desk.sales, sample, now)) for one in soon]
    spoken_in = language(None, desk.shop.country)
    letters = {}
    names = {}
    gift, said, place = gift_of(program)
    brought = {
        "birthday_gift": program.ways.birthday_points,
        "anniversary_gift": program.ways.anniversary_points,
        "gift": gift,
    }
    for what, name in LETTERS.items():
        if (kind := context.kinds.get(name)) is not None:
            words = choose_words(program, name, spoken_in, kind.words)
            names[what] = f"The {named(name).noun}"
            letters[what] = sample_letter(
                kind,
                words,
                spoken_in,
                shop_name=desk.shop.name,
                timezone=visit.timezone,
                currency=visit.currency,
                now=now,
                points=brought.get(name),
                reason=words_file(kind.words)[spoken_in][said].replace("{n}", str(place)) if name == "gift" else "",
            )
    reader = reader_of(visit, desk)
    return {
        "program": program,
        "collections_said": collections_said(program, desk.collections, reader),
        "examples": examples,
        "is_made_up": is_made_up,
        "campaigns": campaigns,
        "letters": letters,
        "names": names,
        "delay": spoken("thanks.delay_minutes", program.thanks.delay_minutes, reader),
        "offers": rewards_listed(program, program, reader),
        "steps": [tier_words(each, reader) for _, each in program.tiers.ascending],
        "tiers_kept": {name: spoken(f"tiers.{name}", getattr(program.tiers, name), reader) for name in _TIERS_KEPT},
        "ways": ways_words(program, reader),
        "friends": friends_words(program, reader),
        "notices": spoken("expiry.notice_days", program.expiry.notice_days, reader),
        "hours": spoken("messages.window", program.messages.window, reader),
    }


def gift_of(program: Program) -> tuple[int, str, int]:
    """Return what a letter about points for an account or for orders tells of, first of all: points, word, order.

    Where no such occasion is on, it is the first order, with the points it would bring.
    """
    called = {"sign_up": "sign_up", "first_order": "order", "milestone": "milestone"}
    for one in program.ways.occasions:
        if one.kind in called:
            place, points = one.steps[0]
            return points, called[one.kind], place
    return program.ways.first_order_points, "order", 1


def told(listed: Sequence[Change]) -> dict[str, Any]:
    """Write changes for the journal: settings by their keys, as JSON values."""
    return {
        "before": {one.key: _plain(one.before) for one in listed},
        "after": {one.key: _plain(one.after) for one in listed},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def first_reward(program: Program) -> tuple[str, str] | None:
    """Return what the cheapest reward with a value costs and is worth, as a form's fields; None where there is none."""
    offered = [each for each in program.rewards.catalogue.values() if each.enabled and each.value]
    if not offered:
        return None
    first = min(offered, key=lambda each: (each.points, each.name))
    return str(first.points), plain_number(first.value)


def read_reward(
    points: str | None, worth: str | None, visit: Visit
) -> tuple[dict[str, str], Reward | None, dict[str, str]]:
    """Read what a reward would cost and be worth; returns the fields, the reward if both can be read, and errors."""
    usual_points, usual_worth = USUAL_REWARD
    fields = {"points": str(usual_points) if points is None else points[:20]}
    usual = usual_worth * 10 ** max(2 - exponent(visit.currency), 0)
    fields["worth"] = str(usual) if worth is None else worth[:20]
    errors: dict[str, str] = {}
    numbers: dict[str, int] = {}
    readers: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("points", lambda typed: read_count(typed, least=1)),
        ("worth", lambda typed: read_money(typed, visit.currency)),
    )
    for name, read in readers:
        try:
            numbers[name] = read(fields[name])
        except Wrong as wrong:
            errors[name] = str(wrong)
    return fields, None if errors else Reward(numbers["points"], numbers["worth"]), errors


class Bar(NamedTuple):
    """One month of a picture: where its bar stands and how high it is, in the picture's own units."""

    x: float
    y: float
    width: float
    height: float
    label: str


LEAST_MONTHS = 6  # that the picture has room for
PICTURE = (640, 180)  # width and height of what the bars stand in


def bars(found: Forecast, visit: Visit) -> Sequence[Bar]:
    """Lay out the months of a forecast as bars, the highest as high as the picture."""
    if not found.months:
        return ()
    names = Locale.parse(visit.locale).months["stand-alone"]["abbreviated"]
    months, (width, height) = sorted(found.months), PICTURE
    # The few months of a young shop are no wider than those of half a year.
    step, most = width / max(len(months), LEAST_MONTHS), max(found.months.values())
    laid = []
    for place, month in enumerate(months):
        tall = round(found.months[month] / most * height, 1)
        x = round(place * step + step * 0.15, 1)
        laid.append(Bar(x, round(height - tall, 1), round(step * 0.7, 1), tall, names[int(month[5:])]))
    return laid


def reader_of(visit: Visit, desk: Desk) -> Reader:
    """Return for whom the programme is put into words."""
    named = {number: seen.title for number, seen in desk.collections.items() if seen.title is not None}
    return Reader(visit.locale, visit.currency, desk.titles, named)


def in_words(listed: Sequence[Change], reader: Reader) -> list[tuple[str, str, str, str]]:
    """Put changes into words: group, setting, before, after."""
    groups = {setting.key: group.title for group in GROUPS for setting in group.settings}
    return [
        (
            groups[setting.key] if (setting := setting_named(one.key)) is not None else "Messages",
            label(one.key, reader),
            spoken(one.key, one.before, reader),
            spoken(one.key, one.after, reader),
        )
        for one in listed
    ]


def also_changed(desk: Desk, wish: Wish, reader: Reader) -> dict[str, str]:
    """Say beside each setting that others changed, too, what it is set to by now."""
    now = desk.current.program
    said = {}
    for key in wish.both:
        section, _, one = key.rpartition(".")
        tables: dict[str, Mapping[str, Any]] = {
            CAMPAIGNS: now.earning.campaigns,
            CATALOGUE: now.rewards.catalogue,
            LADDER: now.tiers.ladder,
        }
        value = tables[section].get(one) if section in tables else setting_of(now, key)
        said[key] = f"Meanwhile this was set to: {spoken(key, value, reader)}." if value is not None else TAKEN_OUT
    return said


# --- Who would have another tier ----------------------------------------------------------------

NO_TIER = "No tier"
_STEP = 48  # of the picture: a tier has its name and two bars


class Step(NamedTuple):
    """One tier of the picture, in its own units."""

    label: str
    y: int
    before: float
    after: float


class Shifted(NamedTuple):
    """Who would move, by tiers' names."""

    people: int
    losing: int
    rising: int
    table: Sequence[tuple[str, int, int]]  # tier, how many now, how many by the new terms
    moves: Sequence[tuple[str, str, int]]  # from, to, how many; of those who move
    bars: Sequence[Step]
    height: int
    given: Sequence[tuple[str, int, int]] = ()  # tier, how many would get points for reaching it, how many points each
    tagged: Sequence[tuple[str, int]] = ()  # tag at Shopify, how many would get it
    untagged: Sequence[tuple[str, int]] = ()  # and how many would lose it


def reshapes(old: Tiers, new: Tiers) -> bool:
    """Tell whether anybody could have another tier by new terms."""
    return _shape(old) != _shape(new)


def brings(old: Tiers, new: Tiers) -> bool:
    """Tell whether anybody could get something else by new terms, whether or not they move."""
    return (_shape(old), _gifts(old)) != (_shape(new), _gifts(new))


def _gifts(tiers: Tiers) -> object:
    return {
        key: (each.entry_points, each.entry_for, each.tag)
        for key, each in tiers.ladder.items()
        if tiers.enabled and (each.entry_points or each.tag)
    }


def _shape(tiers: Tiers) -> object:
    if not tiers.enabled:
        return None
    return (tiers.by, tiers.over, tuple((key, each.threshold) for key, each in tiers.ascending))


def shifted(old: Program, new: Program, asked: Asked | None) -> Shifted | None:
    """Lay out what was counted; None where it is not there yet."""
    if asked is None or asked.moves is None:
        return None
    moves = asked.moves.moves
    ladders = [list(program.tiers.ascending) if program.tiers.enabled else [] for program in (new, old)]
    names: dict[str | None, str] = {None: NO_TIER}
    names |= {key: each.name for ladder in reversed(ladders) for key, each in ladder}
    # One order for both: by what a tier takes, by the new terms where it is there.
    takes = {key: each.threshold for ladder in reversed(ladders) for key, each in ladder}
    order: list[str | None] = [None, *sorted(takes, key=lambda key: (takes[key], key))]
    ranks = [[None, *(key for key, _ in ladder)] for ladder in ladders]

    def falls(before: str | None, then: str | None) -> bool:
        # By the new ladder; who had a tier that is gone falls where what they get took less.
        if before in ranks[0]:
            return ranks[0].index(before) > ranks[0].index(then)
        return order.index(before) > order.index(then)

    table = [
        (names.get(key, str(key)), sum(n for a, _, n in moves if a == key), sum(n for _, b, n in moves if b == key))
        for key in order
    ]
    most = max((max(before, after) for _, before, after in table), default=0) or 1
    bars = [
        Step(name, place * _STEP + 18, round(before / most * PICTURE[0], 1), round(after / most * PICTURE[0], 1))
        for place, (name, before, after) in enumerate(table)
    ]
    moving = sorted(((a, b, n) for a, b, n in moves if a != b), key=lambda each: (-each[2], str(each[:2])))
    return Shifted(
        people=sum(n for _, _, n in moves),
        losing=sum(n for a, b, n in moving if falls(a, b)),
        rising=sum(n for a, b, n in moving if not falls(a, b)),
        table=table,
        moves=[(names.get(a, str(a)), names.get(b, str(b)), n) for a, b, n in moving],
        bars=bars,
        height=len(bars) * _STEP,
        given=[(names.get(key, key), many, new.tiers.ladder[key].entry_points) for key, many in asked.moves.given],
        tagged=asked.moves.tagged,
        untagged=asked.moves.untagged,
    )


def keeps_of(tiers: Tiers) -> dict[str, str]:
    """Return the fields of the choice as the programme has it."""
    keep = "nobody" if not tiers.grandfather else "until" if tiers.keep_until else "promised"
    return {"keep": keep, "keep_until": tiers.keep_until or ""}


def keep_chosen(program: Program, form: Mapping[str, str]) -> Program | str:
    """Put the choice of a review into a programme; says what to do where it cannot be read, or nothing was chosen."""
    tiers = program.tiers
    match form.get("keep"):
        case "promised":
            chosen: dict[str, object] = {"grandfather": True, "keep_until": None}
        case "nobody":
            chosen = {"grandfather": False, "keep_until": None}
        case "until":
            if not form.get("keep_until", "").strip():
                return "Choose the day until which they keep it."
            chosen = {"grandfather": True, "keep_until": form["keep_until"]}
        case _:
            return program
    try:
        tiers = Tiers.model_validate({**tiers.model_dump(), **chosen})
    except ValidationError:
        return "Choose the day until which they keep it, such as 2027-06-30."
    return program.model_copy(update={"tiers": tiers})
