"""The description of the honeypot's network, which needs no root and no network."""

from __future__ import annotations

from darkflow.divert.honeynet import Honeynet, Host, commands, inside, machine_settings, outside

# A network that is given twice, or within another, has one route.
NET = Honeynet(("203.0.113.0/24", "198.51.100.0/25", "203.0.113.7/32", "2001:db8:b::/64"))

ROUTES = """\
ip route add default via 192.0.0.8 dev hp1 onlink mtu 1500 advmss 1460
ip route add default via 192.0.0.8 dev hp1 onlink mtu 1500 advmss 1460 table 100
ip route add local 198.51.100.0/25 dev lo
ip route add local 203.0.113.0/24 dev lo
ip rule add pref 10 iif lo to 127.0.0.0/8 lookup local
ip rule add pref 100 lookup local
ip rule del pref 0 lookup local
ip rule add pref 20 iif lo from 198.51.100.0/25 lookup 100
ip rule add pref 20 iif lo from 203.0.113.0/24 lookup 100
ip -6 route add default via fe80::1 dev hp1 onlink mtu 1500 advmss 1440
ip -6 route add default via fe80::1 dev hp1 onlink mtu 1500 advmss 1440 table 100
ip -6 route add local 2001:db8:b::/64 dev lo
ip -6 rule add pref 10 iif lo to ::1/128 lookup local
ip -6 rule add pref 100 lookup local
ip -6 rule del pref 0 lookup local
ip -6 rule add pref 20 iif lo from 2001:db8:b::/64 lookup 100
"""


def test_what_is_done_inside() -> None:
    done = [step.command for step in inside(NET, Host())]
    assert done[:5] == [
        "ethtool -K hp1 tx off gso off",
        "ip link set lo up",
        "ip link set hp1 up",
        "ip neigh add 192.0.0.8 lladdr 02:64:66:00:00:00 dev hp1 nud permanent",
        "ip neigh add fe80::1 lladdr 02:64:66:00:00:00 dev hp1 nud permanent",
    ]
    assert "\n".join(done[5:]) + "\n" == ROUTES


def test_a_machine_without_ipv6_has_none() -> None:
    said = commands(NET, Host(ipv6=False), "", {})
    assert not [line for line in said if "ip -6" in line or "fe80" in line or "/ipv6/" in line]
    assert "ip netns exec darkflow ip route add local 203.0.113.0/24 dev lo" in said


def test_the_script_in_its_order() -> None:
    settings = {"netfilter/nf_conntrack_tcp_loose": "0"}
    said = commands(NET, Host(), "table inet darkflow {}\n", settings)
    link = (
        "ip link add hp0 address 02:64:66:00:00:00 mtu 65535 type veth"
        " peer name hp1 address 02:64:66:00:00:01 mtu 65535 netns darkflow"
    )
    assert said[0] == "ip netns add darkflow"
    # What is new takes up the namespace's defaults, so they come before the link.
    assert said.index("ip netns exec darkflow sysctl -qw net/ipv4/conf/default/rp_filter=0") < (
        said.index(link)
    )
    assert said[-2:] == [
        "ip netns exec darkflow nft -f - <<'END'\ntable inet darkflow {}\nEND",
        "ip netns exec darkflow sysctl -qw net/netfilter/nf_conntrack_tcp_loose=0",
    ]


def test_only_the_link_forwards_where_the_kernel_can() -> None:
    assert machine_settings(Host()) == []
    said = [step.command for step in outside(NET, Host())]
    assert "sysctl -qw net/ipv4/conf/hp0/forwarding=1" in said
    assert "sysctl -qw net/ipv6/conf/hp0/force_forwarding=1" in said
    assert not [line for line in said if "/all/" in line]


def test_an_older_kernel_forwards_everywhere_and_keeps_its_default_router() -> None:
    host = Host(force_forwarding=False, accept_ra=("eth0", "eth1.100"))
    assert [step.command for step in machine_settings(host)] == [
        "sysctl -qw net/ipv6/conf/eth0/accept_ra=2",
        "sysctl -qw net/ipv6/conf/eth1.100/accept_ra=2",
        "sysctl -qw net/ipv6/conf/all/forwarding=1",
    ]
    assert machine_settings(Host(force_forwarding=False, forwarding6=True)) == []


def test_reverse_path_filter_counts_the_greater_of_two() -> None:
    for whole_machine, own in ((0, "0"), (1, "2"), (2, "0")):
        said = [step.command for step in outside(NET, Host(rp_filter=whole_machine))]
        assert f"sysctl -qw net/ipv4/conf/hp0/rp_filter={own}" in said
