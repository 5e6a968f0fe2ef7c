"""The connections to one Exact Online site, in pools of a few.

httpcore looks at every connection of a pool, and at everybody who waits for one, at each request: in
one pool for hundreds of divisions that takes longer than the requests.
"""

from __future__ import annotations

import httpx

from ..tls import trusted

POOLS, CONNECTIONS = 16, 12  # of each pool
TIMEOUT = httpx.Timeout(120.0, connect=20.0)  # heavy endpoints answer 408 only after a long while


class Pools:
    """Gives each division a pool, to all in turn; a pool is made when it gets its first.

    Args:
        base_url: The site's origin.
        transport: For tests that run without a socket.
    """

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport | None) -> None:
        self._base_url = base_url
        self._transport = transport
        self._pools: list[httpx.AsyncClient] = []
        self._given: dict[int, httpx.AsyncClient] = {}

    def of(self, division: int) -> httpx.AsyncClient:
        """The pool of a division."""
        if division not in self._given:
            turn = len(self._given) % POOLS
            if turn == len(self._pools):
                self._pools.append(self._make())
            self._given[division] = self._pools[turn]
        return self._given[division]

    async def close(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            await pool.aclose()

    def _make(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._base_url,
            verify=trusted(self._base_url),
            timeout=TIMEOUT,
            follow_redirects=False,  # a login page comes as a redirect (API 1.5)
            transport=self._transport,
            headers={"Accept": "application/json"},  # the default is Atom (API 3.1)
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        )
