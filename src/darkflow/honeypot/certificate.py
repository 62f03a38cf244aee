"""A certificate of our own for TLS: a P-256 key and a self-signed X.509, new at every start.

Written out because the standard library makes neither, and a shared one would tell every Darkflow
from other servers. The arithmetic takes no care against who measures its time: the key protects
nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import time

# SEC 2, secp256r1.
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_EC_KEY, _P256, _ECDSA_SHA256, _COMMON_NAME, _ALT_NAME = (
    bytes.fromhex(oid)
    for oid in ("2a8648ce3d0201", "2a8648ce3d030107", "2a8648ce3d040302", "550403", "551d11")
)
_DAY_S = 86_400
_INTEGER, _BITS, _OCTETS, _OID, _UTF8, _UTC_TIME, _SEQUENCE, _SET = 2, 3, 4, 6, 12, 23, 48, 49

Point = tuple[int, int]


def self_signed(name: str, now_s: int | None = None) -> str:
    """Key and certificate for a host of that name, valid for ten years, as PEM."""
    now_s = int(time.time()) if now_s is None else now_s
    key = 1 + secrets.randbelow(_N - 1)
    x, y = _times(key, _G)
    public = _bits(b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    signer = _tlv(_SEQUENCE, _tlv(_OID, _ECDSA_SHA256))
    curve = _tlv(_OID, _P256)
    text = _tlv(_UTF8, name.encode())
    subject = _tlv(_SEQUENCE, _tlv(_SET, _tlv(_SEQUENCE, _tlv(_OID, _COMMON_NAME) + text)))
    # The first days of a certificate that was made when the machine was installed are long past.
    times = (now_s - 200 * _DAY_S, now_s + 3450 * _DAY_S)
    alt_name = _tlv(_SEQUENCE, _tlv(0x82, name.encode()))
    extension = _tlv(_SEQUENCE, _tlv(_OID, _ALT_NAME) + _tlv(_OCTETS, alt_name))
    content = _tlv(
        _SEQUENCE,
        _tlv(0xA0, _integer(2))
        + _integer(secrets.randbits(126) | 1 << 126)
        + signer
        + subject
        + _tlv(_SEQUENCE, b"".join(_tlv(_UTC_TIME, _utc(at_s)) for at_s in times))
        + subject
        + _tlv(_SEQUENCE, _tlv(_SEQUENCE, _tlv(_OID, _EC_KEY) + curve) + public)
        + _tlv(0xA3, _tlv(_SEQUENCE, extension)),
    )
    r, s = _sign(key, content)
    signature = _tlv(_SEQUENCE, _integer(r) + _integer(s))
    certificate = _tlv(_SEQUENCE, content + signer + _bits(signature))
    private = _integer(1) + _tlv(_OCTETS, key.to_bytes(32, "big")) + _tlv(0xA0, curve)
    return _pem("EC PRIVATE KEY", _tlv(_SEQUENCE, private)) + _pem("CERTIFICATE", certificate)


def _sign(key: int, message: bytes) -> tuple[int, int]:
    """ECDSA (FIPS 186-5 6.4.1) with SHA-256."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        k = 1 + secrets.randbelow(_N - 1)
        r = _times(k, _G)[0] % _N
        s = pow(k, -1, _N) * (digest + r * key) % _N
        if r and s:
            return r, s


def _times(factor: int, point: Point) -> Point:
    """A multiple of a point, by doubling and adding."""
    result: Point | None = None
    while factor:
        if factor & 1:
            result = point if result is None else _add(result, point)
        point = _add(point, point)
        factor >>= 1
    assert result is not None
    return result


def _add(a: Point, b: Point) -> Point:
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, _P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    width = (size.bit_length() + 7) // 8
    return bytes((tag, 128 | width)) + size.to_bytes(width, "big") + content


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _tlv(_BITS, b"\0" + content)


def _utc(at_s: int) -> bytes:
    return time.strftime("%y%m%d%H%M%SZ", time.gmtime(at_s)).encode()


def _pem(kind: str, der: bytes) -> str:
    import base64

    lines = base64.encodebytes(der).decode().replace("\n", "")
    rows = [lines[at : at + 64] for at in range(0, len(lines), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *rows, f"-----END {kind}-----", ""])
