"""Redis and memcached: everything is taken, nothing is kept."""

from __future__ import annotations

import pytest

from darkflow.honeypot.protocols.caches import BULK_LIMIT, Memcached, Redis
from darkflow.honeypot.protocols.protocol import LINE_LIMIT, Reply
from talks import CONTEXT, answers, learnt, said


def test_commands_in_both_forms() -> None:
    assert said(Redis, b"PING\r\n", b"*1\r\n$4\r\nPING\r\n", b"ping x\r\n") == [
        b"+PONG\r\n", b"+PONG\r\n", b"$1\r\nx\r\n",
    ]  # fmt: skip
    assert said(Redis, b"*1\r\n$4\r\nPI", b"NG\r\n*1\r\n$4\r\nPING\r\n") == [
        b"",
        b"+PONG\r\n+PONG\r\n",
    ]
    (info,) = said(Redis, b"INFO\r\n")
    length, _, rest = info.partition(b"\r\n")
    assert int(length[1:]) == len(rest) - 2
    assert b"redis_version:7.0.15" in rest
    assert b"darkmark" in rest


def test_the_usual_attack_is_heard_to_its_end() -> None:
    assert learnt(Redis) == {
        "commands": ["INFO", "AUTH secret", "PING", "CONFIG SET dir /root/.ssh",
                     "SET x \\n\\n* * * *", "QUIT"],
        "user": "", "password": "secret", "logins": [["", "secret"]],
    }  # fmt: skip
    assert said(Redis, b"CONFIG GET dir\r\n") == [b"*2\r\n$3\r\ndir\r\n$14\r\n/var/lib/redis\r\n"]
    assert said(Redis, b"CONFIG GET x\r\n", b"AUTH a b\r\n") == [b"*0\r\n", b"+OK\r\n"]
    assert said(Redis, b"EVAL x 0\r\n") == [b"-NOAUTH Authentication required.\r\n"]
    assert said(Redis, b"XYZ\xff\x07\r\n") == [b"-ERR unknown command 'XYZ?'\r\n"]


@pytest.mark.parametrize(
    "wrong",
    [b"*x\r\n", b"*99999\r\n", b"*65\r\n", b"*1\r\n:4\r\n", b"*1\r\n$x\r\n", b"*1\r\n$9999999\r\n"],
)
def test_what_is_no_command_ends_it(wrong: bytes) -> None:
    assert Redis(CONTEXT).received(wrong) == Reply(b"-ERR Protocol error\r\n", close=True)


def test_limits() -> None:
    assert not Redis(CONTEXT).received(b"x" * LINE_LIMIT).close
    assert Redis(CONTEXT).received(b"x" * (LINE_LIMIT + 1)).close
    machine = Redis(CONTEXT)
    assert machine.received(b"*2\r\n$3\r\nSET\r\n$999999\r\n" + b"x" * BULK_LIMIT).close
    assert answers(Redis(CONTEXT), [b"INFO\r\n" * 2000])[-1].close
    assert said(Redis, b"\r\n\r\nPING\r\n") == [b"+PONG\r\n"]


def test_memcached() -> None:
    assert said(
        Memcached,
        b"version\r\n",
        b"set k 0 0 1\r\n",
        b"v\r\n",
        b"get k\r\n",
        b"flush_all\r\n",
        b"x\r\n",
    ) == [b"VERSION 1.6.18\r\n", b"", b"STORED\r\n", b"END\r\n", b"OK\r\n", b"ERROR\r\n"]
    assert Memcached(CONTEXT).received(b"quit\r\n").close
    assert learnt(Memcached)["commands"] == ["version", "set a 0 0 3", "get a", "stats", "quit"]


def test_recognition() -> None:
    assert Redis.recognises(b"*1\r\n$4\r\nINFO\r\n")
    assert not Redis.recognises(b"*hello")
    assert Memcached.recognises(b"stats\r\n")
    assert not Memcached.recognises(b"statsx\r\n")
