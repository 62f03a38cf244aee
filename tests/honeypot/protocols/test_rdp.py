"""RDP: what is negotiated, and what is said inside TLS."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols.protocol import Reply
from darkflow.honeypot.protocols.rdp import Rdp
from talks import CONTEXT, TALKS, ntlm_authenticate, ntlm_negotiate, rdp_request, said, ts_request

PLAIN = CONTEXT._replace(tls=False)


def selected(reply: Reply) -> int:
    """The protocol that RDP_NEG_RSP names."""
    assert reply.data[:4] == b"\x03\x00\x00\x13"
    return int(struct.unpack_from("<I", reply.data, 15)[0])


def test_the_best_that_both_can_do_is_chosen() -> None:
    for asked, chosen in ((3, 2), (11, 2), (1, 1), (0, 0), (8, 0)):
        reply = Rdp(CONTEXT).received(rdp_request(b"me", asked))
        assert selected(reply) == chosen
        assert reply.tls is (chosen > 0)
        assert selected(Rdp(PLAIN).received(rdp_request(b"me", asked))) == 0


def test_a_client_that_negotiates_nothing_gets_the_old_confirmation() -> None:
    old = bytes.fromhex("0300000b06e00000000000")
    assert said(Rdp, old) == [bytes.fromhex("0300000b06d00000123400")]
    assert Rdp.recognises(old)
    assert not Rdp.recognises(b"\x03\x00\x00\x0b\x06\xd0")


def test_network_level_authentication_gives_the_user() -> None:
    machine = Rdp(CONTEXT)
    replies = [machine.received(message) for message in TALKS[Rdp]]
    assert b"NTLMSSP\0\x02\0\0\0" in replies[1].data
    assert replies[1].data[0] == 0x30
    assert replies[2] == Reply(close=True)
    assert machine.fields == {
        "cookie": "hello", "protocols": 3, "user": "root", "domain": "WORK", "client": "KALI",
        "response": bytes(range(24)).hex(),
    }  # fmt: skip


def test_a_token_may_come_in_parts_and_may_be_none() -> None:
    machine = Rdp(CONTEXT)
    machine.received(rdp_request(b"", 3))
    token = ts_request(ntlm_negotiate())
    assert machine.received(token[:20]) == Reply()
    assert machine.received(token[20:]).data
    assert machine.received(b"\x30\x84\xff\xff\xff\xff\0") == Reply(close=True)
    again = Rdp(CONTEXT)
    again.received(rdp_request(b"", 3))
    assert again.received(ts_request(ntlm_authenticate("a", "b", "c"))).close


def test_the_clients_name_is_in_its_core_data() -> None:
    machine = Rdp(PLAIN)
    machine.received(rdp_request(b"", 0))
    core = b"\x01\xc0" + struct.pack("<H", 216) + bytes(20) + "KALI".encode("utf-16-le")
    body = b"\x7f\x65" + b"\x01\xc0\x00\x00" + core.ljust(216, b"\0")
    packet = struct.pack("!BBHBBB", 3, 0, 7 + len(body), 2, 0xF0, 0x80) + body
    assert machine.received(packet) == Reply(close=True)
    assert machine.fields["client"] == "KALI"


def test_what_is_no_rdp_ends_it() -> None:
    for junk in (
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x03\x00\xff\xff\x00\x00\x00",
        b"\x03\x00\x00\x05\0\0\0",
    ):
        assert Rdp(CONTEXT).received(junk) == Reply(close=True)
    assert Rdp(CONTEXT).received(b"\x03\x00\x00") == Reply()
