"""What a running honeypot answers on its control socket: status, flows, cut, allow."""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING, Any, Protocol

from darkflow.divert.dispatcher import Allowed, Dispatcher, Flow
from darkflow.divert.flowtext import flow_text, parse_flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from darkflow.commands.control import Handler
    from darkflow.commands.tap import Tap
    from darkflow.divert.plane import Plane

MOST_FLOWS = 100_000
KINDS = ("address", "source", "port")
LASTS = (
    "until this honeypot ends; to keep it, write it in the file of --config (allow_address,"
    " allow_source, allow_port)"
)

Range = tuple[bytes, bytes]


class Status(Protocol):
    """Where the numbers come from."""

    def status(self) -> dict[str, Any]:
        """Everything that `darkflow status` shows."""


def network_of(text: str) -> Range:
    """First and last packed address of a network or of one address."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=True)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address or network: {error}") from None
    return network.network_address.packed, network.broadcast_address.packed


def range_text(ends: Range) -> str:
    """As it was written."""
    first, last = (ipaddress.ip_address(end) for end in ends)
    (network,) = ipaddress.summarize_address_range(first, last)
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if whole else str(network)


def port_of(text: str) -> int:
    """A TCP port."""
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) > 0xFFFF:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def allowed_of(addresses: Iterable[str], sources: Iterable[str], ports: Iterable[str]) -> Allowed:
    """The list of what is never diverted from texts; ValueError says which of them is wrong."""
    return Allowed(
        tuple(network_of(text) for text in addresses),
        tuple(network_of(text) for text in sources),
        frozenset(port_of(text) for text in ports),
    )


def changed(allowed: Allowed, action: str, kind: str, text: str) -> Allowed:
    """The list with one entry added or removed."""
    if action not in ("add", "remove") or kind not in KINDS:
        raise ValueError(f"add or remove one of {', '.join(KINDS)}")
    adds = action == "add"
    if kind == "port":
        port = port_of(text)
        if not adds and port not in allowed.ports:
            raise ValueError(f"port {port} is not in the list")
        ports = allowed.ports | {port} if adds else allowed.ports - {port}
        return Allowed(allowed.addresses, allowed.sources, ports)
    ends = network_of(text)
    old = allowed.addresses if kind == "address" else allowed.sources
    if not adds and ends not in old:
        raise ValueError(f"{kind} {text} is not in the list")
    new = tuple(one for one in old if one != ends) + ((ends,) if adds else ())
    if kind == "address":
        return Allowed(new, allowed.sources, allowed.ports)
    return Allowed(allowed.addresses, new, allowed.ports)


class Requests:
    """The handlers; each takes a request and gives its answer, or ValueError in one line."""

    def __init__(
        self,
        status: Status,
        dispatcher: Dispatcher,
        plane: Plane,
        tap: Tap,
        allow: Callable[[Allowed], None] = lambda _: None,
    ) -> None:
        self._status = status
        self._dispatcher = dispatcher
        self._plane = plane
        self._tap = tap
        # Who else has to know what is never diverted.
        self._allow = allow

    def handlers(self) -> dict[str, Handler]:
        """By the name of the command."""
        return {
            "status": lambda _: self._status.status(),
            "flows": self.flows,
            "cut": self.cut,
            "allow": self.allow,
        }

    def flows(self, request: dict[str, Any]) -> dict[str, Any]:
        """Who is diverted now, the latest first."""
        limit = min(int(request.get("limit", MOST_FLOWS)), MOST_FLOWS)
        if limit < 0:
            raise ValueError(f"--limit {limit}: give a number of flows, 0 or more")
        sessions = self._tap.open()
        sessions.sort(key=lambda session: -session.diverted_ns)
        now_ns = time.time_ns()
        shown = [
            {
                "flow": flow_text(session.flow),
                "age_s": round((now_ns - session.diverted_ns) / 1e9, 3),
                "idle_s": round(max(now_ns - session.last_ns, 0) / 1e9, 3),
                "handshake": session.handshake_ns > 0,
                "bytes_toserver": session.orig_bytes,
                "bytes_toclient": session.resp_bytes,
            }
            for session in sessions[:limit]
        ]
        return {
            "flows": shown,
            "open": len(sessions),
            "diverted": len(self._dispatcher.flows),
        }

    def cut(self, request: dict[str, Any]) -> dict[str, Any]:
        """End one flow, or all."""
        flows: list[Flow]
        if request.get("all"):
            flows = list(self._dispatcher.flows)
        else:
            flows = [parse_flow(str(request["flow"]))]
        count = self._plane.cut(flows, time.time_ns(), "command")
        if not count and not request.get("all"):
            raise ValueError(
                f"{request['flow']} is not diverted (darkflow flows lists those); should the kernel"
                " know better, it was told to let it go"
            )
        return {"cut": count}

    def allow(self, request: dict[str, Any]) -> dict[str, Any]:
        """Show or change what is never diverted; flows that it covers now are cut.

        `lasts` says how long a change does, and how to keep it.
        """
        count = 0
        if request.get("action", "list") != "list":
            words = (str(request["action"]), str(request["kind"]), str(request["value"]))
            count = self._plane.allow(lambda old: changed(old, *words), time.time_ns())
            self._allow(self._dispatcher.allowed)
        allowed = self._dispatcher.allowed
        return {
            "addresses": [range_text(ends) for ends in allowed.addresses],
            "sources": [range_text(ends) for ends in allowed.sources],
            "ports": sorted(allowed.ports),
            "cut": count,
            "lasts": LASTS if request.get("action", "list") != "list" else "",
        }
