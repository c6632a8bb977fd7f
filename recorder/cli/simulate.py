"""``recorder simulate``: an exchange on this machine."""

import asyncio
import shlex
import signal
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from recorder import sources
from recorder.cli import logs, stdio
from recorder.cli.options import FiniteRange, speed_option
from recorder.errors import ConfigError
from recorder.simulator import faults
from recorder.simulator.play import Player, PlaySettings, play_forever
from recorder.simulator.server import Exchange, run_forever
from recorder.simulator.settings import Settings
from recorder.source import NO_SECRETS, Source, StreamKind, resolve_options


CONTRACTS = ("BTC_USDT", "ETH_USDT", "BTC_USD")
"""Contracts of futures unless others are named."""


class _SimulateCommand(click.Command):
    """Adds the faults that can be ordered to ``--help``."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the simulator says of its faults."""
        with formatter.section("Faults, each as NAME[:KEY=VALUE,...]"):
            formatter.write_dl(
                [
                    (
                        faults.RANDOM,
                        "many of those below, at random; takes probability and at only",
                    ),
                    *((name, _told(name)) for name in faults.KINDS),
                ]
            )
        with formatter.section(
            "Keys; every fault takes the first four, and those that it names"
        ):
            formatter.write_dl(list(faults.KEYS.items()))


def _told(name: str) -> str:
    keys = faults.own_keys(name)
    named = f" [{', '.join(keys)}]" if keys else ""
    return f"{faults.KINDS[name].doc}{named}"


@click.command(cls=_SimulateCommand)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any free one",
    help="TCP port on 127.0.0.1.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of all chance.")
@click.option(
    "--markets",
    metavar="A,B,...",
    multiple=True,
    help=f"Names of the markets.  [default: {','.join(Settings().markets)}]",
)
@click.option(
    "--contracts",
    metavar="A,B,...",
    multiple=True,
    help="Names of the contracts of futures; what they are settled in follows "
    f"from the name.  [default: {','.join(CONTRACTS)}]",
)
@click.option(
    "--delisted",
    metavar="A,B,...",
    multiple=True,
    help="Markets and contracts among them that are listed as not traded any more.",
)
@click.option(
    "--rate",
    type=FiniteRange(min=0),
    default=Settings().rate,
    show_default=True,
    help="Order events a second in each market and contract.",
)
@click.option(
    "--fault",
    "fault_texts",
    metavar="FAULT",
    multiple=True,
    help="Order a fault; see below.",
)
@click.option(
    "--truth",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write down there what really happened.",
)
@click.option(
    "--play",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Serve this recording of a session instead of a market.",
)
@speed_option("1")
def simulate(
    port: int,
    seed: int,
    markets: tuple[str, ...],
    contracts: tuple[str, ...],
    delisted: tuple[str, ...],
    rate: float,
    fault_texts: tuple[str, ...],
    truth: Path | None,
    play: Path | None,
    speed: float | None,
) -> None:
    """Run an exchange on this machine until stopped, and say how to record it.

    It speaks the venue's protocols, with markets that follow from the seed,
    and with faults to order. With --play it serves a recorded session
    instead, at the --speed it was recorded or faster.

    \b
    Examples:
      recorder simulate --port 8080
      recorder simulate --fault drop:stream=depth,at=5 --fault abort:every=20
      recorder simulate --play session.jsonl --speed max
    """
    _check_apart(play)
    logs.configure(json_logs=False)
    if play is not None:
        asked = PlaySettings(port=port, speed=speed)
        serving = play_forever(play, asked, on_ready=_announce_recording)
    else:
        settings = Settings(
            port=port,
            seed=seed,
            markets=_named(markets) if markets else Settings().markets,
            contracts=_named(contracts) if contracts else CONTRACTS,
            delisted=_named(delisted),
            rate=rate,
            faults=tuple(faults.parse(text) for text in fault_texts),
            truth_dir=truth,
            log_frames=truth is not None,
        )
        serving = run_forever(settings, on_ready=_announce)
    with stdio.apart():
        asyncio.run(_until_stopped(serving))


def _named(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in texts such as ``A,B``."""
    return tuple(name for text in texts for name in text.split(",") if name)


def _check_apart(play: Path | None) -> None:
    """Check that no option was given that would be left out of account.

    Raises:
        ConfigError: If one was.
    """
    context = click.get_current_context()
    given = {
        param.name: param.opts[0]
        for param in context.command.params
        if context.get_parameter_source(param.name or "")
        is click.core.ParameterSource.COMMANDLINE
    }
    if play is None and "speed" in given:
        raise ConfigError("--speed is that of a recording; add --play FILE")
    if play is not None and (idle := given.keys() - {"play", "port", "speed"}):
        named = ", ".join(sorted(given[name] for name in idle))
        raise ConfigError(
            f"with --play there is no market to make, so leave out {named}"
        )


async def _until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Serve until SIGINT or SIGTERM, which end it as they should."""
    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def _announce(exchange: Exchange) -> None:
    markets = exchange.settings.all_markets()[:3]
    served = {exchange.ws_url_spot: markets, exchange.ws_url_v3: markets}
    for settle in exchange.futures.settles:
        names = exchange.futures.names_of(settle)
        served[exchange.ws_url_futures(settle)] = names[:3]
    served |= dict.fromkeys(exchange.status_urls.values(), ())
    _print_addresses((*served, exchange.rest_url))
    _print_commands(served, exchange.rest_url, exchange.keys)


def _announce_recording(player: Player) -> None:
    _print_addresses((player.ws_url, player.rest_url))
    _print_commands({player.ws_url: ()}, player.rest_url, {})


def _print_addresses(urls: Iterable[str]) -> None:
    click.echo("The exchange is at")
    for url in urls:
        click.echo(f"  {url}")


def _print_commands(
    served: Mapping[str, tuple[str, ...]],
    rest_url: str,
    keys: Mapping[str, Mapping[str, str]],
) -> None:
    """Print how each feed that speaks one of the protocols records from here.

    Args:
        served: Addresses of WebSockets, each with markets there are.
        rest_url: Where REST calls are served.
        keys: Keys that are taken here, by feed, as the feed calls them.
    """
    click.echo("Record it, in another terminal, with")
    feeds = [sources.load(name) for name in sources.names()]
    for ws_url, markets in served.items():
        for feed in feeds:
            options = options_at(feed, ws_url)
            if options is not None:
                known = keys.get(feed.name, {})
                words = capture_command(feed, ws_url, rest_url, markets, known, options)
                click.echo(f"  {words}")
    click.echo("Stop with Ctrl-C.")


def options_at(feed: Source, ws_url: str) -> dict[str, str] | None:
    """Return the options with which a feed reads what an address serves.

    The simulator serves each protocol at the path that the venue has.

    Args:
        feed: Which one.
        ws_url: The address.

    Returns:
        What is not as usual; None if it does not read it.
    """
    given: list[dict[str, str]] = [{}]
    given += [{o.name: choice} for o in feed.options for choice in o.choices]
    for options in given:
        own = feed.ws_url.format_map(resolve_options(feed, options))
        if _path(own) == _path(ws_url):
            return options
    return None


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def capture_command(
    feed: Source,
    ws_url: str,
    rest_url: str,
    markets: tuple[str, ...],
    keys: Mapping[str, str] = NO_SECRETS,
    options: Mapping[str, str] | None = None,
) -> str:
    """Return the command that records from here all streams that a feed can have.

    Args:
        feed: Which one.
        ws_url: Where its WebSocket is served.
        rest_url: Where its REST calls are served.
        markets: What to record; a placeholder stands for none.
        keys: Keys that are taken here, as the feed calls them.
        options: Its options that are not as usual.
    """
    streams = [kind for kind in feed.streams if set(kind.needs) <= keys.keys()]
    variables = [
        f"{secret.env}={shlex.quote(keys[secret.name])}"
        for secret in feed.secrets
        if secret.name in keys
    ]
    words = ["recorder", "capture", feed.name]
    if any(kind.has_markets for kind in streams):
        for market in markets or ("MARKET",):
            words += ["-m", market]
    for kind in streams:
        words += ["-s", _typed(kind)]
    for name, value in (options or {}).items():
        words += ["-O", f"{name}={value}"]
    words += ["--ws-url", ws_url]
    words += ["--rest-url", rest_url] if feed.rest_url else []
    return " ".join([*variables, shlex.join([*words, "--store", "data"])])


def _typed(kind: StreamKind) -> str:
    if kind.default is not None or not kind.parameters:
        return kind.name
    return f"{kind.name}:{kind.parameters[0]}"
