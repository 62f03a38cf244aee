"""Hypothesis strategies for captures: every format, seldom with something wrong in it."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from slow_reader import MAX_CAPLEN
from writers import BASE2, SECOND_NS, Pcap, Pcapng

PCAP_FLAVOURS = [
    Pcap(big=big, nano=nano, modified=modified)
    for big in (False, True)
    for nano, modified in ((False, False), (True, False), (False, True))
]

payloads = st.binary(max_size=40)
# Times that meet: few seconds, all fractions of interest, so that disorder of all sizes occurs.
pcap_times = st.builds(
    lambda second, fraction: second * SECOND_NS + fraction,
    st.sampled_from([0, 1, 2, 3, 1_700_000_000, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 999, 1000, 500_000_000, 999_999_999]),
)
reorders = st.sampled_from([0, 1, 1000, SECOND_NS, 5 * SECOND_NS])
chunkings = st.lists(st.integers(0, 60), max_size=30)
wild = st.integers(0, 0xFFFFFFFF)


@st.composite
def pcaps(draw: st.DrawFn) -> bytes:
    """A pcap of any flavour, sometimes with a record that lies or a fraction beyond a second."""
    flavour = draw(st.sampled_from(PCAP_FLAVOURS))
    form = Pcap(
        draw(st.sampled_from([0, 1, 113, 276, 65535])), flavour.nano, flavour.big,
        flavour.modified, draw(st.sampled_from([0, 16, 32])),
    )  # fmt: skip
    data = form.header()
    for t_ns, body in draw(st.lists(st.tuples(pcap_times, payloads), max_size=12)):
        data += form.record(t_ns, body, draw(st.none() | wild))
    if draw(st.integers(0, 3)) == 0:
        lie = draw(st.sampled_from([MAX_CAPLEN, MAX_CAPLEN + 1, 0xFFFFFFFF, 1, 7]))
        data += form.record(0, draw(payloads), caplen=lie)
    if draw(st.integers(0, 3)) == 0:
        data += struct.pack(f"{form.order}IIII", 7, draw(wild), 0, 0)
        data += bytes(8) if form.modified else b""
    return data


resolutions = st.none() | st.sampled_from(
    [0, 1, 3, 6, 8, 9, 10, 12, 19, 20, 30, 127, *(BASE2 | bits for bits in (0, 1, 10, 63, 64, 127))]
)
offsets = st.none() | st.sampled_from([0, 1, -1, 1_700_000_000, -(1 << 63), (1 << 63) - 1])
ticks = st.sampled_from([0, 1, 999, 1_000_000, 1_500_000_000]) | st.integers(0, (1 << 64) - 1)


@st.composite
def blocks(draw: st.DrawFn, form: Pcapng, interfaces: int) -> bytes:
    """One block that is not a section header; seldom a wrong one."""
    kind = draw(st.sampled_from(["enhanced", "enhanced", "old", "simple", "unknown", "wrong"]))
    number = draw(st.integers(0, max(interfaces - 1, 0)))
    body = draw(payloads)
    if kind == "enhanced":
        extra = draw(st.sampled_from([b"", form.option(1, b"comment") + form.option(0, b"")]))
        return form.enhanced(draw(ticks), body, number, draw(st.none() | wild), extra)
    if kind == "old":
        return form.old(draw(ticks), body, number, draw(st.none() | wild))
    if kind == "simple":
        return form.simple(body, draw(st.none() | st.integers(0, 64)))
    if kind == "unknown":
        return form.block(draw(st.sampled_from([0, 4, 5, 10, 0xBAD, 0x80000001])), body)
    length = draw(st.sampled_from([0, 8, 11, 12, 13, 16, 20, 0xFFFFFFFC, MAX_CAPLEN + 4]))
    return form.block(draw(st.sampled_from([1, 2, 3, 6, 99])), body, length)


@st.composite
def pcapngs(draw: st.DrawFn) -> bytes:
    """Several sections in both byte orders, each with interfaces and blocks."""
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        form = Pcapng(draw(st.booleans()))
        data += form.section(draw(st.sampled_from([b"", form.option(4, b"tests")])))
        for described in range(draw(st.integers(0, 3))):
            data += form.interface(
                draw(st.sampled_from([0, 1, 113, 65535])), draw(resolutions), draw(offsets),
                draw(st.sampled_from([0, 1, 16, 65535])), form.option(2, b"eth%d" % described),
            )  # fmt: skip
            for _ in range(draw(st.integers(0, 3))):
                data += draw(blocks(form, described + 1))
    return data


@st.composite
def damaged(draw: st.DrawFn, captures: st.SearchStrategy[bytes]) -> bytes:
    """A capture, cut off somewhere or with bytes changed behind its file header."""
    data = bytearray(draw(captures))
    if len(data) > 24:
        for _ in range(draw(st.integers(0, 2))):
            data[draw(st.integers(24, len(data) - 1))] = draw(st.integers(0, 255))
        del data[draw(st.integers(24, len(data))) :]
    return bytes(data)
