"""What the DNS must say of a domain before its mail is believed, and what to set where it does not."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

State = Literal["ok", "warning", "missing", "unknown"]

MOST_LOOKUPS = 10  # of one SPF record, its includes with it (RFC 7208, 4.6.4)
# Where providers commonly publish the key they sign with; there is no way to ask for the names of all.
USUAL_SELECTORS = (
    "default",
    "mail",
    "dkim",
    "google",
    "selector1",
    "selector2",
    "s1",
    "s2",
    "k1",
    "k2",
    "resend",
    "pm",
)
# Mailboxes anybody can have: nobody else may send in their name, and nothing can be set in their DNS.
MAILBOXES = frozenset(
    {
        "aol.com", "gmail.com", "gmx.at", "gmx.ch", "gmx.com", "gmx.de", "gmx.net", "googlemail.com", "hotmail.com",
        "icloud.com", "live.com", "me.com", "msn.com", "outlook.com", "proton.me", "protonmail.com", "web.de",
        "yahoo.co.uk", "yahoo.com", "yahoo.fr", "ymail.com",
    }
)  # fmt: skip
_ASKS = re.compile(r"[+?~-]?(?:(?:include|exists):\S+|(?:a|mx|ptr)(?:[:/]\S+)?)|redirect=\S+", re.IGNORECASE)
_LEADS = re.compile(r"(?:[+?~-]?include:|redirect=)([A-Za-z0-9._-]{1,253})", re.IGNORECASE)
_DOMAIN = re.compile(r"(?=.{4,253}$)(?:[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Record:
    """One record to set, to be copied as it is; `name` is whole, as most providers show it."""

    kind: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Check:
    """How one of the three stands, in a sentence, and what to set where something is to be set."""

    name: str  # SPF, DKIM, DMARC
    state: State
    words: str
    record: Record | None = None
    found: str | None = None  # what the DNS says now


def domain_of(address: str | None) -> str | None:
    """Return the domain mail is sent from, in lower case and as the DNS has it; None for no address."""
    domain = (address or "").strip().rpartition("@")[2].rstrip(".").lower()
    if not domain:
        return None
    try:
        domain = domain.encode("idna").decode() if not domain.isascii() else domain
    except UnicodeError:
        return None
    return domain if _DOMAIN.fullmatch(domain) else None


def parents(domain: str) -> list[str]:
    """List the domain and those above it down to two labels: a DMARC policy holds for all below."""
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(max(1, len(labels) - 1))]


def spf_of(texts: Sequence[str]) -> list[str]:
    """Pick the SPF records among a name's texts."""
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def leads(spf: str) -> list[str]:
    """Return the domains whose SPF records this one takes in."""
    return [name.lower() for name in _LEADS.findall(spf)]


def judge_spf(domain: str, texts: Sequence[str], tree: Mapping[str, str], needed: str | None) -> Check:
    """Judge who may send for a domain; `tree` holds the records of all domains it takes in, as far as known."""
    records = spf_of(texts)
    if not records:
        return Check(
            "SPF",
            "missing",
            "Nothing says which servers may send mail for this domain, so some mailboxes put it under spam.",
            _spf_record(domain, None, needed),
        )
    if len(records) > 1:
        merged = _merged(records)
        return Check(
            "SPF",
            "warning",
            "There are several SPF records; mailboxes then believe none of them. Put them into one, and delete the"
            " others.",
            _spf_record(domain, merged, needed),
            " / ".join(sorted(records)),
        )
    spf = records[0]
    asked = _lookups(spf, tree)
    if asked > MOST_LOOKUPS:
        words = f"It asks for {asked} other records; after {MOST_LOOKUPS} mailboxes stop reading. Take some out of it."
        return Check("SPF", "warning", words, None, spf)
    if re.search(r"(?:^|\s)\+?all(?:\s|$)", spf, re.IGNORECASE):
        words = "It lets the whole world send in your name (+all). End it with ~all instead."
        return Check("SPF", "warning", words, _spf_record(domain, spf, needed), spf)
    if needed is not None and not _holds(spf, tree, needed):
        words = "It leaves out the server your notes are sent from. Add that part to it."
        return Check("SPF", "warning", words, _spf_record(domain, spf, needed), spf)
    if needed is None:
        words = (
            "There is one. Whether it names the server your notes are sent from, whoever runs Regulars can tell: see"
            " MAIL_SPF."
        )
        return Check("SPF", "ok", words, None, spf)
    return Check("SPF", "ok", "It lets your notes' server send for this domain.", None, spf)


def judge_dkim(domain: str, found: Mapping[str, Sequence[str]], sure: bool) -> Check:
    """Judge the keys mail is signed with; `found` maps selectors to texts, `sure` = ours is among them."""
    keys = {selector: text for selector, texts in found.items() for text in texts if _is_key(text)}
    good = [selector for selector, text in keys.items() if not re.search(r"(?:^|;)\s*p=\s*(?:;|$)", text)]
    if good:
        where = f"{good[0]}._domainkey.{domain}"
        words = f"A key is published at {where}." if sure else f"A key is published at {where}; it may be another's."
        return Check("DKIM", "ok" if sure else "warning", words, None, keys[good[0]])
    if keys:
        words = "The key that is published is empty: it was taken back. Set the one your mail provider shows."
        return Check("DKIM", "missing", words, _dkim_record(domain, next(iter(keys))), next(iter(keys.values())))
    if sure:
        words = "No key is published, so mailboxes cannot tell your notes from forged ones."
        return Check("DKIM", "missing", words, _dkim_record(domain, next(iter(found), "SELECTOR")))
    return Check(
        "DKIM",
        "unknown",
        "No key was found under the usual names. Its name is known to whoever runs the mail server: they give you the"
        " record to set.",
        _dkim_record(domain, "SELECTOR"),
    )


def judge_dmarc(domain: str, found: Mapping[str, Sequence[str]]) -> Check:
    """Judge what mailboxes are told to do with forged mail; `found` maps domains, nearest first, to texts."""
    record = Record("TXT", f"_dmarc.{domain}", "v=DMARC1; p=none;")
    for name, texts in found.items():
        policies = [text for text in texts if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]
        if len(policies) > 1:
            words = f"There are several DMARC records at _dmarc.{name}; mailboxes then heed none. Keep one."
            return Check("DMARC", "warning", words, None, " / ".join(policies))
        if policies:
            return _dmarc_policy(name, domain, policies[0])
    words = (
        "Nothing says what to do with mail forged in your name. Gmail and Yahoo want this of everybody who sends much;"
        " the record below changes nothing else."
    )
    return Check("DMARC", "missing", words, record)


def unasked(domain: str, needed: str | None, selector: str | None) -> tuple[Check, ...]:
    """Say what to set where the DNS cannot be asked from here."""
    words = "The DNS cannot be asked from here, so this is not checked. See that a record like this is set."
    return (
        Check("SPF", "unknown", words, _spf_record(domain, None, needed)),
        Check("DKIM", "unknown", words, _dkim_record(domain, selector or "SELECTOR")),
        Check("DMARC", "unknown", words, Record("TXT", f"_dmarc.{domain}", "v=DMARC1; p=none;")),
    )


def _dmarc_policy(name: str, domain: str, text: str) -> Check:
    tags = dict(re.findall(r"([a-z]+)\s*=\s*([^;\s]+)", text.lower()))
    policy = tags.get("sp" if name != domain and "sp" in tags else "p")
    if policy not in ("none", "quarantine", "reject"):
        words = "Its policy is not one of none, quarantine and reject, so mailboxes do not heed it."
        return Check("DMARC", "warning", words, Record("TXT", f"_dmarc.{name}", "v=DMARC1; p=none;"), text)
    does = {
        "none": "Forged mail is let through and only watched. That is enough to begin with.",
        "quarantine": "Forged mail goes under spam: your notes need SPF or DKIM to be right.",
        "reject": "Forged mail is refused: your notes need SPF or DKIM to be right.",
    }
    return Check("DMARC", "ok", does[policy], None, text)


def _lookups(spf: str, tree: Mapping[str, str]) -> int:
    """Count the questions a mailbox has to ask; records that take in each other are counted to twice the limit."""
    count, ahead = 0, [spf]
    while ahead and count <= 2 * MOST_LOOKUPS:
        text = ahead.pop()
        count += sum(1 for word in text.split()[1:] if _ASKS.fullmatch(word))
        ahead += [tree[name] for name in leads(text) if name in tree]
    return count


def _holds(spf: str, tree: Mapping[str, str], needed: str) -> bool:
    there = {word.lstrip("+").lower() for text in (spf, *tree.values()) for word in text.split()}
    there |= {f"include:{name}" for name in tree}
    return all(word.lstrip("+") in there for word in needed.lower().split())


def _merged(records: Sequence[str]) -> str:
    """Put several records into one that lets in whoever any of them did; the DNS tells them in any order."""
    words = [word for record in sorted(records) for word in record.split()[1:]]
    last = [word for word in words if word.lower().endswith("all")]
    rest = dict.fromkeys(word for word in words if word not in last)
    strict = bool(last) and all(word.lower() == "-all" for word in last)
    return " ".join(["v=spf1", *rest, "-all" if strict else "~all"])


def _spf_record(domain: str, spf: str | None, needed: str | None) -> Record:
    part = needed or "include:YOUR-MAIL-PROVIDER"
    words = (spf or "v=spf1 ~all").split()[1:]
    end = next((word for word in words if word.lower().endswith("all")), "~all")
    end = "~all" if end.lower() in ("all", "+all") else end
    kept = [word for word in words if not word.lower().endswith("all") and word.lower() != part.lower()]
    return Record("TXT", domain, " ".join(["v=spf1", *kept, part, end]))


def _dkim_record(domain: str, selector: str) -> Record:
    return Record("TXT", f"{selector}._domainkey.{domain}", "v=DKIM1; k=rsa; p=THE-KEY-YOUR-MAIL-PROVIDER-SHOWS")


def _is_key(text: str) -> bool:
    return re.search(r"(?:^|;)\s*p=", text) is not None


# --- What Shopify lets us do --------------------------------------------------------------------------


class Scope(NamedTuple):
    """One permission of the shop, what it is for in a merchant's words, and whether we can do without."""

    name: str
    purpose: str
    needed: bool = True


SCOPES = (
    Scope("read_orders", "Orders, payments and refunds: what points are given for"),
    Scope("read_customers", "Who bought, and whether they want mail"),
    Scope("read_products", "What was bought: for exclusions, and for asking about it"),
    Scope("read_fulfillments", "Parcels: when something has arrived"),
    Scope("read_customer_merge", "When two customers of the shop become one", needed=False),
    Scope("read_shopify_payments_disputes", "Disputed payments, where a webhook about one got lost", needed=False),
    Scope("read_locales", "The shop's language, for the words of your notes", needed=False),
    Scope("read_legal_policies", "Where your return policy stands", needed=False),
    Scope("write_app_proxy", "Pages for your customers below the shop’s own address", needed=False),
    Scope("write_discounts", "Rewards that are codes for money off, shipping or a product", needed=False),
    Scope("write_gift_cards", "Rewards that are gift cards", needed=False),
    Scope("read_store_credit_accounts", "Rewards that are store credit", needed=False),
    Scope("write_store_credit_account_transactions", "Rewards that are store credit", needed=False),
    Scope(
        "write_customers",
        "Points and tier shown in your theme, in customer accounts and to Flow; the tags of your tiers",
        needed=False,
    ),
    Scope("read_all_orders", "Orders older than 60 days: only for awarding history", needed=False),
)


def granted(scope: str, scopes: Collection[str]) -> bool:
    """Tell whether a shop's permissions hold one; who may write may read, too."""
    return scope in scopes or scope.replace("read_", "write_", 1) in scopes
