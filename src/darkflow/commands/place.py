"""Where the honeypot stands: its plan, the kernel's table, its namespace, and what runs inside."""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from darkflow.commands.answering import Answering
from darkflow.divert import portrules
from darkflow.divert.honeynet import INNER_MAC, OUTER_MAC, Honeynet, commands
from darkflow.divert.keeper import Keeper
from darkflow.divert.namespace import Namespace, default_name, entered, found_host, need_root
from darkflow.divert.nft import NFPROTO_INET, Nft
from darkflow.divert.plan import Plan
from darkflow.divert.ruleset import render
from darkflow.divert.services import name_of, read_services
from darkflow.honeypot.settings import SETTINGS as RESPONDER_SETTINGS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from darkflow.commands.answering import Heard
    from darkflow.divert.dispatcher import Allowed, Flow

    Say = Callable[..., None]

RESPONDER = "responder"
# A service that takes longer to listen is not waited for.
PATIENCE_S = 10.0
# What the responder tells of itself, as metrics.
RESPONDER_METRICS = ("open", "accepted", "refused", "tls_open", "tls_refused", "errors")


def plan_of(options: argparse.Namespace, settings: dict[str, Any]) -> Plan:
    """The plan that the options ask for; ValueError says in one line what is missing."""
    if settings["networks"] is None:
        raise ValueError("the honeypot answers for --networks: give them, as 192.0.2.0/24,...")
    modes = [name for name in ("mirror", "outside") if getattr(options, name)]
    if len(modes) != 1:
        raise ValueError(
            "give either --mirror IF, or --outside IF and --inside IF (see: darkflow honeypot"
            " --help)"
        )
    inline = modes == ["outside"]
    if inline != bool(options.inside):
        raise ValueError("--outside and --inside belong together")
    mode = "sensor" if options.sensor_to else "inline" if inline else "mirror"
    return Plan(
        mode=mode,
        outside=options.outside or options.mirror,
        inside=options.inside,
        hp0=options.sensor_to or Honeynet.outer,
        hp1_mac=INNER_MAC,
        networks=settings["networks"][0],
        hold_ns=settings["hold"],
        idle_ns=settings["idle"],
        flows=settings["flows"],
        syn_acks=settings["rate"],
        shield=not options.no_shield,
        cut={"cuts": "always"}.get(options.late_answer, options.late_answer),
    )


def words_of(options: argparse.Namespace) -> list[str]:
    """The responder's settings, for its own command line."""
    told = [(one.flags[-1], getattr(options, one.name)) for one in RESPONDER_SETTINGS]
    return [f"{flag}={text}" for flag, text in told if text is not None]


class Place:
    """Makes and removes it all.

    nft: the kernel's table. macs: destination and source of frames for the honeypot, 12 bytes.
    watched: the interfaces that the engine sees, the honeypot's own as the last.
    """

    def __init__(self, options: argparse.Namespace, settings: dict[str, Any]) -> None:
        self.plan = plan_of(options, settings)
        self.net = Honeynet(networks=settings["networks"][0], name=default_name())
        self.services = read_services(options.service or [], self.net.responder_port)
        self.macs = bytes.fromhex((INNER_MAC + OUTER_MAC).replace(":", ""))
        self.nft = Nft()
        self.namespace = Namespace(self.net)
        # The namespace's own table.
        self._inner: Nft | None = None
        # How often the table was gone, and was loaded anew; what its counters had come to then.
        self.reloads = 0
        self._kernel: Counter[str] = Counter()
        self._kernel_before: Counter[str] = Counter()
        self._stopped = 0
        self._indexes: dict[str, int] = {}
        self._hp0_index = 0
        # Over the two sums of counters.
        self._counting = threading.Lock()
        self._words = words_of(options)
        self._keeper: Keeper | None = None
        self._answering: Answering | None = None
        # Takes away what has been made, and nothing that is another honeypot's.
        self._undo = ExitStack()
        ends = [self.plan.outside, *([self.plan.inside] if self.plan.inside else [])]
        self.watched = [*ends, self.plan.hp0]

    @property
    def answers(self) -> bool:
        """Whether there is a honeypot, and not only a third party's sensor."""
        return self.plan.mode != "sensor"

    def describe(self) -> None:
        """Print what would be set up, as a shell script."""
        lines = []
        if self.answers:
            rules = portrules.render(self.net, self.services)
            inner = portrules.settings(self.services)
            lines += ["# The honeypot's namespace", *commands(self.net, found_host(), rules, inner)]
        lines += ["# The data plane", "nft -f - <<'END'", render(self.plan).rstrip(), "END"]
        sys.stdout.write("\n".join(lines) + "\n")

    def claim(self) -> None:
        """Be the only one here, before anything is touched; BlockingIOError says who is it."""
        self._undo.callback(self.nft.close)
        if self.answers:
            need_root()
        self.namespace.claim()
        self._undo.callback(self.namespace.remove)

    def make(self) -> None:
        """Set it up, over what a killed run has left; OSError says what the system refuses."""
        if self.answers:
            rules = portrules.render(self.net, self.services)
            self.namespace.make(rules, portrules.settings(self.services))
            with entered(self.namespace.fd):
                self._inner = Nft()
            self._undo.callback(self._inner.close)
        else:
            self.namespace.do_without()
        self._apply()
        self._hp0_index = self._indexes[self.plan.hp0]
        self._undo.callback(self.nft.remove)
        if self.answers:
            self._undo.callback(self.namespace.unplug)

    def _apply(self) -> None:
        self.nft.apply(self.plan)
        self._indexes = indexes_of(self.watched)

    @property
    def hp0_has_gone(self) -> bool:
        """Whether the way to the honeypot is no longer the one that was made; no mending helps."""
        return indexes_of([self.plan.hp0])[self.plan.hp0] != self._hp0_index

    def mend(self) -> str:
        """Load the table anew where it is gone, or stands on an interface that has come back.

        What was amiss, or "" for nothing; OSError says why it cannot be mended now.
        """
        if not self.nft.exists():
            why = "the table netdev darkflow was gone (nft flush ruleset?)"
        elif indexes_of(self.watched) != self._indexes:
            why = "an interface has gone and come back"
        else:
            if self.plan.shielded:
                self.nft.renew()
            return ""
        with self._counting:
            with suppress(OSError):
                self._kernel = Counter(self.nft.stats())
            self._apply()
            self.reloads += 1
            self._kernel_before += self._kernel
            self._kernel = Counter()
        return why

    def allow(self, allowed: Allowed) -> None:
        """The list of what is never diverted has changed."""
        self.plan = replace(self.plan, allowed=allowed)
        # A table that is gone just now is loaded anew with it.
        with suppress(OSError):
            if self.plan.holds:
                self.nft.allow(allowed)

    def stop_diverting(self) -> None:
        """From now on every packet goes its own way."""
        self.kernel_stats()
        if self.answers:
            self.namespace.unplug()
        self.nft.remove()

    def remove(self) -> None:
        """Put everything back as it was; a second time is fine."""
        self._undo.close()

    def start_services(self, say: Say, heard: Heard) -> None:
        """Start what runs inside; `heard` gets the responder's reports."""
        if not self.answers:
            return
        sockets = self.namespace.listeners(self.net.responder_port)
        self._answering = Answering(sockets, self._words, heard, say)
        self._undo.callback(self._answering.close)
        self._answering.start()
        ports = portrules.relay_ports(self.net, self.services)
        relayed = {name: self.namespace.listeners(port) for name, port in ports.items()}
        self._keeper = Keeper(self.services, self.namespace, relayed, say)
        self._undo.callback(self._keeper.stop)
        self._keeper.start()
        if not self._keeper.wait(PATIENCE_S):
            say("warning", "not every service listens yet: the first connections to it are reset")

    def service_of(self, flow: Flow) -> str:
        """Who answers connections to this port; a third party's sensor answers none."""
        if not self.answers:
            return ""
        return name_of(self.services, flow[3]) or RESPONDER

    def services_status(self) -> dict[str, str]:
        """State of each service, in words."""
        states = self._keeper.states() if self._keeper is not None else []
        answering = self._answering
        told = {RESPONDER: answering.describe()} if answering is not None else {}
        return told | {one.name: one.describe() for one in states}

    def services_metrics(self) -> dict[str, Any]:
        """The services in numbers, by name of metric; it costs nothing to ask."""
        answering, keeper = self._answering, self._keeper
        if answering is None or keeper is None:
            return {}
        counts = {RESPONDER: (answering.is_running, answering.restarts), **keeper.counts()}
        told = answering.totals
        return {
            "services_running": {name: int(runs) for name, (runs, _) in counts.items()},
            "service_restarts": {name: restarts for name, (_, restarts) in counts.items()},
            **{f"responder_{name}": told[name] for name in RESPONDER_METRICS},
        }

    @property
    def failed(self) -> BaseException | None:
        """Why nothing keeps the services running any more."""
        return self._keeper.failed if self._keeper is not None else None

    @property
    def reports_lost(self) -> int:
        """Reports of the responder that nobody took, or that could not be read."""
        answering = self._answering
        return (
            0 if answering is None else answering.unreadable + answering.totals["dropped_reports"]
        )

    def kernel_stats(self) -> dict[str, int]:
        """The data plane's own counters; what they were last while there is no table."""
        with self._counting:
            with suppress(OSError):
                self._kernel = Counter(self.nft.stats())
            now, before = dict(self._kernel), dict(self._kernel_before)
        sets = {name: now[name] for name in ("flows4", "flows6") if name in now}
        total = dict(now)
        for name, count in before.items():
            total[name] = total.get(name, 0) + count
        if self._inner is not None:
            with suppress(OSError):
                self._stopped = self._inner.counters(NFPROTO_INET)[portrules.STOPPED][0]
        total["dropped"] = total.get("dropped", 0) + self._stopped
        return total | sets


def indexes_of(names: list[str]) -> dict[str, int]:
    """The interfaces' numbers, 0 for one that is not there."""
    found = {}
    for name in names:
        try:
            found[name] = socket.if_nametoindex(name)
        except OSError:
            found[name] = 0
    return found
