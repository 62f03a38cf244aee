"""Every setting once: name, default, unit and help; the command line and the docs come from it."""

from __future__ import annotations

from darkflow.setting import Setting
from darkflow.shorter_holds import SHORTER_HOLDS
from darkflow.units import (
    parse_block,
    parse_block_time,
    parse_bytes,
    parse_count,
    parse_days,
    parse_every,
    parse_few,
    parse_listen,
    parse_marker,
    parse_networks,
    parse_payload,
    parse_positive_time,
    parse_rate,
    parse_rotate_size,
    parse_rows,
    parse_sessions,
    parse_share,
    parse_size,
    parse_sources,
    parse_store_bytes,
    parse_time,
    parse_tunnels,
    parse_when,
    parse_words,
    parse_workers,
    parse_yes_no,
)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "networks", ("--networks",), None, "CIDR,...",
        "watched networks, IPv4 and IPv6; they make a flow inbound, outbound, internal or transit"
        " (default: every address is watched, so every flow is internal)", parse_networks,
    ),
    Setting(
        "hold", ("-T", "--hold"), "5s", "time",
        "how long a SYN may stay without an answer before its flow is dark", parse_positive_time,
    ),
    *SHORTER_HOLDS,
    Setting(
        "idle", ("--idle",), "60s", "time",
        "how long a dark flow is kept after its last packet: SYNs within it belong to the same"
        " record", parse_positive_time,
    ),
    Setting(
        "reorder", ("--reorder",), "1s", "time",
        "disorder within a capture that is put right; what comes later is clamped and counted",
        parse_time,
    ),
    Setting(
        "decap", ("--decap",), "", "tunnel,...",
        "enter tunnels; alone it means all of them: vxlan, gre, erspan, geneve, mpls, pppoe, ipip,"
        " gtp", parse_tunnels,
    ),
    Setting(
        "limit", ("--limit",), None, "packets", "stop after this many packets", parse_count
    ),
    Setting(
        "queue_size", ("--queue-size",), "1048576", "SYNs",
        "slots of the delay queue; SYNs beyond them are counted and not judged", parse_size,
    ),
    Setting(
        "flow_table_size", ("--flow-table-size",), "1048576", "flows",
        "dark flows kept for their later SYNs; a flow beyond them is reported at its verdict and"
        " then forgotten", parse_size,
    ),
    Setting(
        "tool_sources", ("--tool-sources",), "262144", "sources",
        "sources of dark flows that are remembered to tell their scanners; beyond them, who has"
        " shown least and been silent longest is forgotten", parse_size,
    ),
    Setting(
        "reorder_size", ("--reorder-size",), "262144", "packets",
        "packets that may wait to be put in order; beyond them waiting is cut short", parse_size,
    ),
    Setting(
        "summary_size", ("--summary-size",), "4000000", "entries",
        "sources that the tables tell apart; beyond them distinct counts are lower bounds",
        parse_size,
    ),
    Setting(
        "frame_buffer", ("--frame-buffer",), "256MiB", "bytes",
        "memory for whole frames that await their verdict: for --dark-pcap, and of SYNs with"
        " payload for a honeypot", parse_bytes,
    ),
    Setting(
        "top", ("--top",), "10", "rows", "rows of the tables of ports, sources", parse_rows
    ),
    Setting(
        "ring_size", ("--ring-size",), "32MiB", "bytes",
        "memory that the kernel fills with packets, of each interface: at least 2 blocks",
        parse_bytes,
    ),
    Setting(
        "ring_block", ("--ring-block",), "512KiB", "bytes",
        "blocks in which the kernel hands packets over: a power of two from 64KiB to 64MiB",
        parse_block,
    ),
    Setting(
        "ring_timeout", ("--ring-timeout",), "24ms", "time",
        "when the kernel hands over a block that is not full; verdicts come this much and some 10"
        " ms after T", parse_block_time,
    ),
    Setting(
        "workers", ("--workers",), "1", "threads",
        "threads among which the kernel deals out the flows, each with its own rings, queue and"
        " table", parse_workers,
    ),
    Setting(
        "stats", ("--stats",), "60s", "time", "how often a line on the state is logged",
        parse_positive_time,
    ),
    Setting(
        "metrics", ("--metrics",), None, "address:port",
        "answer Prometheus there, at /metrics, and /healthz; a port alone is one of localhost"
        " (default: off)", parse_listen,
    ),
    Setting(
        "output_buffer", ("--output-buffer",), "64MiB", "bytes",
        "memory for what waits for a slow or failing output, of each output; lines and frames"
        " beyond it are counted and lost", parse_bytes,
    ),
    Setting(
        "rotate_size", ("--rotate-size",), None, "bytes",
        "size at which a file of --events or --dark-pcap is put aside and a new one begun (default:"
        " never)", parse_rotate_size,
    ),
    Setting(
        "rotate_time", ("--rotate-time",), None, "time",
        "how long such a file is written, in full periods of UTC, a day at most (default: for"
        " ever)", parse_positive_time,
    ),
    Setting(
        "rotate_keep", ("--rotate-keep",), "10", "files",
        "files put aside that stay, of each output; the oldest go first", parse_count,
    ),
    Setting(
        "jitter", ("--jitter",), "0s", "time",
        "spread the honeypot's first answer over this time after T, so that a constant T gives"
        " nothing away", parse_time,
    ),
    Setting(
        "flows", ("--flows",), "1000000", "flows",
        "flows that may be diverted at one time; further dark flows are recorded and not answered",
        parse_size,
    ),
    Setting(
        "prefix_flows", ("--prefix-flows",), "500000", "flows",
        "of them, those of one /24 or /48 of sources", parse_size,
    ),
    Setting(
        "source_flows", ("--source-flows",), "250000", "flows",
        "of them, those of one source", parse_size,
    ),
    Setting(
        "rate", ("--rate",), "20000", "flows/s",
        "new diverted flows in a second, and SYN+ACKs that are sent; twice as many at once",
        parse_size,
    ),
    Setting(
        "prefix_rate", ("--prefix-rate",), "10000", "flows/s",
        "the same for one /24 or /48 of sources", parse_size,
    ),
    Setting(
        "source_rate", ("--source-rate",), "5000", "flows/s",
        "the same for one source, whose address may be forged", parse_size,
    ),
    Setting(
        "payload", ("--payload",), "4KiB", "bytes",
        "how much of what a client says first is kept of each session", parse_payload,
    ),
    Setting(
        "payload_buffer", ("--payload-buffer",), "256MiB", "bytes",
        "memory for that, of all sessions that are open", parse_bytes,
    ),
    Setting(
        "responder_idle", ("--responder-idle",), "15s", "time",
        "how long a client of the built-in responder may be silent", parse_positive_time,
    ),
    Setting(
        "responder_time", ("--responder-time",), "60s", "time",
        "how long a connection to it may last", parse_positive_time,
    ),
    Setting(
        "responder_bytes", ("--responder-bytes",), "1MiB", "bytes",
        "how much a client may say to it, and be told", parse_bytes,
    ),
    Setting(
        "responder_connections", ("--responder-connections",), "8192", "connections",
        "its connections at a time; those beyond are accepted, closed and counted", parse_size,
    ),
    Setting(
        "responder_tls", ("--responder-tls",), "1024", "sessions",
        "its TLS sessions at a time; beyond, and always with 0, a client is refused once it has"
        " said what it can", parse_sessions,
    ),
    Setting(
        "responder_certificate", ("--responder-certificate",), None, "file",
        "its key and certificate for TLS, in one PEM file (default: made at the start)", str,
    ),
    Setting(
        "responder_marker", ("--responder-marker",), None, "word",
        "a word that its pages and banners carry, to be known again in tests (default: none)",
        parse_marker,
    ),
    Setting(
        "scans", ("--scans",), "auto", "when", "tell scans and backscatter: yes, no, or auto: with"
        " --events, --store or --alert", parse_when,
    ),
    Setting(
        "scan_targets", ("--scan-targets",), "25", "targets", "a scan of IPv4: so many different"
        " addresses and ports that do not answer one source", parse_few,
    ),
    Setting(
        "scan_targets6", ("--scan-targets6",), "100", "targets", "the same of IPv6, for a source"
        " and for the /64 and the /48 around it", parse_few,
    ),
    Setting(
        "scan_gap", ("--scan-gap",), "15m", "time", "a scan of IPv4, or backscatter, has ended when"
        " nothing of it came for so long", parse_positive_time,
    ),
    Setting("scan_gap6", ("--scan-gap6",), "1h", "time", "the same of IPv6", parse_positive_time),
    Setting(
        "scan_scale", ("--scan-scale",), "yes", "yes/no", "a smaller prefix in --networks lowers"
        " what makes a scan or backscatter: see docs/scans.md", parse_yes_no,
    ),
    Setting(
        "scan_sources", ("--scan-sources",), "65536", "sources", "sources that are watched for"
        " scans at one time; beyond them the least known are forgotten and counted", parse_sources,
    ),
    Setting(
        "inside_targets", ("--inside-targets",), "10", "targets", "a source of our own is told of"
        " when so many addresses outside do not answer it", parse_few,
    ),
    Setting(
        "backscatter_packets", ("--backscatter-packets",), "25", "packets",
        "answers to nothing that make their sender the victim of an attack", parse_count,
    ),
    Setting(
        "backscatter_time", ("--backscatter-time",), "60s", "time",
        "and over how long a time they come, at least", parse_time,
    ),
    Setting(
        "backscatter_rate", ("--backscatter-rate",), "30", "packets/min",
        "and how many in the busiest minute", parse_count,
    ),
    Setting(
        "backscatter_victims", ("--backscatter-victims",), "16384", "victims",
        "senders of such answers that are watched at one time", parse_sources,
    ),
    Setting(
        "known", ("--known",), None, "FILE", "names of known sources, as research scanners: lines"
        " of a CIDR and a name; no alerts are sent for them", str,
    ),
    Setting(
        "geoip", ("--geoip",), None, "FILE,...", "MMDB files that tell country or autonomous system"
        " of sources", parse_words,
    ),
    Setting(
        "alert", ("--alert",), None, "TARGET,...", "send alerts: as JSON to http:// or https://"
        " addresses, as lines to syslog:/dev/log, udp://HOST:PORT or tcp://HOST:PORT", parse_words,
    ),
    Setting(
        "alert_rate", ("--alert-rate",), "10", "alerts/min", "alerts in a minute at most; those"
        " beyond are counted and in the digest", parse_rate,
    ),
    Setting(
        "alert_window", ("--alert-window",), "1h", "time", "one alert for a source and kind within"
        " this time", parse_positive_time,
    ),
    Setting(
        "digest", ("--digest",), None, "time", "also send what was found in each such period, as"
        " counts (default: no digest)", parse_positive_time,
    ),
    Setting(
        "store_flush", ("--store-flush",), "2s", "time",
        "how long rows for --store may wait in memory; 100,000 of them are written at once",
        parse_positive_time,
    ),
    Setting(
        "store_rows", ("--store-rows",), "500000", "rows",
        "rows that may wait while the store cannot be written; those beyond them are counted and"
        " lost", parse_size,
    ),
    Setting(
        "store_days", ("--store-days",), "30", "days",
        "days that stay in the store, counted back from today, or from its newest day if that is"
        " earlier", parse_days,
    ),
    Setting(
        "store_bytes", ("--store-bytes",), "10GiB", "bytes",
        "size of the store; the oldest days go first", parse_store_bytes,
    ),
    Setting(
        "store_answered", ("--store-answered",), "1h", "time",
        "how often the store is told which watched addresses and ports answer, in network time; 0:"
        " never", parse_every,
    ),
    Setting(
        "addresses_size", ("--addresses-size",), "4000000", "entries",
        "addresses, and ports of them, that are told apart; those beyond them are counted and left"
        " out", parse_size,
    ),
    Setting(
        "settle", ("--settle",), "1h", "time",
        "silence of this length is half a proof: who asks for longer learns more",
        parse_positive_time,
    ),
    Setting(
        "half_life", ("--half-life",), "7", "days",
        "after so long without being asked, what was learnt of an address counts half", parse_days,
    ),
    Setting(
        "bound", ("--bound",), "0.01%", "share",
        "how many of the attempts that a live host answers may be called dark", parse_share,
    ),
    Setting(
        "longest", ("--longest",), "30s", "time",
        "the longest T that is looked at; attempts that a capture does not show for so long are"
        " left out", parse_positive_time,
    ),
)  # fmt: skip


# The settings that only some commands have; the others are everybody's.
ONLY = (
    (("analyze",), ("reorder", "limit", "summary_size", "top")),
    (("addresses",), ("addresses_size", "settle", "half_life")),
    (("tune",), ("bound", "longest")),
    (("sensor", "honeypot"), (
        "ring_size", "ring_block", "ring_timeout", "workers", "stats", "metrics",
        "output_buffer", "rotate_size", "rotate_time", "rotate_keep",
    )),
    (("honeypot",), (
        "jitter", "flows", "prefix_flows", "source_flows", "rate", "prefix_rate", "source_rate",
        "payload", "payload_buffer", "responder_idle", "responder_time", "responder_bytes",
        "responder_connections", "responder_tls", "responder_certificate", "responder_marker",
    )),
)  # fmt: skip


# What `darkflow doctor` looks at; it has no others.
DOCTOR = (
    "networks", "decap", "queue_size", "flow_table_size", "ring_size", "ring_block", "workers",
    "store_bytes", "flows",
)  # fmt: skip

# What `darkflow report` takes for captures, and how many rows its tables have.
REPORT = ("networks", "hold", "idle", "reorder", "decap", "top")
# What reads captures only to learn from them; T of `tune` is what it looks for.
_READING = (
    "networks", "idle", "reorder", "decap", "limit", "queue_size", "flow_table_size",
    "reorder_size",
)  # fmt: skip
EXACTLY = {
    "doctor": DOCTOR,
    "report": REPORT,
    "addresses": (*_READING, "hold", "addresses_size", "settle", "half_life"),
    "tune": (*_READING, "bound", "longest", "hold", *(s.name for s in SHORTER_HOLDS)),
}

# The settings that a running sensor takes up when it reads its file again (SIGHUP). The others
# are built into what it allocates at its start.
LIVE = ("networks", "stats", "store_flush", "store_rows", "store_days", "store_bytes")


def settings_of(command: str) -> list[Setting]:
    """The settings that a command has."""
    if command in EXACTLY:
        return [setting for setting in SETTINGS if setting.name in EXACTLY[command]]
    others = {name for owners, names in ONLY if command not in owners for name in names}
    return [setting for setting in SETTINGS if setting.name not in others]


def settings_as_markdown(command: str) -> str:
    """The table of a command's settings as it stands in the docs."""
    rows = ["| setting | unit | default | meaning |", "|---|---|---|---|"]
    for setting in settings_of(command):
        flags = ", ".join(f"`{flag}`" for flag in setting.flags)
        default = f"`{setting.default}`" if setting.default else ""
        rows.append(f"| {flags} | {setting.unit} | {default} | {setting.help} |")
    return "\n".join(rows)
