"""Which TCP ports are listened on in the network namespace of a process."""

from __future__ import annotations

from pathlib import Path

LISTEN = "0A"  # net/tcp_states.h, TCP_LISTEN


def listening_ports(pid: int) -> frozenset[int]:
    """The ports, IPv4 and IPv6; none of a process that is gone."""
    found: set[int] = set()
    for file in ("tcp", "tcp6"):
        try:
            with Path(f"/proc/{pid}/net/{file}").open() as lines:
                next(lines, "")
                for line in lines:
                    words = line.split()
                    # The kernel lists these first; thousands of connections may follow.
                    if words[3] != LISTEN:
                        break
                    found.add(int(words[1].rpartition(":")[2], 16))
        except OSError:
            continue
    return frozenset(found)
