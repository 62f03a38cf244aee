"""Real clients of every address and port, led here by AnyIP and TPROXY as Darkflow does it."""

from __future__ import annotations

import contextlib
import ftplib
import imaplib
import ipaddress
import os
import poplib
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from answering import MARKER, Answering, answering, listener
from conftest import skip
from darkflow.honeypot.reports import Report

V4, V6 = "203.0.113.77", "2001:db8:b::77"
PORT = 7
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75

TPROXY = f"""
table inet responder {{
 chain asked {{
  type filter hook prerouting priority mangle
  iifname "b0" meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:{PORT} accept
  iifname "b0" meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:{PORT} accept
 }}
}}
"""
REDIRECT = f"""
table inet responder {{
 chain asked {{
  type nat hook prerouting priority dstnat
  iifname "b0" meta l4proto tcp redirect to :{PORT + 1}
 }}
}}
"""


@dataclass
class Net:
    """Two namespaces: clients in `outside`, the honeypot's addresses in `inside`."""

    outside: str
    inside: str

    def run(self, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A client's program, outside."""
        if shutil.which(words[0]) is None:
            skip(f"{words[0]} is not there")
        return subprocess.run(
            ["ip", "netns", "exec", self.outside, *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            env={"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": "/nonexistent", "LC_ALL": "C"},
        )

    def rules(self, text: str) -> None:
        """New rules, inside."""
        enter = ["ip", "netns", "exec", self.inside, "nft"]
        subprocess.run([*enter, "flush", "ruleset"], check=True)
        subprocess.run([*enter, "-f", "-"], input=text, text=True, check=True)


@pytest.fixture(scope="module")
def net(real_lab: None) -> Iterator[Net]:  # noqa: ARG001
    """Both namespaces, for this module."""
    name = f"df-responder-{os.getpid()}"
    found = Net(f"{name}-a", f"{name}-b")
    lines = f"""
        netns add {found.outside}
        netns add {found.inside}
        -n {found.outside} link add a0 type veth peer name b0 netns {found.inside}
        -n {found.outside} link set lo up
        -n {found.inside} link set lo up
        -n {found.outside} link set a0 up
        -n {found.inside} link set b0 up
        -n {found.outside} addr add 198.51.100.1/24 dev a0
        -n {found.inside} addr add 198.51.100.2/24 dev b0
        -n {found.outside} addr add 2001:db8:a::1/64 dev a0 nodad
        -n {found.inside} addr add 2001:db8:a::2/64 dev b0 nodad
        -n {found.inside} route add local 203.0.113.0/24 dev lo
        -n {found.inside} -6 route add local 2001:db8:b::/64 dev lo
        -n {found.outside} route add 203.0.113.0/24 via 198.51.100.2
        -n {found.outside} -6 route add 2001:db8:b::/64 via 2001:db8:a::2
    """
    try:
        for line in filter(None, map(str.strip, lines.splitlines())):
            done = subprocess.run(
                ["ip", *line.split()], capture_output=True, text=True, check=False
            )
            if done.returncode:
                skip(f"ip {line}: {done.stderr.strip()}")
        yield found
    finally:
        for namespace in (found.outside, found.inside):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def transparent_listeners(net: Net) -> list[socket.socket]:
    """Sockets that listen inside, for both families, and take what was meant for others."""
    from darkflow.lab.namespaces import entered

    with entered(net.inside):
        four, six = listener("127.0.0.1", PORT), listener("::1", PORT)
        four.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        six.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    return [four, six]


@pytest.fixture(scope="module")
def responder(net: Net) -> Iterator[Answering]:
    """Answers on all addresses and ports."""
    net.rules(TPROXY)
    # nmap knows banners to the letter.
    texts: dict[str, str | None] = {"responder_marker": None}
    with answering([], texts, listeners=transparent_listeners(net)) as running:
        yield running
        assert running.stop() == (0, "")


@pytest.fixture
def heard(responder: Answering) -> Callable[..., Report]:
    """The last report since the test began that fits; waits for it."""
    had = len(responder.reports)

    def find(service: str, port: int, address: str = V4) -> Report:
        wanted = (ipaddress.ip_address(address).packed, port)
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            report: Report
            for report in reversed(responder.reports[had:]):
                if report.service == service and report.flow[2:] == wanted:
                    return report
            time.sleep(0.02)
        raise AssertionError(f"no {service} on port {port}: {responder.reports[had:]}")

    return find


@contextlib.contextmanager
def outside(net: Net) -> Iterator[None]:
    """Sockets made in here are a client's."""
    from darkflow.lab.namespaces import entered

    with entered(net.outside):
        yield


# ---- the web --------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "address"), [(V4, V4), (f"[{V6}]", V6)])
def test_curl(net: Net, heard: Callable[..., Report], host: str, address: str) -> None:
    done = net.run("curl", "-sS", "-m", "5", f"http://{host}/")
    assert "It works!" in done.stdout, done.stderr
    report = heard("http", 80, address)
    assert report.fields["http"]["path"] == "/"
    assert str(report.fields["http"]["user_agent"]).startswith("curl/")
    client = "198.51.100.1" if address == V4 else "2001:db8:a::1"
    assert report.flow[0] == ipaddress.ip_address(client).packed
    done = net.run("curl", "-sSk", "-m", "5", "-d", "user=me", f"https://{host}:8443/login")
    assert "It works!" in done.stdout, done.stderr
    report = heard("http", 8443, address)
    assert report.decrypted.endswith(b"\r\n\r\nuser=me")
    assert str(report.fields["tls"]["ja4"]).startswith("t13i")
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    done = net.run("curl", "-sS", "-m", "5", *code, f"http://{host}:49/x")
    assert done.stdout == "404"
    heard("http", 49, address)


def test_openssl(net: Net, heard: Callable[..., Report]) -> None:
    for words, service, port in (
        (("-connect", f"{V4}:443", "-servername", "www.example"), "tls", 443),
        (("-connect", f"{V4}:25", "-starttls", "smtp"), "smtp", 25),
        (("-connect", f"{V4}:110", "-starttls", "pop3"), "pop3", 110),
        (("-connect", f"{V4}:143", "-starttls", "imap"), "imap", 143),
        (("-connect", f"{V4}:21", "-starttls", "ftp"), "ftp", 21),
        (("-connect", f"{V4}:5432", "-starttls", "postgres"), "postgres", 5432),
        (("-connect", f"{V4}:3306", "-starttls", "mysql"), "mysql", 3306),
    ):
        done = net.run("sh", "-c", f"openssl s_client {' '.join(words)} </dev/null", seconds=20)
        assert "subject=CN = localhost" in done.stdout, (words, done.stderr)
        assert "Verify return code: 18 (self-signed certificate)" in done.stdout
        report = heard(service, port)
        assert report.fields["tls"]["cipher"]
    assert report.fields["tls"]["version"] == "TLS 1.3"


# ---- mail, files, shells --------------------------------------------------------------------


def test_mail(net: Net, heard: Callable[..., Report]) -> None:
    with outside(net):
        with smtplib.SMTP(V4, 25, timeout=10) as smtp:
            smtp.starttls()
            with pytest.raises(smtplib.SMTPAuthenticationError):
                smtp.login("root", "secret")
            smtp.sendmail("a@example", ["b@example", "c@example"], "Subject: x\r\n\r\nhello")
        pop3 = poplib.POP3(V4, timeout=10)
        pop3.capa()
        pop3.user("root")
        with pytest.raises(poplib.error_proto, match="Authentication failed"):
            pop3.pass_("secret")
        pop3.quit()
        imap = imaplib.IMAP4(V6, timeout=10)
        with pytest.raises(imaplib.IMAP4.error, match="Authentication failed"):
            imap.login("root", "sec ret")
        imap.logout()
    smtp_fields = heard("smtp", 25).fields["smtp"]
    assert smtp_fields["logins"] == [["root", "secret"]] * len(smtp_fields["logins"])
    assert smtp_fields["rcpt_to"] == ["<b@example>", "<c@example>"]
    assert heard("pop3", 110).fields["pop3"]["logins"] == [["root", "secret"]]
    assert heard("imap", 143, V6).fields["imap"]["logins"] == [["root", "sec ret"]]


def test_ftp(net: Net, heard: Callable[..., Report]) -> None:
    with outside(net), ftplib.FTP(V4, timeout=10) as ftp:
        with pytest.raises(ftplib.error_perm, match="530 Login incorrect"):
            ftp.login("root", "secret")
        ftp.login()
        assert ftp.pwd() == "/"
        with pytest.raises(ftplib.error_temp, match="425"):
            ftp.nlst()
    assert heard("ftp", 21).fields["ftp"]["logins"] == [
        ["root", "secret"], ["anonymous", "anonymous@"],
    ]  # fmt: skip


def test_ssh(net: Net, heard: Callable[..., Report]) -> None:
    done = net.run(
        "ssh", "-v", "-F", "none", "-o", "BatchMode=yes", f"root@{V4}", "true", seconds=20
    )
    assert "remote software version OpenSSH_9.2p1 Debian-2+deb12u3" in done.stderr
    assert "debug1: SSH2_MSG_KEXINIT received" in done.stderr
    fields = heard("ssh", 22).fields["ssh"]
    assert str(fields["client"]).startswith("SSH-2.0-OpenSSH_")
    assert len(str(fields["hassh"])) == 32


def test_curls_other_protocols(net: Net, heard: Callable[..., Report]) -> None:
    """It knows more of them than the web's."""
    net.run("curl", "-sS", "-m", "5", "-u", "root:secret", f"smb://{V4}/share/file")
    assert heard("smb", 445).fields["smb"]["user"] == "root"
    done = net.run("curl", "-sS", "-m", "5", "-u", "root:secret", "-d", "on", f"mqtt://{V4}/cmd")
    assert done.returncode == 0, done.stderr
    fields = heard("mqtt", 1883).fields["mqtt"]
    assert fields["logins"] == [["root", "secret"]]
    assert fields["published"] == ["cmd"]
    net.run("curl", "-sS", "-m", "5", f"rtsp://{V4}/cam")
    assert heard("rtsp", 554).fields["rtsp"]["method"] == "OPTIONS"
    net.run("curl", "-sS", "-m", "2", "-x", f"socks5h://root:secret@{V4}", "http://target.example/")
    report = heard("socks", 1080)
    assert report.fields["socks"]["to"] == "target.example"
    assert b"GET / HTTP/1.1\r\nHost: target.example\r\n" in report.payload


# ---- scanners -------------------------------------------------------------------------------

# What nmap finds there when it asks for versions; Telnet and RTSP would take it half a minute.
SERVICES = {
    21: "ftp", 22: "ssh", 25: "smtp", 80: "http", 110: "pop3", 143: "imap",
    443: "ssl/http", 445: "microsoft-ds", 993: "ssl/imap", 1433: "ms-sql-s", 1883: "mqtt",
    3306: "mysql", 3389: "ms-wbt-server", 5432: "postgresql", 5555: "adb", 5900: "vnc",
    6379: "redis", 11211: "memcached", 40404: "http",
}  # fmt: skip


@pytest.mark.usefixtures("responder")
@pytest.mark.parametrize(("address", "ports"), [(V4, list(SERVICES)), (V6, [22, 25, 3306])])
def test_nmap_takes_them_for_what_they_are(net: Net, address: str, ports: list[int]) -> None:
    words = ["nmap", "-Pn", "-n", "-T5", "-sV", "--version-light", *["-6"] * (address == V6)]
    done = net.run(*words, "-p", ",".join(map(str, ports)), address, seconds=200)
    rows = [line.split() for line in done.stdout.splitlines() if "/tcp" in line]
    found = {int(row[0].partition("/")[0]): row[2] for row in rows}
    assert found == {port: SERVICES[port] for port in ports}


def test_nmaps_scripts_talk_to_the_end(net: Net, heard: Callable[..., Report]) -> None:
    scripts = {
        "smb-protocols": "NT LM 0.12 (SMBv1)", "smb2-security-mode": "Message signing enabled",
        "rdp-ntlm-info": "Product_Version: 10.0.17763",
        "rdp-enum-encryption": "CredSSP (NLA): SUCCESS", "vnc-info": "VNC Authentication (2)",
        "mysql-info": "Version: 5.5.5-10.11.6-MariaDB", "redis-info": "Version: 7.0.15",
        "ssh2-enum-algos": "kex_algorithms: (11)",
        "sip-methods": "INVITE, ACK, CANCEL, OPTIONS", "socks-auth-info": "No authentication",
        "memcached-info": "Process ID", "smtp-commands": "AUTH PLAIN LOGIN",
    }  # fmt: skip
    ports = "22,25,445,1080,3306,3389,5060,5900,6379,11211"
    done = net.run("nmap", "-Pn", "-n", "-T5", "--script", ",".join(scripts), "-p", ports, V4)
    for words in scripts.values():
        assert words in done.stdout, done.stdout
    assert heard("rdp", 3389).fields["rdp"]["cookie"]


# ---- addresses ------------------------------------------------------------------------------


def test_every_address_and_port_is_told_apart(net: Net, responder: Answering) -> None:
    """Also where the client has said nothing."""
    had = len(responder.reports)
    wanted = set()
    with outside(net):
        for last in range(1, 60):
            for address in (f"203.0.113.{last}", f"2001:db8:b::{last:x}:{last:x}"):
                port = 1 + last * 1000
                socket.create_connection((address, port), 10).close()
                wanted.add((ipaddress.ip_address(address).packed, port))
    reports = responder.wait(had + len(wanted))[had:]
    assert {report.flow[2:] for report in reports} == wanted


def test_redirected_connections_tell_what_they_wanted(net: Net, responder: Answering) -> None:
    """Where nothing but `redirect` is to be had: the kernel is asked (SO_ORIGINAL_DST)."""
    del responder
    net.rules(REDIRECT)
    try:
        with answering([], listeners=[both_families(net)]) as running:
            for host, address in ((V4, V4), (f"[{V6}]", V6)):
                done = net.run("curl", "-sS", "-m", "5", f"http://{host}:8081/")
                assert MARKER in done.stdout, done.stderr
                report = running.wait(1 if address == V4 else 2)[-1]
                assert report.flow[2:] == (ipaddress.ip_address(address).packed, 8081)
    finally:
        net.rules(TPROXY)


def both_families(net: Net) -> socket.socket:
    """A socket that listens inside, where IPv4 comes in the clothes of IPv6."""
    from darkflow.lab.namespaces import entered

    with entered(net.inside):
        return socket.create_server(("::", PORT + 1), family=socket.AF_INET6, dualstack_ipv6=True)
