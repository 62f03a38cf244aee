"""The list of unused addresses: what counts as proof, blocks, the firewall's list."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.analysis.addresses import Blocked, Endpoint, Evidence, unused, used

HOUR_NS, DAY_NS = 3_600_000_000_000, 86_400_000_000_000
EVIDENCE = Evidence(100 * DAY_NS, HOUR_NS, 7 * DAY_NS)
NOTHING = Blocked([])


def endpoint(text: str, port: int | None = None, **known: Any) -> Endpoint:
    """An address that two sources asked in vain, an hour apart, unless it is said otherwise."""
    values = {
        "dark": 2, "sources": 2, "first_ns": 99 * DAY_NS, "last_ns": 99 * DAY_NS + HOUR_NS,
        "answered": 0, "refused": 0, "late": 0, "first_answer_ns": None, "last_answer_ns": None,
        "delays": (),
    }  # fmt: skip
    return Endpoint(ipaddress.ip_address(text).packed, port, **(values | known))


def test_silence_is_proof_by_sources_and_time_and_decays() -> None:
    sure = EVIDENCE.sure
    now = {"first_ns": 100 * DAY_NS - HOUR_NS, "last_ns": 100 * DAY_NS}
    assert sure(endpoint("192.0.2.1", **now), False) == pytest.approx(0.75 * 0.5)
    assert sure(endpoint("192.0.2.1", **now, sources=1), False) == pytest.approx(0.5 * 0.5)
    long = now | {"first_ns": 100 * DAY_NS - 10 * HOUR_NS}
    assert sure(endpoint("192.0.2.1", **long), False) == pytest.approx(0.75, abs=1e-3)
    old = {"first_ns": 93 * DAY_NS - HOUR_NS, "last_ns": 93 * DAY_NS}
    assert sure(endpoint("192.0.2.1", **old), False) == pytest.approx(0.75 * 0.5 * 0.5)
    once = {"first_ns": 100 * DAY_NS, "last_ns": 100 * DAY_NS}
    assert sure(endpoint("192.0.2.1", **once), False) == 0


def test_an_answer_ends_all_doubt_and_a_blocked_one_leaves_a_tenth_of_it() -> None:
    for answer in ("answered", "refused", "late"):
        assert EVIDENCE.sure(endpoint("192.0.2.1", **{answer: 1}), True) == 0
    silent = endpoint("192.0.2.1")
    alone = EVIDENCE.sure(silent, False)
    assert EVIDENCE.sure(silent, True) == pytest.approx(1 - 0.1 * (1 - alone))


@given(st.sets(st.integers(0, 40), max_size=41), st.sampled_from(["192.0.2.0", "2001:db8::"]))
def test_blocks_are_whole_cidrs_that_cover_the_silent_ones_and_no_other(
    numbers: set[int], base: str
) -> None:
    first = ipaddress.ip_address(base)
    rows = unused([endpoint(str(first + n)) for n in numbers], EVIDENCE, NOTHING)
    networks = [ipaddress.ip_network(row["block"]) for row in rows]
    expected = ipaddress.collapse_addresses(
        [ipaddress.ip_network(first + n) for n in numbers]  # type: ignore[type-var]
    )
    assert networks == list(expected)
    assert [row["addresses"] for row in rows] == [net.num_addresses for net in networks]


def test_a_blocks_numbers_are_sums_and_those_of_its_least_known_address() -> None:
    (row,) = unused(
        [endpoint("192.0.2.0", sources=9, dark=10), endpoint("192.0.2.1", sources=1, dark=5)],
        EVIDENCE,
        NOTHING,
    )
    weak = EVIDENCE.sure(endpoint("192.0.2.1", sources=1), False)
    assert (row["block"], row["attempts"], row["sources"]) == ("192.0.2.0/31", 15, 1)
    assert row["sure"] == weak
    assert unused([endpoint("192.0.2.1", sources=1)], EVIDENCE, NOTHING, weak + 0.01) == []


def test_silent_ports_are_listed_only_where_somebody_lives() -> None:
    seen = [
        endpoint("192.0.2.1"), endpoint("192.0.2.1", 22),
        endpoint("192.0.2.9", answered=3), endpoint("192.0.2.9", 80, answered=3, dark=0),
        endpoint("192.0.2.9", 22), endpoint("192.0.2.9", 23, refused=1),
    ]  # fmt: skip
    rows = unused(seen, EVIDENCE, NOTHING)
    assert [(row["block"], row["port"]) for row in rows] == [("192.0.2.1", None), ("192.0.2.9", 22)]


def test_what_answered_is_open_or_closed() -> None:
    rows = used([
        endpoint("192.0.2.9", answered=3),
        endpoint("192.0.2.9", 80, answered=3, dark=1, first_answer_ns=5, last_answer_ns=7),
        endpoint("192.0.2.9", 23, refused=1, dark=0),
        endpoint("192.0.2.9", 22, late=1, dark=1),
        endpoint("192.0.2.8", 22),
    ])  # fmt: skip
    assert [(r["address"], r["port"], r["state"], r["unanswered"]) for r in rows] == [
        ("192.0.2.9", 22, "open", 0), ("192.0.2.9", 23, "closed", 0), ("192.0.2.9", 80, "open", 1),
    ]  # fmt: skip
    assert (rows[2]["first_ns"], rows[2]["last_ns"]) == (5, 7)


def test_the_firewalls_list() -> None:
    listed = Blocked([
        "# what the firewall drops", "", "192.0.2.7", "192.0.2.128/25  # a whole range",
        "192.0.2.0/28:23", "2001:db8::/64", "[2001:db8:1::7]:443", "[2001:db8:2::7]",
    ])  # fmt: skip
    for text, port, has in [
        ("192.0.2.7", None, True), ("192.0.2.7", 80, True), ("192.0.2.8", None, False),
        ("192.0.2.8", 23, True), ("192.0.2.16", 23, False), ("192.0.2.200", 1, True),
        ("2001:db8::ffff", None, True), ("2001:db8:1::7", 443, True),
        ("2001:db8:1::7", None, False), ("2001:db8:2::7", 1, True), ("32.1.13.184", None, False),
    ]:  # fmt: skip
        assert listed.has(endpoint(text, port)) is has, (text, port)
    (row,) = unused([endpoint("192.0.2.7")], EVIDENCE, listed)
    assert row["blocked"]
    assert row["sure"] > 0.9


@pytest.mark.parametrize(
    "line", ["nonsense", "192.0.2.300", "192.0.2.1:65536", "192.0.2.1:http", "[::1]x", "[::1"]
)
def test_a_line_that_is_not_understood_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 2: .* is not understood: write for example"):
        Blocked(["192.0.2.1", line])
