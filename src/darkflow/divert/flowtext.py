"""A flow as people write it: 198.51.100.7:4242-192.0.2.9:22, IPv6 addresses in brackets."""

from __future__ import annotations

import ipaddress

Flow = tuple[bytes, int, bytes, int]


def end_text(address: bytes, port: int) -> str:
    """Address and port of one end."""
    text = str(ipaddress.ip_address(address))
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def flow_text(flow: Flow) -> str:
    """A flow in one word."""
    return f"{end_text(*flow[:2])}-{end_text(*flow[2:])}"


def _end(text: str) -> tuple[bytes, int]:
    address, _, port = text.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    if bracketed != (":" in address) or not port.isascii() or not port.isdigit():
        raise ValueError(text)
    number = int(port)
    if number > 0xFFFF:
        raise ValueError(text)
    return ipaddress.ip_address(address.strip("[]")).packed, number


def parse_flow(text: str) -> Flow:
    """The flow that is written so; ValueError says what it should look like."""
    orig, _, resp = text.strip().partition("-")
    try:
        flow = (*_end(orig), *_end(resp))
    except ValueError:
        flow = (b"", 0, b"x", 0)
    if len(flow[0]) != len(flow[2]):
        raise ValueError(
            f"{text!r} is no flow: write for example 198.51.100.7:4242-192.0.2.9:22 or"
            " [2001:db8::7]:4242-[2001:db8:1::9]:22"
        )
    return flow
