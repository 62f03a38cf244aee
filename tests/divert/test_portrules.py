"""Which program gets a connection: the rules' text, and that nft takes it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from conftest import skip
from darkflow.divert.honeynet import Honeynet
from darkflow.divert.portrules import changed, relay_ports, render, settings
from darkflow.divert.services import Service, read_services

NET = Honeynet(("203.0.113.0/24",))
SERVICES = read_services(
    [
        {"name": "ssh", "ports": ["22", "2220-2224"], "port": 2222, "command": "true"},
        {"name": "web", "ports": ["80", "8000-8010"], "command": "true"},
        {"name": "mail", "ports": ["25", "2"], "to": "198.51.100.7:25"},
    ]
)

RULES = """\
table inet darkflow
delete table inet darkflow
table inet darkflow {
	chain connections {
		type filter hook prerouting priority mangle; policy accept;
		iifname != "hp1" accept
		tcp dport { 22, 2220-2224 } accept  # ssh
		tcp dport { 80, 8000-8010 } accept  # web
		tcp dport { 2, 25 } meta l4proto tcp meta nfproto ipv4 tproxy ip to 127.0.0.1:2 accept  # mail
		tcp dport { 2, 25 } meta l4proto tcp meta nfproto ipv6 tproxy ip6 to [::1]:2 accept
		meta l4proto tcp meta nfproto ipv4 tproxy ip to 127.0.0.1:1 accept  # the responder
		meta l4proto tcp meta nfproto ipv6 tproxy ip6 to [::1]:1 accept
	}
	counter stopped { }
	chain out {
		type filter hook output priority filter; policy accept;
		oifname "hp1" meta l4proto != tcp counter name "stopped" drop
		oifname "hp1" tcp flags & (syn | ack) == syn counter name "stopped" drop
	}
	chain inside {
		type filter hook input priority filter; policy accept;
		iifname != "hp1" tcp dport { 2 } drop
	}
	chain untracked_in {
		type filter hook prerouting priority raw; policy accept;
		tcp dport != { 22, 2220-2221, 2223-2224 } notrack
	}
	chain untracked_out {
		type filter hook output priority raw; policy accept;
		tcp sport != { 2222 } notrack
	}
	chain moved {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "hp1" tcp dport { 22, 2220-2221, 2223-2224 } dnat to :2222  # ssh
	}
}
"""  # noqa: E501 (as nft is given it)


def test_the_rules() -> None:
    assert render(NET, SERVICES) == RULES


def test_without_services_the_responder_has_every_port_and_nothing_is_tracked() -> None:
    rules = render(NET, ())
    assert "nat" not in rules
    assert "tcp dport" not in rules
    assert settings(()) == {}
    assert settings(SERVICES)["netfilter/nf_conntrack_tcp_timeout_syn_recv"] == "5"
    # A program on the port that was asked for needs no tracking either.
    assert settings(SERVICES[1:]) == {}


@pytest.mark.parametrize("services", [(), SERVICES, SERVICES[1:2]], ids=["none", "all", "same"])
def test_nft_takes_them(services: tuple[Service, ...]) -> None:
    nft = shutil.which("nft")
    if nft is None:
        skip("nft is missing")
    done = subprocess.run(
        [nft, "-c", "-f", "-"], input=render(NET, services), text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    if "not permitted" in done.stderr:
        skip("nft needs root")
    assert done.returncode == 0, done.stderr


def test_the_port_that_is_listened_on_is_not_changed() -> None:
    def ranges(ports: list[str]) -> tuple[tuple[int, int], ...]:
        table = {"name": "a", "ports": ports, "port": 2222, "command": "true"}
        return changed(read_services([table])[0])

    assert ranges(["2222"]) == ()
    assert ranges(["2222-2223"]) == ((2223, 2223),)
    assert ranges(["2221-2222"]) == ((2221, 2221),)
    assert ranges(["22"]) == ((22, 22),)


def test_relays_listen_where_nobody_else_does() -> None:
    services = read_services(
        [
            {"name": "a", "ports": ["2-5"], "command": "true"},
            {"name": "b", "ports": ["22"], "port": 6, "command": "true"},
            {"name": "c", "ports": ["23"], "to": "198.51.100.7:1"},
            {"name": "d", "ports": ["24"], "to": "198.51.100.7:1"},
        ]
    )
    assert relay_ports(NET, services) == {"c": 7, "d": 8}
