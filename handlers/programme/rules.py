"""What was typed into the programme page: read as a programme, shown again, and put beside what others changed."""

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from handlers.merchants.asking import CHANNELS, SETTINGS, TABLES, UNITS, Setting, setting_of
from handlers.merchants.offers import Reward
from handlers.merchants.rules import Campaign, Program
from handlers.merchants.tiering import Tier
from handlers.merchants.typed import (
    Wrong,
    named_id,
    plain_number,
    read_collections,
    read_count,
    read_countries,
    read_days,
    read_decimal,
    read_places,
    read_products,
    read_rates,
    read_words,
    sentence,
)

MOST_TYPED = 20_000  # characters of one field

# What must have been previewed before it is first switched on, by the setting that switches it on.
SWITCHES = {
    "earning.enabled": "earning",
    "rewards.enabled": "rewards",
    "tiers.enabled": "tiers",
    "tiers.tell": "tiers",
    "ways.sign_up": "ways",
    "ways.first_order": "ways",
    "ways.milestones": "ways",
    "ways.birthday": "ways",
    "ways.anniversary": "ways",
    "ways.tell_days": "ways",
    "ways.tell_gifts": "ways",
    "referrals.enabled": "referrals",
    "expiry.enabled": "expiry",
    "expiry.remind": "expiry",
    "thanks.enabled": "thanks",
    "reviews.enabled": "reviews",
}


class Typed(NamedTuple):
    """What a form amounts to: the programme it asks for, and what to do about each field that cannot be read.

    Where there is an error, the programme keeps the setting as it was.
    """

    program: Program
    errors: Mapping[str, str]


def understand(base: Program, fields: Mapping[str, str], taken: Collection[str] = ()) -> Typed:
    """Read what was typed over a programme; a campaign or tier that is added gets none of the `taken` ids.

    Only known settings are looked at, and a field that is missing leaves its setting as it is, so that a forged or
    cut off form changes nothing else.
    """
    document = base.model_dump(mode="json")
    errors: dict[str, str] = {}
    for key, setting in SETTINGS.items():
        section, _, name = key.partition(".")
        if setting.kind == "campaigns":
            document[section][name] = _table(key, document[section][name], fields, errors, taken)
            continue
        if setting.kind == "ladder":
            document[section][name] = _ladder(document[section][name], fields, errors, taken)
            continue
        if setting.kind == "catalogue":
            document[section][name] = _catalogue(key, document[section][name], fields, errors)
            continue
        try:
            value = _read(setting, fields)
        except Wrong as wrong:
            errors[key] = str(wrong)
            continue
        if value is not _ABSENT:
            document[section][name] = value
    try:
        return Typed(Program.model_validate(document), errors)
    except ValidationError as failure:
        kept = base.model_dump(mode="json")
        for error in failure.errors(include_url=False):
            section, name = str(error["loc"][0]), str(error["loc"][1]) if len(error["loc"]) > 1 else ""
            errors.setdefault(f"{section}.{name or 'enabled'}", sentence(error))
            if name:
                document[section][name] = kept[section].get(name)
            else:
                document[section] = kept[section]
        return Typed(Program.model_validate(document), errors)


def is_field(name: str) -> bool:
    """Tell whether a field of a form belongs to a setting of the page."""
    setting, _, part = name.partition(":")
    if part:
        return setting in SETTINGS and SETTINGS[setting].kind == "channels"
    if (one := _OF_TABLE.fullmatch(name)) is not None:
        return one[3] in (*_SHAPES[one[1]].parts, "remove")
    if _REWARD_FIELD.fullmatch(name):
        return True
    return name in SETTINGS or (name.rpartition(".")[0] in SETTINGS and name.rpartition(".")[2] in _PARTS)


def shown(program: Program, decimal_mark: str = ".") -> dict[str, str]:
    """Return a programme as the fields of its form: what `understand` reads back as the same programme."""
    fields: dict[str, str] = {}
    for key, setting in SETTINGS.items():
        fields |= _fields(setting, setting_of(program, key), decimal_mark)
    return fields


def first_switched_on(earlier: tuple[Program, ...], wanted: Program) -> tuple[str, ...]:
    """Name what would be on that never was on in any earlier version: it must have been previewed."""
    found = (
        what
        for key, what in SWITCHES.items()
        if setting_of(wanted, key) and not any(setting_of(program, key) for program in earlier)
    )
    return tuple(dict.fromkeys(found))


_Named = TypeVar("_Named", Campaign, Reward, Tier)


def merged(base: Program, mine: Program, theirs: Program) -> tuple[Program, tuple[str, ...]]:
    """Put what I changed of the base over what others made of it meanwhile.

    Returns the keys too that both changed, to different values: there mine stands, and needs a second look. Of
    campaigns each has a key of its own.
    """
    document = theirs.model_dump(mode="json")
    wanted = mine.model_dump(mode="json")
    both = []
    for key in SETTINGS:
        section, _, name = key.partition(".")
        old, my, their = (setting_of(program, key) for program in (base, mine, theirs))
        if my == old:
            continue
        if SETTINGS[key].kind in TABLES:
            mixed, twice = _mixed(old, my, their)
            document[section][name] = {one: each.model_dump(mode="json") for one, each in mixed.items()}
            both += [f"{key}.{one}" for one in twice]
            continue
        document[section][name] = wanted[section][name]
        if their not in (old, my):
            both.append(key)
    return Program.model_validate(document), tuple(both)


def _mixed(
    old: Mapping[str, _Named], mine: Mapping[str, _Named], theirs: Mapping[str, _Named]
) -> tuple[dict[str, _Named], list[str]]:
    """Put my campaigns, rewards or tiers over theirs, one by one; returns which of them both changed, too."""
    result, twice = dict(theirs), []
    for one in dict.fromkeys((*old, *mine)):
        if mine.get(one) == old.get(one):
            continue
        if theirs.get(one) not in (old.get(one), mine.get(one)):
            twice.append(one)
        if one in mine:
            result[one] = mine[one]
        else:
            result.pop(one, None)
    return result, twice


# --- Reading ------------------------------------------------------------------------------------

CAMPAIGNS = "earning.campaigns"
NEW = "+"  # stands for the id of a campaign, or tier, that is being added
LADDER = "tiers.ladder"
_OF_TABLE = re.compile(
    rf"({re.escape(CAMPAIGNS)}|{re.escape(LADDER)})\.(\+|[a-z0-9][a-z0-9_-]{{0,39}})\.([a-z_]{{1,40}})"
)
CATALOGUE = "rewards.catalogue"
_REWARD_FIELD = re.compile(rf"{re.escape(CATALOGUE)}\.([a-z0-9][a-z0-9_-]{{0,39}})")
_PARTS = frozenset({"from", "to", "unit", "shown"})  # of settings that have several fields
_ABSENT: Any = object()  # the form does not have this field: its setting stays
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::00)?")


def _read(setting: Setting, fields: Mapping[str, str]) -> Any:
    key = setting.key
    if setting.kind == "channels":
        return _channels(key, fields)
    if setting.kind == "window":
        return _window(key, fields)
    typed = fields.get(key)
    if typed is None:
        return _ABSENT
    if len(typed) > MOST_TYPED:
        raise Wrong(f"This is too long: {MOST_TYPED} characters at most.")
    typed = typed.strip()
    match setting.kind:
        case "switch":
            return typed == "on"
        case "decimal":
            return str(read_decimal(typed))
        case "limit":
            return str(read_decimal(typed)) if typed else None
        case "whole":
            return _whole(key, typed)
        case "duration":
            return _duration(key, typed, fields.get(f"{key}.unit", "minutes"))
        case "choice":
            if typed not in {value for value, _ in setting.options}:
                raise Wrong("Choose one of these.")
            return typed
        case "email":
            return typed or None
        case "day":
            return typed or None
        case "words":
            return read_words(re.split(r"[,\n]", typed))
        case "countries":
            return read_countries(typed)
        case "notices":
            return [read_days(word) for word in read_words(re.split(r"[,;\s]+", typed))]
        case "products":
            return read_products(typed)
        case "rates":
            return read_rates(typed)
        case "places":
            return read_places(typed)
    return typed


def _whole(key: str, typed: str) -> int:
    low, high = _limits(key)
    text = typed.replace("\u00a0", "").replace(" ", "")
    if not re.fullmatch(r"-?\d{1,9}", text) or not low <= int(text) <= high:
        raise Wrong(f"Write a whole number from {low} to {high}.")
    return int(text)


@lru_cache(maxsize=128)
def _limits(key: str) -> tuple[int, int]:
    """Return the least and the greatest a whole number may be, from the programme's own rules."""
    section, _, name = key.partition(".")
    schema = Program.model_json_schema()["$defs"][section.title()]["properties"][name]
    return int(schema["minimum"]), int(schema["maximum"])


def _duration(key: str, typed: str, unit: str) -> int:
    factor = dict(UNITS).get(unit)
    if factor is None:
        raise Wrong("Choose minutes, hours or days.")
    low, high = _limits(key)
    minutes = read_decimal(typed) * factor
    if minutes != minutes.to_integral_value() or not low <= minutes <= high:
        raise Wrong(f"Choose a time of {high // 1440} days at most; 0 means at once.")
    return int(minutes)


def _window(key: str, fields: Mapping[str, str]) -> Any:
    how = fields.get(key)
    if how is None:
        return _ABSENT
    if how == "always":
        return "always"
    clocks = [_CLOCK.fullmatch(fields.get(f"{key}.{end}", "").strip()) for end in ("from", "to")]
    start, end = (f"{int(found[1]):02}:{found[2]}" if found else "" for found in clocks)
    if not start or not end:
        raise Wrong("Write both times as hours and minutes, such as 10:00 and 16:00.")
    if end == "00:00":
        end = "24:00"
    if not start < end <= "24:00":
        raise Wrong("The second time must be later than the first, on the same day.")
    return f"{start}-{end}"


def _channels(key: str, fields: Mapping[str, str]) -> Any:
    """Read the boxes of channels: those shown are named in `<key>.shown`, with line breaks between."""
    listed = fields.get(f"{key}.shown")
    if listed is None:
        return _ABSENT
    return [name for name in read_words(listed.split("\n")) if fields.get(f"{key}:{name}") == "on"]


def typed_of(table: str, fields: Mapping[str, str]) -> list[str]:
    """List the ids of the campaigns, or tiers, a form has fields of, but for the one that is being added."""
    found = (match[2] for name in fields if (match := _OF_TABLE.fullmatch(name)) is not None and match[1] == table)
    return [one for one in dict.fromkeys(found) if one != NEW]


def is_adding(table: str, fields: Mapping[str, str]) -> bool:
    """Tell whether a form adds a campaign, or a tier."""
    return any(fields.get(f"{table}.{NEW}.{part}") for part in _SHAPES[table].begins)


def _table(
    key: str, kept: dict[str, Any], fields: Mapping[str, str], errors: dict[str, str], taken: Collection[str]
) -> dict[str, Any]:
    """Read the campaigns or tiers of a form over those there are; what cannot be read stays as it was, with its error.

    A form may have one that is there no more: it was changed while somebody took it out, and is put back.
    """
    shape, result = _SHAPES[key], dict(kept)
    for one in (*kept, *(one for one in typed_of(key, fields) if one not in kept), NEW):
        typed = {part: text.strip() for part in shape.parts if (text := fields.get(f"{key}.{one}.{part}")) is not None}
        if fields.get(f"{key}.{one}.remove") == "on":
            result.pop(one, None)
            continue
        if not typed or (one == NEW and not any(typed.get(part) for part in shape.begins)):
            continue
        before = len(errors)
        read = {**kept.get(one, {}), **_parts(shape, f"{key}.{one}", typed, errors)}
        try:
            checked = shape.model.model_validate(read)
        except ValidationError as failure:
            for error in failure.errors(include_url=False):
                place = str(error["loc"][0]) if error["loc"] else ("ends" if "ends" in error["msg"] else "multiplier")
                said = _MISSING.get(place, sentence(error)) if error["type"] in EMPTY else sentence(error)
                errors.setdefault(f"{key}.{one}.{place}", said)
            continue
        if len(errors) == before:
            place = named_id(checked.name, {*result, *taken}) if one == NEW else one
            result[place] = checked.model_dump(mode="json")
    return result


def _ladder(
    kept: dict[str, Any], fields: Mapping[str, str], errors: dict[str, str], taken: Collection[str]
) -> dict[str, Any]:
    """Read the tiers of a form; of two that take as much the later one stays as it was, with its error."""
    result = _table(LADDER, kept, fields, errors, taken)
    first: dict[int, str] = {}
    for one, each in result.items():
        twin = first.setdefault(each["threshold"], one)
        if twin != one:
            words = f"“{result[twin]['name']}” takes as much. Each tier needs its own number."
            place = one if f"{LADDER}.{one}.threshold" in fields else NEW
            errors.setdefault(f"{LADDER}.{place}.threshold", words)
    return kept if any(name.startswith(f"{LADDER}.") for name in errors) else result


def _catalogue(key: str, kept: dict[str, Any], fields: Mapping[str, str], errors: dict[str, str]) -> dict[str, Any]:
    """Read rewards over those there are: each as JSON, as its own page wrote it; an empty text takes one out."""
    result = dict(kept)
    for name, text in fields.items():
        match = _REWARD_FIELD.fullmatch(name)
        if match is None:
            continue
        if not text:
            result.pop(match[1], None)
            continue
        try:
            result[match[1]] = Reward.model_validate_json(text).model_dump(mode="json")
        except ValidationError:
            errors[f"{key}.{match[1]}"] = "This reward cannot be read any more. Open it and save it again."
    return result


def _parts(shape: "_Shape", place: str, typed: Mapping[str, str], errors: dict[str, str]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for part, text in typed.items():
        try:
            read[part] = shape.read(part, text)
        except Wrong as wrong:
            errors[f"{place}.{part}"] = str(wrong)
    return read


_BY_LINE: Mapping[str, Callable[[str], list[str]]] = {"products": read_products, "collections": read_collections}


def _campaign_part(part: str, text: str) -> Any:
    if part in ("multiplier", "extra_per_unit"):
        return str(read_decimal(text)) if text else ("1" if part == "multiplier" else "0")
    if part in _BY_LINE:
        return _BY_LINE[part](text)
    return read_words(re.split(r"[,\n]", text)) if part in ("tags", "channels", "tiers") else text


def _tier_part(part: str, text: str) -> Any:
    match part:
        case "threshold":
            return read_count(text)
        case "entry_points":
            return read_count(text) if text else 0
        case "multiplier":
            return str(read_decimal(text)) if text else "1"
    return text


class _Shape(NamedTuple):
    """How many of one kind of thing are typed in one form, each with fields of its own."""

    model: type[Campaign] | type[Tier]
    parts: tuple[str, ...]
    begins: tuple[str, ...]  # something in one of these adds one
    read: Callable[[str, str], Any]


_SHAPES: Mapping[str, _Shape] = {
    CAMPAIGNS: _Shape(
        Campaign,
        ("name", "starts", "ends", "multiplier", "extra_per_unit", *_BY_LINE, "tags", "channels", "tiers"),
        ("name", "starts", "ends"),
        _campaign_part,
    ),
    LADDER: _Shape(
        Tier,
        ("name", "threshold", "multiplier", "entry_points", "entry_for", "perks", "tag"),
        ("name", "threshold"),
        _tier_part,
    ),
}
EMPTY = ("missing", "string_too_short")
_MISSING = {
    "name": "Give it a name you will recognise it by.",
    "starts": "Choose the day it starts.",
    "ends": "Choose the day it ends.",
    "threshold": "Write what it takes, such as 300.",
}


# --- Showing ------------------------------------------------------------------------------------


def _fields(setting: Setting, value: Any, mark: str) -> dict[str, str]:
    key = setting.key
    match setting.kind:
        case "switch":
            return {key: "on" if value else "off"}
        case "decimal" | "limit":
            return {key: "" if value is None else plain_number(value, mark)}
        case "duration":
            unit, factor = next(((u, f) for u, f in reversed(UNITS) if value and value % f == 0), UNITS[0])
            return {key: str(value // factor), f"{key}.unit": unit}
        case "window":
            start, _, end = ("10:00", "", "16:00") if value == "always" else value.partition("-")
            how = "always" if value == "always" else "hours"
            return {key: how, f"{key}.from": start, f"{key}.to": "00:00" if end == "24:00" else end}
        case "channels":
            known = [name for name, _ in CHANNELS]
            listed = [*known, *(name for name in value if name not in known)]
            boxes = {f"{key}:{name}": "on" if name in value else "off" for name in listed}
            return {f"{key}.shown": "\n".join(listed), **boxes}
        case "words" | "countries" | "notices":
            return {key: ", ".join(map(str, value))}
        case "products":
            return {key: "\n".join(value)}
        case "campaigns" | "ladder":
            return {
                f"{key}.{one}.{part}": _part_text(getattr(each, part), part, mark)
                for one, each in value.items()
                for part in _SHAPES[key].parts
            }
        case "catalogue":
            return {f"{key}.{one}": each.model_dump_json() for one, each in value.items()}
        case "places":
            return {key: "\n".join(f"{place} {points}" for place, points in value.items())}
        case "rates":
            return {key: "\n".join(f"{name} {plain_number(rate, mark)}" for name, rate in value.items())}
    return {key: "" if value is None else str(value)}


def _part_text(value: Any, part: str, mark: str) -> str:
    if isinstance(value, Decimal):
        return plain_number(value, mark)
    return ("\n" if part in _BY_LINE else ", ").join(value) if isinstance(value, tuple) else str(value)
