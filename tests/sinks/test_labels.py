"""Names, countries and systems from the operator's files: real MMDB files, lists with faults."""

from __future__ import annotations

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


def mmdb(path: Path, records: dict[str, dict[str, object]]) -> str:
    """A file as providers have them."""
    writer = MMDBWriter(6, "Test", languages=["en"], ipv4_compatible=True)
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


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no database")
    with pytest.raises(ValueError, match="x: is no MMDB file"):
        Labels(None, (str(tmp_path / "x"),))
    with pytest.raises(ValueError, match=r"cannot read .*gone: No such file"):
        Labels(None, (str(tmp_path / "gone"),))
    assert Labels().of(b"\1\2\3\4") == NOBODY
