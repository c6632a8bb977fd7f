"""All knobs of the exchange, each with a default and its reason."""

from pathlib import Path

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.contracts import Contract, contract_spec
from recorder.simulator.cryptolisting.settings import ListingSettings, settings_of
from recorder.simulator.faults import Fault
from recorder.simulator.markets import generated_names, market_spec
from recorder.simulator.okx import OkxSettings


WIRE_ERAS = ("2021", "2026")
V3_ALL = ("empty", "null", "both")
FUTURES_SHAPES = ("array", "nested", "object")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange behaves.

    Attributes:
        port: TCP port on 127.0.0.1; 0 takes any that is free.
        seed: Decides markets, orders and faults.
        markets: Names of the markets.
        generated_markets: So many made-up markets more.
        quiet_markets: Markets among them that have a book and some trades
            of the past, but in which nothing happens.
        delisted: Markets and contracts that are listed as not traded any more;
            nothing happens in them, either.
        rate: Order events a second in every other market.
        warmup_events: Order events of each market before the start, so that
            there are trades and klines to look back on.
        step_seconds: How often orders that are due are executed and sent.
        truth_dir: Folder for the truth as JSON lines; None for none.
        keep_truth: Hold the truth in memory, which grows all the time.
        log_frames: Also record each pushed frame in the truth.
        faults: Faults to order.
        queue_frames: Frames waiting for a connection; a reader that falls
            behind by more is dropped.
        lags: Seconds that all takes to reach a client, for each connection of
            a feed in turn; empty for no time. So two of them bring the same
            at different times.
        wire_era: Wire formats of ``2021`` or of ``2026`` (v4 and REST).
        initial_image: v4: the first depth frame after subscribing is the
            whole window, not flagged.
        obu_full_first: v4: an order book stream is answered with its whole
            window first, and then with the answer to the request.
        null_keys: v4: ``id`` and ``error`` are sent as null, not left out.
        omit_time: v4: pushes carry no ``time``.
        zero_ack_time_ms: v4: answers say ``time_ms: 0``.
        idle_unsubscribed_seconds: v4: such a connection is dropped if
            nothing goes either way.
        idle_subscribed_seconds: v4: the same with subscriptions.
        ticker_seconds: v4: how often a ticker is pushed.
        kline_seconds: v4: how often a changed kline is pushed.
        bbo_seconds: v4: how often a changed best level is pushed.
        contracts: Futures: names of the contracts, ``BTC_USDT``; what they
            are settled in follows from the name.
        empty_contracts: Contracts among them that nobody ever traded.
        futures_shape: Futures: what holds an array of objects: ``array``;
            ``nested``, an array in an array; or ``object``, each object in a
            frame of its own.
        redundancy: Futures: chance that an order book update also says what
            did not change.
        old_book_changes: Futures: ``order_book`` sends changes, not the
            whole top.
        liquidation_chance: Futures: that there are liquidations in a second.
        liquidation_batches: Futures: all liquidations of a second in one
            frame, as since August 2026; before, one of them is told.
        stats_seconds: Futures: how often statistics are pushed.
        snapshot_age_seconds: REST: order books are this old at most, and
            always somewhere between fresh and that.
        history_trades: REST and v3: so many trades back a market tells.
        history_seconds: REST and v3: and so far back in time.
        rest_limit: REST: requests in a window, by endpoint.
        rest_window_seconds: REST: length of that window.
        v3_depth_seconds: v3: how often changed windows are pushed.
        v3_first_clean_seconds: v3: longest wait for the first clean frame.
        v3_clean_seconds: v3: shortest and longest time between re-cleans.
        v3_batch_seconds: v3: how often trades, tickers and klines are pushed.
        v3_late: v3: formats of 2022: ``v``, ``current``, ``update`` and the
            closed flag of klines.
        v3_any_limit: v3: depth limits that are not documented are accepted.
        v3_keys: v3: key and secret of the account.
        v3_apiv4_keys: v3: its APIv4 key and secret, which are shown to ``/v4/``.
        v3_nonce_seconds: v3: how far the nonce that is signed may be from our
            clock.
        v3_all: v3: what stands for all markets or currencies: ``empty``, an
            empty list; ``null``; or ``both``.
        account_seconds: How often something happens to the account; 0 is
            never.
        account_orders: Orders that the account has open at the start.
        listings: How the listing service behaves; port, faults and folder
            are those of the exchange.
        okx: How the feed of OKX behaves.
        ann_seconds: Announcements: how often one is published; 0 is never.
        ann_cached_seconds: Announcements: how long after an answer the latest
            one is repeated.
    """

    port: int = 0
    seed: int = 1
    markets: tuple[str, ...] = ("BTC_USDT", "ETH_USDT", "GT_USDT")
    generated_markets: int = 0
    quiet_markets: tuple[str, ...] = ()
    delisted: tuple[str, ...] = ()
    rate: float = 20.0  # about eight trades a second in each market
    warmup_events: int = 600  # about 250 trades: more than v3 pushes at first
    step_seconds: float = 0.01  # the fastest stream of v4
    truth_dir: Path | None = None
    keep_truth: bool = True
    log_frames: bool = False
    faults: tuple[Fault, ...] = ()
    queue_frames: int = 5_000
    lags: tuple[float, ...] = ()
    wire_era: str = "2026"
    initial_image: bool = False
    obu_full_first: bool = False
    null_keys: bool = False
    omit_time: bool = False
    zero_ack_time_ms: bool = False
    idle_unsubscribed_seconds: float = 30.0  # as measured
    idle_subscribed_seconds: float = 60.0  # as measured
    ticker_seconds: float = 1.0
    kline_seconds: float = 2.0
    bbo_seconds: float = 0.01
    contracts: tuple[str, ...] = ()
    empty_contracts: tuple[str, ...] = ()
    futures_shape: str = "array"
    redundancy: float = 0.4
    old_book_changes: bool = False
    liquidation_chance: float = 0.2
    liquidation_batches: bool = False
    stats_seconds: float = 2.0  # not documented
    snapshot_age_seconds: float = 0.0
    history_trades: int = 5_000
    history_seconds: float = 30 * 86_400.0  # as people were told
    rest_limit: int = 200
    rest_window_seconds: float = 10.0
    v3_depth_seconds: float = 0.5
    v3_first_clean_seconds: float = 0.2
    v3_clean_seconds: tuple[float, float] = (60.0, 80.0)
    v3_batch_seconds: float = 1.0
    v3_late: bool = False
    v3_any_limit: bool = False
    # Keys of nothing: everybody may know them.
    v3_keys: tuple[str, str] = ("demo-key-of-v3", "demo-secret-of-v3")
    v3_apiv4_keys: tuple[str, str] = ("demo-key-of-apiv4", "demo-secret-of-apiv4")
    v3_nonce_seconds: float = 60.0  # not documented
    v3_all: str = "both"
    account_seconds: float = 1.0  # often enough to watch
    account_orders: int = 3
    # Announcements are rare out there; often enough here to watch.
    listings: ListingSettings = settings_of("C", announcements_per_minute=3.0)
    okx: OkxSettings = OkxSettings()
    ann_seconds: float = 20.0  # seldom on the venue; often enough to watch
    ann_cached_seconds: float = 1.0  # as measured

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: With a sentence that says what is wrong.
        """
        if self.wire_era not in WIRE_ERAS:
            raise ConfigError(
                f"the wire era is one of {', '.join(WIRE_ERAS)}, not {self.wire_era!r}"
            )
        names = self.all_markets()
        if not names:
            raise ConfigError(
                "the simulator needs at least one market: name some, as in BTC_USDT"
            )
        if len(set(names)) != len(names):
            raise ConfigError("the simulator was given a market twice: name each once")
        for name in names:
            market_spec(name)
        strangers = set(self.quiet_markets) - set(names)
        if strangers:
            raise ConfigError(
                f"quiet markets {', '.join(sorted(strangers))} are not among the markets"
            )
        self._check_contracts()
        if self.v3_all not in V3_ALL:
            raise ConfigError(
                f"what stands for all is one of {', '.join(V3_ALL)}, not {self.v3_all!r}"
            )
        if self.rate < 0:
            raise ConfigError("the rate of orders cannot be negative")
        if any(lag < 0 for lag in self.lags):
            raise ConfigError("nothing reaches a client before it was sent")
        if self.step_seconds <= 0:
            raise ConfigError("the time between two steps must be above zero")

    def lag_of(self, number: int) -> float:
        """Return how long all takes on a connection of a feed, from 1 on."""
        return self.lags[(number - 1) % len(self.lags)] if self.lags else 0.0

    def all_markets(self) -> tuple[str, ...]:
        """Return the names of all markets, generated ones last."""
        return self.markets + generated_names(self.generated_markets)

    def all_contracts(self) -> tuple[Contract, ...]:
        """Return the units of all contracts."""
        is_2026 = self.wire_era == "2026"
        return tuple(contract_spec(name, is_2026=is_2026) for name in self.contracts)

    def contract_rates(self) -> dict[str, float]:
        """Return the order events a second, by contract."""
        empty = {*self.empty_contracts, *self.delisted}
        return {name: 0.0 if name in empty else self.rate for name in self.contracts}

    def _check_contracts(self) -> None:
        if self.futures_shape not in FUTURES_SHAPES:
            raise ConfigError(
                f"the shape of futures is one of {', '.join(FUTURES_SHAPES)}, "
                f"not {self.futures_shape!r}"
            )
        if len(set(self.contracts)) != len(self.contracts):
            raise ConfigError(
                "the simulator was given a contract twice: name each once"
            )
        self.all_contracts()
        strangers = set(self.empty_contracts) - set(self.contracts)
        if strangers:
            raise ConfigError(
                f"empty contracts {', '.join(sorted(strangers))} are not among "
                "the contracts"
            )
        strangers = set(self.delisted) - {*self.all_markets(), *self.contracts}
        if strangers:
            raise ConfigError(
                f"delisted are {', '.join(sorted(strangers))}, which are not among the "
                "markets and contracts; name them there, too"
            )

    def rates(self) -> dict[str, float]:
        """Return the order events a second, by market."""
        quiet = {*self.quiet_markets, *self.delisted}
        return {
            name: 0.0 if name in quiet else self.rate for name in self.all_markets()
        }
