"""Names, countries and systems from the operator's files: real MMDB files, lists with faults."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from darkflow.sinks.labels import NOBODY, Label, Labels

LIST = """\
# scanners that say who they are
198.51.100.0/24   Example Research
198.51.100.64/26, A part of it   # the longest prefix counts
2001:db8:5::/48 Six
192.0.2.1 one host
"""


def packed(text: str) -> bytes:
    """An address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def mmdb(path: Path, records: dict[str, dict[str, object]], version: int = 6) -> str:
    """A file as providers have them."""
    writer = MMDBWriter(version, "Test", languages=["en"], ipv4_compatible=version == 6)
    for cidr, record in records.items():
        writer.insert_network(IPSet([cidr]), record)
    writer.to_db_file(str(path))
    return str(path)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("198.51.100.1", "Example Research"), ("198.51.100.65", "A part of it"),
        ("198.51.100.128", "Example Research"), ("198.51.101.1", None), ("192.0.2.1", "one host"),
        ("192.0.2.2", None), ("2001:db8:5:1::9", "Six"), ("2001:db8:6::", None),
        ("c633:6401::", None),
    ],
)  # fmt: skip
def test_names(tmp_path: Path, address: str, name: str | None) -> None:
    (tmp_path / "known").write_text(LIST)
    assert Labels(str(tmp_path / "known")).of(packed(address)) == Label(name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("192.0.2.0/24", "line 1: 192.0.2.0/24 has no name"),
        ("\n\nnonsense here", "line 3: 'nonsense' does not appear to be"),
        ("192.0.2.1/24 name", "line 1: 192.0.2.1/24 has host bits set"),
        (b"\xff\xfe", "line 1: not UTF-8"),
        (None, "cannot read .*known: No such file"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str | bytes, why: str) -> None:
    path = tmp_path / "known"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=why):
        Labels(str(path))


def test_country_and_system_come_from_one_file_or_two(tmp_path: Path) -> None:
    country = mmdb(tmp_path / "c.mmdb", {
        "198.51.100.0/24": {"country": {"iso_code": "JP"}},
        "192.0.2.0/24": {"registered_country": {"iso_code": "DE"}},
        "2001:db8::/32": {"country": {"iso_code": "FR"}},
    })  # fmt: skip
    system = mmdb(tmp_path / "a.mmdb", {
        "198.51.100.0/25": {"autonomous_system_number": 64500},
        "203.0.113.0/24": {"asn": "AS64501", "country": "NL"},
    })  # fmt: skip
    labels = Labels(None, (country, system))
    assert labels.of(packed("198.51.100.1")) == Label(None, "JP", 64500)
    assert labels.of(packed("198.51.100.200")) == Label(None, "JP", None)
    assert labels.of(packed("192.0.2.1")) == Label(None, "DE", None)
    assert labels.of(packed("203.0.113.1")) == Label(None, "NL", 64501)
    assert labels.of(packed("2001:db8::1")) == Label(None, "FR", None)
    assert labels.of(packed("2001:db9::1")) == NOBODY


def damaged(path: Path) -> str:
    """A file whose only record cannot be read."""
    mmdb(path, {"198.51.100.0/24": {"country": {"iso_code": "JP"}}})
    data = bytearray(path.read_bytes())
    data[data.find(b"iso_code") - 1] = 0xFF
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    ("length", "name"), [(128, "our scanner"), (127, "Six"), (64, "Six"), (48, "Six"), (47, None)]
)
def test_a_prefix_has_the_name_of_the_whole_alone(
    tmp_path: Path, length: int, name: str | None
) -> None:
    (tmp_path / "known").write_text("2001:db8:5::/128 our scanner\n2001:db8:5::/48 Six\n")
    assert Labels(str(tmp_path / "known")).of(packed("2001:db8:5::"), length) == Label(name)


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"asn": "AS4294967295"}, Label(None, None, 4_294_967_295)),
        ({"asn": "4294967296"}, NOBODY),
        ({"asn": "9" * 5000}, NOBODY), ({"asn": "AS-1"}, NOBODY), ({"asn": 1 << 63}, NOBODY),
        ({"country": "J\0", "asn": 7}, Label(None, None, 7)), ({"country": "日本"}, NOBODY),
    ],
)  # fmt: skip
def test_what_no_country_and_no_system_can_be_is_left_out(
    tmp_path: Path, record: dict[str, object], label: Label
) -> None:
    path = mmdb(tmp_path / "x.mmdb", {"198.51.100.0/24": record})
    assert Labels(None, (path,)).of(packed("198.51.100.1")) == label


def test_a_file_for_ipv4_says_nothing_of_ipv6(tmp_path: Path) -> None:
    only4 = mmdb(tmp_path / "4.mmdb", {"198.51.100.0/24": {"country": {"iso_code": "JP"}}}, 4)
    both = mmdb(tmp_path / "6.mmdb", {"2001:db8::/32": {"asn": 64500}})
    labels = Labels(None, (only4, both))
    assert labels.of(packed("198.51.100.1")) == Label(None, "JP", None)
    assert labels.of(packed("2001:db8::1")) == Label(None, None, 64500)
    assert (labels.failed, labels.troubles) == (0, [])


def test_a_damaged_record_is_said_once_and_counted(tmp_path: Path) -> None:
    good = mmdb(tmp_path / "a.mmdb", {"198.51.100.0/24": {"asn": 64500}})
    labels = Labels(None, (damaged(tmp_path / "c.mmdb"), good))
    for _ in range(3):
        assert labels.of(packed("198.51.100.1")) == Label(None, None, 64500)
    assert labels.of(packed("192.0.2.1")) == NOBODY
    assert labels.failed == 3
    (line,) = labels.troubles
    assert line.startswith(f"{tmp_path / 'c.mmdb'} is damaged: ")


def test_no_damage_ends_the_program(tmp_path: Path) -> None:
    path = tmp_path / "c.mmdb"
    record = {"country": {"iso_code": "JP"}, "asn": 64500, "names": ["a", 1.5, True]}
    mmdb(path, {"198.51.100.0/24": record}, 4)
    data = path.read_bytes()
    opened = failed = 0
    for at in range(0, len(data), 5):
        for value in (0x3F, 0xE1):
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                labels = Labels(None, (str(path),))
            except ValueError:
                continue
            labels.of(packed("198.51.100.1"))
            opened += 1
            failed += labels.failed
    assert opened > failed > 0


def test_a_file_may_be_written_anew_while_it_is_used(tmp_path: Path) -> None:
    records: dict[str, dict[str, object]] = {
        f"198.51.{n}.0/24": {"country": {"iso_code": "JP"}, "x": f"{n}" * 200} for n in range(64)
    }
    path = mmdb(tmp_path / "c.mmdb", records)
    labels = Labels(None, (path,))
    Path(path).write_bytes(b"")
    assert labels.of(packed("198.51.63.1")) == Label(None, "JP", None)
    assert labels.failed == 0


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no database")
    with pytest.raises(ValueError, match="x: is no MMDB file"):
        Labels(None, (str(tmp_path / "x"),))
    with pytest.raises(ValueError, match=r"cannot read .*gone: No such file"):
        Labels(None, (str(tmp_path / "gone"),))
    with pytest.raises(ValueError, match="is no MMDB file"):
        Labels(None, (str(tmp_path),))
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", (2 << 30) + 1)
    with pytest.raises(ValueError, match="large: larger than 2 GiB"):
        Labels(None, (str(tmp_path / "large"),))
    assert Labels().of(b"\1\2\3\4") == NOBODY
