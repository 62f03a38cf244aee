"""SSH: version, algorithms, HASSH."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from conftest import skip
from darkflow.honeypot.protocols.protocol import Reply
from darkflow.honeypot.protocols.ssh import (
    BANNER,
    PACKET_LIMIT,
    VERSION_LIMIT,
    Ssh,
    kexinit,
    name_lists,
)
from talks import CONTEXT, TALKS, answers, learnt, said, ssh_packet


def client_kexinit(*names: bytes) -> bytes:
    """A KEXINIT with these ten lists."""
    lists = b"".join(struct.pack("!I", len(name)) + name for name in names)
    return ssh_packet(b"\x14" + bytes(16) + lists + bytes(5))


def test_version_and_algorithms_then_the_end() -> None:
    out = answers(Ssh(CONTEXT), TALKS[Ssh])
    assert (
        name_lists(out[0].data[5:])[1]
        == b"rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256,ssh-ed25519"
    )
    assert len(out[0].data) % 8 == 0
    assert out[1] == Reply()
    assert out[2] == Reply(close=True)
    assert learnt(Ssh)["client"] == "SSH-2.0-libssh_0.9.6"


def test_hassh_is_that_of_the_definition() -> None:
    """md5("a;c;e;g"), as in https://github.com/salesforce/hassh."""
    machine = Ssh(CONTEXT)
    names = (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"", b"")
    answers(machine, [b"SSH-2.0-x\r\n" + client_kexinit(*names)])
    assert machine.fields["hassh"] == hashlib.md5(b"a;c;e;g").hexdigest()


@pytest.mark.parametrize(
    "name", ["arkime_synthetic_same_timestamps.pcap", "zeek_ssh_client_side_half_duplex.pcap"]
)
def test_hassh_of_real_clients_is_tsharks(captures: Path, name: str) -> None:
    if shutil.which("tshark") is None:
        skip("tshark is not there")
    names = ("ssh.kex.hassh", "tcp.payload", "tcp.reassembled.data")
    fields = [word for field in names for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", captures / name, "-Y", "ssh.kex.hassh", "-T", "fields", *fields],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    for hassh, payload, reassembled in rows:
        data = bytes.fromhex(reassembled or payload)
        version = b"" if data.startswith(b"SSH-") else b"SSH-2.0-x\r\n"
        machine = Ssh(CONTEXT)
        machine.received(version + data)
        assert machine.fields["hassh"] == hassh
    assert rows


def test_what_is_no_ssh_is_told_so() -> None:
    for junk in (b"GET / HTTP/1.0\r\n", b"\n", b"x" * (VERSION_LIMIT + 1)):
        assert said(Ssh, junk) == [b"Invalid SSH identification string.\r\n"]
        assert Ssh(CONTEXT).received(junk).close
    assert said(Ssh, b"GET") == [b""]


def test_packets_of_impossible_size_end_it() -> None:
    for packet in (
        struct.pack("!IBB", PACKET_LIMIT + 1, 4, 20),
        struct.pack("!IBB", 1, 0, 20),
        struct.pack("!IBB", 0xFFFFFFFF, 4, 20),
        struct.pack("!IBB", 12, 12, 20) + bytes(12),
    ):
        assert answers(Ssh(CONTEXT), [b"SSH-2.0-x\r\n", packet])[-1].close


def test_lists_that_are_cut_are_no_lists() -> None:
    whole = kexinit(bytes(16))
    assert len(name_lists(whole)) == 10
    assert len(name_lists(whole[:40])) == 0
    assert name_lists(b"") == []


def test_banner_and_recognition() -> None:
    assert Ssh(CONTEXT).greeting() == f"{BANNER} darkmark\r\n".encode()
    assert Ssh(CONTEXT._replace(marker="")).greeting() == f"{BANNER}\r\n".encode()
    assert Ssh.recognises(b"SSH-2.0-Go\r\n")
    assert not Ssh.recognises(b"ssh")
