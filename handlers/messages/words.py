"""A merchant's own words: what is wrong with them, drafts while they are typed, and the version that holds them."""

import difflib
import hashlib
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from handlers.merchants.books import lock_books
from handlers.merchants.programs import change_program, read_program
from handlers.merchants.rules import PLACEHOLDERS, Program
from handlers.messages.kinds import Kind
from handlers.messages.letters import Words, words_file
from integration.clock import DAY
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain

MOST_SUBJECT = 200  # characters, as the programme takes them
MOST_BODY = 5_000
MOST_KEPT = 20_000  # characters of a draft, which may be too long to be saved
KEEP_DRAFTS = 30 * DAY
_BRACED = re.compile(r"\{([^{}\n]{0,60})\}")
_LIKE = 0.6  # how near a known placeholder is offered for one that is not


class Findings(NamedTuple):
    """What is to be said beside one field: what keeps it from being saved, and what is only worth knowing."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Draft(NamedTuple):
    """Words somebody typed and has not saved."""

    words: Words
    at: int


def tidied(subject: str, body: str) -> Words:
    """Return typed words as they are kept: line ends alike, nothing around them."""
    return Words(subject.strip(), body.replace("\r\n", "\n").replace("\r", "\n").strip())


def look_over(kind: Kind, words: Words) -> Mapping[Literal["subject", "body"], Findings]:
    """Say what is wrong with words for a kind of message, by field."""
    subject = _look_over(kind, words.subject, "subject", MOST_SUBJECT)
    if not words.subject.isprintable():
        errors = (*subject.errors, "Write the subject in one line, without control characters.")
        subject = subject._replace(errors=errors)
    return {"subject": subject, "body": _look_over(kind, words.body, "text", MOST_BODY)}


def own_words(program: Program, kind: str, language: str) -> Words:
    """Return the merchant's own words; empty where they have none."""
    own = program.messages.words.get(kind, {}).get(language)
    return Words(own.subject, own.body) if own else Words("", "")


def digest(words: Words) -> str:
    """Stand for words in a form, so that it shows whether somebody else has saved meanwhile."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def our_words(kind: Kind, language: str) -> Words:
    """Return our words for a kind, tidied."""
    ours = words_file(kind.words)
    standard = ours.get(language) or ours["en"]
    return tidied(standard["subject"], standard["body"])


def languages_written(program: Program, kind: str) -> frozenset[str]:
    """Return the languages in which the merchant has words of their own for a kind."""
    return frozenset(name for name, own in program.messages.words.get(kind, {}).items() if own.subject or own.body)


def save_words(
    merchant_id: int, kind: Kind, language: str, words: Words, base: str, now: int, who: str | None = None
) -> Steps[Literal["saved", "same", "overtaken"]]:
    """Write words into a new version of the programme, in force from the next whole second.

    Words like ours are left to ours, so that they follow when ours get better; empty ones are a reset. `overtaken`:
    what is saved is not what `base` stands for (see `digest`), from which the words were typed: somebody else saved
    meanwhile.
    """
    yield from lock_books([merchant_id])
    version = yield from read_program(merchant_id)
    present = own_words(version.program, kind.name, language)
    if digest(present) != base:
        return "overtaken"
    ours = our_words(kind, language)
    wanted = Words(*("" if own == standard else own for own, standard in zip(words, ours, strict=True)))
    if wanted == present:
        return "same"
    table = version.program.model_dump(mode="json")["messages"]["words"]
    by_language = {**table.get(kind.name, {}), language: wanted._asdict()}
    if not any(wanted):
        del by_language[language]
    table = {**table, kind.name: by_language}
    if not by_language:
        del table[kind.name]
    yield from change_program(merchant_id, {"messages.words": table}, now, who)
    return "saved"


# --- Drafts -------------------------------------------------------------------------------------


def author(who: str) -> str:
    """Name whose draft it is, without telling who that is."""
    return hashlib.sha256(f"draft {who}".encode()).hexdigest()[:16]


def keep_draft(merchant_id: int, kind: str, language: str, whose: str, words: Words, now: int) -> Steps[None]:
    """Keep what somebody has typed so far, in the place of what they had typed before."""
    subject, body = words.subject[:MOST_KEPT], words.body[:MOST_KEPT]
    yield from ask(_KEEP, [(merchant_id, kind, language, whose, subject, body, now)])


def draft_of(merchant_id: int, kind: str, language: str, whose: str, now: int) -> Steps[Draft | None]:
    """Return what somebody has typed and not saved; None for nothing lately."""
    rows = yield from ask(_READ, (merchant_id, kind, language, whose, now - KEEP_DRAFTS))
    return Draft(Words(rows[0][0], rows[0][1]), rows[0][2]) if rows else None


def drop_draft(merchant_id: int, kind: str, language: str, whose: str, now: int) -> Steps[None]:
    """Forget what somebody has typed, and what nobody has touched for long."""
    yield from ask(_DROP, (merchant_id, kind, language, whose, now - KEEP_DRAFTS))


def _look_over(kind: Kind, text: str, what: str, most: int) -> Findings:
    errors, warnings = [], []
    for name in dict.fromkeys(_BRACED.findall(text)):
        if name not in PLACEHOLDERS:
            errors.append(_unknown(kind, name))
        elif name not in kind.placeholders:
            warnings.append(f"{{{name}}} is not known in this message: it is left out.")
    rest = _BRACED.sub("", text)
    if "{" in rest or "}" in rest:
        errors.append("A { or } stands alone. Write a placeholder as {first_name}, or leave the brace out.")
    if len(text) > most:
        errors.append(f"The {what} has {len(text):,} characters; {most:,} is the most.")
    return Findings(tuple(errors), tuple(warnings))


def _unknown(kind: Kind, name: str) -> str:
    wanted = re.sub(r"\W+", "_", name.strip().lower())
    near = difflib.get_close_matches(wanted, sorted(kind.placeholders), n=1, cutoff=_LIKE)
    if near:
        return f"{{{name}}} is not a placeholder. Did you mean {{{near[0]}}}?"
    return f"{{{name}}} is not a placeholder. Choose one from the list, or leave out the braces."


_KEEP = insert(
    "message_drafts",
    "ON CONFLICT (merchant_id, kind, language, author) DO UPDATE SET subject = excluded.subject,"
    " body = excluded.body, at = excluded.at",
    merchant_id=BIG,
    kind=TEXT,
    language=TEXT,
    author=TEXT,
    subject=TEXT,
    body=TEXT,
    at=BIG,
)
_READ = plain(
    "SELECT subject, body, at FROM message_drafts"
    " WHERE merchant_id = ?1 AND kind = ?2 AND language = ?3 AND author = ?4 AND at > ?5"
)
_DROP = plain(
    "DELETE FROM message_drafts WHERE merchant_id = ?1 AND ((kind = ?2 AND language = ?3 AND author = ?4) OR at < ?5)"
)
