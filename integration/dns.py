"""Asks the DNS for the texts published under a name: within a time limit, beside all other work."""

import asyncio
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.resolver

from integration.errors import Unavailable

ANSWER_SECONDS = 3.0  # for one name, with its resending and the change to TCP
MOST_TEXTS = 50  # under one name
LONGEST_TEXT = 4_096


class Dns:
    """The DNS as this machine sees it, or as the servers given do."""

    def __init__(self, servers: Sequence[str] | None = None, port: int = 53) -> None:
        self._resolver: dns.asyncresolver.Resolver | None
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=servers is None)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = None
            return
        if servers is not None:
            self._resolver.nameservers = list(servers)
            self._resolver.port = port

    async def texts(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name, aliases followed; none for a name that is not there.

        Raises Unavailable where the DNS does not answer, or cannot be asked from here at all.
        """
        if self._resolver is None:
            raise Unavailable("this machine knows no DNS server")
        try:
            async with asyncio.timeout(ANSWER_SECONDS + 1):
                found = await self._resolver.resolve(name, "TXT", lifetime=ANSWER_SECONDS, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, UnicodeError, OSError, TimeoutError) as error:
            raise Unavailable(f"the DNS gives no answer about {name} ({type(error).__name__})") from error
        return tuple(
            b"".join(record.strings).decode("utf-8", "replace")[:LONGEST_TEXT] for record in list(found)[:MOST_TEXTS]
        )
