"""What `darkflow doctor` finds out about a honeypot: the data plane, its way out, its namespace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from darkflow.commands.checks import FAILED, OK, UNKNOWN, WARNING, Finding, mebibytes
from darkflow.divert import launch
from darkflow.divert.cuts import Cuts
from darkflow.divert.honeynet import INNER_MAC, Honeynet
from darkflow.divert.nft import Nft
from darkflow.divert.plan import Plan
from darkflow.sources import kernel

GROUP = 7
# A million flows of IPv4 take 100 MB of the kernel's memory, of IPv6 half as much again.
FLOW_BYTES = 100
INSTALL = "sudo apt-get install nftables"
SYSCTL = Path("/proc/sys/net")


def honeypot_findings(interfaces: Sequence[str], settings: dict[str, Any]) -> Iterator[Finding]:
    """interfaces: the mirror's, or the outside and the inside one."""
    networks = settings["networks"][0] if settings["networks"] else ()
    if not networks:
        text = "are not given, and the honeypot answers for them"
        yield Finding("networks", FAILED, text, "--networks 192.0.2.0/24,2001:db8::/32")
    yield from _programs()
    mine = kernel.capabilities()
    lacks = [name for name in ("CAP_NET_ADMIN", "CAP_SYS_ADMIN") if not mine[name]]
    if os.geteuid() != 0 or lacks:
        text = f"the honeypot needs root{', and lacks ' + ', '.join(lacks) if lacks else ''}"
        yield Finding("privileges", FAILED, text, "sudo darkflow doctor ...; contrib/systemd")
        return
    yield Finding("privileges", OK, "root, with CAP_NET_ADMIN and CAP_SYS_ADMIN")
    yield _data_plane(interfaces, tuple(networks))
    yield from _leftovers()
    yield _log_group()
    yield from _firewall()
    versions = sorted({ip_network(one).version for one in networks})
    for version in versions:
        yield _route(version)
        if len(interfaces) == 2:
            yield from (_forwards(version, name) for name in interfaces)
    needed = settings["flows"] * FLOW_BYTES * sum(1 if v == 4 else 1.5 for v in versions)
    free = kernel.free_memory_bytes()
    text = f"full, they take {mebibytes(needed)} of the kernel's; {mebibytes(free)} are free"
    if needed > free:
        yield Finding("sets", WARNING, text, "lower --flows")
    else:
        yield Finding("sets", OK, text)


def _programs() -> Iterator[Finding]:
    try:
        import pyroute2  # noqa: F401
    except ImportError:
        mend = "pip install 'darkflow[honeypot]'"
        yield Finding("pyroute2", FAILED, "is not installed", mend)
    try:
        told = subprocess.run(["nft", "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        yield Finding(
            "nft", FAILED, "is not installed: it loads the honeypot's port rules", INSTALL
        )
    else:
        yield Finding("nft", OK, told.stdout.strip())


def _data_plane(interfaces: Sequence[str], networks: tuple[str, ...]) -> Finding:
    """The real ruleset, loaded on interfaces of the same names in a namespace that is gone then."""
    found: list[BaseException | None] = []

    def work() -> None:
        try:
            _try_it(interfaces, networks)
            found.append(None)
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if found[0] is None:
        text = "a network namespace was made, and the ruleset was loaded in it"
        return Finding("data plane", OK, text)
    mend = f"{INSTALL}  # and: Linux 5.16 or newer, with CONFIG_NF_TABLES_NETDEV, CONFIG_VETH"
    return Finding("data plane", FAILED, str(found[0]), mend)


def _try_it(interfaces: Sequence[str], networks: tuple[str, ...]) -> None:
    from pyroute2 import IPRoute

    launch.unshare(launch.CLONE_NEWNET)
    with IPRoute() as ipr:
        for number, name in enumerate((*interfaces, Honeynet.outer)):
            ipr.link("add", ifname=name, kind="veth", peer={"ifname": f"darkflow{number}"})
    mode = "mirror" if len(interfaces) == 1 else "inline"
    outside, inside = [*interfaces, None][:2]
    assert outside is not None
    nft = Nft()
    try:
        nft.apply(Plan(mode, outside, inside, hp1_mac=INNER_MAC, networks=networks))
    finally:
        nft.close()


def _leftovers() -> Iterator[Finding]:
    try:
        nft = Nft()
        try:
            is_there = nft.exists()
        finally:
            nft.close()
    except OSError:
        return  # the data plane's own finding says it
    if is_there:
        text = "a table netdev darkflow is there: a honeypot runs, or a killed one has left it"
        yield Finding("table", WARNING, text, "darkflow status  # a start replaces what is left")
    outer = Honeynet.outer
    if outer in {name for _, name in socket.if_nameindex()} and not is_there:
        text = f"there is one named {outer} already"
        yield Finding("interface", FAILED, text, f"sudo ip link set {outer} name other0", outer)


def _log_group() -> Finding:
    try:
        Cuts(GROUP).close()
    except OSError as error:
        mend = "stop who has it: a running honeypot, ulogd; or sudo modprobe nfnetlink_log"
        return Finding("cuts", FAILED, error.strerror or str(error), mend)
    return Finding("cuts", OK, f"NFLOG group {GROUP} can be had")


def _firewall() -> Iterator[Finding]:
    """Chains of others that the honeypot's answers pass, from hp0 to outside."""
    bad = 0
    try:
        chains = [one["chain"] for one in _nft("list", "chains") if "chain" in one]
        told = [(chain, _rules(chain)) for chain in chains if _is_forward(chain)]
    except (OSError, ValueError) as error:
        what = f"nft does not tell of it: {error}"
        yield Finding("firewall", UNKNOWN, what, "sudo nft list ruleset")
        return
    for chain, text in told:
        family, table, name = chain["family"], chain["table"], chain["name"]
        drops = []
        if chain.get("policy") == "drop":
            drops.append("has the policy drop")
        if '"key": "state"' in text and '"invalid"' in text:
            drops.append("drops ct state invalid")
        if not drops or f'"{Honeynet.outer}"' in text:
            continue
        bad += 1
        what = (
            f"{family} {table} {name} {' and '.join(drops)}: the answers from hp0 would end there"
        )
        mend = f'sudo nft insert rule {family} {table} {name} iifname "{Honeynet.outer}" accept'
        yield Finding("firewall", WARNING, what, mend)
    for ip in ("ip", "ip6"):
        path = Path(f"/proc/net/{ip}_tables_names")
        if path.exists() and "filter" in path.read_text().split():
            bad += 1
            what = f"rules of {ip}tables-legacy are there, which were not looked at"
            yield Finding("firewall", UNKNOWN, what, f"sudo {ip}tables-legacy -S FORWARD")
    if not bad:
        yield Finding("firewall", OK, "no chain of others stands in the answers' way")


def _is_forward(chain: dict[str, Any]) -> bool:
    return chain.get("hook") == "forward" and chain["family"] in ("ip", "ip6", "inet")


def _rules(chain: dict[str, Any]) -> str:
    """The chain's table as JSON, without the elements of sets."""
    return json.dumps(_nft("-t", "list", "table", chain["family"], chain["table"]))


def _nft(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(["nft", "-j", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip().partition("\n")[0])
    found: list[dict[str, Any]] = json.loads(done.stdout or "{}").get("nftables", [])
    return found


def _route(version: int) -> Finding:
    """Where answers leave."""
    if version == 4:
        lines = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
        there = any(words[1] == words[7] == "00000000" for words in lines)
    else:
        path = Path("/proc/net/ipv6_route")
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        there = any(words[:2] == ["0" * 32, "00"] and words[9] != "lo" for words in lines)
    name, ip = (("IPv4", "ip"), ("IPv6", "ip -6"))[version == 6]
    if there:
        return Finding("way out", OK, f"{name} has a default route: answers leave by it")
    text = f"{name} has no default route: only clients behind another route are answered"
    return Finding("way out", WARNING, text, f"sudo {ip} route add default via GATEWAY")


def _forwards(version: int, name: str) -> Finding:
    key = f"net.ipv{version}.{'ip_forward' if version == 4 else 'conf.all.forwarding'}"
    try:
        on = (SYSCTL / f"ipv{version}/conf/{name}/forwarding").read_text().strip() != "0"
    except OSError:
        return Finding("forwarding", UNKNOWN, f"IPv{version}: not told", f"sysctl {key}", name)
    if on:
        return Finding("forwarding", OK, f"IPv{version} is forwarded", "", name)
    if Path(f"/sys/class/net/{name}/brport").exists():
        return Finding("forwarding", OK, "is a port of a bridge", "", name)
    text = f"IPv{version} is not forwarded: this is no router between outside and inside"
    return Finding("forwarding", FAILED, text, f"sudo sysctl -w {key}=1", name)
