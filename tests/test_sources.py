"""What every feed owes, whichever venue it is of.

Feeds that are no part of the recorder owe it as well: those that Python finds
when these tests run are held to the contract with the others.
"""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from recorder import sources
from recorder.errors import ConfigError, WireError
from recorder.model import NO_MARKET, TABLE_OF, Chain
from recorder.source import (
    Dialogue,
    Question,
    Secrets,
    Source,
    Wanted,
    canonical_stream,
    resolve_options,
    table_of,
)
from recorder.store.tables import TABLES


MARKETS = ("BTC_USDT", "ETH_USDT", "\u5e01\u5b89_USDT", "../x", "a b&c=d")


@pytest.fixture(params=sources.names())
def source(request: pytest.FixtureRequest) -> Source:
    return sources.load(request.param)


def some_chains(source: Source) -> list[Chain]:
    """Each stream, in its default and in its last form, for each market."""
    streams: dict[str, None] = {}
    for kind in source.streams:
        forms = [kind.name] if kind.default or not kind.parameters else []
        forms += [f"{kind.name}:{parameter}" for parameter in kind.parameters[-1:]]
        streams |= dict.fromkeys(canonical_stream(source, form) for form in forms)
    kinds = {kind.name: kind for kind in source.streams}
    return [
        Chain(market, stream)
        for stream in streams
        for market in (MARKETS if kinds[table_of(stream)].has_markets else [NO_MARKET])
    ]


def dialogue_of(source: Source, group: Sequence[Chain]) -> Dialogue:
    """A conversation about some chains, with made-up keys."""
    secrets = Secrets({secret.name: f"a-{secret.name}" for secret in source.secrets})
    return source.dialogue(group, resolve_options(source, {}), secrets)


# The registry ------------------------------------------------------------


def folders() -> list[Path]:
    """The recorder's own folder of feeds, and those that others brought."""
    return [Path(folder) for folder in sources.__path__]


def test_the_folders_are_the_registry() -> None:
    modules = {path.stem for folder in folders() for path in folder.glob("*.py")}

    assert folders()[0] == Path(sources.__file__).parent
    assert sources.names() == tuple(sorted(m for m in modules if not m.startswith("_")))
    assert {"gate_spot", "gate_v3"} <= set(sources.names())


@pytest.mark.parametrize("name", ["nope", "", "_gate", "__init__", "../gate_v3", "os"])
def test_unknown_source_is_refused_and_told_which_there_are(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.load(name)

    assert all(known in str(caught.value) for known in sources.names())


@pytest.mark.parametrize("name", sources.names())
def test_loading_a_feed_imports_no_other(name: str) -> None:
    script = (
        "import sys; from recorder import sources; sources.names();"
        f"sources.load({name!r});"
        "print(*(m for m in sys.modules if m.startswith('recorder.sources.')))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    public = {m for m in done.stdout.split() if not m.split(".")[2].startswith("_")}
    assert public == {f"recorder.sources.{name}"}


def path_of(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of a module: the first folder that has it, as Python finds it."""
    paths = (folder / f"{name}.py" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def imports_of(path: Path, folders: Sequence[Path]) -> set[str]:
    """Names of modules of the folders that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(f"{node.module}")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    prefix = f"{sources.__name__}."
    inside = {name.removeprefix(prefix).partition(".")[0] for name in found}
    return {name for name in inside if path_of(name, folders)}


def reached_from(name: str, folders: Sequence[Path]) -> set[str]:
    """Names of modules of the folders that a module needs, by whatever way."""
    reached: set[str] = set()
    ahead = {name}
    while ahead:
        path = path_of(ahead.pop(), folders)
        assert path is not None
        new = imports_of(path, folders) - reached
        reached |= new
        ahead |= new
    return reached


@pytest.mark.parametrize("name", sources.names())
def test_no_feed_sees_another(name: str) -> None:
    reached = reached_from(name, folders())

    assert reached & set(sources.names()) <= {name}


@pytest.mark.parametrize(
    "line",
    [
        "import recorder.sources.one",
        "from recorder.sources import one",
        "from recorder.sources.one import SOURCE",
        "def late():\n    from recorder.sources import one as other",
    ],
)
def test_a_feed_that_sees_another_would_be_found(tmp_path: Path, line: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (ours / "one.py").write_text("import json, recorder.model")
    (ours / "_shared.py").write_text(line)
    (theirs / "two.py").write_text("from recorder.sources._shared import late")

    assert reached_from("one", [ours, theirs]) == set()
    assert reached_from("two", [ours, theirs]) == {"_shared", "one"}


# The feed as data --------------------------------------------------------


@pytest.mark.parametrize("name", sources.names())
def test_feed_is_named_as_its_module(name: str) -> None:
    assert sources.load(name).name == name


def test_addresses_are_encrypted_and_rest_has_no_final_slash(source: Source) -> None:
    assert urlsplit(source.ws_url).scheme == "wss"
    if not source.rest_url:
        assert source.snapshot is None
        assert source.market_list is None
        return
    assert urlsplit(source.rest_url).scheme == "https"
    assert not source.rest_url.endswith("/")


def test_pings_come_well_before_a_socket_counts_as_dead(source: Source) -> None:
    assert 0 < source.ping_seconds < 30
    assert source.silence_seconds >= 2 * source.ping_seconds


def test_keys_are_named_and_come_from_the_environment(source: Source) -> None:
    names = {secret.name for secret in source.secrets}
    assert all(secret.env.isupper() for secret in source.secrets)
    for kind in source.streams:
        assert set(kind.needs) <= names


def test_streams_are_named_as_tables_and_described(source: Source) -> None:
    names = [kind.name for kind in source.streams]
    assert set(names) <= set(TABLE_OF.values())
    assert len(set(names)) == len(names)
    assert all(kind.doc.endswith(".") for kind in source.streams)


def test_every_legal_stream_is_its_own_canonical_form(source: Source) -> None:
    for kind in source.streams:
        if kind.default is not None:
            assert kind.default in kind.parameters
        for parameter in kind.parameters:
            stream = f"{kind.name}:{parameter}"
            assert canonical_stream(source, stream) == stream
        for alias, parameter in kind.aliases:
            assert alias not in kind.parameters
            assert parameter in kind.parameters


def test_options_have_legal_defaults(source: Source) -> None:
    assert resolve_options(source, resolve_options(source, {})) == resolve_options(
        source, {}
    )


def test_depth_streams_alone_have_books(source: Source) -> None:
    for chain in some_chains(source):
        rule = source.book_rule(chain.stream)
        if table_of(chain.stream) != "depth":
            assert rule is None
            continue
        assert rule is not None
        assert rule.depth_limit > 0
        assert rule.snapshot in ("rest", "in_band", "each")
        if rule.snapshot == "rest":
            assert rule.has_ids
            assert source.snapshot is not None


def test_what_streams_tell_of_each_other_is_about_streams_there_are(
    source: Source,
) -> None:
    names = {kind.name for kind in source.streams}
    events = {TABLE_OF[kind]: kind for kind in TABLE_OF}
    assert source.witnesses or not any(kind.has_markets for kind in source.streams)
    streams = [
        f"{kind.name}:{parameter}" if parameter else kind.name
        for kind in source.streams
        for parameter in kind.parameters or ("",)
    ]
    for witness in source.witnesses:
        assert {table_of(name) for name in (witness.by, *witness.of)} <= names
        assert any(witness.tells_by(stream) for stream in streams)
        assert any(witness.tells_of(stream) for stream in streams)
        fields = {*witness.changed, *witness.grown, *witness.within}
        assert fields <= set(events[table_of(witness.by)].__struct_fields__)
        assert witness.signs > 1


# Connections -------------------------------------------------------------


def test_plan_gives_each_chain_to_exactly_one_connection(source: Source) -> None:
    chains = some_chains(source)

    groups = source.plan(chains)

    planned = [chain for group in groups for chain in group]
    assert sorted(planned) == sorted(chains)
    assert all(groups)
    assert source.plan(chains) == groups
    assert source.plan([]) == []


def test_plan_takes_a_chain_given_twice_once(source: Source) -> None:
    chains = some_chains(source)

    assert source.plan(chains + chains) == source.plan(chains)


def test_each_connection_asks_for_its_chains_and_no_others(source: Source) -> None:
    for group in source.plan(some_chains(source)):
        requests = dialogue_of(source, group).open(1)

        asked = [chain for request in requests for chain in request.chains]
        assert sorted(asked) == (sorted(group) if source.is_asked else [])
        assert all(request.payload for request in requests)


def test_each_chain_can_be_started_afresh(source: Source) -> None:
    if not source.is_asked:
        pytest.skip("nothing is asked for")
    for group in source.plan(some_chains(source)):
        dialogue = dialogue_of(source, group)
        dialogue.open(1)
        for chain in group:
            requests = dialogue.resubscribe([chain], 2)

            assert chain in {c for request in requests for c in request.chains}


def test_each_chain_can_be_asked_for_once_more_without_being_ended(
    source: Source,
) -> None:
    if not source.is_asked:
        pytest.skip("nothing is asked for")
    for group in source.plan(some_chains(source)):
        dialogue = dialogue_of(source, group)
        dialogue.open(1)
        for chain in group:
            requests = dialogue.ask_again([chain], 2)

            assert chain in {c for request in requests for c in request.chains}
            assert not any(b"unsubscribe" in request.payload for request in requests)


def test_a_ping_asks_for_nothing(source: Source) -> None:
    dialogue = dialogue_of(source, source.plan(some_chains(source))[0])

    assert b"subscribe" not in (dialogue.ping(1) or b"")


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"\x00" * 9, b"[" * 100_000])
def test_garbage_is_a_wire_error(source: Source, payload: bytes) -> None:
    dialogue = dialogue_of(source, source.plan(some_chains(source))[0])

    with pytest.raises(WireError):
        dialogue.receive(payload, 1)


# HTTP --------------------------------------------------------------------


def test_snapshot_requests_name_their_market(source: Source) -> None:
    if source.snapshot is None:
        pytest.skip("no snapshots by HTTP")
    for chain in some_chains(source):
        rule = source.book_rule(chain.stream)
        if rule is not None and rule.snapshot == "rest":
            request = source.snapshot.request(chain, resolve_options(source, {}))

            assert request.path.startswith("/")
            assert chain.market in dict(request.query).values()


def test_garbage_for_a_snapshot_is_a_wire_error(source: Source) -> None:
    if source.snapshot is None:
        pytest.skip("no snapshots by HTTP")
    (chain, *_) = (c for c in some_chains(source) if table_of(c.stream) == "depth")
    for body in (b"", b"<html>", b"[]", b"{}", b"\xff", b"[" * 100_000):
        with pytest.raises(WireError):
            source.snapshot.decode(chain, body)


def test_market_list_is_asked_for_below_the_rest_address(source: Source) -> None:
    if source.market_list is None:
        pytest.skip("no list of markets")

    request = source.market_list.request(resolve_options(source, {}))

    assert request.path.startswith("/")


def test_garbage_for_a_market_list_is_a_wire_error(source: Source) -> None:
    if source.market_list is None:
        pytest.skip("no list of markets")
    for body in (b"", b"<html>", b'{"label":"X","message":"Y"}', b"[7]", b"[{}]"):
        with pytest.raises(WireError):
            source.market_list.decode(body)
    for name in ("id", "name"):
        with pytest.raises(WireError):
            source.market_list.decode(b'[{"%b":"A_B","x":"\xff"}]' % name.encode())


def test_feeds_are_plain_data(source: Source) -> None:
    assert msgspec.structs.asdict(source)["name"] == source.name
    with pytest.raises(AttributeError):
        source.name = "other"  # type: ignore[misc]


# Questions ---------------------------------------------------------------


def test_questions_have_legal_defaults_and_columns_that_exist(source: Source) -> None:
    assert len({query.name for query in source.queries}) == len(source.queries)
    for query in source.queries:
        columns = {column.name for column in TABLES[query.table].columns}
        assert set(query.columns) <= columns
        names = [parameter.name for parameter in query.parameters]
        assert len(set(names)) == len(names)
        for parameter in query.parameters:
            assert bool(parameter.choices) == (parameter.kind == "choice")
            assert parameter.doc.endswith(".")


def test_a_question_is_text_and_has_its_number_and_market(source: Source) -> None:
    for query in source.queries:
        needed = {
            parameter.name: parameter.choices[0]
            for parameter in query.parameters
            if parameter.default is None
        }
        for market in MARKETS:
            values = query.values(needed, 1_700_000_000_000_000_000)
            frames = [query.ask(number, market, values) for number in (1, 2)]

            assert frames[0] != frames[1]
            assert market in str(msgspec.json.decode(frames[0]))
            # A venue that says the question back has not answered it.
            assert query.answer(1, market, values, frames[0]) is None


def test_bytes_from_strangers_are_no_answers(source: Source) -> None:
    for query in source.queries:
        for payload in (b"", b"hello", b"\xff\xfe", b"[1]", b'{"id":{}}'):
            with pytest.raises(WireError):
                query.answer(1, "A_B", {}, payload)


def test_history_is_asked_for_in_a_way_that_there_is(source: Source) -> None:
    options = resolve_options(source, {})
    for rule in source.history:
        chains = [c for c in some_chains(source) if table_of(c.stream) == rule.table]
        assert chains
        assert rule.page_rows > 1
        for chain in chains:
            wanted = Wanted(limit=5, since_id=3, until_id=9, from_ns=0, to_ns=10**9)
            request = rule.ask(chain, options, wanted)
            if isinstance(request, Question):
                assert request.query in source.queries
                assert request.query.table == rule.table
                assert chain.market.encode() in request.query.ask(
                    1, request.market, request.values
                )
            else:
                assert source.rest_url
                assert request.path.startswith("/")
                assert chain.market in request.target


def test_garbage_for_history_is_a_wire_error(source: Source) -> None:
    for rule in source.history:
        for body in (b"", b"<html>", b"{}", b"[7]", b"[{}]", b"\xff", b"[" * 100_000):
            for chain in some_chains(source):
                if table_of(chain.stream) == rule.table:
                    with pytest.raises(WireError):
                        rule.decode(chain, body)
