"""`regulars data`: files out whole, balances in after a look."""

from pathlib import Path

import pytest

from tests.config.commands.desk import Desk
from tests.config.commands.test_merchants import HATS

BALANCES = "email,points\nana@x.example,1200\nnobody,7\n"


@pytest.fixture
def balances(tmp_path: Path) -> str:
    """A file with a good line and a wrong one."""
    file = tmp_path / "balances.csv"
    file.write_text(BALANCES)
    return str(file)


def test_balances_are_looked_at_brought_in_and_taken_back(desk: Desk, balances: str) -> None:
    """Each step says in numbers what it did."""
    desk.all([HATS])
    looked = desk("data", "import", "Hats", balances, "--json").value
    assert (looked["state"], looked["lines"], looked["good"], looked["left_out"]) == (
        "checked", 2, 1, {"not an address": 1},
    )  # fmt: skip
    done = desk("data", "import", "Hats", balances, "--commit", "--json").value
    assert (done["state"], done["moved"], done["points"]) == ("done", 1, "1200")
    shown = desk("customer", "show", "ana@x.example", "--merchant", "Hats", "--json").value
    assert shown["points"]["available"] == 1200 and shown["messages"] == []
    again = desk("data", "import", "Hats", balances)
    assert (again.code, "already" in again.err) == (1, True)
    undone = desk("data", "import", "Hats", "--undo", str(done["import"]), "--json").value
    assert (undone["state"], undone["taken_back"]) == ("undone", "1200")
    assert desk("audit").code == 0


def test_a_file_goes_out_whole_or_not_at_all(desk: Desk, tmp_path: Path, balances: str) -> None:
    """Nothing is left of one that could not be written."""
    desk.all([HATS, ("data", "import", "Hats", balances, "--commit")])
    out = tmp_path / "out.csv"
    assert desk("data", "export", "Hats", "customers", str(out), "--bom").code == 0
    assert out.read_bytes().startswith(b"\xef\xbb\xbfcustomer,email")
    assert desk("data", "export", "Nobody", "customers", str(tmp_path / "no.csv")).code == 1
    assert desk("data", "export", "Hats", "customers", str(tmp_path / "away" / "no.csv")).code == 1
    assert sorted(path.name for path in tmp_path.glob("*.csv*")) == ["balances.csv", "out.csv"]


@pytest.mark.parametrize(
    "words",
    [
        ("export", "Hats", "secrets", "x.csv"),
        ("import", "Hats"),
        ("import", "Hats", "x.csv", "--undo", "1"),
        ("import", "Hats", "--undo", "1", "--commit"),
    ],
)
def test_wrong_usage_is_exit_2(desk: Desk, words: tuple[str, ...]) -> None:
    """Which is another thing than a file that is not there."""
    desk.all([HATS])
    assert desk("data", *words).code == 2
    assert desk("data", "import", "Hats", "/nowhere/x.csv").code == 1
