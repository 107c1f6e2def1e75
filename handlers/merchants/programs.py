"""How a programme changes: settings by dotted key, checked together, written as a new immutable version."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from handlers.merchants.books import lock_books, parse_program
from handlers.merchants.collections import want
from handlers.merchants.offers import Reward, Rewards
from handlers.merchants.referring import Referrals
from handlers.merchants.rules import Campaign, Expiry, Program, Refused, Version
from handlers.merchants.tiering import Tier, Tiers
from handlers.merchants.ways import Ways
from integration.clock import SECOND
from integration.database.steps import Steps, ask, plain

MOST_DOCUMENT = 200_000  # characters of one programme
MOST_VERSIONS = 10_000  # of one merchant
_SHOWN = 60  # characters of a refused value that are repeated

_LAST = plain(
    "SELECT version, in_force_at, document FROM program_versions WHERE merchant_id = ?1 ORDER BY version DESC LIMIT 1"
)
_TIMEZONE = plain("SELECT timezone FROM merchants WHERE id = ?1")
_CANADIAN = plain("SELECT 1 FROM merchants WHERE id = ?1 AND country = 'CA'")
# Provinces as platforms write them. It is asked when expiry is switched on or changed, and not otherwise.
_PROVINCES = {"ontario": ("ON", "Ontario"), "quebec": ("QC", "Quebec")}
_LIVE_IN = plain("SELECT 1 FROM customers WHERE merchant_id = ?1 AND country = 'CA' AND region IN (?2, ?3) LIMIT 1")
_WRITE = plain(
    "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document, who, restores)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
)
_PAGE = plain(
    "SELECT version, in_force_at, document, created_at, who, restores FROM program_versions"
    " WHERE merchant_id = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3"
)


def first_version(merchant_id: int, now: int) -> Steps[Version]:
    """Write version 1: every capability off, in force from the second the merchant joined."""
    version = Version(1, now - now % SECOND, Program())
    yield from _write(merchant_id, version, now)
    return version


def read_program(merchant_id: int) -> Steps[Version]:
    """Return the merchant's newest version. Raises Refused where there is none."""
    rows = yield from ask(_LAST, (merchant_id,))
    if not rows:
        raise Refused("This merchant has no programme yet.")
    number, in_force_at, document = rows[0]
    return Version(number, in_force_at, parse_program(document))


def change_program(merchant_id: int, changes: Mapping[str, object], now: int, who: str | None = None) -> Steps[Version]:
    """Write a new version with these settings (see `changed`), in force from the next whole second; None = a command.

    A change that changes nothing writes nothing. Raises Refused for any wrong setting; then nothing changes.
    """
    yield from lock_books([merchant_id])
    last = yield from read_program(merchant_id)
    return (yield from _follow(merchant_id, last, changed(last.program, changes), now, who))


_Timed = TypeVar("_Timed", Campaign, Reward)


class Overtaken(Exception):
    """Somebody else wrote a version meanwhile; nothing was changed."""


class Written(NamedTuple):
    """A version as it was written: when, by whom (None: by the command), and which one's content it brought back."""

    version: Version
    created_at: int
    who: str | None
    restores: int | None


def replace_program(
    merchant_id: int, base: int, program: Program, now: int, who: str, restores: int | None = None
) -> Steps[Version]:
    """Write a programme as a new version after version `base`, in force from the next whole second.

    One that is the same as the base writes nothing. Raises Overtaken where `base` is not the newest any more,
    Refused where the programme is too long or was changed too often.
    """
    yield from lock_books([merchant_id])
    last = yield from read_program(merchant_id)
    if last.number != base:
        raise Overtaken
    if len(program.model_dump_json()) > MOST_DOCUMENT:
        raise Refused(f"A programme has at most {MOST_DOCUMENT} characters.")
    return (yield from _follow(merchant_id, last, program, now, who, restores))


def versions_before(merchant_id: int, number: int, limit: int) -> Steps[list[Written]]:
    """List versions with lower numbers than `number`, the newest first."""
    rows = yield from ask(_PAGE, (merchant_id, number, limit))
    return [
        Written(Version(version, in_force_at, parse_program(document)), created_at, who, restores)
        for version, in_force_at, document, created_at, who, restores in rows
    ]


def _follow(
    merchant_id: int, last: Version, program: Program, now: int, who: str | None = None, restores: int | None = None
) -> Steps[Version]:
    ((timezone,),) = yield from ask(_TIMEZONE, (merchant_id,))
    program = pinned(program, timezone)
    if program == last.program:
        return last
    if program.expiry.enabled and program.expiry != last.program.expiry:
        refused = program.expiry.refused_in((yield from _places(merchant_id)))
        if refused is not None:
            raise Refused(refused)
    if last.number >= MOST_VERSIONS:
        raise Refused(f"A merchant's programme can be changed {MOST_VERSIONS} times.")
    # Never before the version it follows, even where the clock was turned back: the newest one must win.
    in_force_at = max((now // SECOND + 1) * SECOND, last.in_force_at)
    version = Version(last.number + 1, in_force_at, program)
    yield from _write(merchant_id, version, now, who, restores)
    return version


def _places(merchant_id: int) -> Steps[set[str]]:
    """Say in which places with a law about expiring points customers live; of a shop in Canada, in all of them."""
    if (yield from ask(_CANADIAN, (merchant_id,))):
        return set(_PROVINCES)
    found = set()
    for place, names in _PROVINCES.items():
        if (yield from ask(_LIVE_IN, (merchant_id, *names))):
            found.add(place)
    return found


def changed(program: Program, changes: Mapping[str, object]) -> Program:
    """Return the programme with settings replaced, by dotted key.

    A text stands for whatever its setting takes: a number, `true` or `off`, JSON, or for a list words with
    commas between; an empty text or `null` is a setting's default. Keys may reach into settings that are
    tables (`earning.rates.EUR`), where `null` removes the row. Raises Refused naming each wrong key and what
    it takes.
    """
    document = program.model_dump(mode="json")
    wrong: list[str] = []
    for key, value in changes.items():
        if not _place(document, key, value):
            wrong.append(_unknown(key))
    if not wrong:
        try:
            result = Program.model_validate(document)
        except ValidationError as failure:
            wrong.extend(_explained(failure))
    if wrong:
        raise Refused(" ".join(dict.fromkeys(wrong)))
    if len(result.model_dump_json()) > MOST_DOCUMENT:
        raise Refused(f"A programme has at most {MOST_DOCUMENT} characters.")
    return result


def pinned(program: Program, timezone: str) -> Program:
    """Return the programme with each campaign's, reward's and tier's times by clocks of its own zone, else the shop's.

    A sale keeps its campaign: it must not change hours because the shop moves.
    """
    zones = [each.timezone for each in program.earning.campaigns.values()]
    zones += [each.timezone for each in program.rewards.catalogue.values()]
    zones += [program.tiers.timezone] if program.tiers.ladder else []
    if all(zones):
        return program
    campaigns = _in_zone(program.earning.campaigns, timezone)
    catalogue = _in_zone(program.rewards.catalogue, timezone)
    tiers = program.tiers
    if tiers.ladder and not tiers.timezone:
        tiers = tiers.model_copy(update={"timezone": timezone})
    return program.model_copy(
        update={
            "earning": program.earning.model_copy(update={"campaigns": campaigns}),
            "rewards": program.rewards.model_copy(update={"catalogue": catalogue}),
            "tiers": tiers,
        }
    )


def _in_zone(timed: Mapping[str, _Timed], timezone: str) -> dict[str, _Timed]:
    return {
        key: each if each.timezone else each.model_copy(update={"timezone": timezone}) for key, each in timed.items()
    }


def assignments(pairs: Sequence[str]) -> dict[str, object]:
    """Read `KEY=VALUE` arguments. Raises Refused for one without a key or an equals sign."""
    read: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise Refused(f"Write a setting as KEY=VALUE, not {_short(pair)}.")
        read[key.strip()] = value.strip()
    return read


def from_file(text: str) -> dict[str, object]:
    """Read a programme or a part of one, as JSON, into settings by dotted key; Refused for anything else."""
    if len(text) > MOST_DOCUMENT:
        raise Refused(f"A programme has at most {MOST_DOCUMENT} characters.")
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as failure:
        raise Refused(f"The file is not JSON: {failure}.") from failure
    if not isinstance(document, dict):
        raise Refused("The file holds JSON, but not an object with sections such as earning.")
    return dict(_flattened(document))


def readable(program: Program) -> dict[str, Any]:
    """Return the programme as JSON values, rates as numbers (of 13 digits at most, so none is lost)."""

    def plainly(value: object) -> Any:
        if isinstance(value, Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        if isinstance(value, dict):
            return {key: plainly(inner) for key, inner in value.items()}
        return list(value) if isinstance(value, tuple) else value

    shown = plainly(program.model_dump())
    assert isinstance(shown, dict)
    return shown


def _write(
    merchant_id: int, version: Version, now: int, who: str | None = None, restores: int | None = None
) -> Steps[None]:
    program, unused = version.program, dict[str, Any]()
    # What the release before does not know is named only where it is used: it reads documents beside this one.
    earning, ladder = program.earning, program.tiers.ladder
    unused["earning"] = {
        "campaigns": {
            key: {part for part in ("tiers", "collections") if not getattr(each, part)}
            for key, each in earning.campaigns.items()
        }
    }
    if not earning.campaigns:
        unused["earning"]["campaigns"] = True
    if earning.most_per_unit is None:
        unused["earning"]["most_per_unit"] = True
    if program.expiry == Expiry():
        unused["expiry"] = True
    if program.rewards == Rewards():
        unused["rewards"] = True
    plain = Tier(name="-", threshold=0)
    unused["tiers"] = {
        "ladder": {
            key: {part for part in ("multiplier", "entry_for", "tag") if getattr(each, part) == getattr(plain, part)}
            for key, each in ladder.items()
        }
    }
    unused["tiers"] |= {name: True for name in ("keep_until", "tell") if not getattr(program.tiers, name)}
    if program.tiers == Tiers():
        unused["tiers"] = True
    unused["ways"] = {name: True for name in ("tell_days", "tell_gifts") if not getattr(program.ways, name)}
    if program.ways == Ways():
        unused["ways"] = True
    if program.referrals == Referrals():
        unused["referrals"] = True
    document = program.model_dump_json(exclude=unused)
    yield from ask(_WRITE, (merchant_id, version.number, version.in_force_at, now, document, who, restores))
    yield from want(merchant_id, earning.collections, now)


def _flattened(document: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for section, value in document.items():
        if isinstance(value, dict) and "." not in section:
            yield from ((f"{section}.{name}", inner) for name, inner in value.items())
        else:
            yield section, value


def _place(document: dict[str, Any], key: str, value: object) -> bool:
    """Put a value where its key says; False where there is no such setting."""
    section, _, rest = key.partition(".")
    name, *inside = rest.split(".")
    field = _SETTINGS.get(f"{section}.{name}")
    if field is None or (inside and (field.get("type") != "object" or not all(inside))):
        return False
    table = document[section]
    if not inside:
        table[name] = _value(field, value)
        return True
    # What is not a table where one is needed becomes one; validation then says what is wrong with it.
    for step in (name, *inside[:-1]):
        if not isinstance(table.get(step), dict):
            table[step] = {}
        table = table[step]
    if value is None or value == "null":
        table.pop(inside[-1], None)
    else:
        table[inside[-1]] = _loose(value)
    return True


def _value(field: Mapping[str, Any], value: object) -> object:
    if isinstance(value, str) and field.get("type") == "array" and not value.lstrip().startswith(("[", "null")):
        return [word.strip() for word in value.split(",") if word.strip()]
    loose = _loose(value)
    if loose is None or (loose == "" and field.get("type") != "string"):
        return field.get("default")
    return loose


def _loose(value: object) -> object:
    """Read a text as JSON only where it can be nothing else: numbers stay text, so that no digit is lost."""
    if not isinstance(value, str) or not (value.startswith(("[", "{", '"')) or value == "null"):
        return value
    try:
        return json.loads(value, parse_float=Decimal)
    except (ValueError, RecursionError):
        return value


def _explained(failure: ValidationError) -> Iterator[str]:
    for error in failure.errors(include_url=False):
        path = [str(step) for step in error["loc"] if step != "[key]"]
        key = ".".join(path)
        field = _SETTINGS.get(".".join(path[:2]), {})
        # pydantic's own words where the rule is finer than the setting's type: six decimal places, a window.
        finer = len(path) > 2 or error["type"] in (
            "value_error",
            "string_pattern_mismatch",
            "string_too_long",
        )
        takes = error["msg"].removeprefix("Value error, ").rstrip(".") if finer else f"it takes {_takes(field)}"
        yield f"{key} cannot be {_short(error['input'])}: {takes}."


def _takes(field: Mapping[str, Any]) -> str:
    options = field.get("anyOf", [])
    if "enum" in field:
        return "one of " + ", ".join(field["enum"])
    if field.get("format") == "email" or any(option.get("format") == "email" for option in options):
        return "an e-mail address, or null"
    kind = field.get("type") or next((o["type"] for o in options if o.get("type") in _KINDS), "")
    spoken = _KINDS.get(kind, "another value")
    for limits in (field, *options):
        if "minimum" in limits and "maximum" in limits:
            return f"{spoken} from {limits['minimum']:.0f} to {limits['maximum']:.0f}"
    return spoken


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, _SETTINGS, n=1, cutoff=0.5)
    if near:
        return f"{_short(key)} is not a setting; {near[0]} is."
    return f"{_short(key)} is not a setting; the settings are {', '.join(_SETTINGS)}."


def _short(value: object) -> str:
    # What cannot be printed is escaped, so that the answer stays one line.
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


_KINDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list of words, with commas between",
    "object": "a table, as JSON",
}


def _settings() -> dict[str, Mapping[str, Any]]:
    """Return every setting by dotted key with its JSON schema and default: no list is kept by hand."""
    schema = Program.model_json_schema(mode="validation")
    defaults = Program().model_dump(mode="json")
    return {
        f"{section}.{name}": {**field, "default": defaults[section][name]}
        for section in Program.model_fields
        for name, field in schema["$defs"][type(getattr(Program(), section)).__name__]["properties"].items()
    }


_SETTINGS = _settings()
