"""What is asked by HTTP."""

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP GET: a path below the feed's REST address, and its query."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        """Path and query as people read them."""
        query = "&".join(f"{name}={value}" for name, value in self.query)
        return f"{self.path}?{query}" if query else self.path
