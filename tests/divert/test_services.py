"""What a service may say, and what is said of a mistake."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from darkflow.divert.services import KEYS, Service, keys_as_markdown, name_of, read_services

DOCS = Path(__file__).resolve().parents[2] / "docs"


def one(**table: Any) -> Service:
    """A service with these keys."""
    (service,) = read_services([{"name": "a", "ports": ["22"], "command": "true"} | table])
    return service


def test_a_service_as_it_is_written() -> None:
    nobody = pwd.getpwnam("nobody")
    service = one(
        name="cowrie", ports=["22", "2222-2230", 23], port=2222, command="twistd -n 'a b'",
        directory="/srv", environment={"A": "b"}, memory="64MiB", open_files=99, processes=5,
        cpu=0.5, restart="never", log="/var/log/cowrie.log", log_bytes="1MiB",
    )  # fmt: skip
    assert service == Service(
        name="cowrie", ports=((22, 22), (2222, 2230), (23, 23)), port=2222,
        command=("twistd", "-n", "a b"), directory="/srv", environment={"A": "b"},
        user=(nobody.pw_uid, nobody.pw_gid, tuple(os.getgrouplist("nobody", nobody.pw_gid))),
        memory_bytes=64 << 20, open_files=99, processes=5, cpu=0.5, restart="never",
        log="/var/log/cowrie.log", log_bytes=1 << 20,
    )  # fmt: skip


def test_what_is_not_said() -> None:
    service = one()
    assert (service.port, service.directory, service.restart) == (None, "", "always")
    assert (service.memory_bytes, service.open_files, service.cpu) == (1 << 30, 8192, None)


def test_a_host_elsewhere() -> None:
    (v4, v6) = read_services(
        [
            {"name": "a", "ports": "22", "to": "198.51.100.7:2222", "proxy-protocol": True},
            {"name": "b", "ports": 25, "to": "[2001:db8::7]:25", "connections": 9, "idle": 7},
        ]
    )
    assert (v4.target, v4.proxy_protocol) == (("198.51.100.7", 2222), True)
    assert (v6.target, v6.connections, v6.idle_s) == (("2001:db8::7", 25), 9, 7)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"name": None}, "service 1: name: write a text"),
        ({"name": "a b"}, 'service "a b": name: letters, digits, - and _ only, 32 at most'),
        ({"prot": 5}, 'service "a": unknown key "prot": did you mean "port"?'),
        ({"ports": []}, 'service "a": ports: none is given: write for example ["22"]'),
        ({"ports": ["22-x"]}, "service \"a\": ports: '22-x' is no port or range"),
        ({"ports": ["30-20"]}, "service \"a\": ports: '30-20' is no port or range"),
        ({"ports": ["0"]}, "service \"a\": ports: '0' is no port or range"),
        ({"ports": ["65536"]}, "service \"a\": ports: '65536' is no port or range"),
        ({"ports": [True]}, 'service "a": ports: True is no port or range'),
        ({"ports": ["20-25", "22"]}, "service \"a\": ports: '22' is there twice"),
        ({"port": 1}, 'service "a": port: 1 is where the built-in responder listens'),
        ({"ports": "1"}, 'service "a": port: 1 is where the built-in responder listens'),
        ({"port": 1.5}, 'service "a": port: 1.5 is no port'),
        ({"command": ""}, 'service "a": command: write a command with its arguments'),
        ({"command": "a 'b"}, 'service "a": command: cannot be read (No closing quotation)'),
        ({"command": [1]}, 'service "a": command: write a command with its arguments'),
        ({"command": "a\0"}, 'service "a": command: write a command with its arguments'),
        ({"to": "198.51.100.7:22"}, 'service "a": write either command or to'),
        ({"user": "root"}, 'service "a": user: root it may not be'),
        ({"user": "0:5"}, 'service "a": user: root it may not be'),
        ({"user": "nobody-at-all"}, 'service "a": user: there is no user "nobody-at-all"'),
        ({"environment": {"A": 1}}, 'service "a": environment: A: write for example'),
        ({"memory": "5x"}, "service \"a\": memory: '5x' is not understood"),
        ({"memory": "5"}, 'service "a": memory: "5" is less than 64KiB'),
        ({"open-files": 0}, "service \"a\": open-files: '0' is not a whole number"),
        ({"cpu": 0}, 'service "a": cpu: 0 is no number of cores'),
        ({"cpu": "all"}, "service \"a\": cpu: 'all' is no number of cores"),
        ({"restart": "yes"}, "service \"a\": restart: 'yes' is none of always"),
        ({"proxy-protocol": True}, 'service "a": proxy-protocol goes with to, not with command'),
        ({"directory": 5}, 'service "a": directory: write a text'),
    ],
)
def test_a_mistake_is_said_in_one_line(table: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError) as caught:
        one(**table)
    said = str(caught.value)
    assert said.startswith(line)
    assert "\n" not in said


@pytest.mark.parametrize("to", ["198.51.100.7", "host:22", "2001:db8::7:22", "[2001:db8::7]", ":5"])
def test_addresses_are_written_out(to: str) -> None:
    with pytest.raises(ValueError, match="is no address and port: write for example 198"):
        read_services([{"name": "a", "ports": ["22"], "to": to}])


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"name": "a", "ports": ["23"]}, 'service "a": there are two of this name'),
        ({"ports": ["20-30"]}, 'service "b": ports: "a" takes port 22 already'),
        ({"ports": ["23"], "port": 22}, 'service "b": port: "a" listens on 22 already'),
        ({"user": "nobody"}, 'service "b": ports is missing'),
    ],
)
def test_two_services_may_not_want_the_same(other: dict[str, Any], line: str) -> None:
    first = {"name": "a", "ports": ["22"], "command": "true"}
    with pytest.raises(ValueError) as caught:
        read_services([first, {"name": "b", "command": "true"} | other])
    assert str(caught.value) == line


def test_one_may_take_the_port_that_another_only_listens_on() -> None:
    first = {"name": "a", "ports": ["22"], "port": 2222, "command": "true"}
    services = read_services([first, {"name": "b", "ports": ["2222"], "to": "198.51.100.7:1"}])
    assert [name_of(services, port) for port in (22, 2222, 23)] == ["a", "b", None]


def test_not_a_list_of_tables() -> None:
    bad: tuple[object, ...] = ({}, [1], "a")
    for tables in bad:
        with pytest.raises(ValueError, match=r"below a line \[\[honeypot.service\]\]"):
            read_services(tables)
    many = [{"name": f"s{n}", "ports": [n], "to": "198.51.100.7:1"} for n in range(100, 200)]
    with pytest.raises(ValueError, match="100 of them, 64 can be had"):
        read_services(many)


def test_every_key_is_in_the_docs() -> None:
    assert keys_as_markdown() in (DOCS / "services.md").read_text()
    assert len({key.name for key in KEYS}) == len(KEYS)
