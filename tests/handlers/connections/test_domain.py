"""A sending domain is judged by what a real DNS server says of it, and explained where none answers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from handlers.connections.feeds import sending_domain
from handlers.connections.rules import Check, domain_of, judge_spf, parents
from integration.dns import Dns
from integration.errors import Unavailable

HATS = "hats.example"
GOOD = {
    HATS: ["google-site-verification=abc", "v=spf1 include:_spf.mail.example ~all"],
    "_spf.mail.example": ["v=spf1 ip4:192.0.2.0/24 -all"],
    f"mail._domainkey.{HATS}": ["v=DKIM1; k=rsa; p=MIGfMA0"],
    f"_dmarc.{HATS}": ["v=DMARC1; p=quarantine"],
}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with much else to do may answer late."""
    monkeypatch.setattr("integration.dns.ANSWER_SECONDS", 30.0)
    monkeypatch.setattr("handlers.connections.feeds.CHECK_SECONDS", 60.0)


class Server(asyncio.DatagramProtocol):
    """A DNS server of texts; one that is silent answers nothing, one that is cut says to come by TCP."""

    def __init__(self, texts: dict[str, list[str]], silent: bool = False, cut: bool = False) -> None:
        self.texts, self.silent, self.cut, self.asked = texts, silent, cut, list[str]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.silent:
            self.transport.sendto(self.answer(data, cut=self.cut), addr)  # type: ignore[attr-defined]

    async def by_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(length))
        writer.write(len(answer).to_bytes(2) + answer)
        await writer.drain()
        writer.close()

    def answer(self, data: bytes, cut: bool = False) -> bytes:
        asked = dns.message.from_wire(data)
        name = asked.question[0].name
        found = self.texts.get(name.to_text(omit_final_dot=True))
        self.asked.append(str(name))
        answer = dns.message.make_response(asked)
        if cut:
            answer.flags |= dns.flags.TC
        elif found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            # A text of over 255 bytes is several strings, which belong together.
            parts = [" ".join(f'"{text[n : n + 200]}"' for n in range(0, len(text), 200)) for text in found]
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *parts))
        return answer.to_wire()


@asynccontextmanager
async def serving(texts: dict[str, list[str]], **how: bool) -> AsyncIterator[tuple[Dns, Server]]:
    """Serve texts on loopback, by UDP and TCP on one port."""
    loop, server = asyncio.get_running_loop(), Server(texts, **how)
    for attempt in range(20):
        stream = await asyncio.start_server(server.by_tcp, "127.0.0.1", 0)
        port = stream.sockets[0].getsockname()[1]
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
            break
        except OSError:
            # Somebody else has the same port of the other kind.
            stream.close()
            assert attempt < 19
    try:
        yield Dns(["127.0.0.1"], port), server
    finally:
        transport.close()
        stream.close()
        await stream.wait_closed()


async def checked(
    texts: dict[str, list[str]], needed: str | None = None, selectors: tuple[str, ...] = ("mail",), domain: str = HATS
) -> dict[str, Check]:
    async with serving(texts) as (asked, _):
        return {one.name: one for one in await sending_domain(asked, domain, needed, selectors)}


async def test_a_domain_that_is_well_has_nothing_to_set() -> None:
    """All three are found and none shows a record to copy."""
    found = await checked(GOOD, "include:_spf.mail.example")
    assert {name: (one.state, one.record) for name, one in found.items()} == {
        "SPF": ("ok", None), "DKIM": ("ok", None), "DMARC": ("ok", None)
    }  # fmt: skip
    assert "quarantine" in (found["DMARC"].found or "")


async def test_an_empty_domain_is_told_what_to_set() -> None:
    """Each with a record that can be copied as it is."""
    found = await checked({}, "include:_spf.mail.example")
    records = {name: (one.state, one.record and (one.record.name, one.record.value)) for name, one in found.items()}
    assert records["SPF"] == ("missing", (HATS, "v=spf1 include:_spf.mail.example ~all"))
    assert records["DMARC"] == ("missing", (f"_dmarc.{HATS}", "v=DMARC1; p=none;"))
    assert records["DKIM"][0] == "missing" and records["DKIM"][1][0] == f"mail._domainkey.{HATS}"  # type: ignore[index]


@pytest.mark.parametrize(
    ("spf", "state", "said", "record"),
    [
        (["v=spf1 +all"], "warning", "whole world", "v=spf1 include:_spf.mail.example ~all"),
        (["v=spf1 mx -all"], "warning", "leaves out", "v=spf1 mx include:_spf.mail.example -all"),
        (["v=spf1 mx ~all", "v=spf1 a -all"], "warning", "several", "v=spf1 a mx include:_spf.mail.example ~all"),
        (["v=spf1 include:deep.example -all"], "ok", "server send", None),
        (["V=SPF1 INCLUDE:_SPF.MAIL.EXAMPLE -ALL"], "ok", "server send", None),
        (["v=spf1 " + " ".join(f"include:n{n}.example" for n in range(11)) + " -all"], "warning", "asks for 11", None),
        (["v=spf1 include:loop.example -all"], "warning", "asks for", None),
        (["v=spf10 mx"], "missing", "Nothing says", "v=spf1 include:_spf.mail.example ~all"),
    ],
)
async def test_every_fault_of_spf_has_its_words(spf: list[str], state: str, said: str, record: str | None) -> None:
    """And the record to set keeps what was there and is right."""
    there = GOOD | {HATS: spf, "deep.example": ["v=spf1 redirect=_spf.mail.example"],
                    "loop.example": ["v=spf1 include:loop.example -all"]}  # fmt: skip
    one = (await checked(there, "include:_spf.mail.example"))["SPF"]
    assert (one.state, one.record.value if one.record else None) == (state, record)
    assert said in one.words


async def test_a_key_is_looked_for_under_the_usual_names_where_nobody_said_which() -> None:
    """Found, it may be another's; not found, it may still be there under a name nobody can guess."""
    assert (await checked(GOOD, selectors=()))["DKIM"].state == "warning"
    hidden = {name: texts for name, texts in GOOD.items() if "_domainkey" not in name}
    assert (await checked(hidden | {f"xyz._domainkey.{HATS}": ["p=MIG"]}, selectors=()))["DKIM"].state == "unknown"


async def test_a_key_that_was_taken_back_is_no_key() -> None:
    """An empty `p=` says so."""
    one = (await checked(GOOD | {f"mail._domainkey.{HATS}": ["v=DKIM1; p="]}))["DKIM"]
    assert one.state == "missing" and "taken back" in one.words


async def test_a_policy_of_the_domain_above_holds_below() -> None:
    """With its own word for subdomains where it has one."""
    there = {"_dmarc.hats.example": ["v=DMARC1; p=reject; sp=none"]}
    assert "only watched" in (await checked(there, domain="shop.hats.example"))["DMARC"].words
    assert parents("a.shop.hats.example") == ["a.shop.hats.example", "shop.hats.example", "hats.example"]


@pytest.mark.parametrize(
    ("texts", "state", "said"),
    [
        (["v=DMARC1; p=none"], "ok", "only watched"),
        (["v=DMARC1; p=reject"], "ok", "refused"),
        (["v=DMARC1; p=maybe"], "warning", "not one of"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "warning", "several"),
        (["v=DMARC2; p=none"], "missing", "Nothing says"),
    ],
)
async def test_every_policy_has_its_words(texts: list[str], state: str, said: str) -> None:
    """What mailboxes would do by it."""
    one = (await checked(GOOD | {f"_dmarc.{HATS}": texts}))["DMARC"]
    assert one.state == state and said in one.words


async def test_a_long_record_comes_by_tcp_and_in_one_piece() -> None:
    """Keys of 2,048 bits are longer than one string of a record."""
    key = "v=DKIM1; k=rsa; p=" + "A" * 700
    async with serving({f"mail._domainkey.{HATS}": [key]}, cut=True) as (asked, _):
        assert await asked.texts(f"mail._domainkey.{HATS}") == (key,)


async def test_where_the_dns_is_silent_it_is_said_and_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time limit, and the loop goes on meanwhile."""
    monkeypatch.setattr("handlers.connections.feeds.CHECK_SECONDS", 0.4)
    turns, begun = 0, time.monotonic()

    async def other_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    other = asyncio.create_task(other_work())
    async with serving({}, silent=True) as (asked, _):
        found = await sending_domain(asked, HATS, "include:_spf.mail.example", ("mail",))
    other.cancel()
    assert time.monotonic() - begun < 20 and turns > 5
    assert [one.state for one in found] == ["unknown"] * 3
    assert all("cannot be asked" in one.words and one.record for one in found)


async def test_a_machine_without_dns_can_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told like a DNS that is silent."""
    import dns.resolver

    def nothing(*_: object, **__: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr("dns.asyncresolver.Resolver", nothing)
    with pytest.raises(Unavailable, match="no DNS server"):
        await Dns().texts(HATS)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("ada@Hats.Example", "hats.example"),
        ("ada@bücher.example", "xn--bcher-kva.example"),
        ("", None),
        (None, None),
        ("ada@localhost", None),
        ("ada@hats..example", None),
    ],
)
def test_the_domain_of_an_address(address: str | None, domain: str | None) -> None:
    """As the DNS has it."""
    assert domain_of(address) == domain


def test_without_knowing_the_server_a_record_is_not_called_right() -> None:
    """Then the words say who can tell."""
    one = judge_spf(HATS, ["v=spf1 mx -all"], {}, None)
    assert one.state == "ok" and "MAIL_SPF" in one.words
