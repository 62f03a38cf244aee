"""Where units end, in lines and in pcap records, and that both walks agree with plain counting."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.sinks.framing import Framing, Lines, Records

UNITS = {
    Lines: st.binary(max_size=9).map(lambda data: data.replace(b"\n", b"") + b"\n"),
    Records: st.binary(max_size=9).map(
        lambda data: struct.pack("<IIII", 1, 2, len(data), 1500) + data
    ),
}


@pytest.mark.parametrize("kind", [Lines, Records])
@given(data=st.data())
def test_units_are_found_wherever_the_bytes_are_cut(
    kind: type[Framing], data: st.DataObject
) -> None:
    units = data.draw(st.lists(UNITS[kind], max_size=9))
    whole = b"".join(units)
    ends = [sum(len(unit) for unit in units[:n]) for n in range(len(units) + 1)]
    begin = data.draw(st.sampled_from(ends))
    end = data.draw(st.integers(begin, len(whole)))
    expected = max(at for at in ends if at <= end)
    framing = kind()
    assert framing.whole(whole, begin, end) == expected
    assert framing.count(whole, begin, end) == ends.index(expected) - ends.index(begin)


def test_a_length_that_lies_ends_the_walk() -> None:
    record = struct.pack("<IIII", 1, 2, 0xFFFFFFFF, 0)
    assert Records().whole(record + bytes(100), 0, 116) == 0
