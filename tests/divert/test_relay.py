"""Connections that are handed to a host elsewhere: their bytes, their ends, their limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from darkflow.divert import relay
from darkflow.divert.relay import Relay, proxy_header

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Elsewhere = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A host that sends back all that it hears, then ends."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A host that hears and says nothing."""
    await reader.read(-1)
    writer.close()


def through(
    elsewhere: Elsewhere | None, test: Callable[[int], Coroutine[Any, Any, None]], **spec: Any
) -> None:
    """Run a test with the port of a relay to such a host."""

    async def run() -> None:
        server = await asyncio.start_server(elsewhere or echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if elsewhere is None:
            server.close()
            await server.wait_closed()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        said = {"address": "127.0.0.1", "port": port, "proxy_protocol": False, "connections": 10,
                "idle_s": 60} | spec  # fmt: skip
        serving = asyncio.create_task(Relay(said).serve([listener]))
        try:
            await asyncio.wait_for(test(listener.getsockname()[1]), 20)
        finally:
            serving.cancel()
            server.close()

    asyncio.run(run())


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line)["relayed"] for line in capsys.readouterr().out.splitlines()]


def test_megabytes_there_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    data = bytes(range(256)) * 20_000

    async def test(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == data
        await sending
        writer.close()
        await asyncio.sleep(0.05)

    through(echo, test)
    (told,) = records(capsys)
    assert (told["to_target_bytes"], told["to_client_bytes"]) == (len(data), len(data))
    assert told["end"] == "closed"


def test_as_many_wait_as_the_kernel_lets() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            serving = asyncio.create_task(Relay({}).serve([listener]))
            for _ in range(100):
                await asyncio.sleep(0.01)
                # linux/tcp.h: struct tcp_info, tcpi_sacked; of a listener, its backlog.
                told = struct.unpack_from("I", listener.getsockopt(6, socket.TCP_INFO, 104), 28)
                if told[0] == wanted:
                    break
            serving.cancel()
            assert told[0] == wanted

    wanted = min(65_535, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    asyncio.run(run())


def test_nobody_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    async def test(port: int) -> None:
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await asyncio.sleep(0.05)

    through(None, test)
    (told,) = records(capsys)
    assert told["via"] is None
    assert told["end"].startswith("no answer: ")


def test_an_idle_one_ends(capsys: pytest.CaptureFixture[str]) -> None:
    async def test(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await asyncio.sleep(0.05)

    through(mute, test, idle_s=0.25)
    (told,) = records(capsys)
    assert told["end"] == "idle"
    assert told["to_target_bytes"] == 4
    # Every byte begins the time anew.
    assert told["duration_s"] >= 0.5


def test_a_reset_goes_through(capsys: pytest.CaptureFixture[str]) -> None:
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = b"\1\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def test(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await asyncio.sleep(0.05)

    through(resets, test)
    assert [told["end"] for told in records(capsys)] == ["reset"]


def test_those_beyond_the_limit_are_reset(capsys: pytest.CaptureFixture[str]) -> None:
    async def test(port: int) -> None:
        open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in open_ones:
            writer.write(b"x")
            assert await reader.read(1) == b"x"
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        # Where one has gone there is room again.
        open_ones[0][1].close()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"y")
        assert await reader.read(1) == b"y"

    through(echo, test, connections=2)
    assert [told["end"] for told in records(capsys)][:2] == ["limit", "closed"]


def test_a_client_that_does_not_read_fills_no_memory() -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                sent.append(65536)
                await writer.drain()

    sent: list[int] = []

    async def test(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        await asyncio.sleep(0.5)
        before = len(sent)
        await asyncio.sleep(0.5)
        assert len(sent) == before
        writer.transport.abort()
        await asyncio.sleep(0.05)

    through(flood, test)
    # What the kernel's socket buffers take, and no more.
    assert sum(sent) < 64 << 20


def test_the_proxy_protocols_line() -> None:
    v4 = proxy_header(("198.51.100.1", 40000), ("203.0.113.9", 22))
    assert v4 == b"PROXY TCP4 198.51.100.1 203.0.113.9 40000 22\r\n"
    v6 = proxy_header(("2001:db8:a::1", 40000), ("2001:db8:b::9", 22))
    assert v6 == b"PROXY TCP6 2001:db8:a::1 2001:db8:b::9 40000 22\r\n"
    assert max(len(v4), len(v6)) <= 107
    assert relay.BUFFER_BYTES == 1 << 16
