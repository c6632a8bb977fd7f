"""Probes of the bundled exchange, over real sockets."""

import asyncio
import socket

import msgspec
import pytest
from aiohttp import web

from recorder.probe.choice import choose
from recorder.probe.run import Probe


PATIENCE_SECONDS = 60


class Look:
    """Probes a source until something has been found."""

    async def __call__(
        self, source="gate_spot", *, until, clock=None, plan=None, **what
    ):
        """Return the report of a probe that ends once ``until`` likes it."""
        stop = asyncio.Event()

        def watch(report):
            if until(report):
                stop.set()

        if plan is None:
            plan = (await choose(source, **what)).plan
        probe = Probe(plan, PATIENCE_SECONDS, clock=clock, stop=stop, on_progress=watch)
        return await probe.run()


@pytest.fixture
def look():
    return Look()


def kinds(report):
    return {finding.kind for finding in report.findings}


@pytest.fixture
def found():
    """Return a condition: all of these kinds of findings are there."""

    def found(*wanted):
        return lambda report: set(wanted) <= kinds(report)

    return found


@pytest.fixture
def text_of():
    """Return the text of the one finding of a kind."""

    def text_of(report, kind):
        (text,) = [f.text for f in report.findings if f.kind == kind]
        return text

    return text_of


@pytest.fixture
def with_secret():
    """Return a plan whose feed has a key."""

    def with_secret(plan, key):
        from recorder.source import Secrets

        return msgspec.structs.replace(plan, secrets=Secrets({"key": key}))

    return with_secret


@pytest.fixture
async def serve():
    """Serve paths on a local port; returns ``127.0.0.1:<port>``."""
    runners = []

    async def serve(handlers):
        app = web.Application()
        for path, handler in handlers.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def unused_port():
    """A local port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
