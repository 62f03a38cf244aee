"""Hands connections to a host elsewhere: accepted in the honeypot's namespace, made outside of it.

A process of its own, unprivileged: `python -m darkflow.divert.relay SPEC`. Its listening sockets
are of the namespace, the sockets that it connects with are the machine's: so nothing inside gets a
way out, hp0 lets registered flows leave and nothing else, and what is inside can neither choose nor
reach the host elsewhere. For each connection that has ended a JSON line on standard output says who
asked for what, and which of our ports the host elsewhere saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any

from darkflow.divert import launch

BUFFER_BYTES = 1 << 16
CONNECT_S = 10.0
CLOSE_S = 10.0
FILES = 64  # beside two for each connection
BACKLOG = 65_535  # the kernel takes net.core.somaxconn of them at most


@dataclass
class Relayed:
    """One connection: who asked whom, and what passed."""

    orig: tuple[str, int]
    resp: tuple[str, int]
    began_s: float
    seen_s: float
    via: tuple[str, int] | None = None
    to_target_bytes: int = 0
    to_client_bytes: int = 0
    end: str = "closed"

    def line(self) -> str:
        """Its record."""
        return json.dumps(
            {
                "relayed": {
                    "orig": self.orig,
                    "resp": self.resp,
                    "via": self.via,
                    "to_target_bytes": self.to_target_bytes,
                    "to_client_bytes": self.to_client_bytes,
                    "duration_s": round(time.monotonic() - self.began_s, 3),
                    "end": self.end,
                }
            }
        )


def proxy_header(orig: tuple[str, int], resp: tuple[str, int]) -> bytes:
    """The first line of the PROXY protocol, version 1 (haproxy's proxy-protocol.txt, 2.1)."""
    family = "TCP6" if ":" in orig[0] else "TCP4"
    return f"PROXY {family} {orig[0]} {resp[0]} {orig[1]} {resp[1]}\r\n".encode()


class Relay:
    """Serves listening sockets; what is in `spec`, says the keeper's `relay_command`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._open = 0

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Until cancelled."""
        servers = [
            await asyncio.start_server(self._accepted, sock=sock, limit=BUFFER_BYTES)
            for sock in sockets
        ]
        # asyncio has set its own, 100; given more, it would also accept so many in one go, and run
        # out of file numbers before it looks at `connections`.
        for sock in sockets:
            sock.listen(BACKLOG)
        await asyncio.gather(*(server.serve_forever() for server in servers))

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now_s = time.monotonic()
        orig, resp = (writer.get_extra_info(name)[:2] for name in ("peername", "sockname"))
        relayed = Relayed(orig, resp, now_s, now_s)
        if self._open >= self._spec["connections"]:
            relayed.end = "limit"
            _reset(writer)
        else:
            self._open += 1
            try:
                await self._relay(relayed, (reader, writer))
            finally:
                self._open -= 1
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(relayed.line() + "\n")
            sys.stdout.flush()

    async def _relay(
        self, relayed: Relayed, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        address, port = self._spec["address"], self._spec["port"]
        try:
            connecting = asyncio.open_connection(address, port, limit=BUFFER_BYTES)
            target = await asyncio.wait_for(connecting, CONNECT_S)
        except (OSError, TimeoutError) as error:
            relayed.end = f"no answer: {error or 'timeout'}"
            _reset(client[1])
            return
        relayed.via = target[1].get_extra_info("sockname")[:2]
        if self._spec["proxy_protocol"]:
            target[1].write(proxy_header(relayed.orig, relayed.resp))
        pumps = [
            asyncio.create_task(self._pump(client[0], target[1], relayed, "to_target_bytes")),
            asyncio.create_task(self._pump(target[0], client[1], relayed, "to_client_bytes")),
        ]
        try:
            await self._until_over(pumps, relayed)
        finally:
            for pump in pumps:
                pump.cancel()
            for writer in (client[1], target[1]):
                await self._closed(writer, relayed.end == "closed")

    @staticmethod
    async def _closed(writer: asyncio.StreamWriter, orderly: bool) -> None:
        """Let what is in the buffer go out, for a while, or say that this was no end."""
        if orderly:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), CLOSE_S)
            writer.transport.abort()
        else:
            _reset(writer)

    async def _until_over(self, pumps: list[asyncio.Task[None]], relayed: Relayed) -> None:
        """Until both have said all, one has failed, or neither has said anything for too long."""
        waiting: set[asyncio.Task[None]] = set(pumps)
        while waiting:
            rest_s = relayed.seen_s + self._spec["idle_s"] - time.monotonic()
            if rest_s <= 0:
                relayed.end = "idle"
                return
            done, waiting = await asyncio.wait(
                waiting, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.exception() for task in done):
                relayed.end = "reset"
                return

    @staticmethod
    async def _pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, relayed: Relayed, count: str
    ) -> None:
        """Pass on what comes, then that nothing more comes."""
        while data := await reader.read(BUFFER_BYTES):
            relayed.seen_s = time.monotonic()
            setattr(relayed, count, getattr(relayed, count) + len(data))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    with contextlib.suppress(OSError):
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


def main(spec: dict[str, Any]) -> None:
    """Become unprivileged and serve."""
    sockets = [socket.socket(fileno=fd) for fd in spec["sockets"]]
    launch.limit(
        {
            "CORE": 0,
            "NOFILE": FILES + 2 * spec["connections"],
            "NPROC": 1,
            "DATA": spec["memory_bytes"],
        }
    )
    launch.drop(spec["uid"], spec["gid"], [])
    launch.end_with(spec["parent"])
    asyncio.run(Relay(spec).serve(sockets))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
