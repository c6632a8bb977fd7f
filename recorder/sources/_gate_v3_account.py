"""What is said about our own account over one connection of Gate's v3.

The keys are shown first: the nonce, in milliseconds of our clock, is signed,
and everything else waits until that is accepted. Then orders and balances
are subscribed, and once they are, the venue is asked for how they stand. In
this order nothing can happen between the two unseen; and as it is so on each
new connection, nothing that was stored before one was lost goes stale. The
same is asked again every ten minutes, for v3 numbers nothing that it pushes.

Open orders come in pages. If one is put or finished between two of them, the
pages need not fit together, and the first is asked for again.

What is known of errors about keys: the documents have codes 1 to 5 and none
for keys. Code 11, "Authentication fail.", was reported in public on
2021-06-30 (gateio/WebSocket-API#18), of APIv4 keys with the signature of v3
keys. Code 6, "require authentication", was not seen from this venue: a public
exchange server with the same methods and the same first five codes
(viabtc_exchange_server) answers so if something needs keys and none were
shown, and with 11 if those shown are not accepted. So no meaning is tied to
either: any answer to the keys that is an error, and not trouble of the
server, counts as a no, with the venue's own words.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from recorder.errors import WireError
from recorder.model import Balance, Chain, Order
from recorder.source import (
    Refused,
    Request,
    Said,
    Secrets,
    Send,
    Subscribed,
    Unrecognized,
)
from recorder.sources import _gate_v3_wire as wire
from recorder.sources._gate import (
    markets_by_table,
    unasked,
)
from recorder.sources._gate_v3_asking import TROUBLE, words_of
from recorder.sources._gate_v3_talk import Talk, unknown_keys
from recorder.sources._json import (
    check_utf8,
    decoded,
)
from recorder.sources._later import (
    TRIES,
    Later,
    wait_ns,
)
from recorder.sources._times import (
    MILLISECOND_NS,
    SECOND_NS,
)


PAGE_ORDERS: Final = 100
"""Open orders asked for at once; no limit is documented."""

LISTINGS_MAX: Final = 5
"""How often open orders are listed anew because they changed meanwhile."""

REFRESH_NS: Final = 600 * SECOND_NS
"""How often the venue is asked how the account stands."""

_NEVER: Final = 2**63
_EVENTS: Final[dict[int, Literal["put", "update", "finish"]]] = {
    1: "put",
    2: "update",
    3: "finish",
}
_SIDES: Final[dict[int, Literal["buy", "sell"]]] = {1: "sell", 2: "buy"}
_TYPES: Final = {1: "limit", 2: "market"}


def sign_of(secret: str, nonce: str, *, keys: str) -> str:
    """Return the signature of a nonce.

    Args:
        secret: Of our account.
        nonce: Milliseconds since 1970 UTC, as decimal text.
        keys: ``v3``: base64. ``v4``: hexadecimal digits.

    Source:
        Gate's v3 documents, "Auth API" and "APIv4 Keys support".
    """
    digest = hmac.new(secret.encode(), nonce.encode(), hashlib.sha512)
    if keys == "v4":
        return digest.hexdigest()
    return base64.b64encode(digest.digest()).decode()


class _Sign(msgspec.Struct, frozen=True, kw_only=True):
    """The keys were shown."""

    tries: int = 1


class _Orders(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the open orders of a market was asked for."""

    market: str
    offset: int = 0
    listing: int = 1
    tries: int = 1


class _Balances(msgspec.Struct, frozen=True, kw_only=True):
    """All balances were asked for: with an empty list, or with null."""

    is_null: bool = False
    tries: int = 1


_Asked = _Sign | _Orders | _Balances


class AccountDialogue:
    """The conversation over one connection about our own account.

    Args:
        chains: Orders of markets, and balances; nothing else.
        options: ``keys`` says of which kind they are.
        secrets: ``key`` and ``secret``.
    """

    def __init__(
        self, chains: Sequence[Chain], options: Mapping[str, str], secrets: Secrets
    ) -> None:
        self._chains = tuple(chains)
        self._markets = markets_by_table(chains, ("orders", "balances"))
        self._keys = options.get("keys", "v3")
        self._secrets = secrets
        self._talk = Talk(chains)
        self._open: dict[int, _Asked] = {}
        self._later: Later[_Asked] = Later()
        self._is_signed = False
        self._accepted: dict[Chain, None] = {}
        self._refresh_ns = _NEVER
        self._totals: dict[str, int] = {}
        self._disturbed: set[str] = set()

    def open(self, now_ns: int) -> list[Request]:
        """Return what to send right after connecting: the keys."""
        self._talk.clock.begin(now_ns)
        return [self._ask(_Sign(), now_ns)]

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        return self._talk.clock.ping(now_ns)

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to have these chains started afresh.

        How they stand is asked for again once that is accepted.
        """
        if not self._is_signed:
            return [self._ask(_Sign(), now_ns)]
        tables = {chain.stream for chain in chains}
        return self._talk.requests.subscribe_all(tables)

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to ask for accepted chains once more."""
        return self.resubscribe(chains, now_ns)

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Return what a frame says, in the order of the frame.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        check_utf8(payload)
        frame = decoded(wire.FRAME, payload)
        match frame.method:
            case None:
                said = self._on_answer(frame, now_ns)
            case "order.update":
                said = [self._on_order(decoded(wire.ORDER, frame.params))]
            case "balance.update":
                said = self._on_balances(decoded(wire.BALANCE_PUSH, frame.params))
            case method:
                said = [Unrecognized(error=f"not known: method {method!r}")]
        said = [*said, *self._talk.due(now_ns)]
        if requests := self.due(now_ns):
            said.append(Send(requests=tuple(requests)))
        return said

    def due(self, now_ns: int) -> list[Request]:
        """Return what is to be sent because its time has come."""
        requests = self._talk.requests.due(now_ns)
        requests += (self._ask(asked, now_ns) for asked in self._later.take(now_ns))
        if self._refresh_ns <= now_ns:
            self._refresh_ns = now_ns + REFRESH_NS
            requests += self._state_of(self._accepted, now_ns)
        return requests

    def unknown_keys(self, payload: bytes) -> tuple[str, ...]:
        """Return keys of a frame that this feed does not know, as paths.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        return unknown_keys(payload)

    # Pushes --------------------------------------------------------------

    def _on_order(self, push: wire.OrderParams) -> Order[str] | Unrecognized:
        market = self._markets["orders"].get(push.order.market)
        if market is None:
            return unasked("orders", push.order.market)
        event = _EVENTS[push.event]
        if event != "update":
            self._disturbed.add(market)
        return _order(push.order, market, event)

    def _on_balances(self, push: list[dict[str, wire.Balance]]) -> Said:
        if not self._markets["balances"]:
            return [
                unasked("balances", ", ".join(key for part in push for key in part))
            ]
        return [
            _balance(asset, balance, "update")
            for part in push
            for asset, balance in part.items()
        ]

    # Answers -------------------------------------------------------------

    def _on_answer(self, frame: wire.Frame, now_ns: int) -> Said:
        asked = None if frame.id is None else self._open.pop(frame.id, None)
        if asked is None:
            return self._on_subscribed(self._talk.answer(frame, now_ns), now_ns)
        code = frame.error.code if frame.error else None
        if code in TROUBLE and asked.tries < TRIES:
            again = msgspec.structs.replace(asked, tries=asked.tries + 1)
            self._later.put(again, now_ns + wait_ns(asked.tries))
            return []
        match asked:
            case _Sign():
                return self._on_signed(frame)
            case _Orders(market=market) if frame.error is not None:
                why = f"open orders of {market} are not told: {words_of(frame)}"
                return [Unrecognized(error=why)]
            case _Orders():
                page = decoded(wire.ORDER_PAGE, frame.result)
                return self._on_page(asked, page, now_ns)
            case _Balances():
                return self._on_balances_told(asked, frame, now_ns)

    def _on_balances_told(
        self, asked: _Balances, frame: wire.Frame, now_ns: int
    ) -> Said:
        if frame.error is None:
            balances = decoded(wire.BALANCES, frame.result)
            return [
                _balance(asset, balance, "query") for asset, balance in balances.items()
            ] or [Balance(asset=None, event="none")]
        if asked.is_null:
            why = f"balances are not told: {words_of(frame)}"
            return [Unrecognized(error=why)]
        return [Send(requests=(self._ask(_Balances(is_null=True), now_ns),))]

    def _on_signed(self, frame: wire.Frame) -> Said:
        if frame.error is None:
            self._is_signed = True
            return [Send(requests=tuple(self._talk.requests.subscribe_all()))]
        words = words_of(frame)
        if frame.error.code in TROUBLE:
            return [Refused(chains=self._chains, reason=words)]
        return [
            Refused(
                chains=self._chains,
                reason=f"the key is not accepted ({words}): check GATE_API_KEY and "
                f"GATE_API_SECRET, whether they are keys of -O keys={self._keys}, and "
                "the clock of this machine",
                is_about_keys=True,
            )
        ]

    def _on_subscribed(self, said: Said, now_ns: int) -> Said:
        """Ask how everything stands that has just been accepted."""
        chains = [
            chain
            for reply in said
            if isinstance(reply, Subscribed)
            for chain in reply.chains
        ]
        if not chains:
            return said
        self._accepted |= dict.fromkeys(chains)
        self._refresh_ns = min(self._refresh_ns, now_ns + REFRESH_NS)
        return [*said, Send(requests=tuple(self._state_of(chains, now_ns)))]

    def _on_page(self, asked: _Orders, page: wire.OrderPage, now_ns: int) -> Said:
        market = asked.market
        if strangers := {row.market for row in page.records} - {market}:
            raise WireError(f"asked for orders of {market}, got those of {strangers}")
        if asked.offset == 0:
            self._totals[market] = page.total
        said: Said = [
            _order(row, market, "query", asked.offset + place, page.total)
            for place, row in enumerate(page.records)
        ]
        reached = asked.offset + len(page.records)
        if reached == 0 == page.total:
            said.append(
                Order(
                    market=market,
                    ts_event=None,
                    order_id=None,
                    event="none",
                    side=None,
                    open_orders=0,
                )
            )
        if not page.records and asked.offset < page.total:
            why = f"of {page.total} open orders of {market} those from {reached} on are not told"
            return [Unrecognized(error=why)]
        if reached < page.total:
            following = msgspec.structs.replace(asked, offset=reached, tries=1)
            return [*said, Send(requests=(self._ask(following, now_ns),))]
        is_whole = market not in self._disturbed and self._totals[market] == page.total
        if asked.offset == 0 or is_whole:
            return said
        if asked.listing >= LISTINGS_MAX:
            why = f"the open orders of {market} changed each time they were listed"
            return [*said, Unrecognized(error=why)]
        anew = _Orders(market=market, listing=asked.listing + 1)
        return [*said, Send(requests=(self._ask(anew, now_ns),))]

    # Requests ------------------------------------------------------------

    def _state_of(self, chains: Iterable[Chain], now_ns: int) -> list[Request]:
        asked: list[_Asked] = [
            _Orders(market=chain.market) if chain.stream == "orders" else _Balances()
            for chain in chains
        ]
        return [self._ask(one, now_ns) for one in asked]

    def _ask(self, asked: _Asked, now_ns: int) -> Request:
        match asked:
            case _Sign():
                nonce = now_ns // MILLISECOND_NS
                sign = sign_of(self._secrets["secret"], str(nonce), keys=self._keys)
                params = [self._secrets["key"], self._secrets.signed(sign), nonce]
                number, payload = self._talk.numbers.frame("server.sign", params)
                self._open[number] = asked
                return Request(payload=payload, chains=self._chains, is_secret=True)
            case _Orders(market=market, offset=offset):
                if offset == 0:
                    self._disturbed.discard(market)
                number, payload = self._talk.numbers.frame(
                    "order.query", [market, offset, PAGE_ORDERS]
                )
            case _Balances(is_null=is_null):
                number, payload = self._talk.numbers.frame(
                    "balance.query", None if is_null else []
                )
        self._open[number] = asked
        return Request(payload=payload)


def _order(
    row: wire.Order,
    market: str,
    event: Literal["put", "update", "finish", "query"],
    position: int | None = None,
    open_orders: int | None = None,
) -> Order[str]:
    finished_at = wire.moment_or_none(row.ftime)
    changed_at = wire.moment_or_none(row.mtime)
    kind = row.order_type
    return Order(
        market=market,
        ts_event=finished_at if changed_at is None else changed_at,
        order_id=row.id,
        event=event,
        side=_SIDES[row.type],
        position=position,
        open_orders=open_orders,
        created_at=wire.moment_or_none(row.ctime),
        finished_at=finished_at,
        user_id=row.user,
        order_type=None if kind is None else _TYPES.get(kind, str(kind)),
        price=wire.number_of(row.price),
        amount=wire.number_of(row.amount),
        open_amount=wire.number_of(row.left),
        filled_amount=wire.number_of(row.filled_amount),
        filled_total=wire.number_of(row.filled_total),
        fee=wire.number_of(row.deal_fee),
        text=row.text,
    )


def _balance(
    asset: str, row: wire.Balance, event: Literal["update", "query"]
) -> Balance[str]:
    return Balance(
        asset=asset,
        event=event,
        available=wire.number_of(row.available),
        frozen=wire.number_of(row.freeze),
    )
