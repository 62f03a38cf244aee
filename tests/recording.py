"""For tests of records: sessions as a tracker tells them, and their lines' slow twin."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
from typing import Any

from darkflow.sinks.told import Told
from honeypot.test_sessions import Line
from sinks.test_lines import NETWORKS
from slow_lines import Headers, community_id, direction, flow_id, timestamp
from writers import ACK, FIN, PSH, RST, SECOND_NS, SYN, Flow

FLOW4, FLOW6 = Flow(), Flow("2001:db8:f::7", 50_000, "2001:db8:1::22", 443)
T0_NS = 1_772_366_395_000_000_000
REQUEST = b'GET /"\\ HTTP/1.1\r\nHost: shop.example\r\n\r\n\xff\0'
INNER = b"GET /inner HTTP/1.1\r\n\r\n"
# As the responder tells it,
TOLD = Told(
    "responder", "http",
    {
        "http": {"method": "GET", "path": '/"\\', "host": "shop.example", "requests": 1,
                 "user": "root", "password": "toor", "logins": [["root", "toor"]]},
        "tls": {"sni": "shop.example", "version": "TLS 1.3", "ja4": "t13d", "ja3": "9e10"},
        "ssh": {"client": "SSH-2.0-libssh_0.9-x y", "hassh": "ec7378", "kex": "a,\u00e9"},
    },
    INNER,
)  # fmt: skip
# by Suricata's names,
OBJECTS = {
    "http": {"requests": 1, "user": "root", "password": "toor", "logins": [["root", "toor"]],
             "http_method": "GET", "url": '/"\\', "hostname": "shop.example"},
    "tls": {"sni": "shop.example", "version": "TLS 1.3", "ja4": "t13d", "ja3": {"hash": "9e10"}},
    "ssh": {"kex": "a,\u00e9",
            "client": {"software_version": "libssh_0.9-x y", "proto_version": "2.0",
                       "hassh": {"hash": "ec7378"}}},
}  # fmt: skip
# and in columns.
REPORTED = {
    "http_method": "GET", "http_hostname": "shop.example", "http_url": '/"\\',
    "http_user_agent": None, "tls_sni": "shop.example", "tls_version": "TLS 1.3",
    "tls_ja3_hash": "9e10", "tls_ja4": "t13d", "ssh_client_software_version": "libssh_0.9-x y",
    "ssh_client_hassh_hash": "ec7378", "login_user": "root", "login_password": "toor",
}  # fmt: skip


class Kept:
    """A box that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.units = 0

    def put(self, data: bytes, units: int) -> None:
        """As Box."""
        self.data += data
        self.units += units

    def begin(self, header: bytes) -> None:
        """As Box."""

    def finish(self) -> None:
        """As Box."""

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The lines, read back."""
        assert self.units == self.data.count(b"\n")
        return [json.loads(line) for line in self.data.splitlines()]


def head(kind: str, flow: Flow, t0_ns: int, t_ns: int) -> dict[str, Any]:
    """The fields that all events have, slowly."""
    headers = Headers.of(flow.syn())
    return {
        "timestamp": timestamp(t_ns, 9), "event_type": kind, "flow_id": flow_id(headers, t0_ns),
        "community_id": community_id(headers), "src_ip": str(ipaddress.ip_address(flow.orig)),
        "src_port": flow.orig_port, "dest_ip": str(ipaddress.ip_address(flow.resp)),
        "dest_port": flow.resp_port, "proto": "TCP", "direction": direction(headers, NETWORKS),
    }  # fmt: skip


def printable(data: bytes) -> str:
    """ASCII, with a dot for what is none."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def of_session(
    flow: Flow, session: Any, told: Told, objects: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The document of a session, slowly; objects: what its service told, by Suricata's names."""
    kept, inner, objects = session.payload, told.decrypted, objects or {}
    http = objects.get("http", {})
    return head("session", flow, T0_NS, session.diverted_ns) | {
        "app_proto": told.protocol or None,
        "flow": {
            "pkts_toserver": session.orig_packets, "pkts_toclient": session.resp_packets,
            "bytes_toserver": session.orig_frame_bytes, "bytes_toclient": session.resp_frame_bytes,
        },
        "session": {
            "t0_ns": T0_NS, "diverted_ns": session.diverted_ns,
            "syn_ack_ns": session.syn_ack_ns or None, "handshake": bool(session.handshake_ns),
            "handshake_ns": session.handshake_ns or None, "last_ns": session.last_ns,
            "ended_ns": session.ended_ns, "end_reason": session.end,
            "cut_latency_ns": (
                session.ended_ns - session.answered_ns if session.answered_ns else None
            ),
            "service": told.service or None, "payload_toserver": session.orig_bytes,
            "payload_toclient": session.resp_bytes, "payload_total": session.payload_total,
            "payload_bytes": len(kept),
            "payload_sha256": hashlib.sha256(kept).hexdigest() if kept else None,
            "payload": base64.b64encode(kept).decode(), "payload_printable": printable(kept),
            "decrypted": base64.b64encode(inner).decode() if inner else None,
            "decrypted_printable": printable(inner) if inner else None,
            "login_user": http.get("user"), "login_password": http.get("password"),
        },
    } | objects  # fmt: skip


def talk(flow: Flow, payload: bytes = REQUEST) -> Any:
    """A session that a tracker saw from its handshake to its end."""
    line = Line(flow)
    line.t_ns = T0_NS + 5 * SECOND_NS
    line.connect()
    if payload:
        line.orig(PSH | ACK, 1, 501, payload)
    line.resp(PSH | ACK, 501, 1 + len(payload), b"x" * 700)
    line.orig(FIN | ACK, 1 + len(payload), 1201)
    line.resp(FIN | ACK, 1201, 2 + len(payload))
    line.orig(ACK, 2 + len(payload), 1202)
    return line.ended[0]


def scanned(flow: Flow) -> Any:
    """A session of a scanner that resets at once."""
    line = Line(flow)
    line.divert()
    line.orig(SYN, 0)
    line.resp(RST | ACK, 0, 1)
    return line.ended[0]


def answered(flow: Flow) -> Any:
    """A session that a late answer cut, 19 us after it came."""
    line = Line(flow)
    line.connect()
    return line.tracker.cut(line.tracker.open()[0], line.t_ns + 19_000, "late_answer", line.t_ns)
