"""The fields of the events, each once: lines, store, `darkflow fields` and the docs follow it."""

from __future__ import annotations

from dataclasses import dataclass

# Events of attempts, which the engine tells; and what the honeypot tells of diverted flows.
ATTEMPTS = ("darkflow", "late_answer", "undecided")
DIVERTED = ("session", "cut", "cut_trace")
# And what many of them together are.
DETECTED = ("scan", "backscatter")
FLOWS = (*ATTEMPTS, *DIVERTED)
ALL = (*FLOWS, *DETECTED)
SESSION, CUT, TRACE = ("session",), ("cut",), ("cut_trace",)
SCAN, BACK = ("scan",), ("backscatter",)


@dataclass(frozen=True)
class Field:
    """One field: dotted path in the line, JSON type, unit or "", meaning, events that have it."""

    name: str
    type: str
    unit: str
    meaning: str
    events: tuple[str, ...] = ATTEMPTS


# What a service of the honeypot may tell of a session, by Suricata's names: objects of the lines,
# there as far as the service has told them, beside others of its own. The store has columns for
# these, so that SQL can ask for them; all that was told is in its column `fields`.
REPORTED: tuple[Field, ...] = (
    Field("http.http_method", "string", "", "of the first request", SESSION),
    Field("http.hostname", "string", "", "its Host header", SESSION),
    Field("http.url", "string", "", "its target", SESSION),
    Field("http.http_user_agent", "string", "", "its User-Agent header", SESSION),
    Field("tls.sni", "string", "", "server name of the ClientHello", SESSION),
    Field("tls.version", "string", "", "highest version that it offers", SESSION),
    Field("tls.ja3.hash", "string", "", "JA3 of the ClientHello", SESSION),
    Field("tls.ja4", "string", "", "JA4 of the ClientHello", SESSION),
    Field("ssh.client.software_version", "string", "", "of the client's banner", SESSION),
    Field("ssh.client.hassh.hash", "string", "", "HASSH of its key exchange", SESSION),
)  # fmt: skip

FIELDS: tuple[Field, ...] = (
    Field("timestamp", "string", "RFC 3339, UTC", "first SYN of the flow, time of the late answer,"
          " beginning of the session, time of the cut, or last packet of the scan or backscatter;"
          " as many digits as the capture tells", ALL),
    Field("event_type", "string", "", "`darkflow`: a flow that nobody answered within the hold"
          " time; `darkflow_end`: its final counts, where its line was written at the verdict;"
          " `late_answer`: an answer that came after the hold time; `undecided`: a flow that nobody"
          " had answered when the capture or the sensor ended, before the hold time was over;"
          " `session`: what passed between a client and the honeypot; `cut`: a flow was taken from"
          " the honeypot; `cut_trace`: what followed a late SYN+ACK that cut a flow; `scan`: a"
          " source tries what is not there; `backscatter`: who is attacked with forged addresses of"
          " ours", ALL),
    Field("flow_id", "integer", "", "the same for all events of one flow; from its addresses,"
          " ports and first SYN, so every sensor gives the same", FLOWS),
    Field("community_id", "string", "", "Community ID, version 1, seed 0", FLOWS),
    Field("src_ip", "string", "", "who sent the SYN (orig); of a scan its source, for a prefix the"
          " first address", (*FLOWS, *SCAN)),
    Field("src_port", "integer", "", "TCP port of orig", FLOWS),
    Field("dest_ip", "string", "", "who did not answer (resp)", FLOWS),
    Field("dest_port", "integer", "", "TCP port of resp", FLOWS),
    Field("proto", "string", "", "`TCP`", ALL),
    Field("direction", "string", "", "by `--networks`: `inbound`, `outbound`, `internal` or"
          " `transit`; of a scan that of its first dark flow", (*FLOWS, *SCAN)),
    Field("conn_state", "string", "", "Zeek's: `S0` for a flow without an answer; of a late"
          " answer `S1` (SYN+ACK) or `REJ` (RST)"),
    Field("history", "string", "", "Zeek's: `S`, `SD` with payload in the SYN; then `h` or `r` for"
          " the late answer"),
    Field("darkflow.t0_ns", "integer", "ns since 1970", "first SYN"),
    Field("darkflow.verdict_ns", "integer", "ns since 1970", "first SYN plus the hold time"),
    Field("darkflow.hold_ns", "integer or null", "ns", "the hold time that was used: T, or less by"
          " `--adaptive`; without that the field is missing, and null in the store"),
    Field("darkflow.syn_count", "integer", "packets", "all SYNs of the flow"),
    Field("darkflow.new_isn_count", "integer", "packets", "SYNs with another sequence number than"
          " the first"),
    Field("darkflow.duplicate_count", "integer", "packets", "second copies of a SYN, as SPAN ports"
          " make them: same sequence number and IP ID within 1 ms"),
    Field("darkflow.last_syn_ns", "integer", "ns since 1970", "last SYN"),
    Field("darkflow.ttl", "integer", "hops", "time to live (IPv6: hop limit) of the first SYN"),
    Field("darkflow.window", "integer or null", "bytes, unscaled", "TCP window of the first SYN;"
          " null where the capture cut it off"),
    Field("darkflow.ip_id", "integer or null", "", "IPv4 identification; null on IPv6"),
    Field("darkflow.isn", "integer", "", "initial sequence number"),
    Field("darkflow.df", "boolean or null", "", "IPv4 don't-fragment bit; null on IPv6"),
    Field("darkflow.ecn", "boolean", "", "the SYN asks for ECN (ECE and CWR set)"),
    Field("darkflow.options", "string", "", "kinds of the TCP options in their order, as"
          " `2-4-8-1-3`"),
    Field("darkflow.mss", "integer or null", "bytes", "maximum segment size option"),
    Field("darkflow.wscale", "integer or null", "bits", "window scale option"),
    Field("darkflow.payload_bytes", "integer", "bytes", "payload in the first SYN"),
    Field("darkflow.ttl_start", "integer", "hops", "what the TTL (IPv6: hop limit) probably was at"
          " the start: 32, 64, 128 or 255"),
    Field("darkflow.signature", "string or null", "", "what the first SYN looks like as one text to"
          " group by, in the manner of p0f; null where the capture cut it off"),
    Field("darkflow.tool", "string or null", "", "the scanner that sent it, by its marks: `zmap`,"
          " `masscan`, `mirai`, `unicornscan`, `nmap` or `hping3`; null if none is known"),
    Field("darkflow.tool_confidence", "string or null", "", "how sure that is: `high` (of SYNs with"
          " the same looks at most 1 in 10,000,000 is named so by chance), `medium` (1 in 100,000)"
          " or `low` (by looks alone)"),
    Field("darkflow.icmp", "object or null", "", "the ICMP error that quoted a SYN of this flow, if"
          " one came: why it is dark"),
    Field("darkflow.icmp.type", "integer", "", "ICMP or ICMPv6 type"),
    Field("darkflow.icmp.code", "integer", "", "ICMP or ICMPv6 code"),
    Field("darkflow.icmp.from", "string", "", "who sent the error"),
    Field("late_answer.answer", "string", "", "`syn_ack` or `rst`", ("late_answer",)),
    Field("late_answer.delay_ns", "integer", "ns", "from the first SYN to the late answer",
          ("late_answer",)),
    Field("undecided.held_ns", "integer", "ns", "from the first SYN to the end of the capture or"
          " of the sensor: so long nobody answered", ("undecided",)),
    Field("app_proto", "string or null", "", "what the client spoke, as its service tells: `http`,"
          " `ssh`, `tls` ...", SESSION),
    Field("flow.pkts_toserver", "integer", "packets", "from the client", SESSION),
    Field("flow.pkts_toclient", "integer", "packets", "from the honeypot", SESSION),
    Field("flow.bytes_toserver", "integer", "bytes", "from the client, whole frames", SESSION),
    Field("flow.bytes_toclient", "integer", "bytes", "from the honeypot, whole frames", SESSION),
    Field("session.t0_ns", "integer", "ns since 1970", "first SYN of the dark flow", SESSION),
    Field("session.diverted_ns", "integer", "ns since 1970", "beginning: the flow was diverted; of"
          " a further session of the flow, its SYN", SESSION),
    Field("session.syn_ack_ns", "integer or null", "ns since 1970", "the honeypot's SYN+ACK; null"
          " if there was none", SESSION),
    Field("session.handshake", "boolean", "", "the client completed the handshake", SESSION),
    Field("session.handshake_ns", "integer or null", "ns since 1970", "when it did", SESSION),
    Field("session.last_ns", "integer", "ns since 1970", "last packet, either way", SESSION),
    Field("session.ended_ns", "integer", "ns since 1970", "end", SESSION),
    Field("session.end_reason", "string", "", "how it ended: `fin` (both sides), `rst_orig` (by the"
          " client), `rst_resp` (by the honeypot), `idle`, `late_answer` (cut by it), `command`,"
          " `allowed` (by the allow list), `limit`, `stopped` (Darkflow ended)", SESSION),
    Field("session.cut_latency_ns", "integer or null", "ns", "from the late answer to the cut, by"
          " packet times; null if no late answer cut it", SESSION),
    Field("session.service", "string or null", "", "who answered: `responder`, or the name of a"
          " service of yours", SESSION),
    Field("session.payload_toserver", "integer", "bytes", "payload from the client, what was sent"
          " twice included", SESSION),
    Field("session.payload_toclient", "integer", "bytes", "payload from the honeypot, likewise",
          SESSION),
    Field("session.payload_total", "integer", "bytes", "payload from the client that came in"
          " order", SESSION),
    Field("session.payload_bytes", "integer", "bytes", "so much of its beginning is kept", SESSION),
    Field("session.payload_sha256", "string or null", "", "SHA-256 of what is kept; null if that"
          " is nothing", SESSION),
    Field("session.payload", "string", "base64", "what is kept", SESSION),
    Field("session.payload_printable", "string", "", "the same, bytes that are not printable ASCII"
          " as `.`", SESSION),
    Field("session.decrypted", "string or null", "base64", "what the client said first inside TLS,"
          " where its service ended that", SESSION),
    Field("session.decrypted_printable", "string or null", "", "the same, printable", SESSION),
    Field("session.login_user", "string or null", "", "user of the first login that it tried, as"
          " its service tells", SESSION),
    Field("session.login_password", "string or null", "", "password of that", SESSION),
    Field("cut.t0_ns", "integer", "ns since 1970", "first SYN of the dark flow", CUT),
    Field("cut.t_ns", "integer", "ns since 1970", "when it was cut", CUT),
    Field("cut.cut_by", "string", "", "`kernel` (in the path of the late answer's own packet),"
          " `engine` (it saw the late answer first), `command` (`darkflow cut`), `allow_list` or"
          " `no_table` (an interface had gone)",
          CUT),
    Field("cut.answer", "string or null", "", "the late answer: `syn_ack` or `rst`, or an `ack` in"
          " a connection that the host has had before; null if none was the reason", CUT),
    Field("cut.answered_ns", "integer or null", "ns since 1970", "when it came", CUT),
    Field("cut.latency_ns", "integer or null", "ns", "from then to the cut", CUT),
    Field("cut_trace.t0_ns", "integer", "ns since 1970", "first SYN of the dark flow", TRACE),
    Field("cut_trace.cut_ns", "integer", "ns since 1970", "when it was cut", TRACE),
    Field("cut_trace.trace", "string", "", "what came first within 60 s of the cut:"
          " `rst_by_client`, `rst_by_server`, `fin`, or `silence`", TRACE),
    Field("cut_trace.t_ns", "integer", "ns since 1970", "when it came; of `silence`, when the 60 s"
          " were over", TRACE),
    Field("scan.prefix_length", "integer", "bits", "32 or 128: one address; 64 or 48: the addresses"
          " of an IPv6 prefix together", SCAN),
    Field("scan.state", "string", "", "`begin`: it is certain; `end`: nothing dark came for the gap"
          " (`--scan-gap`), or the input has ended", SCAN),
    Field("scan.kind", "string", "", "`address_scan` (at most 5 ports), `port_scan` (at most 5 dark"
          " targets) or `random_scan`", SCAN),
    Field("scan.start_ns", "integer", "ns since 1970", "first SYN of its dark flows", SCAN),
    Field("scan.end_ns", "integer", "ns since 1970", "last SYN of them until now", SCAN),
    Field("scan.flows", "integer", "flows", "attempts that were judged: dark, answered, refused",
          SCAN),
    Field("scan.packets", "integer", "packets", "their SYNs up to the verdict", SCAN),
    Field("scan.dark_targets", "integer", "addresses", "different ones that did not answer; exact"
          " up to some hundreds, then within some percent", SCAN),
    Field("scan.live_targets", "integer", "addresses", "different ones that answered or refused",
          SCAN),
    Field("scan.ports", "integer", "ports", "different ones of the dark flows", SCAN),
    Field("scan.top_ports", "string", "", "up to five of them, the most frequent first, as"
          " `22,80`", SCAN),
    Field("scan.rate", "number", "flows/s", "flows by the time from first to last SYN, at least"
          " 1 s", SCAN),
    Field("scan.tool", "string or null", "", "the scanner that sent most of its dark flows; null if"
          " most have no known one", SCAN),
    Field("scan.tool_confidence", "string or null", "", "the best that one of these flows had at"
          " its verdict: `high`, `medium` or `low`", SCAN),
    Field("scan.trw", "string", "", "Jung's sequential test of first contacts: `scanner`, `benign`"
          " or `undecided`", SCAN),
    Field("scan.known", "string or null", "", "name of the source by `--known`", SCAN),
    Field("scan.country", "string or null", "", "its country by `--geoip`, ISO 3166", SCAN),
    Field("scan.asn", "integer or null", "", "its autonomous system by `--geoip`", SCAN),
    Field("backscatter.victim_ip", "string", "", "who is attacked: its answers come here", BACK),
    Field("backscatter.state", "string", "", "`begin` or `end`, as for scans", BACK),
    Field("backscatter.start_ns", "integer", "ns since 1970", "first packet", BACK),
    Field("backscatter.end_ns", "integer", "ns since 1970", "last packet until now", BACK),
    Field("backscatter.packets", "integer", "packets", "SYN+ACKs and resets that answer nothing",
          BACK),
    Field("backscatter.targets", "integer", "addresses", "different ones of ours that they went to",
          BACK),
    Field("backscatter.ports", "string", "", "ports of the victim, up to five, the most frequent"
          " first", BACK),
    Field("backscatter.peak_pps", "number", "packets/s", "in the busiest minute", BACK),
    Field("backscatter.answer", "string", "", "`syn_ack`, `rst` or `both`", BACK),
    Field("backscatter.known", "string or null", "", "name of the victim by `--known`", BACK),
    Field("backscatter.country", "string or null", "", "its country by `--geoip`, ISO 3166", BACK),
    Field("backscatter.asn", "integer or null", "", "its autonomous system by `--geoip`", BACK),
    *REPORTED,
)  # fmt: skip


# The store's tables of events, and the event type whose fields each has.
TABLES = {
    "darkflows": "darkflow",
    "late_answers": "late_answer",
    "undecided": "undecided",
    "sessions": "session",
    "cuts": "cut",
    "cut_traces": "cut_trace",
    "scans": "scan",
    "backscatter": "backscatter",
}
# The columns whose sum is the time of an event, in ns.
TIMES = {
    "darkflows": ("t0_ns",),
    "late_answers": ("t0_ns", "delay_ns"),
    "undecided": ("t0_ns",),
    "sessions": ("diverted_ns",),
    "cuts": ("t_ns",),
    "cut_traces": ("t_ns",),
    "scans": ("end_ns",),
    "backscatter": ("end_ns",),
}


# Objects that only group fields: their names are not in those of the store's columns.
GROUPS = (
    "darkflow", "late_answer", "undecided", "flow", "session", "cut", "cut_trace", *DETECTED,
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of the store: name, type, the field's path in the lines ("": it has none)."""

    name: str
    type: str
    field: str


# What the lines do not need: how many of the time's decimals are known, and the partition.
STORE_COLUMNS = (Column("timestamp_digits", "integer", ""), Column("day", "date", ""))
# What a session's service has told, whole: JSON text, its objects being those of the line.
TOLD = Column("fields", "string", "")


def columns_of(table: str) -> tuple[Column, ...]:
    """The columns of a table of events, in the order of its fields."""
    columns = []
    for field in FIELDS:
        if TABLES[table] in field.events and not field.type.startswith("object"):
            name = field.name
            for group in GROUPS:
                name = name.removeprefix(f"{group}.")
            name = name.replace("http.http_", "http_")
            kind = field.type.removesuffix(" or null")
            if field.name == "timestamp":
                kind = "timestamp"
            columns.append(Column(name.replace(".", "_"), kind, field.name))
    if table == "sessions":
        columns.append(TOLD)
    return (*columns, *STORE_COLUMNS)


def as_markdown() -> str:
    """The table as it stands in docs/events.md."""
    rows = ["| field | type | unit | events | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{f.name}` | {f.type} | {f.unit} | {', '.join(f.events)} | {f.meaning} |"
        for f in FIELDS
    ]
    return "\n".join(rows)
