"""The fields of the events, each once: lines, store, `darkflow fields` and the docs follow it."""

from __future__ import annotations

from dataclasses import dataclass

ALL = ("darkflow", "late_answer", "undecided")


@dataclass(frozen=True)
class Field:
    """One field: dotted path in the line, JSON type, unit or "", meaning, events that have it."""

    name: str
    type: str
    unit: str
    meaning: str
    events: tuple[str, ...] = ALL


FIELDS: tuple[Field, ...] = (
    Field("timestamp", "string", "RFC 3339, UTC", "first SYN of the flow, or time of the late"
          " answer; as many digits as the capture tells"),
    Field("event_type", "string", "", "`darkflow`: a flow that nobody answered within the hold"
          " time; `darkflow_end`: its final counts, where its line was written at the verdict;"
          " `late_answer`: an answer that came after the hold time; `undecided`: a flow that nobody"
          " had answered when the capture or the sensor ended, before the hold time was over"),
    Field("flow_id", "integer", "", "the same for all events of one flow; from its addresses,"
          " ports and first SYN, so every sensor gives the same"),
    Field("community_id", "string", "", "Community ID, version 1, seed 0"),
    Field("src_ip", "string", "", "who sent the SYN (orig)"),
    Field("src_port", "integer", "", "TCP port of orig"),
    Field("dest_ip", "string", "", "who did not answer (resp)"),
    Field("dest_port", "integer", "", "TCP port of resp"),
    Field("proto", "string", "", "`TCP`"),
    Field("direction", "string", "", "by `--networks`: `inbound`, `outbound`, `internal` or"
          " `transit`"),
    Field("conn_state", "string", "", "Zeek's: `S0` for a flow without an answer; of a late"
          " answer `S1` (SYN+ACK) or `REJ` (RST)"),
    Field("history", "string", "", "Zeek's: `S`, `SD` with payload in the SYN; then `h` or `r` for"
          " the late answer"),
    Field("darkflow.t0_ns", "integer", "ns since 1970", "first SYN"),
    Field("darkflow.verdict_ns", "integer", "ns since 1970", "first SYN plus the hold time"),
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
)  # fmt: skip


# The store's tables of events, and the event type whose fields each has.
TABLES = {"darkflows": "darkflow", "late_answers": "late_answer", "undecided": "undecided"}


# Objects that only group fields: their names are not in those of the store's columns.
GROUPS = ("darkflow", "late_answer", "undecided")


@dataclass(frozen=True)
class Column:
    """One column of the store: name, type, the field's path in the lines ("": it has none)."""

    name: str
    type: str
    field: str


# What the lines do not need: how many of the time's decimals are known, and the partition.
STORE_COLUMNS = (Column("timestamp_digits", "integer", ""), Column("day", "date", ""))


def columns_of(table: str) -> tuple[Column, ...]:
    """The columns of a table of events, in the order of its fields."""
    columns = []
    for field in FIELDS:
        if TABLES[table] in field.events and not field.type.startswith("object"):
            name = field.name
            for group in GROUPS:
                name = name.removeprefix(f"{group}.")
            kind = field.type.removesuffix(" or null")
            if field.name == "timestamp":
                kind = "timestamp"
            columns.append(Column(name.replace(".", "_"), kind, field.name))
    return (*columns, *STORE_COLUMNS)


def as_markdown() -> str:
    """The table as it stands in docs/events.md."""
    rows = ["| field | type | unit | events | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{f.name}` | {f.type} | {f.unit} | {', '.join(f.events)} | {f.meaning} |"
        for f in FIELDS
    ]
    return "\n".join(rows)
