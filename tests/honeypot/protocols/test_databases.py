"""MySQL, PostgreSQL, SQL Server: the login is noted and refused."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols.databases import PACKET_LIMIT, MySql, Postgres, SqlServer
from darkflow.honeypot.protocols.protocol import Reply
from talks import (
    CONTEXT,
    TALKS,
    answers,
    learnt,
    mysql_login,
    postgres_start,
    said,
    tds_login,
)

PLAIN = CONTEXT._replace(tls=False)


def test_mysql_greets_with_version_and_salt() -> None:
    greeting = MySql(CONTEXT).greeting()
    assert int.from_bytes(greeting[:3], "little") == len(greeting) - 4
    assert greeting[4:].startswith(b"\x0a5.5.5-10.11.6-MariaDB-0+deb12u1-darkmark\0")
    assert greeting.endswith(b"\0mysql_native_password\0")
    at = greeting.index(b"\0", 5) + 14
    assert struct.unpack_from("<H", greeting, at)[0] & 0x800
    assert not struct.unpack_from("<H", MySql(PLAIN).greeting(), at)[0] & 0x800


def test_mysql_refuses_the_user_by_name() -> None:
    (reply,) = said(MySql, mysql_login(b"root", b"mysql"))
    assert reply[3] == 2
    assert reply[4:7] == b"\xff\x15\x04"
    assert b"Access denied for user 'root'@" in reply
    assert learnt(MySql) == {
        "user": "root", "response": bytes(range(20)).hex(), "database": "mysql",
        "plugin": "mysql_native_password",
    }  # fmt: skip


def test_mysql_takes_up_tls_once() -> None:
    wish = b"\x20\0\0\x01" + struct.pack("<I", 0x8A00) + bytes(28)
    machine = MySql(CONTEXT)
    assert machine.received(wish + b"\x16\x03\x01") == Reply(tls=True, rest=b"\x16\x03\x01")
    assert machine.received(wish).close
    assert MySql(PLAIN).received(wish).close


def test_mysql_junk() -> None:
    assert MySql(CONTEXT).received(b"GET / HTTP/1.1\r\n").close
    assert MySql(CONTEXT).received(b"\0\0\0\x01").close
    assert MySql(CONTEXT).received(b"\x05\0\0\x01abc") == Reply()
    assert MySql.recognises(mysql_login(b"root"))
    assert not MySql.recognises(mysql_login(b"root") + b"x")


def test_postgres_asks_for_the_password_in_clear() -> None:
    out = said(Postgres, *TALKS[Postgres])
    assert out[:2] == [b"N", b"R\0\0\0\x08\0\0\0\x03"]
    assert out[2][:1] == b"E"
    assert struct.unpack_from("!I", out[2], 1)[0] == len(out[2]) - 1
    assert learnt(Postgres)["logins"] == [["root", "secret"]]
    assert learnt(Postgres)["database"] == "postgres"


def test_postgres_tls_versions_and_junk() -> None:
    wish = struct.pack("!II", 8, 80877103)
    assert Postgres(CONTEXT).received(wish) == Reply(b"S", tls=True)
    assert said(Postgres, wish + postgres_start(user="a"), context=PLAIN) == [
        b"NR\0\0\0\x08\0\0\0\x03"
    ]
    (reply,) = said(Postgres, struct.pack("!IHH", 8, 2, 1))
    assert b"unsupported frontend protocol 2.1" in reply
    assert Postgres(CONTEXT).received(struct.pack("!I", PACKET_LIMIT + 1)).close
    assert Postgres(CONTEXT).received(struct.pack("!I", 3)).close
    assert answers(Postgres(PLAIN), [wish * 999])[-1].close
    assert Postgres.recognises(postgres_start(user="a"))
    assert Postgres.recognises(wish)
    assert not Postgres.recognises(postgres_start(name="a"))
    assert not Postgres.recognises(b"\0\0")


def test_sql_server_sees_through_the_password() -> None:
    prelogin, refused = said(SqlServer, *TALKS[SqlServer])
    assert prelogin[:4] == struct.pack("!BBH", 4, 1, len(prelogin))
    assert refused[:4] == struct.pack("!BBH", 4, 1, len(refused))
    assert "Login failed for user 'sa'.".encode("utf-16-le") in refused
    assert learnt(SqlServer) == {
        "client": "KALI", "program": "sqlcmd", "server": "server", "user": "sa",
        "password": "secret", "logins": [["sa", "secret"]],
    }  # fmt: skip


def test_sql_server_junk() -> None:
    assert SqlServer(CONTEXT).received(b"GET / HTTP/1.1\r\n").close
    assert SqlServer(CONTEXT).received(struct.pack("!BBHHBB", 0x10, 1, 8, 0, 1, 0)).close
    login = tds_login("a", "b", "c")
    assert SqlServer(CONTEXT).received(login[:50]) == Reply()
    for at in range(36, 60, 4):
        # Places and lengths that lead out of the packet.
        broken = login[: 8 + at] + b"\xff\xff\xff\xff" + login[12 + at :]
        assert SqlServer(CONTEXT).received(broken).close
    assert SqlServer.recognises(TALKS[SqlServer][0])
    assert not SqlServer.recognises(login)
