"""ClientHellos: real ones against other programs' fingerprints, made ones, broken ones."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import skip
from darkflow.honeypot.protocols import tls
from darkflow.honeypot.protocols.tls import Hello, HelloReader, parse

# Real captures with ClientHellos of browsers, bots, VPNs and old libraries.
CAPTURES = (
    "arkime_synthetic_same_timestamps.pcap",
    "hackeire2011_c2_scan_both_dirs.pcap",
    "malcolm_ssl_proto.pcap",
    "mercury_capture2_merged_gaps.pcap",
    "mercury_surfshark_backward_time.pcap",
    "ndpi_alexa_app.pcapng",
    "ndpi_reddit_ipv6.pcap",
    "pcapng_22_interfaces.pcapng",
    "tenzir_vlan_pcapng.pcapng",
)


def hello_bytes(version: int = 0x0303, extensions: bytes = b"") -> bytes:
    """A ClientHello's record."""
    body = struct.pack("!H", version) + bytes(32) + b"\0" + b"\x00\x02\x13\x01"
    body += b"\x01\x00" + (struct.pack("!H", len(extensions)) + extensions if extensions else b"")
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return struct.pack("!HH", kind, len(data)) + data


def read(data: bytes) -> Hello:
    """What is in a record, or more of them."""
    hello = HelloReader().feed(data)
    assert hello is not None
    return hello


class Row(NamedTuple):
    """A ClientHello as tshark reports it; data: the bytes of TCP it stands in."""

    port: str
    ja3: str
    server_name: str
    data: bytes


def by_tshark(capture: Path) -> list[Row]:
    """Every ClientHello over TCP that tshark finds."""
    if shutil.which("tshark") is None:
        skip("tshark is not there")
    names = ["tcp.srcport", "tls.handshake.ja3", "tls.handshake.extensions_server_name"]
    names += ["tcp.payload", "tcp.reassembled.data"]
    fields = [word for name in names for word in ("-e", name)]
    done = subprocess.run(
        ["tshark", "-r", capture, "-Y", "tcp && tls.handshake.type == 1", "-T", "fields", *fields],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = []
    for line in done.stdout.splitlines():
        port, ja3, server_name, payload, reassembled = line.split("\t")
        data = bytes.fromhex((reassembled or payload).partition(",")[0])
        rows.append(Row(port, ja3, server_name, data))
    return rows


@pytest.mark.parametrize("name", CAPTURES)
def test_ja3_is_tsharks(captures: Path, name: str) -> None:
    rows = by_tshark(captures / name)
    compared = 0
    for row in rows:
        at = row.data.find(b"\x16\x03")
        hello = HelloReader().feed(row.data[at:]) if at >= 0 else None
        if hello is None or not row.ja3 or "," in row.ja3:
            continue  # cut by the capture, or several in one packet
        assert hello.ja3() == row.ja3
        assert (hello.server_name or b"").decode() == row.server_name
        compared += 1
    assert compared >= 0.8 * len([row for row in rows if row.ja3]) > 0


@pytest.mark.parametrize(
    ("name", "port", "ja4"),
    [
        ("ndpi_alexa_app.pcapng", "54411", "t12d1510h2_f0daf39aad75_e69ac49eb88f"),
        ("ndpi_alexa_app.pcapng", "41691", "t12d220500_5fd681855ab9_c70a3c84db07"),
        # nDPI says d here, though there is no name; the definition says i.
        ("ndpi_alexa_app.pcapng", "38483", "t12i220300_5fd681855ab9_1ea9011b3dfa"),
        ("ndpi_alexa_app.pcapng", "54434", "t12d1511h2_f0daf39aad75_7ed7223c468c"),
        ("ndpi_reddit_ipv6.pcap", "50960", "t13d1515h2_8daaf6152771_de4a06bb82e3"),
        ("ndpi_reddit_ipv6.pcap", "56594", "t13d1515h2_8daaf6152771_de4a06bb82e3"),
    ],
)
def test_ja4_is_what_ndpi_says_of_the_same_captures(
    captures: Path, name: str, port: str, ja4: str
) -> None:
    """github.com/ntop/nDPI, tests/cfgs/default/result: alexa-app.pcapng.out, reddit.pcap.out."""
    row = next(row for row in by_tshark(captures / name) if row.port == port)
    assert read(row.data[row.data.find(b"\x16\x03") :]).ja4() == ja4


def test_ja4_of_the_definitions_own_example() -> None:
    """github.com/FoxIO-LLC/ja4, technical_details/JA4.md."""
    ciphers = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
    kinds = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"
    hello = Hello(0x0303, tuple(int(word, 16) for word in ciphers.split(",")))
    hello.extensions = [int(word, 16) for word in kinds.split(",")]
    hello.signatures = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
    hello.versions = (0x7A7A, 0x0304, 0x0303)
    hello.alpn = [b"h2", b"http/1.1"]
    assert hello.ja4() == "t13d1516h2_8daaf6152771_e5627efa2ab1"
    hello.signatures = ()
    assert hello.ja4() == "t13d1516h2_8daaf6152771_6d807ffa2a79"


@pytest.mark.parametrize(
    ("alpn", "letters"),
    [
        (b"h2", "h2"), (b"http/1.1", "h1"), (b"x", "xx"), (b"", "00"), (b"\xab", "ab"),
        (b"\xab\xcd", "ad"), (b"\x30\xab", "3b"), (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
    ],
)  # fmt: skip
def test_ja4s_letters_of_the_first_alpn(alpn: bytes, letters: str) -> None:
    hello = Hello(0x0303, ())
    hello.alpn = [alpn]
    assert hello.ja4() == f"t12i0000{letters}_000000000000_000000000000"


def test_ja3_of_the_definitions_own_examples() -> None:
    """github.com/salesforce/ja3, README.md."""
    hello = Hello(769, (47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4))
    hello.extensions, hello.groups, hello.point_formats = [0, 10, 11], (23, 24, 25), (0,)
    assert hello.ja3() == "ada70206e40642a3e4461f35503241d5"
    assert Hello(769, (4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99)).ja3() == (
        "de350869b8c85de67a350c8d186f11e6"
    )


def test_grease_is_left_out() -> None:
    hello = Hello(771, (0x0A0A, 0x1301, 0xFAFA, 0x0A1A))
    hello.extensions = [0x2A2A, 10]
    hello.groups = (0x3A3A, 29)
    assert hello.ja3_string() == "771,4865-2586,10,29,"
    assert hello.ja4().startswith("t12i020100_")


def test_fields() -> None:
    name = extension(0, b"\x00\x0a\x00\x00\x07a.b\xff\x1bde")
    alpn = extension(16, b"\x00\x0c\x02h2\x08http/1.1")
    versions = extension(43, b"\x04\x03\x04\x03\x03")
    hello = read(hello_bytes(extensions=name + alpn + versions))
    fields = hello.fields()
    assert fields["version"] == "TLS 1.3"
    assert fields["sni"] == "a.b\\xff\\x1bde"
    assert fields["alpn"] == ["h2", "http/1.1"]
    assert fields["ja3"] == hashlib.md5(hello.ja3_string().encode()).hexdigest()
    assert read(hello_bytes(0x0300)).fields()["version"] == "SSL 3"
    assert "sni" not in read(hello_bytes(0x7F1C)).fields()
    assert read(hello_bytes(0x7F1C)).fields()["version"] == "0x7f1c"


@pytest.mark.parametrize("size", [1, 5, 6, 40, 1000])
def test_a_hello_in_parts_and_in_several_records(size: int) -> None:
    whole = hello_bytes(extensions=extension(21, bytes(600)))
    message = whole[5:]
    records = b"".join(
        b"\x16\x03\x01" + struct.pack("!H", len(message[at : at + 100])) + message[at : at + 100]
        for at in range(0, len(message), 100)
    )
    for data in (whole, records):
        reader = HelloReader()
        found = [reader.feed(data[at : at + size]) for at in range(0, len(data), size)]
        assert found[-1] is not None
        assert found[:-1] == [None] * (len(found) - 1)
        assert reader.is_done
        assert reader.feed(whole) is None


def test_what_is_none_is_given_up_and_what_is_endless_too() -> None:
    for data in (
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x01\x01\0\0",
    ):
        reader = HelloReader()
        assert reader.feed(data) is None
        assert reader.is_done
    # The longest that is waited for, in records of one byte.
    reader = HelloReader()
    for byte in b"\x01\x00\x40\x00" + bytes(16_383):
        assert reader.feed(b"\x16\x03\x01\x00\x01" + bytes((byte,))) is None
        assert not reader.is_done
    reader.feed(b"\x16\x03\x01\x00\x01\x00")
    assert reader.is_done
    reader = HelloReader()
    reader.feed(b"\x16\x03\x01\x00\x04\x01\x00\x40\x01")
    assert reader.is_done


def test_lengths_that_lead_outside_are_found() -> None:
    body = hello_bytes(extensions=extension(0, b"\x00\x04\x00\x00\x01a"))[9:]
    assert parse(body) is not None
    for end in range(len(body)):
        assert parse(body[:end]) is None or end == len(body) - 12
    assert parse(b"") is None


@given(st.binary(max_size=300), st.booleans())
def test_nothing_makes_it_fail(data: bytes, framed: bool) -> None:
    if framed:
        data = b"\x16\x03\x01" + struct.pack("!H", len(data)) + data
    hello = HelloReader().feed(data)
    if hello is not None:
        assert len(hello.ja3()) == 32
        hello.ja4()
        hello.fields()


@given(st.data())
def test_no_extension_makes_it_fail(data: st.DataObject) -> None:
    kinds = st.sampled_from([0, 10, 11, 13, 16, 43, 0x0A0A, 51])
    parts = data.draw(st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=8))
    hello = read(hello_bytes(extensions=b"".join(extension(*part) for part in parts)))
    assert hello.extensions == [kind for kind, _ in parts]
    assert len(hello.ja4().split("_")) == 3
    assert all(len(str(value)) < 2000 for value in hello.fields().values())


def test_recognition() -> None:
    assert tls.recognises(hello_bytes())
    assert not tls.recognises(b"\x16\x03\x01\x00\x05\x02")
    for size in range(1, 6):
        assert tls.may_begin(b"\x16\x03\x01\x02\x00\x01"[:size])
    assert not tls.may_begin(b"\x16\x03\x01\x02\x00\x01")
    assert not tls.may_begin(b"GET")
