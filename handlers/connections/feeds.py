"""What the DNS says of the domain a merchant's mail comes from, asked for all at once and within a time limit."""

import asyncio
from collections.abc import Coroutine, Sequence

from handlers.connections.rules import (
    MOST_LOOKUPS,
    USUAL_SELECTORS,
    Check,
    judge_dkim,
    judge_dmarc,
    judge_spf,
    leads,
    parents,
    spf_of,
    unasked,
)
from integration.dns import Dns
from integration.errors import Unavailable

CHECK_SECONDS = 8.0  # for all three together
MOST_ABREAST = 8  # questions under way at once


async def sending_domain(dns: Dns, domain: str, needed: str | None, selectors: Sequence[str]) -> tuple[Check, ...]:
    """Check SPF, DKIM and DMARC of a domain; what the DNS does not answer is told as unknown, with what to set.

    `needed` is the part of an SPF record that names our mail server; `selectors` are where our key should be.
    """
    asking = _Asking(dns)
    without = {one.name: one for one in unasked(domain, needed, selectors[0] if selectors else None)}
    return tuple(
        await asyncio.gather(
            _within(_spf(asking, domain, needed), without["SPF"]),
            _within(_dkim(asking, domain, selectors), without["DKIM"]),
            _within(_dmarc(asking, domain), without["DMARC"]),
        )
    )


class _Asking:
    def __init__(self, dns: Dns) -> None:
        self._dns = dns
        self._seats = asyncio.Semaphore(MOST_ABREAST)

    async def texts(self, name: str) -> tuple[str, ...]:
        async with self._seats:
            return await self._dns.texts(name)


async def _within(check: Coroutine[None, None, Check], otherwise: Check) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except (Unavailable, TimeoutError):
        return otherwise


async def _spf(asking: _Asking, domain: str, needed: str | None) -> Check:
    texts = await asking.texts(domain)
    tree: dict[str, str] = {}
    found = spf_of(texts)
    ahead = leads(found[0]) if len(found) == 1 else []
    for _ in range(MOST_LOOKUPS):
        ahead = [name for name in dict.fromkeys(ahead) if name not in tree][: MOST_LOOKUPS + 1 - len(tree)]
        if not ahead:
            break
        for name, there in zip(ahead, await asyncio.gather(*map(asking.texts, ahead)), strict=True):
            tree[name] = next(iter(spf_of(there)), "v=spf1")
        ahead = [further for name in ahead for further in leads(tree[name])]
    return judge_spf(domain, texts, tree, needed)


async def _dkim(asking: _Asking, domain: str, selectors: Sequence[str]) -> Check:
    names = list(selectors) or list(USUAL_SELECTORS)
    there = await asyncio.gather(*(asking.texts(f"{name}._domainkey.{domain}") for name in names))
    return judge_dkim(domain, dict(zip(names, there, strict=True)), sure=bool(selectors))


async def _dmarc(asking: _Asking, domain: str) -> Check:
    names = parents(domain)
    there = await asyncio.gather(*(asking.texts(f"_dmarc.{name}") for name in names))
    return judge_dmarc(domain, dict(zip(names, there, strict=True)))
