"""Is anything left to do now: events to work, sales whose time has come, messages due."""

from integration.database.steps import Steps, ask, plain


def busy(now: int) -> Steps[dict[str, int]]:
    """Count what is left to do at an instant, by kind; empty when there is nothing.

    Dead letters, events of unknown shops, sales waiting for facts and messages waiting for their window do not
    count: nothing will happen to them by itself.
    """
    left: dict[str, int] = {}
    for what, statement, arguments in (
        ("events", _EVENTS, ()),
        ("events of shops just connected", _STRAGGLERS, ()),
        ("sales", _SALES, (now,)),
        ("sales to be tried again", _SETTLEMENTS, ()),
        ("messages", _MESSAGES, (now,)),
        ("rewards", _REWARDS, (now,)),
        ("referrals", _REFERRALS, (now,)),
        ("codes for friends", _CODES, (now,)),
        ("tiers", _TIERS, (now,)),
        ("tiers under a new programme", _LADDERS, ()),
        ("occasions", _OCCASIONS, (now,)),
        ("birthdays", _BIRTHDAYS, (now,)),
        ("occasions under a new programme", _WAYS, ()),
    ):
        count = (yield from ask(statement, arguments))[0][0]
        if count:
            left[what] = int(count)
    return left


_EVENTS = plain("SELECT count(*) FROM events WHERE worked_at IS NULL AND failed_at IS NULL AND merchant_id IS NOT NULL")
# Those that came beside their connection; the clock gives them to their merchant within a minute.
_STRAGGLERS = plain(
    "SELECT count(*) FROM connections c CROSS JOIN events e"
    " WHERE e.merchant_id IS NULL AND e.source = c.platform AND e.connection = c.account"
)
_SALES = plain("SELECT count(*) FROM sales WHERE settle_at IS NOT NULL AND settle_at <= ?1")
_SETTLEMENTS = plain("SELECT count(*) FROM settlements WHERE retry_at IS NOT NULL")
_MESSAGES = plain(
    "SELECT count(*) FROM messages WHERE state IN ('scheduled', 'waiting', 'sending')"
    " AND (state = 'sending' OR next_attempt_at <= ?1)"
)
_REWARDS = plain("SELECT count(*) FROM redemptions WHERE next_at IS NOT NULL AND next_at <= ?1")
_REFERRALS = plain("SELECT count(*) FROM referrals WHERE due_at IS NOT NULL AND due_at <= ?1")
_CODES = plain("SELECT count(*) FROM referral_codes WHERE next_at IS NOT NULL AND next_at <= ?1")
_TIERS = plain("SELECT count(*) FROM standings WHERE due_at IS NOT NULL AND due_at <= ?1")
_OCCASIONS = plain("SELECT count(*) FROM earners WHERE due_at IS NOT NULL AND due_at <= ?1")
_BIRTHDAYS = plain("SELECT count(*) FROM customers WHERE birthday_due_at IS NOT NULL AND birthday_due_at <= ?1")
_WAYS = plain("SELECT count(*) FROM earning_marks WHERE after_customer IS NOT NULL")
_LADDERS = plain("SELECT count(*) FROM tier_marks WHERE after_customer IS NOT NULL")
