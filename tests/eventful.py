"""Nora's shop with something on every page: made by the program where it can be, else written into its tables."""

import re

from handlers.merchants.referring import Referrals
from integration.clock import DAY, HOUR
from integration.facts import CustomersMerged
from tests.handlers.activity.conftest import came, order
from tests.handlers.insights.test_home import Life
from tests.handlers.messages.stage import PROGRAM, Buyer, Stage
from tests.visits import NORA, House

ELSA, DEBTOR = 1, 2  # customers' numbers
FRIENDS_LINK, FRIENDS_CODE, CODE_TO_COME = "ESSA23456789AB", "WEKCGME2345678", "CGMESSGGN23456"
DRAFTS = {"link:nora": 7, "shopify:548380009": 8}
IMPORTS = {"checked": 3, "done": 4}
_LINK = re.compile(r"https?://\S+/c/(review|unsubscribe)/\S+")


async def make_eventful(house: House) -> dict[str, str]:
    """Fill Nora's shop; returns the addresses that letters led to, by what they are for: review, unsubscribe."""
    links = await _lived(house)
    await with_accounts(house)
    await _amiss(house)
    return links


async def _lived(house: House) -> dict[str, str]:
    """Orders, refunds, parcels, notes sent and waiting, a review, ninety days of figures, changes and looks."""
    house.mail.mailbox.clear()
    stage = Stage(house.database, channel=house.mail, clock=house.clock)  # type: ignore[arg-type]
    stage.context, stage.versions = house.context, 1
    five = {"name": "5 off", "kind": "amount_off", "points": 500, "value": "5", "timezone": "Europe/Paris"}
    await stage.set(
        {**PROGRAM, "rewards": {"enabled": True, "catalogue": {"five": five}}, "referrals": {"enabled": True}}, at=0
    )
    first = stage.order("1001")
    await stage.hears(first, stage.parcel("1001"))
    await house.does("UPDATE messages SET due_at = 0, next_attempt_at = 0")
    await stage.sends()
    letters = [mail.get_body(("plain",)) for mail in house.mail.mailbox]
    links = {one[1]: one[0] for text in letters if text for one in _LINK.finditer(str(text.get_content()))}
    bo = Buyer(
        "71", "bo.with.a.long.name@a-rather-long-domain-name.example", None, True, "Bo", "Österreicher-Lindqvist"
    )
    other = Buyer("72", "e.berg@work.example", "e.berg@work.example", True, "Elsa", "Berg")
    await stage.hears(stage.order("1002", buyer=bo), stage.order("1003", buyer=other), CustomersMerged("72", "70"))
    await stage.hears(stage.refunded(first), stage.order("1004"))
    life, now = Life(house, NORA), house.clock.now()
    ((life.number,),) = await house.rows("SELECT next_entry - 1 FROM books WHERE merchant_id = 1")
    for ago in range(0, 80, 2):
        await life.entry(now - ago * DAY, "program:issued", f"customer:{ELSA}:pending", 100 + 37 * (ago % 9))
        await life.entry(now - ago * DAY, f"customer:{ELSA}:available", "program:redeemed", 20 + 11 * (ago % 5))
    await house.does(
        "INSERT INTO reviews (merchant_id, sale, line, customer, product_title, stars, words, written_at)"
        " VALUES (1, 4, '1', ?1, 'High Mountain Oolong', 5, 'A tea to come back for.', ?2)",
        ELSA, now - HOUR,
    )  # fmt: skip
    walk = '{"name": "A walk through the garden", "kind": "by_hand", "points": 300, "instructions": "Come by."}'
    for number, state in ((1, "issued"), (2, "used")):
        await house.does(
            "INSERT INTO redemptions (merchant_id, number, key, customer, reward, version, kind, terms, points,"
            " value_minor, currency, state, asked_at, expires_at, code) VALUES (1, ?1, ?2, ?3, 'walk', 2,"
            " 'by_hand', ?4, 300, 0, 'EUR', ?5, ?6, ?7, ?8)",
            number, f"wish-{number}", ELSA, walk, state, now, now + 100 * DAY, f"GARDENWALK{number}",
        )  # fmt: skip
    tenth = '{"name": "A tenth off", "kind": "percentage_off", "percent": "10", "points": 300, "shared": true}'
    await house.does(
        "INSERT INTO discounts_off (merchant_id, platform_id, reward, terms, since_at)"
        " VALUES (1, 'gid://shopify/DiscountCodeNode/7', 'tenth', ?1, ?2)",
        tenth, now - DAY,
    )  # fmt: skip
    welcome = Referrals(enabled=True).welcome.model_dump_json()
    await house.does(
        "INSERT INTO referral_links (merchant_id, code, customer, state, created_at) VALUES (1, ?1, ?2, 'open', ?3)",
        FRIENDS_LINK, ELSA, now,
    )  # fmt: skip
    for code, state in ((FRIENDS_CODE, "made"), (CODE_TO_COME, "asked")):
        await house.does(
            "INSERT INTO referral_codes (merchant_id, code, link, customer, asker, state, kind, terms, value_minor,"
            " currency, created_at, expires_at) VALUES (1, ?1, ?2, ?3, '', ?4, 'amount_off', ?5, 1000, 'EUR', ?6, ?7)",
            code, FRIENDS_LINK, ELSA, state, welcome, now, now + 30 * DAY,
        )  # fmt: skip
    for sale, state, why in ((2, "held", "household"), (3, "refused", "not_first")):
        await house.does(
            "INSERT INTO referrals (merchant_id, sale, referrer, friend, state, why, at)"
            " VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
            sale, ELSA, DEBTOR, state, why, now,
        )  # fmt: skip
    for who, number in DRAFTS.items():
        await house.does(
            "INSERT INTO program_drafts (merchant_id, number, base, fields, who, at)"
            " VALUES (1, ?1, 2, '{\"earning.points_per_unit\": \"5\"}', ?2, ?3)",
            number, who, now,
        )  # fmt: skip
    for state, number in IMPORTS.items():
        await house.does(
            "INSERT INTO imports (merchant_id, number, state, digest, file, encoding, newcomers, who, lines, good,"
            " micropoints, problems, moved, read_at, begun_at, finished_at) VALUES (1, ?1, ?2, ?2, 'smile.csv',"
            " 'utf-8', 'add', 'link:nora', 4, 2, 1240000000, '{\"email\": 2}', ?3, ?4, ?5, ?5)",
            number, state, 2 if state == "done" else 0, now, now if state == "done" else None,
        )  # fmt: skip
        await house.does(
            "INSERT INTO import_lines (merchant_id, number, line, email, micropoints, problem)"
            " VALUES (1, ?1, 2, 'ana@x.example', 1200000000, NULL), (1, ?1, 3, 'nobody', 5000000, 'email')",
            number,
        )
    return links


async def _amiss(house: House) -> None:
    """One of everything that wants somebody."""
    now = house.clock.now()
    await came(house, order(id=7, name="#1007"))
    await came(house, b"{broken")
    debt = f"customer:{DEBTOR}:available"
    await house.does("DELETE FROM accounts WHERE merchant_id = 1 AND account = ?1", debt)
    await house.does("INSERT INTO accounts VALUES (1, ?1, -5000000)", debt)
    await house.does(
        "INSERT INTO messages (merchant_id, key, kind, customer, sale, channel, state, due_at, next_attempt_at,"
        " attempts, closed_at, reason, created_at) VALUES (1, 'thank_you:sale:91', 'thank_you', 2, 2, 'email',"
        " 'failed', ?1, ?1, 1, ?1, 'the mailbox refused it for good: 550 5.1.1 no such mailbox', ?1),"
        " (1, 'thank_you:sale:92', 'thank_you', 2, 2, 'email', 'waiting', ?1, ?2, 7, NULL, 'the mail server is away',"
        " ?1)",
        now - HOUR, now + HOUR,
    )  # fmt: skip
    await house.does("UPDATE sales SET standing = 'elsewhere', paired_with = 1 WHERE merchant_id = 1 AND number = 3")
    await house.does("UPDATE connections SET revoked_at = ?1, revoked_why = 'the app was removed' WHERE id = 13", now)
    for kind, stage, done in (("customers/redact", "done", now), ("customers/data_request", "find", None)):
        await house.does(
            "INSERT INTO privacy_requests (merchant_id, kind, who, asked_at, due_at, stage, numbers, next_at, done_at)"
            " VALUES (1, ?1, 'shopify', ?2, ?3, ?4, '[1]', ?2, ?5)",
            kind, now, now + 30 * DAY, stage, done,
        )  # fmt: skip


async def with_accounts(house: House) -> None:
    """Nora's shop with permissions, and Stripe accounts in every state."""
    does = house.does
    now = house.clock.now()
    scopes = '["read_orders", "read_customers", "read_products"]'
    await does("UPDATE connections SET token = 'x', scopes = ?1, connected_at = ?2 WHERE merchant_id = 1", scopes, now)
    states = (("Nora's tea", "ok", None), ("Tea to go", "missing", "somebody deleted the webhook endpoint in Stripe"),
              ("Old shop", "revoked", "Stripe no longer accepts the key"))  # fmt: skip
    for number, (name, state, reason) in enumerate(states, start=11):
        await does(
            "INSERT INTO connections (id, merchant_id, platform, account, token, created_at, connected_at, revoked_at)"
            " VALUES (?1, 1, 'stripe', ?2, 'x', ?3, ?3, ?4)", number, f"path{number}", now,
            now if state == "revoked" else None,
        )  # fmt: skip
        await does(
            "INSERT INTO stripe_accounts (merchant_id, connection, account, livemode, name, key_hint, state, reason,"
            " connected_at) VALUES (1, ?1, ?2, ?5, ?3, 'a1b2', ?6, ?7, ?4)",
            number, f"acct_1Pretend{number}", name, now, int(number != 12), state, reason,
        )  # fmt: skip
        await does(
            "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state, checked_at, heard_at, quiet_since,"
            " quiet_why) VALUES (1, ?1, 0, 'ok', ?2, ?2, ?3, 'two payments came to light by looking')",
            number, now, now if number == 12 else None,
        )  # fmt: skip
        await does(
            "INSERT INTO reconciliations (merchant_id, connection, started_at, since_at, sales, micropoints)"
            " VALUES (1, ?1, ?2, 0, 3, 41000000)", number, now,
        )  # fmt: skip
