"""The machine's own addresses, in the network namespace of the calling thread."""

from __future__ import annotations

import socket


def own_addresses() -> frozenset[bytes]:
    """Each of them packed, IPv4 and IPv6; OSError when the kernel does not tell them."""
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError:
        raise OSError("the honeypot needs pyroute2: pip install 'darkflow[honeypot]'") from None
    found = set()
    try:
        with IPRoute() as ipr:
            for one in ipr.get_addr():
                # Of a point-to-point link IFA_ADDRESS is the other end's.
                text = one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS")
                family = socket.AF_INET6 if ":" in text else socket.AF_INET
                found.add(socket.inet_pton(family, text))
    except NetlinkError as error:
        raise OSError(f"the machine's addresses cannot be read: {error}") from error
    return frozenset(found)
