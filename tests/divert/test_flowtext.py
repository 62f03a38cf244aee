"""Flows as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.flowtext import flow_text, parse_flow

PORT = st.integers(0, 65535)
V4, V6 = st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)


@given(st.one_of(st.tuples(V4, PORT, V4, PORT), st.tuples(V6, PORT, V6, PORT)))
def test_round_trip(flow: tuple[bytes, int, bytes, int]) -> None:
    assert parse_flow(flow_text(flow)) == flow


def test_as_it_looks() -> None:
    assert parse_flow("198.51.100.7:4242-192.0.2.9:22") == (
        b"\xc6\x33\x64\x07", 4242, b"\xc0\0\2\x09", 22,
    )  # fmt: skip
    flow = parse_flow(" [2001:db8::7]:1-[2001:db8:1::9]:2 ")
    assert flow_text(flow) == "[2001:db8::7]:1-[2001:db8:1::9]:2"


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.2.3.4:1", "1.2.3.4-5.6.7.8:1", "1.2.3.4:1-[::1]:2", "1.2.3.4:65536-1.2.3.4:1",
     "::1:1-::2:2", "[1.2.3.4]:1-[1.2.3.4]:2", "1.2.3.4:-1-1.2.3.4:1", "1.2.3.4:²-1.2.3.4:1"],
)  # fmt: skip
def test_what_is_no_flow(text: str) -> None:
    with pytest.raises(ValueError, match="is no flow: write for example"):
        parse_flow(text)
