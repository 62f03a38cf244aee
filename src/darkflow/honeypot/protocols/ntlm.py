"""NTLM (MS-NLMP) in its SPNEGO wrapping: an offer, a challenge, and what the answer to it says."""

from __future__ import annotations

import struct

SIGNATURE = b"NTLMSSP\0"
NEGOTIATE, CHALLENGE, AUTHENTICATE = 1, 2, 3
# Unicode, request target, NTLM, always sign, target type server, extended security, target info,
# version, 128 and 56 bit.
_FLAGS = 0x00000001 | 0x4 | 0x200 | 0x8000 | 0x20000 | 0x80000 | 0x800000 | 0x2000000 | 0xA0000000
_VERSION = bytes((10, 0)) + struct.pack("<H", 17763) + bytes(3) + b"\x0f"


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    width = (size.bit_length() + 7) // 8
    return bytes((tag, 128 | width)) + size.to_bytes(width, "big") + content


_NTLM_OID = _der(6, bytes.fromhex("2b06010401823702020a"))
_SPNEGO_OID = _der(6, bytes.fromhex("2b0601050502"))
# RFC 4178: NegTokenInit with NTLM as its only mechanism.
OFFER = _der(0x60, _SPNEGO_OID + _der(0xA0, _der(0x30, _der(0xA0, _der(0x30, _NTLM_OID)))))


def kind(blob: bytes) -> int:
    """Which message of NTLM is in there; 0 for none."""
    at = blob.find(SIGNATURE)
    return int.from_bytes(blob[at + 8 : at + 12], "little") if at >= 0 else 0


def challenge(nonce: bytes, name: str) -> bytes:
    """2.2.1.2: our 8 bytes, and who we are (2.2.2.1)."""
    wide = name.encode("utf-16-le")
    info = b"".join(struct.pack("<HH", kind, len(wide)) + wide for kind in (2, 1, 4, 3)) + bytes(4)
    head = SIGNATURE + struct.pack("<IHHII", CHALLENGE, len(wide), len(wide), 56, _FLAGS)
    place = struct.pack("<HHI", len(info), len(info), 56 + len(wide))
    return head + nonce[:8] + bytes(8) + place + _VERSION + wide + info


def is_wrapped(blob: bytes) -> bool:
    """Whether NTLM comes in SPNEGO."""
    return _SPNEGO_OID in blob[:64]


def credssp(blob: bytes, nonce: bytes, name: str) -> bytes:
    """The challenge in a TSRequest (MS-CSSP 2.2.1), wrapped as the client's own message was."""
    token = wrapped_challenge(nonce, name) if is_wrapped(blob) else challenge(nonce, name)
    tokens = _der(0x30, _der(0x30, _der(0xA0, _der(4, token))))
    return _der(0x30, _der(0xA0, _der(2, b"\x06")) + _der(0xA1, tokens))


def wrapped_challenge(nonce: bytes, name: str) -> bytes:
    """In a NegTokenResp: accept-incomplete, NTLM, the challenge."""
    state = _der(0xA0, _der(0x0A, b"\x01"))
    token = _der(0xA2, _der(4, challenge(nonce, name)))
    return _der(0xA1, _der(0x30, state + _der(0xA1, _NTLM_OID) + token))


def login(blob: bytes) -> dict[str, str]:
    """User, domain, workstation and response of AUTHENTICATE (2.2.1.3), if that is in there."""
    at = blob.find(SIGNATURE)
    if at < 0 or kind(blob) != AUTHENTICATE or len(blob) < at + 64:
        return {}
    message = blob[at:]
    (flags,) = struct.unpack_from("<I", message, 60)
    coding = "utf-16-le" if flags & 1 else "latin-1"
    found = {}
    for key, place in (("domain", 28), ("user", 36), ("client", 44), ("response", 20)):
        length, _, offset = struct.unpack_from("<HHI", message, place)
        value = message[offset : offset + min(length, 1024)]
        found[key] = value.hex() if key == "response" else value.decode(coding, "replace")
    return {key: value for key, value in found.items() if value}
