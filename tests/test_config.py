"""Settings as a user writes them, and what is said of those that are wrong."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow import units
from darkflow.config import SETTINGS
from darkflow.setting import Setting
from darkflow.units import (
    SECOND_NS,
    TUNNEL_NAMES,
    parse_bytes,
    parse_count,
    parse_marker,
    parse_networks,
    parse_positive_time,
    parse_sessions,
    parse_size,
    parse_time,
    parse_tunnels,
)

# ---- times ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("5s", 5 * SECOND_NS),
        ("50ms", 50_000_000),
        ("1.5", 1_500_000_000),
        ("2m", 120 * SECOND_NS),
        ("2min", 120 * SECOND_NS),
        ("24h", 86_400 * SECOND_NS),
        ("0", 0),
        ("0s", 0),
        ("7ns", 7),
        ("7us", 7000),
        (" 5 s ", 5 * SECOND_NS),
        (".5", 500_000_000),
        ("5.", 5 * SECOND_NS),
        ("0.1", 100_000_000),
        ("0.3ms", 300_000),
        ("1.0000000019", 1_000_000_001),
        ("0.000000001", 1),
        ("0005", 5 * SECOND_NS),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    "text",
    ["banana", "", " ", "s", "1e3", "-1", "+1", "-5s", "5S", "5 seconds", "1.2.3", ".", "5sec",
     "1_000", "1,5", "0x10", "٥", "5s5", "5s 5", "inf", "nan", "5\nms5"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not understood: write for example 5s, 50ms"):
        parse_time(text)


@pytest.mark.parametrize("text", ["25h", "86400.000000001", "9" * 400, "1441m"])
def test_times_longer_than_a_day_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is longer than a day"):
        parse_time(text)


def test_a_number_of_absurd_length_is_refused() -> None:
    with pytest.raises(ValueError):
        parse_time("9" * 5000)


@pytest.mark.parametrize("text", ["0", "0s", "0.0ms", "0.9ns", "0.0000000001"])
def test_a_time_that_must_be_positive_is_at_least_a_nanosecond(text: str) -> None:
    with pytest.raises(ValueError, match="too short: it must be longer than 0"):
        parse_positive_time(text)
    assert parse_time(text) == 0
    assert parse_positive_time("1ns") == 1


@given(st.integers(0, 86_399), st.integers(0, 999_999_999))
def test_decimals_are_exact(second: int, fraction: int) -> None:
    text = f"{second}.{fraction:09}"
    assert parse_time(text) == int(Decimal(text) * SECOND_NS)


# ---- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("17B", 17), ("1KiB", 1024), ("256MiB", 256 << 20), ("1.5GiB", 3 << 29),
     (" 2 MiB ", 2 << 20), ("0.5KiB", 512)],
)  # fmt: skip
def test_bytes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1MB", "1mib", "-1", "1e6", "1 KiB KiB", "lots"])
def test_what_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not understood: write for example 256MiB"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["99999999999GiB", "18446744073709551616", "9" * 30])
def test_more_bytes_than_a_machine_has_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_bytes(text)


def test_limits_of_a_store() -> None:
    assert units.parse_days("36500") == 36_500
    assert units.parse_store_bytes("1MiB") == 1 << 20
    assert units.parse_rotate_size("64KiB") == 1 << 16
    with pytest.raises(ValueError, match="more than 36500 days"):
        units.parse_days("36501")
    with pytest.raises(ValueError, match="less than 1 MiB"):
        units.parse_store_bytes("1000KiB")
    with pytest.raises(ValueError, match="less than 64KiB"):
        units.parse_rotate_size("65535")


@pytest.mark.parametrize(("text", "count"), [("1", 1), (" 12 ", 12), ("007", 7)])
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["1000000000000000001", "9" * 23, "9" * 5000])
def test_counts_that_no_counter_holds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is more than 1000000000000000000"):
        parse_count(text)
    assert parse_count("0" * 99 + "1" + "0" * 18) == 10**18


@pytest.mark.parametrize("text", ["0", "", "-1", "+1", "1.5", "1e3", "ten", "²", "٣", "1_0"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number of at least 1"):
        parse_count(text)


def test_sizes_have_an_upper_end() -> None:
    assert parse_size("536870912") == 1 << 29
    assert parse_size("1") == 1
    with pytest.raises(ValueError, match="more than the largest table, 536870912"):
        parse_size("536870913")
    with pytest.raises(ValueError, match="whole number of at least 1"):
        parse_size("0")


# ---- tunnels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("vxlan", ("vxlan",)),
        ("gre, mpls ,gtp", ("gre", "mpls", "gtp")),
        ("all", ("all",)),
        (",gre,", ("gre",)),
        (",".join(TUNNEL_NAMES), TUNNEL_NAMES),
    ],
)
def test_tunnels(text: str, names: tuple[str, ...]) -> None:
    assert parse_tunnels(text) == names


@pytest.mark.parametrize("text", ["banana", "vxlan,banana", "VXLAN", "vx lan"])
def test_unknown_tunnels_are_refused_with_the_choice(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown tunnel .*: choose from vxlan, gre, erspan"):
        parse_tunnels(text)


# ---- networks -------------------------------------------------------------------------------


def _packed(*ranges: tuple[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (ipaddress.ip_address(first).packed, ipaddress.ip_address(last).packed)
        for first, last in ranges
    )


@pytest.mark.parametrize(
    ("text", "cidrs", "v4", "v6"),
    [
        ("192.0.2.0/24", ("192.0.2.0/24",), _packed(("192.0.2.0", "192.0.2.255")), ()),
        ("192.0.2.7", ("192.0.2.7/32",), _packed(("192.0.2.7", "192.0.2.7")), ()),
        ("2001:db8::7", ("2001:db8::7/128",), (), _packed(("2001:db8::7", "2001:db8::7"))),
        ("::/0", ("::/0",), (), _packed(("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))),
        ("10.0.0.0/255.0.0.0", ("10.0.0.0/8",), _packed(("10.0.0.0", "10.255.255.255")), ()),
        (
            "2001:db8::/127, 10.0.1.0/24 ,10.0.0.0/24",
            ("10.0.1.0/24", "10.0.0.0/24", "2001:db8::/127"),
            _packed(("10.0.0.0", "10.0.1.255")),
            _packed(("2001:db8::", "2001:db8::1")),
        ),
        (
            "10.0.0.0/8,10.1.0.0/16,11.0.0.0/9,10.0.0.0/8",
            ("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/9", "10.0.0.0/8"),
            _packed(("10.0.0.0", "10.255.255.255"), ("11.0.0.0", "11.127.255.255")),
            (),
        ),
    ],
)
def test_networks(
    text: str,
    cidrs: tuple[str, ...],
    v4: tuple[tuple[bytes, bytes], ...],
    v6: tuple[tuple[bytes, bytes], ...],
) -> None:
    assert parse_networks(text) == (cidrs, v4, v6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("192.0.2.1/24", "'192.0.2.1/24' has host bits set: did you mean 192.0.2.0/24?"),
        ("2001:db8::1/64", "'2001:db8::1/64' has host bits set: did you mean 2001:db8::/64?"),
        ("10.0.0.0/8,192.0.2.1/31", "'192.0.2.1/31' has host bits set: did you mean 192.0.2.0/31?"),
        ("", "'' is no network: write for example 192.0.2.0/24 or 2001:db8::/32"),
        ("10.0.0.0/8,", "'' is no network: write for example 192.0.2.0/24 or 2001:db8::/32"),
        ("banana", "'banana' is no network: write for example 192.0.2.0/24 or 2001:db8::/32"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network: write for"),
        ("10.0.0/24", "'10.0.0/24' is no network: write for"),
        ("010.0.0.0/8", "'010.0.0.0/8' is no network: write for"),
        ("1", "'1' is no network: write for"),
    ],
)
def test_what_is_no_network_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_networks(text)
    assert str(caught.value).startswith(message)


# ---- the responder's ------------------------------------------------------------------------


def test_a_number_of_sessions_may_be_none() -> None:
    assert [parse_sessions(text) for text in ("0", " 0 ", "1", "1024")] == [0, 0, 1, 1024]
    with pytest.raises(ValueError, match="is not a whole number"):
        parse_sessions("-1")


def test_a_marker_is_a_word_that_needs_no_escape_anywhere() -> None:
    assert parse_marker("darkmark7") == "darkmark7"
    for text in ("", "a b", "a-b", "<b>", "é", "a\n", "a" * 33):
        with pytest.raises(ValueError, match="is no word of at most 32 letters and digits"):
            parse_marker(text)


# ---- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_default_is_what_a_user_could_write(setting: Setting) -> None:
    if setting.default is not None:
        setting.parse(setting.default)
    assert setting.help
    assert all(flag.startswith("-") for flag in setting.flags)
    assert setting.unit


def test_defaults() -> None:
    values = {s.name: None if s.default is None else s.parse(s.default) for s in SETTINGS}
    assert values == {
        "networks": None, "hold": 5 * SECOND_NS, "idle": 60 * SECOND_NS, "reorder": SECOND_NS,
        "decap": (), "limit": None, "queue_size": 1 << 20, "flow_table_size": 1 << 20,
        "reorder_size": 1 << 18, "summary_size": 4_000_000, "frame_buffer": 256 << 20, "top": 10,
        "ring_size": 32 << 20, "stats": 60 * SECOND_NS,
        "ring_block": 1 << 19, "ring_timeout": 24_000_000, "workers": 1,
        "jitter": 0, "flows": 1_000_000, "prefix_flows": 500_000, "source_flows": 250_000,
        "rate": 20_000, "prefix_rate": 10_000, "source_rate": 5_000, "payload": 4096,
        "payload_buffer": 256 << 20,
        "responder_idle": 15 * SECOND_NS, "responder_time": 60 * SECOND_NS,
        "responder_bytes": 1 << 20, "responder_connections": 8192, "responder_tls": 1024,
        "responder_certificate": None, "responder_marker": None,
        "metrics": None, "store_flush": 2 * SECOND_NS, "store_rows": 500_000, "store_days": 30,
        "store_bytes": 10 << 30, "output_buffer": 64 << 20, "rotate_size": None,
        "rotate_time": None, "rotate_keep": 10, "store_answered": 3600 * SECOND_NS,
        "addresses_size": 4_000_000, "settle": 3600 * SECOND_NS, "half_life": 7, "bound": 1e-4,
        "longest": 30 * SECOND_NS, "tool_sources": 1 << 18,
        "adaptive": None, "adaptive_max_false": 1e-4, "adaptive_often": 10,
        "adaptive_long": 3600 * SECOND_NS, "adaptive_alive": 86_400 * SECOND_NS,
        "adaptive_size": 1 << 16,
        "scans": "auto", "scan_targets": 25, "scan_targets6": 100, "scan_gap": 900 * SECOND_NS,
        "scan_gap6": 3600 * SECOND_NS, "scan_scale": True, "scan_sources": 65_536,
        "inside_targets": 10, "backscatter_packets": 25, "backscatter_time": 60 * SECOND_NS,
        "backscatter_rate": 30, "backscatter_victims": 16_384, "known": None, "geoip": None,
        "alert": None, "alert_rate": 10, "alert_window": 3600 * SECOND_NS, "digest": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9465", ("127.0.0.1", 9465)),
        (":9465", ("127.0.0.1", 9465)),
        ("localhost:1", ("127.0.0.1", 1)),
        (" 127.0.0.2:65535 ", ("127.0.0.2", 65535)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::]:80", ("::", 80)),
        ("[2001:DB8::0:1]:80", ("2001:db8::1", 80)),
    ],
)
def test_where_to_listen(text: str, address: tuple[str, int]) -> None:
    assert units.parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", ":", "0", "65536", "-1", "::1:80", "[127.0.0.1]:80", "host:80", "[::1]", "1.2.3:4"]
)
def test_where_nobody_can_listen(text: str) -> None:
    with pytest.raises(ValueError, match=r"write for example 127\.0\.0\.1:9465"):
        units.parse_listen(text)


@pytest.mark.parametrize(
    ("text", "share"), [("0.01%", 1e-4), ("0.0001", 1e-4), ("50 %", 0.5), ("99.9%", 0.999)]
)
def test_shares(text: str, share: float) -> None:
    assert units.parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0.00000000000000000001%", "0.00000009%", "0.0000000001"])
def test_shares_of_which_nothing_can_be_shown_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"too small a share: at least 0\.0000001%"):
        units.parse_share(text)
    assert units.parse_share("0.0000001%") == pytest.approx(1e-9)


@pytest.mark.parametrize("text", ["", "%", "0", "1", "100%", "-1%", "1e-4", "0.1s", "nan", "1.2.3"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="no share between 0 and 1"):
        units.parse_share(text)


def test_how_often() -> None:
    assert [units.parse_every(text) for text in ("0", "1s", "24h")] == [0, 10**9, 86_400 * 10**9]
    for text in ("999ms", "25h", "never"):
        with pytest.raises(ValueError):
            units.parse_every(text)


def test_names_and_flags_are_told_apart() -> None:
    flags = [flag for setting in SETTINGS for flag in setting.flags]
    assert len(set(flags)) == len(flags)
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("parse", [s.parse for s in SETTINGS], ids=[s.name for s in SETTINGS])
@pytest.mark.parametrize("text", ["", "\0", "\n", "%s", "🦆", "-", "--", "1" * 10_000, "a,b,,c"])
def test_no_text_does_more_than_be_refused(parse: Callable[[str], object], text: str) -> None:
    with suppress(ValueError):
        parse(text)


@pytest.mark.parametrize(("text", "rows"), [("1", 1), ("1000", 1000), ("1001", None), ("0", None)])
def test_tables_have_a_bounded_number_of_rows(text: str, rows: int | None) -> None:
    if rows is None:
        with pytest.raises(ValueError):
            units.parse_rows(text)
    else:
        assert units.parse_rows(text) == rows
