"""The built-in responder: one process that answers every TCP port of every watched address.

`python -m darkflow.honeypot.responder --help` shows how it is started; Darkflow starts it as a user
without rights, with sockets that listen inside the honeypot's namespace. It accepts, hands the
bytes to a conversation and its answers to the client, and reports each connection. Nothing that a
client says makes it do anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from darkflow.honeypot.connection import Connection, Surroundings, destination, plain_address
from darkflow.honeypot.protocols.table import BUILT_IN, Protocols, plugins
from darkflow.honeypot.reports import Reports, State, encode
from darkflow.honeypot.settings import SETTINGS, Limits, arguments, limits, parsed
from darkflow.units import parse_listen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from darkflow.honeypot.encryption import Encryption

ACCEPT_BATCH = 64
SWEEP_S = 0.5
STATE_S = 2.0
# After the kernel had no memory or file for a new connection, it is left alone for so long.
PAUSE_S = 0.2
# At the end the reader of the reports gets so long.
DRAIN_S = 2.0
BACKLOG = 65_535
# Files that are no connections: listeners, reports, the loop's own.
OTHER_FILES = 64
EXIT_FAILED, EXIT_USAGE = 1, 2


class Responder(Surroundings):
    """All connections; `run` lasts until it is stopped."""

    def __init__(
        self, limits: Limits, protocols: Protocols, encryption: Encryption | None, reports: Reports
    ) -> None:
        super().__init__(asyncio.get_running_loop(), limits, protocols, encryption)
        self.reports = reports
        self.accepted = self.refused = self.errors = 0
        self._connections: set[Connection] = set()
        self._faulty: set[str] = set()
        self._stop = asyncio.Event()
        self._is_draining = False

    def listen(self, listener: socket.socket) -> None:
        """Accept there from now on."""
        listener.setblocking(False)
        port = listener.getsockname()[1]
        self.loop.add_reader(listener.fileno(), lambda: self._accept(listener, port))

    def stop(self) -> None:
        """End everything; `run` returns."""
        self._stop.set()

    async def run(self) -> int:
        """Look after connections until `stop`; 0, or 1 when nobody reads the reports any more.

        The first report on the state says that everything is ready.
        """
        self._report_state()
        next_state_s = self.loop.time() + STATE_S
        while not self._stop.is_set() and not self.reports.is_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), SWEEP_S)
            now_s = self.loop.time()
            for connection in list(self._connections):
                connection.check(now_s)
            if now_s >= next_state_s:
                next_state_s = now_s + STATE_S
                self._report_state()
        for connection in list(self._connections):
            connection.close("stop")
        self._report_state()
        deadline_s = self.loop.time() + DRAIN_S
        while self.reports.is_waiting and self.loop.time() < deadline_s:
            await asyncio.sleep(0.01)
        return EXIT_FAILED if self.reports.is_over else 0

    def state(self) -> State:
        """The counters."""
        return State(
            open=len(self._connections),
            accepted=self.accepted,
            refused=self.refused,
            tls_open=self.encryption.open if self.encryption else 0,
            tls_refused=self.encryption.refused if self.encryption else 0,
            errors=self.errors,
            dropped_reports=self.reports.dropped,
        )

    def closed(self, connection: Connection) -> None:
        """Report it."""
        self._connections.discard(connection)
        self._report(encode(connection.record()))

    def failed(self, service: str, error: Exception) -> None:
        """Say it, once for each service."""
        self.errors += 1
        if service not in self._faulty:
            self._faulty.add(service)
            what = service or "a connection"
            say(f"{what} failed: {type(error).__name__}: {error}")

    def _accept(self, listener: socket.socket, port: int) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                self._pause(listener, error)
                return
            self.accepted += 1
            if len(self._connections) >= self.limits.connections:
                self.refused += 1
                sock.close()
                continue
            sock.setblocking(False)
            try:
                connection = Connection(self, sock, plain_address(peer), destination(sock, port))
            except OSError:
                # It was reset before we looked.
                sock.close()
                continue
            self._connections.add(connection)
            connection.open()

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        self.failed("accepting", error)
        self.loop.remove_reader(listener.fileno())
        asyncio.get_running_loop().call_later(PAUSE_S, self.listen, listener)

    def _report_state(self) -> None:
        self._report(encode({"type": "state", **self.state()._asdict()}))

    def _report(self, line: bytes) -> None:
        self.reports.write(line)
        if self.reports.is_over:
            self.stop()
        elif self.reports.is_waiting and not self._is_draining:
            self._is_draining = True
            self.loop.add_writer(self.reports.fileno, self._drain)

    def _drain(self) -> None:
        self.reports.flush()
        if not self.reports.is_waiting or self.reports.is_over:
            self._is_draining = False
            self.loop.remove_writer(self.reports.fileno)
            if self.reports.is_over:
                self.stop()


def command(listeners: Sequence[int], report: str, texts: Mapping[str, str | None]) -> list[str]:
    """How to start it: inherited listening sockets, where to report, the settings' texts.

    `report` is what `Reports` takes; a number must be inherited, too.
    """
    return [
        sys.executable, "-m", "darkflow.honeypot.responder",
        *(f"--listen-fd={fd}" for fd in listeners), f"--report={report}", *arguments(texts),
    ]  # fmt: skip


def carries_marker(data: bytes, marker: str) -> bool:
    """Whether a reply is one of ours; needs the setting `responder_marker`.

    Pages, banners and status texts carry it wherever a server is free in what it says: HTTP, SMTP,
    FTP, SSH, Telnet, POP3, IMAP, Redis' INFO, MySQL, SIP, RTSP and ADB.
    """
    return bool(marker) and marker.encode() in data


def say(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"darkflow responder: {' '.join(message.split())}\n")
    sys.stderr.flush()


def fail(message: str) -> NoReturn:
    """One line on stderr; exit status 2."""
    say(message)
    raise SystemExit(EXIT_USAGE)


class Prepared(NamedTuple):
    """All that serving needs of the system: no file is opened and no module imported after this."""

    limits: Limits
    listeners: list[socket.socket]
    reports: Reports
    encryption: Encryption | None
    protocols: Protocols


def prepare(argv: list[str]) -> Prepared:
    """What a command line asks for; one line and exit status 2 when it cannot be had."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m darkflow.honeypot.responder",
        description="Answers TCP clients on every port it is given; started by darkflow honeypot.",
        allow_abbrev=False,
    )
    for flag, metavar, kind, text in (
        ("--listen-fd", "N", int, "a listening socket that is inherited"),
        ("--listen", "ADDRESS:PORT", str, "listen there"),
    ):
        parser.add_argument(
            flag, action="append", default=[], type=kind, metavar=metavar, help=text
        )
    report = "where reports go: an inherited file, a Unix socket, or - (standard output, default)"
    parser.add_argument("--report", default="-", metavar="N|PATH|-", help=report)
    for setting in SETTINGS:
        parser.add_argument(
            *setting.flags,
            dest=setting.name,
            default=setting.default,
            metavar=setting.unit.upper(),
            help=setting.help,
        )
    options = parser.parse_args(argv)
    try:
        bounds = fit_files(limits(parsed(vars(options))))
        listeners = [inherited(fd) for fd in options.listen_fd]
        listeners += [listening(parse_listen(text)) for text in options.listen]
        if not listeners:
            fail("nothing to listen on: give --listen-fd or --listen")
        reports = reports_to(options.report)
        encryption = encryption_of(bounds)
    except (OSError, ValueError) as error:
        fail(str(error))
    found, faults = plugins()
    for fault in faults:
        say(fault)
    return Prepared(bounds, listeners, reports, encryption, Protocols([*found, *BUILT_IN]))


def reports_to(target: str) -> Reports:
    """The reports' way out; OSError says what is wrong with it."""
    try:
        return Reports(target)
    except OSError as error:
        raise OSError(f"--report {target}: {error.strerror}") from None


def serve(prepared: Prepared) -> int:
    """Answer until SIGTERM or SIGINT; the exit status."""
    return asyncio.run(_serve(prepared))


async def _serve(prepared: Prepared) -> int:
    responder = Responder(
        prepared.limits, prepared.protocols, prepared.encryption, prepared.reports
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, responder.stop)
    for listener in prepared.listeners:
        responder.listen(listener)
    # What is there now stays; a connection's objects are freed without the collector's help.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    return await responder.run()


def encryption_of(bounds: Limits) -> Encryption | None:
    """TLS as the settings want it; ValueError when the certificate cannot be used."""
    if not bounds.tls:
        return None
    from pathlib import Path

    from darkflow.honeypot.certificate import self_signed
    from darkflow.honeypot.encryption import Encryption

    if not bounds.certificate:
        return Encryption(self_signed("localhost"), bounds.tls)
    try:
        return Encryption(Path(bounds.certificate).read_text(), bounds.tls)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"--responder-certificate {bounds.certificate}: {why}") from None


def fit_files(bounds: Limits) -> Limits:
    """As many connections as the process may have files for."""
    import dataclasses

    wanted = bounds.connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft >= wanted:
        return bounds
    most = max(1, soft - OTHER_FILES)
    say(f"the limit of open files leaves room for {most} connections, not {bounds.connections}")
    return dataclasses.replace(bounds, connections=most)


def inherited(fd: int) -> socket.socket:
    """A listening socket whose number was given."""
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise OSError(f"--listen-fd {fd}: {error.strerror}") from None


def listening(address: tuple[str, int]) -> socket.socket:
    """A listening socket of our own."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(
            f"cannot listen on {address[0]} port {address[1]}: {error.strerror}"
        ) from None
    return sock


if __name__ == "__main__":
    sys.exit(serve(prepare(sys.argv[1:])))
