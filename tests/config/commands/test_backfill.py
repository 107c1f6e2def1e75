"""`regulars backfill` from the desk: a look, the run, a kill in the middle, and taking it back."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handlers.backfill.jobs import BATCH
from integration.clock import SECOND, Clock
from tests.benchmarks import past_orders
from tests.config.beside import rows
from tests.config.commands.desk import Desk
from tests.conftest import REPOSITORY

HATS = ("merchant", "add", "Hats", "--shopify", "hats", "--currency", "USD", "--timezone", "Europe/Paris")
ON = ("merchant", "program", "Hats", "--set", "earning.enabled=true", "--set", "earning.points_per_unit=1",
      "--set", "thanks.enabled=true", "--set", "reviews.enabled=true")  # fmt: skip
ORDERS = 1_300  # three batches
KILLED = """
import sys
from integration import faults
faults.arm(sys.argv.pop(1))
sys.argv[0] = "regulars"
from config.cli import main
main()
"""


def written(folder: Path, orders: int) -> tuple[str, int]:
    """A bulk result of Hats' own, and the points that lie in it at one a dollar."""
    file = folder / "orders.jsonl"
    points = past_orders.write(file, orders, Clock().now())
    file.write_text(file.read_text().replace("bench.myshopify.com", "hats.myshopify.com"))
    return str(file), points


def test_a_look_then_the_run_then_back(desk: Desk, database_url: str, tmp_path: Path) -> None:
    """What the look foresaw is what the run brings; undone, nothing is left of it, and nobody got mail."""
    file, points = written(tmp_path, 60)
    desk.all([HATS])
    off = desk("backfill", "Hats", "--file", file)
    assert off.code == 0
    assert "Earning is off" in off.out
    refused = desk("backfill", "Hats", "--file", file, "--commit")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    desk.all([ON])
    _until_in_force(database_url)
    looked = desk("backfill", "Hats", "--file", file, "--json").lines[-1]
    assert (looked["state"], looked["orders"], looked["points"]) == ("foreseen", 60, points)
    done = desk("backfill", "Hats", "--file", file, "--commit", "--json").lines[-1]
    assert (done["run"], done["state"], done["orders"], done["points"]) == (1, "done", 60, points)
    assert desk("backfill", "Hats", "--undo", "1").out == (
        f"Backfill 1 of Hats is undone: {points:,} points were taken back.\n"
    )
    again = desk("backfill", "Hats", "--undo", "1")
    assert (again.code, "undone already" in again.err) == (1, True)
    assert rows(database_url, "SELECT count(*) FROM messages") == [(0,)]
    assert desk("audit").code == 0


def test_a_killed_run_goes_on_where_it_was(desk: Desk, database_url: str, tmp_path: Path, data_dir: Path) -> None:
    """kill -9 again and again, before a batch is kept and after: the end is that of one undisturbed run."""
    file, points = written(tmp_path, ORDERS)
    desk.all([HATS, ON])
    _until_in_force(database_url)
    for where, kept in (("backfill.taken:kill:2", 1), ("backfill.kept:kill:1", 2)):
        words = (sys.executable, "-c", KILLED, where, "backfill", "Hats", "--file", file, "--commit", "--json")
        ended = subprocess.run(words, cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert rows(database_url, "SELECT count(*) FROM sales") == [(kept * BATCH,)]
    done = desk("backfill", "Hats", "--file", file, "--commit", "--json").lines[-1]
    assert (done["run"], done["state"], done["orders"], done["points"]) == (1, "done", ORDERS, points)
    assert rows(database_url, "SELECT count(*) FROM sales") == [(ORDERS,)]
    assert desk("audit").code == 0
    assert not list(data_dir.glob("*.lines*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Nobody",), "no merchant named Nobody"),
        (("Hats",), "--file"),
        (("Hats", "--undo", "3"), "no backfill 3"),
        (("Hats", "--since", "yesterday"), "is not a day"),
        (("Hats", "--file", "/nowhere/orders.jsonl"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(desk: Desk, words: tuple[str, ...], said: str) -> None:
    """On stderr, with exit 1."""
    desk.all([HATS])
    answer = desk("backfill", *words)
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert said in answer.err


def test_undoing_goes_with_nothing_else(desk: Desk) -> None:
    """Wrong usage is exit 2."""
    assert desk("backfill", "Hats", "--undo", "1", "--commit").code == 2


def _until_in_force(database_url: str) -> None:
    """A programme is in force from the next whole second."""
    (found,) = rows(database_url, "SELECT max(in_force_at) FROM program_versions")
    time.sleep(max(0, found[0] - Clock().now()) / SECOND)
