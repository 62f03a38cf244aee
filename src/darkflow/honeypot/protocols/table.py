"""Which protocols there are: by port, by port inside TLS, by what a client says; and the plugins.

A plugin is a class like `protocol.Protocol`, named by an entry point in the group
`darkflow.protocols`. Plugins come first: their ports are theirs, and they are asked first.
"""

from __future__ import annotations

from collections.abc import Iterable

from darkflow.honeypot.protocols.adb import Adb
from darkflow.honeypot.protocols.caches import Memcached, Redis
from darkflow.honeypot.protocols.databases import MySql, Postgres, SqlServer
from darkflow.honeypot.protocols.ftp import Ftp
from darkflow.honeypot.protocols.http import Http
from darkflow.honeypot.protocols.mailbox import Imap, Pop3
from darkflow.honeypot.protocols.mqtt import Mqtt
from darkflow.honeypot.protocols.protocol import Protocol
from darkflow.honeypot.protocols.rdp import Rdp
from darkflow.honeypot.protocols.sip import Rtsp, Sip
from darkflow.honeypot.protocols.smb import Smb
from darkflow.honeypot.protocols.smtp import Smtp
from darkflow.honeypot.protocols.socks import Socks
from darkflow.honeypot.protocols.ssh import Ssh
from darkflow.honeypot.protocols.telnet import Telnet
from darkflow.honeypot.protocols.vnc import Vnc

GROUP = "darkflow.protocols"

# In the order in which they are asked: who is surest of what it recognises comes first.
BUILT_IN: tuple[type[Protocol], ...] = (
    Ssh, Smb, Rdp, Adb, Vnc, Mqtt, SqlServer, Postgres, Telnet, Sip, Rtsp, Http, Redis, Memcached,
    Smtp, Imap, Pop3, Ftp, Socks, MySql,
)  # fmt: skip


class Protocols:
    """The protocols that a responder speaks; where two want a port, the first has it."""

    def __init__(self, kinds: Iterable[type[Protocol]] = BUILT_IN) -> None:
        self.kinds = tuple(kinds)
        self.by_port: dict[int, type[Protocol]] = {}
        self.by_tls_port: dict[int, type[Protocol]] = {}
        for kind in self.kinds:
            for port in kind.ports:
                self.by_port.setdefault(port, kind)
            for port in kind.tls_ports:
                self.by_tls_port.setdefault(port, kind)

    def recognised(self, first: bytes, own: type[Protocol] | None) -> type[Protocol] | None:
        """Who knows a client that begins like this; the port's own protocol is asked first."""
        if own is not None and own.recognises(first):
            return own
        return next((kind for kind in self.kinds if kind.recognises(first)), None)


def plugins() -> tuple[list[type[Protocol]], list[str]]:
    """The installed plugins, and a sentence for each that cannot be used."""
    from importlib.metadata import entry_points

    found: list[type[Protocol]] = []
    faults = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            kind = entry.load()
            _check(kind)
        except Exception as error:  # a plugin is anybody's code; one that fails must not stop us
            faults.append(f"plugin {entry.name} ({entry.value}) is left out: {error}")
        else:
            found.append(kind)
    return found, faults


def _check(kind: object) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Protocol)):
        raise TypeError("it is no class derived from darkflow.honeypot.protocols.protocol.Protocol")
    if not kind.name.isidentifier():
        raise ValueError(f"its name {kind.name!r} is no word")
    for port in (*kind.ports, *kind.tls_ports):
        if not (isinstance(port, int) and 0 < port < 65536):
            raise ValueError(f"its port {port!r} is none")
