"""NTLM messages, and their wrapping."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols import ntlm
from talks import ntlm_authenticate, ntlm_negotiate


def unwrapped(der: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what is behind, of the first value."""
    size, at = der[1], 2
    if size > 128:
        at = 2 + (size & 127)
        size = int.from_bytes(der[2:at], "big")
    return der[0], der[at : at + size], der[at + size :]


def test_kinds() -> None:
    assert ntlm.kind(ntlm_negotiate()) == ntlm.NEGOTIATE
    assert ntlm.kind(b"\x60\x10" + ntlm_authenticate("a", "b", "c")) == ntlm.AUTHENTICATE
    assert ntlm.kind(b"NTLMSSP") == 0
    assert ntlm.kind(b"") == 0


def test_the_challenge_names_us() -> None:
    message = ntlm.challenge(b"12345678", "SRV")
    assert ntlm.kind(message) == ntlm.CHALLENGE
    assert message[24:32] == b"12345678"
    length, _, at = struct.unpack_from("<HHI", message, 12)
    assert message[at : at + length].decode("utf-16-le") == "SRV"
    length, _, at = struct.unpack_from("<HHI", message, 40)
    assert at + length == len(message)
    assert message.endswith(bytes(4))


def test_wrappings_are_der() -> None:
    for blob in (ntlm.wrapped_challenge(b"12345678", "SRV-0001"), ntlm.OFFER):
        _, _, rest = unwrapped(blob)
        assert rest == b""
    tag, content, rest = unwrapped(ntlm.credssp(ntlm_negotiate(), b"12345678", "SRV"))
    assert (tag, rest) == (0x30, b"")
    tag, version, rest = unwrapped(content)
    assert (tag, version) == (0xA0, b"\x02\x01\x06")
    tag, tokens, rest = unwrapped(rest)
    assert (tag, rest) == (0xA1, b"")
    assert ntlm.kind(tokens) == ntlm.CHALLENGE


def test_a_client_is_answered_in_its_own_wrapping() -> None:
    wrapped = ntlm.OFFER + ntlm_negotiate()
    assert ntlm.is_wrapped(wrapped)
    assert not ntlm.is_wrapped(ntlm_negotiate())
    assert b"\xa1\x81" in ntlm.credssp(wrapped, b"12345678", "SRV-0001")[:30]


def test_the_login() -> None:
    message = ntlm_authenticate("root", "WORK", "KALI")
    assert ntlm.login(b"xx" + message) == {
        "user": "root", "domain": "WORK", "client": "KALI", "response": bytes(range(24)).hex(),
    }  # fmt: skip
    assert ntlm.login(message[:60]) == {}
    assert ntlm.login(ntlm_negotiate() + bytes(64)) == {}
    # Places beyond the message hold nothing.
    assert ntlm.login(message[:12] + b"\xff" * 48 + message[60:]) == {}
