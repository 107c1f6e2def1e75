"""What somebody may do with their data, once a mail has shown that it is them."""

import io
import zipfile

from handlers.privacy.jobs import carry_out
from tests.handlers.account.guests import Guest, key_in


async def test_everything_that_is_kept_comes_as_a_file(ana: Guest) -> None:
    """Asked for, put together, downloaded in the same half hour; by nobody without a session."""
    page = await ana.comes_in()
    done = await ana.http.post("/c/account/export", data={"key": key_in(page, "export")})
    assert "Your file is being put together" in done.text
    assert "Your file is being put together" in (await ana.http.get("/c/account")).text
    await carry_out(ana.context)
    page = await ana.http.get("/c/account")
    assert 'href="/c/account/file?number=1"' in page.text
    file = await ana.http.get("/c/account/file?number=1")
    assert file.status_code == 200 and file.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        assert "ana@1.example" in archive.read("data.json").decode()
        assert '"birthday"' in archive.read("data.json").decode()
    assert (await Guest(ana.counter).http.get("/c/account/file?number=1")).status_code == 404


async def test_a_file_the_shop_asked_for_is_not_theirs_to_fetch(ana: Guest) -> None:
    """What the merchant wanted is the merchant's to look through first."""
    privacy, merchant, now = ana.context.privacy, ana.counter.stall.merchant, ana.context.clock.now()
    assert privacy is not None
    await ana.context.database.run(lambda: privacy.hand_over(merchant, ana.counter.ana, "link:nora", now))
    await carry_out(ana.context)
    await ana.comes_in()
    assert (await ana.http.get("/c/account/file?number=1")).status_code == 404


async def test_somebody_who_wants_to_be_forgotten_is(ana: Guest) -> None:
    """After a tick and a button; then neither the session nor any link leads anywhere."""
    letter = ana.link()
    page = await ana.comes_in()
    told = {"day": "3", "month": "4", "key": key_in(page, "birthday")}
    assert (await ana.http.post("/c/account/birthday", data=told)).status_code == 200
    asked = await ana.http.get("/c/account/forget")
    assert "your 1,0" in asked.text and "cannot be undone" in asked.text
    key = key_in(asked)
    again = await ana.http.post("/c/account/forget", data={"key": key})
    assert again.status_code == 422 and 'role="alert"' in again.text
    done = await ana.http.post("/c/account/forget", data={"key": key, "sure": "yes"})
    assert done.status_code == 200 and "You are being forgotten" in done.text
    assert (await ana.http.get("/c/account")).status_code == 404
    await carry_out(ana.context)
    assert (await ana.http.get(letter)).status_code == 404
    rows = await ana.counter.market.rows("SELECT birthday, birthday_at FROM customers WHERE forgotten_at > 0")
    assert list(rows) == [(None, None)]
    assert await ana.counter.market.rows("SELECT * FROM account_links") == []
    who = await ana.counter.market.rows("SELECT who, did FROM journal WHERE did LIKE '%forgotten%'")
    assert who == [("customer", "asked to be forgotten")]
