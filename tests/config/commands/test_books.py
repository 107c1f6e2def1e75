"""`regulars audit`, `backup`, `restore` and `customer` from the desk."""

import re
from pathlib import Path

import pytest

from tests.config.beside import beside, rows
from tests.config.commands.desk import Desk
from tests.handlers.points.books import post

HATS = ("merchant", "add", "Hats", "--currency", "USD", "--timezone", "Europe/Paris")
EVE = (
    "INSERT INTO customers (merchant_id, number, email, created_at) VALUES (1, 1, 'eve@x.example', 0)",
    "INSERT INTO customer_identities (merchant_id, kind, value, customer) VALUES (1, 'email', 'eve@x.example', 1)",
)


def posted(database_url: str, *postings: tuple[str, str, int]) -> None:
    """Have Eve in the books, and some entries of hers."""
    rows(database_url, *EVE)
    beside(database_url, lambda database: post(database, 1, postings))


def test_the_audit_is_clean_until_something_is_changed(desk: Desk, database_url: str) -> None:
    """Exit 0 and a line; then exit 1 and a list, in JSON as well."""
    desk.all([HATS])
    posted(database_url, ("program:issued", "customer:1:available", 30_000_000))
    clean = desk("audit")
    assert (clean.code, clean.out) == (0, "Everything agrees: 1 merchants, 1 entries, 0 sales.\n")
    rows(database_url, "UPDATE accounts SET micropoints = 1 WHERE account = 'customer:1:available'")
    drifted = desk("audit", "--json")
    assert drifted.code == 1
    assert drifted.value["drifts"] == 2
    assert {drift["where"] for drift in drifted.value["merchants"][0]["drifts"]} == {
        "customer:1:available",
        "all accounts",
    }
    assert re.search(r"Hats, customer:1:available: 1 micropoints are kept", desk("audit", "--merchant", "Hats").out)


def test_a_backup_is_put_back(desk: Desk, database_url: str, tmp_path: Path) -> None:
    """All of it, and over something else only when told to."""
    desk.all([HATS])
    file = str(tmp_path / "regulars.backup")
    made = desk("backup", file, "--json")
    assert (made.code, made.value["rows"]["merchants"]) == (0, 1)
    desk.all([("merchant", "add", "Shoes", "--currency", "USD", "--timezone", "UTC")])
    refused = desk("restore", file)
    assert (refused.code, refused.out) == (1, "")
    assert "--yes" in refused.err
    assert desk("restore", file, "--yes").code == 0
    assert [one["name"] for one in desk("merchant", "list", "--json").value] == ["Hats"]


def test_what_cannot_be_backed_up_or_put_back_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    """A folder that is not there, a file that is no backup."""
    (tmp_path / "photo").write_bytes(b"\xff\xd8")
    for words in (("backup", str(tmp_path / "nowhere" / "b")), ("restore", str(tmp_path / "photo"))):
        answer = desk(*words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)


def test_a_database_that_is_away_or_not_set_up_is_one_sentence(
    empty_desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the address, which may hold a password."""
    for url in ("", "postgresql://ada:secret@127.0.0.1:1/hats"):
        monkeypatch.setenv("DATABASE_URL", url)
        for words in (("backup", str(tmp_path / "b")), ("audit",)):
            answer = empty_desk(*words)
            assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
            assert "secret" not in answer.err
    assert not (tmp_path / "b").exists()


def test_a_restore_sets_up_an_empty_machine(empty_desk: Desk, data_dir: Path, tmp_path: Path) -> None:
    """A new machine needs the program, the key and the file."""
    empty_desk.all([HATS, ("backup", str(tmp_path / "b"))])
    for file in data_dir.glob("regulars.db*"):
        file.unlink()
    assert empty_desk("restore", str(tmp_path / "b")).code == 0
    assert [one["name"] for one in empty_desk("merchant", "list", "--json").value] == ["Hats"]


def test_a_customer_is_shown_listed_and_put_right(desk: Desk, database_url: str) -> None:
    """The shapes are those programs rely on."""
    desk.all([HATS])
    posted(database_url, ("program:issued", "customer:1:pending", 30_500_000))
    shown = desk("customer", "show", "eve@x.example", "--merchant", "Hats", "--json").value
    assert set(shown) == {"customer", "points", "expires", "tier", "entries", "messages", "sales"}
    assert shown["points"] == {"available": 0, "pending": 30, "held": 0, "lifetime": 0}
    assert set(shown["entries"][0]) == {"at", "reason", "points", "from", "to", "sale", "key"}
    given = desk(
        *("customer", "adjust", "eve@x.example", "--merchant", "Hats"),
        *("--points", "5", "--reason", "late parcel", "--key", "p-1", "--json"),
    )
    assert given.value["points"]["available"] == 5
    assert desk("customer", "list", "--merchant", "Hats", "--json").lines == [
        {"email": "eve@x.example", "points": given.value["points"], "sales": 0}
    ]
    text = desk("customer", "show", "eve@x.example", "--merchant", "Hats").out
    assert "5 points available, 30 pending" in text
    assert desk("customer", "forgive", "eve@x.example", "--merchant", "Hats").err == "This customer owes no points.\n"


def test_an_unknown_customer_or_merchant_is_exit_1(desk: Desk) -> None:
    """With one sentence and no output."""
    desk.all([HATS])
    for words in (("show", "bob@x.example", "--merchant", "Hats"), ("list", "--merchant", "Shoes")):
        answer = desk("customer", *words, "--json")
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
