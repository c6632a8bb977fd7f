"""The private side of v3: keys first, then orders and balances of the account.

What the documents leave open, and what is done here: an error in the keys is
answered with code 11, a private method without keys with code 6 (see
`wire_v3`); a nonce may be `Settings.v3_nonce_seconds` old; a second list
replaces the first, as for depth; unsubscribing drops all, whatever it names;
a list that is to be all is null or empty, as `Settings.v3_all` says; a page of
open orders holds `PAGE_MAX` at most, the newest first.
"""

import base64
import hashlib
import hmac
import random
from collections.abc import Callable, Collection, Mapping, Sequence

from recorder.simulator import wire_v3
from recorder.simulator.account import Account, Balance, Change
from recorder.simulator.account_truth import EVENTS, balance_facts, order_facts
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.engine import Engine
from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.settings import Settings
from recorder.simulator.v3_requests import Params, RequestError, converted
from recorder.simulator.wire_v3 import AUTHENTICATION_FAIL, REQUIRE_AUTHENTICATION


PAGE_MAX = 100

Answer = tuple[object, Callable[[], None] | None]
"""A result, and what is to be done once it is sent: of a subscription."""


class _Listener:
    """What one connection may hear, and wants to.

    Attributes:
        is_signed: Whether its keys were accepted.
        markets: Whose orders it hears.
        assets: Whose balances it hears.
    """

    __slots__ = ("assets", "is_signed", "markets")

    def __init__(self) -> None:
        self.is_signed = False
        self.markets: Collection[str] = ()
        self.assets: Collection[str] = ()


class PrivateV3:
    """Everything of v3 that needs keys."""

    def __init__(
        self, engine: Engine, account: Account, settings: Settings, context: Context
    ) -> None:
        self._engine = engine
        self._account = account
        self._settings = settings
        self._context = context
        self._rng = random.Random(f"{settings.seed}:private")
        self._wire = wire_v3.V3Wire(is_late=settings.v3_late)
        self._listeners: dict[Connection, _Listener] = {}
        self._methods: dict[str, Callable[[_Listener, Params | None], Answer]] = {
            "order.query": self._query_orders,
            "order.subscribe": self._subscribe_orders,
            "order.unsubscribe": self._unsubscribe_orders,
            "balance.query": self._query_balances,
            "balance.subscribe": self._subscribe_balances,
            "balance.unsubscribe": self._unsubscribe_balances,
        }

    @property
    def methods(self) -> Collection[str]:
        """What is answered here."""
        return {"server.sign", *self._methods}

    def opened(self, conn: Connection) -> None:
        """Welcome a connection; it is nobody yet."""
        self._listeners[conn] = _Listener()

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        del self._listeners[conn]

    def answer(self, conn: Connection, method: str, params: Params | None) -> Answer:
        """Return the answer to a request.

        Raises:
            RequestError: If it is an error.
        """
        listener = self._listeners[conn]
        if method == "server.sign":
            self._check_keys(conn.path, params)
            listener.is_signed = True
            return wire_v3.SUCCESS, None
        if not listener.is_signed:
            raise RequestError(REQUIRE_AUTHENTICATION)
        return self._methods[method](listener, params)

    def publish(self, changes: Sequence[Change]) -> None:
        """Tell all who want to hear it what changed."""
        for change in changes:
            # The documents: a list of objects, each with any number of assets.
            parts = [change.balances]
            if self._rng.random() < 0.5:
                parts = [{name: kept} for name, kept in change.balances.items()]
            for conn, listener in self._listeners.items():
                if change.order.market in listener.markets:
                    self._push_order(conn, change)
                heard = [_only(part, listener.assets) for part in parts]
                self._push_balances(conn, [part for part in heard if part])

    def _push_order(self, conn: Connection, change: Change) -> None:
        user, order = self._account.user, change.order
        conn.push(
            Push(
                payload=self._wire.order(change, user),
                stream="orders",
                market=order.market,
                facts=({**order_facts(order, EVENTS[change.event], user)},),
            )
        )

    def _push_balances(
        self, conn: Connection, parts: Sequence[Mapping[str, Balance]]
    ) -> None:
        if not parts:
            return
        rows = [(name, kept) for part in parts for name, kept in part.items()]
        conn.push(
            Push(
                payload=self._wire.balances(parts),
                stream="balances",
                market="",
                facts=tuple({**balance_facts(name, kept)} for name, kept in rows),
            )
        )

    def _check_keys(self, path: str, params: Params | None) -> None:
        """Check who a client says it is.

        Args:
            path: Of its connection: the kind of the keys follows from it.
            params: Key, signature and nonce, milliseconds since 1970 UTC.

        Raises:
            RequestError: If the keys are not those of the account.
        """
        key, signature, nonce = converted(params, tuple[str, str, int])
        is_apiv4 = path.startswith("/v4")
        settings = self._settings
        own_key, secret = settings.v3_apiv4_keys if is_apiv4 else settings.v3_keys
        digest = hmac.new(secret.encode(), str(nonce).encode(), hashlib.sha512)
        expected = base64.b64encode(digest.digest()).decode()
        if is_apiv4:
            expected = digest.hexdigest()
        age_ns = abs(self._context.clock.now_ns() - nonce * MS_NS)
        is_fresh = age_ns <= settings.v3_nonce_seconds * SECOND_NS
        if (key, signature) != (own_key, expected) or not is_fresh:
            raise RequestError(AUTHENTICATION_FAIL)

    def _query_orders(self, _listener: _Listener, params: Params | None) -> Answer:
        name, offset, limit = converted(params, tuple[str, int, int])
        self._check_market(name)
        if offset < 0 or not 0 < limit <= PAGE_MAX:
            raise RequestError
        orders = self._account.open_orders(name)
        user = self._account.user
        page = orders[offset : offset + limit]
        return {
            "limit": limit,
            "offset": offset,
            "total": len(orders),
            "records": [wire_v3.order_row(order, user) for order in page],
        }, None

    def _subscribe_orders(self, listener: _Listener, params: Params | None) -> Answer:
        names = self._names(params)
        for name in names:
            self._check_market(name)

        def follow() -> None:
            listener.markets = names or set(self._engine.markets)

        return wire_v3.SUCCESS, follow

    def _unsubscribe_orders(
        self, listener: _Listener, _params: Params | None
    ) -> Answer:
        listener.markets = ()
        return wire_v3.SUCCESS, None

    def _query_balances(self, _listener: _Listener, params: Params | None) -> Answer:
        names = self._assets(params)
        balances = self._account.balances()
        return wire_v3.balance_rows(_only(balances, names)), None

    def _subscribe_balances(self, listener: _Listener, params: Params | None) -> Answer:
        names = self._assets(params)

        def follow() -> None:
            listener.assets = names

        return wire_v3.SUCCESS, follow

    def _unsubscribe_balances(
        self, listener: _Listener, _params: Params | None
    ) -> Answer:
        listener.assets = ()
        return wire_v3.SUCCESS, None

    def _assets(self, params: Params | None) -> Collection[str]:
        """Return the currencies that a list names; all if it names none."""
        known = self._account.balances().keys()
        names = self._names(params)
        if not names <= known:
            raise RequestError
        return names or known

    def _names(self, params: Params | None) -> set[str]:
        """Return the names in a list; none where all are meant."""
        form = "null" if params is None else "empty"
        if not params and self._settings.v3_all not in (form, "both"):
            raise RequestError
        return set(converted(params or [], list[str]))

    def _check_market(self, name: str) -> None:
        if name not in self._engine.markets:
            raise RequestError


def _only(
    balances: Mapping[str, Balance], names: Collection[str]
) -> dict[str, Balance]:
    return {name: kept for name, kept in balances.items() if name in names}
