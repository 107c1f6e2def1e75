"""`regulars privacy` from the desk: forgetting, handing over, and staying forgotten after a restore."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.config.beside import rows
from tests.config.commands.desk import Desk
from tests.config.commands.test_books import EVE, HATS

OF_HATS = ("--merchant", "Hats")
GRANT = ("customer", "adjust", "eve@x.example", *OF_HATS, "--points", "5", "--reason", '=HYPERLINK("http://x")')


@pytest.fixture
def hats(desk: Desk, database_url: str) -> Desk:
    """Hats, with Eve who has five points."""
    desk.all([HATS])
    rows(database_url, *EVE)
    desk.all([GRANT])
    return desk


def test_somebody_is_forgotten_with_a_receipt(hats: Desk) -> None:
    """The command does it at once; nobody goes by the address any more, and the books agree."""
    done = hats("privacy", "forget", "eve@x.example", *OF_HATS, "--json")
    assert (done.code, done.value["state"], done.value["customers"]) == (0, "done", [1])
    assert done.value["removed"]["customers"] >= 2
    assert hats("customer", "show", "eve@x.example", *OF_HATS).code == 1
    assert hats("audit").code == 0
    (listed,) = hats("privacy", "list", "--json").value
    assert listed == hats("privacy", "show", str(listed["request"]), "--json").value
    assert hats("privacy", "list", "--open").out == "Nothing is open.\n"
    assert hats("privacy", "show", "99").err == "There is no request 99.\n"


def test_a_persons_data_is_one_file(hats: Desk, tmp_path: Path) -> None:
    """JSON, a page to read, and CSV that no spreadsheet takes for a formula; it can be fetched again."""
    out = tmp_path / "eve.zip"
    told = hats("privacy", "export", "eve@x.example", *OF_HATS, "--to", str(out), "--json")
    assert (told.code, told.value["state"]) == (0, "done")
    with zipfile.ZipFile(out) as archive:
        data = json.loads(archive.read("data.json"))
        assert data["person"][0]["email"] == "eve@x.example"
        assert data["points"][0]["words"] == '=HYPERLINK("http://x")'
        page = archive.read("index.html").decode()
        assert "eve@x.example" in page
        assert "=HYPERLINK(&#34;" in page
        rows = list(csv.DictReader(io.StringIO(archive.read("points.csv").decode())))
        assert rows[0]["words"] == '\'=HYPERLINK("http://x")'
    again = tmp_path / "again.zip"
    assert hats("privacy", "fetch", str(told.value["request"]), "--to", str(again)).code == 0
    assert again.read_bytes() == out.read_bytes()
    # Who is forgotten leaves no file of themselves behind.
    hats("privacy", "forget", "eve@x.example", *OF_HATS)
    assert hats("privacy", "fetch", str(told.value["request"]), "--to", str(again)).code == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_backup_does_not_bring_anybody_back(hats: Desk, database_url: str, tmp_path: Path, lost: bool) -> None:
    """What was forgotten since it was made is forgotten again, though the database was lost meanwhile."""
    backup, stones = str(tmp_path / "before.backup"), str(tmp_path / "tombstones")
    assert hats("backup", backup).code == 0
    hats("privacy", "forget", "eve@x.example", *OF_HATS)
    assert hats("privacy", "tombstones", stones).code == 0
    assert "eve@" not in Path(stones).read_text()
    if lost:
        rows(
            database_url,
            *(f"DELETE FROM {table}" for table in ("tombstones", "privacy_keys", "privacy_requests", "customers")),
        )
    over = ("--tombstones", stones) if lost else ()
    assert hats("restore", backup, "--yes", *over).code == 0
    assert hats("customer", "show", "eve@x.example", *OF_HATS).code == 0
    assert hats("privacy", "run").code == 0
    assert hats("customer", "show", "eve@x.example", *OF_HATS).code == 1
    assert [one["kind"] for one in hats("privacy", "list", "--json").value] == ["customers/redact", "again"]
    assert hats("restore", backup, "--yes", "--tombstones", backup).code == 1
