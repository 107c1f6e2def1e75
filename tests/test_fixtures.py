"""The servers tests lean on are real and empty when a test gets them."""

import asyncio
import smtplib
from email.message import EmailMessage

import asyncpg
import pytest

from config.migrate import differences
from tests.databases import Databases


def letter_to(address: str) -> EmailMessage:
    """Write a short letter."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "shop@example.com", address, "Thank you, Zoë"
    letter.set_content("See you soon.")
    return letter


async def test_the_mailbox_keeps_what_it_accepts(mailbox):
    """A letter sent over SMTP can be read, with its recipients."""
    with smtplib.SMTP(*mailbox.url.removeprefix("smtp://").split(":")) as client:
        client.send_message(letter_to("ada@example.com"))
    [letter] = await mailbox.holds(1)
    assert letter["Subject"] == "Thank you, Zoë"
    assert mailbox.to("ada@example.com") == [letter]


def test_the_mailbox_refuses_as_told(mailbox):
    """Answers are used up one a letter, and a refused address is refused for good."""
    mailbox.answers = ["451 4.3.0 later"]
    mailbox.refused = {"gone@example.com"}
    with smtplib.SMTP(*mailbox.url.removeprefix("smtp://").split(":")) as client:
        with pytest.raises(smtplib.SMTPDataError, match="451"):
            client.send_message(letter_to("ada@example.com"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.send_message(letter_to("gone@example.com"))
        client.send_message(letter_to("ada@example.com"))
    assert len(mailbox.letters) == 1


def test_the_queue_is_empty_when_a_test_starts(redis_url):
    """Two tests share one Valkey; neither sees what the other left."""
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_queue_is_empty_for_the_next_test_too(redis_url):
    """The other half of the test above."""
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


EVENT = (
    "INSERT INTO events (source, connection, delivery_id, topic, received_at, next_attempt_at)"
    " VALUES ('shopify', 'lavender', 'w1', 'note', 1, 1) RETURNING id"
)


async def answers(url: str, *statements: str) -> list[object]:
    """Run statements in a session; returns the first value of each."""
    session = await asyncpg.connect(url)
    try:
        return [await session.fetchval(statement) for statement in statements]
    finally:
        await session.close()


async def test_rows_and_numbers_of_one_test_are_not_there_in_the_next(postgres_databases: Databases) -> None:
    """The database is the same and as good as new: a row that was written and deleted leaves no number either."""
    with postgres_databases.lent() as first:
        assert await answers(first, EVENT, "DELETE FROM events", "SELECT count(*) FROM events") == [1, None, 0]
    with postgres_databases.lent() as second:
        assert await answers(second, "SELECT count(*) FROM events", EVENT) == [0, 1]
    with postgres_databases.lent() as third:
        assert await answers(third, "SELECT count(*) FROM events", EVENT) == [0, 1]
    assert first == second == third


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX ix_events_waiting",
        "ALTER INDEX ix_events_waiting RENAME TO ix_waiting",
        "ALTER TABLE events ADD COLUMN mood text",
        "ALTER TABLE events RENAME COLUMN topic TO subject",
        "ALTER TABLE events ALTER COLUMN topic SET DEFAULT 'note'",
        "ALTER TABLE events SET (fillfactor = 50)",
        "CREATE TABLE guests (name text)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1",
        "GRANT SELECT ON events TO PUBLIC",
        "ANALYZE events",
        "UPDATE alembic_version SET version_num = '0001'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
    ],
)
async def test_a_database_that_is_not_as_it_was_is_lent_to_nobody_else(
    postgres_databases: Databases, change: str
) -> None:
    """The schema, the planner's figures, settings, rows of the revisions: the next test gets another database."""
    with postgres_databases.lent() as first:
        await answers(first, EVENT, change)
    with postgres_databases.lent() as second:
        assert second != first
        assert await answers(second, "SELECT count(*) FROM events", EVENT) == [0, 1]
        assert await asyncio.to_thread(differences, second) == []


async def test_a_database_somebody_still_uses_is_lent_to_nobody_else(postgres_databases: Databases) -> None:
    """What is left open could write later, so it is closed, with its database."""
    with postgres_databases.lent() as first:
        session = await asyncpg.connect(first)
        await session.execute(f"BEGIN; {EVENT}")
    with postgres_databases.lent() as second:
        assert second != first
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.execute("COMMIT")


async def test_a_database_nobody_may_enter_any_more_is_lent_to_nobody_else(postgres_databases: Databases) -> None:
    """A test may cut every session off, ours too."""
    with postgres_databases.lent() as first:
        await answers(first, EVENT)
        postgres = await asyncpg.connect(postgres_databases.address("postgres"))
        name = first.rpartition("/")[2]
        await postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await postgres.close()
    with postgres_databases.lent() as second:
        assert second != first
