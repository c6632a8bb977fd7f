"""A capture in a process of its own: what it says, and how much memory it takes."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec


KILOBYTE: Final = 1_024


class Process:
    """A capture.

    Attributes:
        said: The events of its log so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []
        self._reading = asyncio.ensure_future(self._listen())

    @classmethod
    async def start(
        cls, arguments: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> "Process":
        """Start ``recorder`` with some arguments, in a folder."""
        program = "from recorder.cli import main; main()"
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program, *arguments),
                stderr=asyncio.subprocess.PIPE,
                cwd=folder,
                env={**os.environ, **environ},
                limit=1 << 24,
            )
        )

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                self.said.append(msgspec.json.decode(line))
            except msgspec.DecodeError:
                self.said.append({"event": "Noise", "text": line.decode()})
        self.said.append({"event": "Over"})

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def reset_peak(self) -> None:
        """Have the peak of its memory begin anew, at what it takes now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def memory(self) -> tuple[int, int]:
        """Return what it takes now, and its peak, in bytes."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in text.splitlines())
        now, peak = (int(facts[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return now * KILOBYTE, peak * KILOBYTE

    async def stop(self) -> int:
        """Ask it to end, as a service manager does; return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(60):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        await self._reading
        return code
