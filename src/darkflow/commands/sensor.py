"""`darkflow sensor`: live dark flows from interfaces, for as long as it runs."""

from __future__ import annotations

import signal
import socket

from darkflow.commands.analyze import EXIT_USAGE, complain
from darkflow.commands.log import Log
from darkflow.commands.supervisor import Supervisor
from darkflow.commands.wiring import Wiring, conflict
from darkflow.sources.interface import RingSize, Watch
from darkflow.sources.live import Live

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from darkflow.sinks.endpoint import Endpoint


def sensor_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Watch interfaces until a signal ends it; the exit status."""
    # A reload that is asked for during the start comes right after it, and does not end the start.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    log = Log()
    sources: list[Live] = []
    problem = conflict(options) or wrong_interfaces(options.interface)
    if problem:
        complain(problem)
        return EXIT_USAGE
    try:
        need_room(options, settings)
        open_sources(sources, options.interface, watch_of(options, settings), settings, log)
        endpoint = endpoint_of(settings)
        wired = Wiring(options, settings, live=True, say=lambda line: log("warning", line))
    except (OSError, MemoryError, ValueError) as error:
        for source in sources:
            source.close()
        complain(reason_of(error))
        return EXIT_USAGE
    supervisor = Supervisor(sources, wired, settings, log, options)
    if endpoint is not None:
        endpoint.start(supervisor.vitals.metrics, supervisor.vitals.pulse.trouble)
    return supervisor.run()


def wrong_interfaces(names: list[str]) -> str | None:
    """Why these cannot be watched together, or None."""
    for name in names:
        if names.count(name) > 1:
            return f"{name} is named twice: its packets would count twice"
    if "any" in names and "any" not in (name for _, name in socket.if_nameindex()):
        return "any: give each interface an -i of its own"
    return None


def need_room(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """MemoryError when the rings are larger than what is free: the kernel would end others."""
    from darkflow.sources.kernel import free_memory_bytes

    free_bytes = free_memory_bytes()
    ring_bytes = max(2 * settings["ring_block"], settings["ring_size"])
    wanted_bytes = ring_bytes * settings["workers"] * len(options.interface)
    if wanted_bytes > free_bytes:
        raise MemoryError(
            f"rings of {wanted_bytes >> 20} MiB (--ring-size for each worker and interface) do not"
            f" fit into the {free_bytes >> 20} MiB of memory that are free"
        )


def open_sources(
    sources: list[Live], names: list[str], watch: Watch, settings: dict[str, Any], log: Log
) -> None:
    """A source for each worker, put into `sources` as they are opened; OSError as Live's."""
    for number in range(settings["workers"]):
        say = (lambda line: log("warning", line)) if number == 0 else (lambda _: None)
        sources.append(Live(names, say, watch))


def endpoint_of(settings: dict[str, Any]) -> Endpoint | None:
    """The endpoint for Prometheus, if one is asked for; OSError when it cannot listen."""
    if settings["metrics"] is None:
        return None
    from darkflow.sinks.endpoint import Endpoint

    return Endpoint(settings["metrics"])


def watch_of(options: argparse.Namespace, settings: dict[str, Any]) -> Watch:
    """How the settings say that interfaces are to be watched."""
    block_bytes = settings["ring_block"]
    size = RingSize(
        block_bytes,
        max(2, settings["ring_size"] // block_bytes),
        max(1, settings["ring_timeout"] // 1_000_000),
    )
    fanout = None
    if settings["workers"] > 1:
        from darkflow.sources.fanout import Fanout

        fanout = Fanout(settings["workers"])
    outgoing = {"auto": None, "yes": True, "no": False}[options.outgoing]
    hardware = options.timestamps == "hardware"
    return Watch(size, bool(settings["decap"]), outgoing, hardware, fanout)


def reason_of(error: BaseException) -> str:
    """Why something could not be opened, with its name."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
