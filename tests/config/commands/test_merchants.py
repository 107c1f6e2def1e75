"""`regulars merchant` does what the contract says, in text and in JSON."""

import json
from pathlib import Path

import pytest

from tests.config.beside import rows
from tests.config.commands.desk import Desk

HATS = ("merchant", "add", "Hats", "--shopify", "hats", "--currency", "USD", "--timezone", "Europe/Paris")


def test_on_a_fresh_machine_the_first_merchant_sets_up_the_database(empty_desk: Desk, data_dir: Path) -> None:
    """Nobody has to know of migrations to begin; before that, commands say what is missing."""
    answer = empty_desk("merchant", "list")
    assert (answer.code, answer.out) == (1, "")
    assert "regulars migrate" in answer.err
    data_dir.joinpath("regulars.db").unlink()
    assert empty_desk(*HATS).code == 0
    assert [one["name"] for one in empty_desk("merchant", "list", "--json").value] == ["Hats"]


def test_a_merchant_is_added_and_listed(desk: Desk) -> None:
    """With JSON for programs, and a line for people."""
    added = desk(*HATS, "--json").value
    assert (added["name"], added["shopify"], added["currency"]) == ("Hats", "hats.myshopify.com", "USD")
    assert desk("merchant", "list", "--json").value == [added]
    assert desk("merchant", "list").out == "Hats: hats.myshopify.com, USD, Europe/Paris\n"


def test_a_refusal_is_one_sentence_on_stderr(desk: Desk) -> None:
    """Exit 1, and nothing on stdout that a program could take for an answer."""
    desk.all([HATS])
    answer = desk(*HATS, "--json")
    assert (answer.code, answer.out, answer.err) == (1, "", "There is already a merchant named Hats.\n")


@pytest.mark.parametrize("words", [("merchant", "add"), ("merchant", "add", "X", "--currency"), ("merchant", "what")])
def test_wrong_usage_is_exit_2(desk: Desk, words: tuple[str, ...]) -> None:
    """Which is another thing than a refusal."""
    assert desk(*words).code == 2


def test_stripe_gives_a_path_that_stays(desk: Desk) -> None:
    """A rolled secret does not change where Stripe sends."""
    desk.all([HATS])
    first = desk("merchant", "stripe", "Hats", "--webhook-secret", "whsec_first", "--json").value
    assert first["webhook_path"].startswith("/webhooks/stripe/")
    second = desk("merchant", "stripe", "Hats", "--webhook-secret", "whsec_second", "--api-key", "rk_live_1234")
    assert second.out.strip().endswith(first["webhook_path"])


@pytest.mark.parametrize("key", ["sk_live_1234", "pk_live_1234"])
def test_a_key_that_may_do_everything_is_not_taken(desk: Desk, key: str) -> None:
    """The sentence says which one is."""
    desk.all([HATS])
    answer = desk("merchant", "stripe", "Hats", "--webhook-secret", "whsec_first", "--api-key", key)
    assert (answer.code, answer.out) == (1, "")
    assert "rk_" in answer.err


@pytest.mark.parametrize(("key", "said"), [("sk_live_1234", "secret key"), ("whsec_1234", "signing secret")])
def test_what_is_no_restricted_key_is_refused_before_any_call(desk: Desk, key: str, said: str) -> None:
    """And is not repeated."""
    desk.all([HATS])
    answer = desk("merchant", "stripe", "Hats", "--api-key", key)
    assert (answer.code, said in answer.err, key in answer.err) == (1, True, False)


@pytest.mark.parametrize("words", [(), ("--disconnect", "acct_1", "--api-key", "rk_live_1234")])
def test_stripe_needs_one_thing_to_do(desk: Desk, words: tuple[str, ...]) -> None:
    """Wrong usage is exit 2; an account that is not there is exit 1."""
    desk.all([HATS])
    assert desk("merchant", "stripe", "Hats", *words).code == 2
    assert desk("merchant", "stripe", "Hats", "--disconnect", "acct_1").code == 1


def test_a_programme_is_shown_changed_and_read_back(desk: Desk, tmp_path: Path) -> None:
    """What is printed is what --file takes."""
    desk.all([HATS])
    before = desk("merchant", "program", "Hats", "--json").value
    assert before["earning"]["enabled"] is False
    changed = desk(
        "merchant", "program", "Hats", "--set", "earning.enabled=true", "--set", "earning.points_per_unit=2.5"
    )
    assert changed.value["earning"] == {**before["earning"], "enabled": True, "points_per_unit": 2.5}
    file = tmp_path / "program.json"
    file.write_text(json.dumps(before))
    assert desk("merchant", "program", "Hats", "--file", str(file), "--set", "thanks.when=every").value == {
        **before,
        "thanks": {**before["thanks"], "when": "every"},
    }


def test_a_wrong_setting_is_named_and_changes_nothing(desk: Desk) -> None:
    """Neither do the right ones beside it."""
    desk.all([HATS])
    before = desk("merchant", "program", "Hats").value
    answer = desk("merchant", "program", "Hats", "--set", "earning.enabled=true", "--set", "earning.hold_days=year")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "earning.hold_days cannot be year: it takes a whole number from 0 to 90.\n"
    forged = desk("merchant", "program", "Hats", "--set", "messages.from_address=a@b.example\nBcc: c@d.example")
    assert forged.code == 1 and forged.err.count("\n") == 1
    assert desk("merchant", "program", "Hats").value == before


def test_a_file_that_cannot_be_read_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    """Missing, or not text."""
    desk.all([HATS])
    (tmp_path / "photo").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere", "photo"):
        answer = desk("merchant", "program", "Hats", "--file", str(tmp_path / name))
        assert answer.code == 1
        assert "cannot be read" in answer.err


SOLD_LATE = (
    "INSERT INTO sales (merchant_id, number, facts, revision, standing, sold_at, created_at)"
    f" SELECT id, 1, '{{}}', 1, 'counted', {2**60}, 0 FROM merchants"
)


def test_what_was_sold_under_a_new_programme_before_it_was_written_is_settled_again(
    desk: Desk, database_url: str
) -> None:
    """A platform's clock runs ahead of ours: its sale may have been told and settled under the former one."""
    desk.all([HATS])
    rows(database_url, SOLD_LATE)
    desk.all([("merchant", "program", "Hats", "--set", "earning.enabled=true")])
    ((settle_at,),) = rows(database_url, "SELECT settle_at FROM sales")
    assert settle_at is not None


def test_stripe_connected_again_counts_what_was_sold_meanwhile_and_sends_again(desk: Desk, database_url: str) -> None:
    """Who had left everywhere is back: nothing of leaving is left behind."""
    desk.all([HATS, ("merchant", "stripe", "Hats", "--webhook-secret", "whsec_first")])
    left = ("UPDATE connections SET closed_at = 1 WHERE platform = 'stripe'", "UPDATE merchants SET closed_at = 1")
    rows(database_url, SOLD_LATE, *left)
    desk.all([("merchant", "stripe", "Hats", "--webhook-secret", "whsec_second")])
    told = "SELECT s.settle_at, m.closed_at FROM sales s CROSS JOIN merchants m"
    ((settle_at, closed_at),) = rows(database_url, told)
    assert settle_at is not None and closed_at is None


def test_a_shop_that_left_is_connected_again_and_finds_its_books(desk: Desk, database_url: str) -> None:
    """A reinstall is the same merchant: the same command, the same programme, and sales made meanwhile count."""
    desk.all([HATS, ("merchant", "program", "Hats", "--set", "earning.enabled=true")])
    left = ("UPDATE connections SET closed_at = 1, token = NULL", "UPDATE merchants SET closed_at = 1")
    rows(database_url, SOLD_LATE, *left)
    other = desk("merchant", "add", "Hats", "--shopify", "caps", "--currency", "USD", "--timezone", "Europe/Paris")
    assert (other.code, other.err) == (1, "There is already a merchant named Hats.\n")
    again = desk(*HATS, "--json")
    assert (again.code, again.value["shopify"], again.value["closed_at"]) == (0, "hats.myshopify.com", None)
    assert desk("merchant", "program", "Hats", "--json").value["earning"]["enabled"] is True
    ((settle_at,),) = rows(database_url, "SELECT settle_at FROM sales")
    assert settle_at is not None
    assert desk(*HATS).err == "There is already a merchant named Hats.\n"


@pytest.mark.parametrize(
    "words",
    [
        ("customer", "show", "nobody@home.example", "--merchant", "Hats"),
        ("customer", "show", "ana@home.example", "--merchant", "Nowhere"),
        ("merchant", "program", "Hats", "--set", "earning.points_per_unit=many"),
        ("merchant", "add", "Hats", "--currency", "USD", "--timezone", "UTC"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_unknown_names_are_one_sentence_and_exit_1(desk: Desk, words: tuple[str, ...], form: tuple[str, ...]) -> None:
    """For people and programs alike."""
    desk.all([HATS])
    done = desk(*words, *form)
    assert (done.code, done.out, len(done.err.strip().splitlines())) == (1, "", 1)


def test_what_a_command_needs_and_is_not_given_is_wrong_usage(desk: Desk) -> None:
    """Exit 2, as with every command line."""
    assert desk("merchant", "add", "Two").code == 2
