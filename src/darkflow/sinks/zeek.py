"""Rows of the store as Zeek's conn.log: tab-separated, with the header that zeek-cut reads."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

# Name in the log, Zeek's type, column or expression; "-" stands for what is not known.
_SECONDS = 1_000_000_000
_UNSET = pl.lit(None, pl.String)
_INSIDE = ("inbound", "outbound", "internal", "transit")


def _seconds(t_ns: pl.Expr) -> pl.Expr:
    """Seconds with six decimals from ns, without a detour over binary fractions."""
    micros = (t_ns // 1000 % 1_000_000).cast(pl.String).str.zfill(6)
    return (t_ns // _SECONDS).cast(pl.String) + "." + micros


def _flag(yes: str) -> pl.Expr:
    """T where the direction is `yes` or internal."""
    inside = pl.col("direction").is_in([yes, "internal"])
    return pl.when(inside).then(pl.lit("T")).otherwise(pl.lit("F"))


def _columns() -> list[tuple[str, str, pl.Expr]]:
    """(name, Zeek type, value) of every column of the log."""
    span_ns = pl.col("last_syn_ns") - pl.col("t0_ns")
    answered = pl.col("event_type") == "late_answer"
    return [
        ("ts", "time", _seconds(pl.col("t0_ns"))),
        ("uid", "string", "D" + pl.col("flow_id").cast(pl.String)),
        ("id.orig_h", "addr", pl.col("src_ip")),
        ("id.orig_p", "port", pl.col("src_port")),
        ("id.resp_h", "addr", pl.col("dest_ip")),
        ("id.resp_p", "port", pl.col("dest_port")),
        ("proto", "enum", pl.lit("tcp")),
        ("service", "string", _UNSET),
        ("duration", "interval", pl.when(span_ns > 0).then(_seconds(span_ns))),
        ("orig_bytes", "count", pl.col("payload_bytes")),
        ("resp_bytes", "count", pl.lit(0)),
        ("conn_state", "string", pl.col("conn_state")),
        ("local_orig", "bool", _flag("outbound")),
        ("local_resp", "bool", _flag("inbound")),
        ("missed_bytes", "count", pl.lit(0)),
        ("history", "string", pl.col("history")),
        ("orig_pkts", "count", pl.col("syn_count")),
        ("orig_ip_bytes", "count", _UNSET),
        ("resp_pkts", "count", answered.cast(pl.Int64)),
        ("resp_ip_bytes", "count", _UNSET),
        ("tunnel_parents", "set[string]", _UNSET),
        ("community_id", "string", pl.col("community_id")),
    ]


def header(opened: datetime) -> str:
    """The lines before the rows."""
    columns = _columns()
    return (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
        f"#open\t{opened.astimezone(UTC):%Y-%m-%d-%H-%M-%S}\n"
        + "#fields\t" + "\t".join(name for name, _, _ in columns) + "\n"
        + "#types\t" + "\t".join(kind for _, kind, _ in columns) + "\n"
    )  # fmt: skip


def footer(closed: datetime) -> str:
    """The line after the rows."""
    return f"#close\t{closed.astimezone(UTC):%Y-%m-%d-%H-%M-%S}\n"


def rows(frame: pl.LazyFrame) -> pl.LazyFrame:
    """One row per flow: where a flow has a `darkflow_end`, that one stands for it.

    Both have the time of the first SYN, so that they are in the same piece of a table.
    """
    ends = frame.filter(pl.col("event_type") == "darkflow_end")
    ended = ends.select("flow_id", event_type=pl.lit("darkflow"))
    whole = frame.join(ended, on=["flow_id", "event_type"], how="anti", maintain_order="left")
    return whole.select(value.alias(name) for name, _, value in _columns())
