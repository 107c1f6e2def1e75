"""The demo tells its story on a machine with nothing but the program, checks it, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from config.demo import cast
from config.demo.page import Page
from config.demo.story import play
from config.demo.world import World, open_world
from integration.clock import DAY

REGULARS = (sys.executable, "-c", "from config.cli import main; main()")
STORY_SECONDS = 60  # a busy machine; a quiet one needs a tenth of it

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded Valkey has no wheel for it")


def environment(folder: Path) -> dict[str, str]:
    """What a newcomer's shell has: nothing of ours, and a place of its own for temporary files."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}


def test_the_demo_played_once_is_right(tmp_path: Path) -> None:
    """One order earns, is thanked, asked about, half refunded and released; repeats and disorder change nothing."""
    done = subprocess.run(
        [*REGULARS, "demo", "--once", "--json"],
        cwd=Path(__file__).parents[2],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=STORY_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert account["right"] and account["differed"] is None
    points = [(scene["points"]["available"], scene["points"]["pending"]) for scene in account["scenes"]]
    assert points == [
        *((0, 0), (0, 150), (0, 150), (0, 150), (0, 150), (0, 75), (75, 0)),
        *((75, 0), (75, 48)),
    ]
    subjects = [subject for scene in account["scenes"] for subject in scene["mails"]]
    assert subjects[0] == "Thank you, Ana" and len(subjects) == 4
    assert not [name for name in os.listdir(tmp_path) if name.startswith("regulars-demo-")]


async def test_a_program_that_pays_otherwise_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The story fails with the sentence of what differed where the numbers are not its own."""
    monkeypatch.setitem(cast.PROGRAM, "earning.points_per_unit", 4)
    async with open_world(tmp_path, history=False) as world:
        account = await play(world)
    assert account.differed is not None
    assert account.differed.startswith("She pays: 150 points are pending was expected, but it is")
    assert account.as_json()["right"] is False


async def test_the_shop_opens_with_a_believable_past(tmp_path: Path) -> None:
    """Weeks of orders were played through the real path: balances, mails in four languages, nothing failed."""
    async with open_world(tmp_path) as world:
        assert world.context.clock.offset == 0
        shown = {part.first_name: await world.account_of(part.email) for part in cast.CAST}
        assert shown["Ana"] == {}
        # 30.50 and 32.00 dollars at three points each; the first is past its return window.
        assert shown["Léa"]["points"] == {"available": 91, "pending": 96, "held": 0, "lifetime": 91}
        assert shown["Jonas"]["points"]["available"] == 42
        subjects = {mail.recipients[0]: mail.subject for mail in world.mailbox.mails[::-1]}
        assert subjects["lea@moreau.example"].startswith("Merci")
        assert subjects["jonas@weber.example"].startswith("Vielen Dank")
        assert subjects["sofia@romero.example"].startswith("Gracias")
        assert not world.sender.unanswered()
        assert await dead(world) == 0
        assert not (await world.house.audit(world.merchant)).drifts
        await both_see_their_pages(world)


async def both_see_their_pages(world: World) -> None:
    """The demo's page leads to Léa's own page, with something to have, and to the shopkeeper's."""
    demo = httpx.AsyncClient(transport=httpx.ASGITransport(Page(world).app), base_url="http://127.0.0.1")
    async with demo, httpx.AsyncClient() as http:
        hers = (await demo.get("/as/customer", params={"person": "lea@moreau.example"})).headers["location"]
        page = (await http.get(hers)).text
        assert "Léa" in page and "A tin of Earl Grey" in page
        nobody = (await demo.get("/as/customer", params={"person": "ana@diaz.example"})).headers["location"]
        assert nobody.startswith("/?") and "no+page+yet" in nobody
        link = (await demo.get("/as/merchant")).headers["location"]
        assert (await http.post(link, headers={"Origin": world.house.url})).status_code == 303


async def test_moving_the_clock_does_what_falls_due_at_once(tmp_path: Path) -> None:
    """Thirty-one days on, the newest purchase is out of its return window without any event."""
    async with open_world(tmp_path) as world:
        await world.pass_time(31 * DAY)
        await world.settled()
        assert (await world.account_of("lea@moreau.example"))["points"]["pending"] == 0
        with pytest.raises(ValueError, match="forward"):
            await world.pass_time(-DAY)


async def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """After SIGINT the command ends with 0, its page and its Valkey are gone, and so is its folder."""
    process = await asyncio.create_subprocess_exec(
        *(*REGULARS, "demo", "--no-browser", "--json", "--port", "0"),
        cwd=Path(__file__).parents[2],
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(STORY_SECONDS):
            where = json.loads(await process.stdout.readline())
        async with httpx.AsyncClient() as client:
            assert "Marlow &amp; Finch" in (await client.get(where["url"])).text
            assert (await client.get(f"{where['app']}/readyz")).status_code == 200
            valkeys = children(process.pid)
            assert len(valkeys) == 1
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(20):
                assert await process.wait() == 0
            with pytest.raises(httpx.ConnectError):
                await client.get(where["url"])
    finally:
        if process.returncode is None:
            process.kill()
    assert not [pid for pid in valkeys if Path(f"/proc/{pid}").exists()]
    assert not [name for name in os.listdir(tmp_path) if name.startswith("regulars-demo-")]


def children(pid: int) -> list[int]:
    """Processes started by a process, on systems that list them."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("this system does not list a process's children")
    return [int(each) for each in listed.read_text().split()]


async def dead(world: World) -> int:
    """How many events were given up."""
    async with world.context.engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM events WHERE failed_at IS NOT NULL")
        return int(found.scalar_one())
