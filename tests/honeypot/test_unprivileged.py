"""The responder as it is started by root: it serves as nobody, and cannot become anybody else."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from answering import listener, own_address
from conftest import skip
from darkflow.honeypot.certificate import self_signed
from darkflow.honeypot.protocols.smb import Smb
from talks import TALKS

NOBODY = 65534
HTTP, SMB = 8080, 445


def test_it_serves_as_nobody(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        skip("only root can become somebody else")
    # What only root can read is read before.
    certificate = tmp_path / "both.pem"
    certificate.write_text(self_signed("given.example"))
    certificate.chmod(0o400)
    address = own_address()
    listeners = [listener(address, port) for port in (HTTP, SMB)]
    argv = [sys.executable, "-m", "darkflow.honeypot.unprivileged", str(NOBODY)]
    argv += [f"--listen-fd={sock.fileno()}" for sock in listeners]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, f"--responder-certificate={certificate}"],
            pass_fds=[sock.fileno() for sock in listeners],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        with socket.create_connection((address, HTTP), 10) as client:
            client.settimeout(20)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1."), (tmp_path / "log").read_text()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificate)
        with (
            socket.create_connection((address, HTTP), 10) as sock,
            context.wrap_socket(sock, server_hostname="given.example") as client,
        ):
            assert client.version() == "TLSv1.3"
        # Text in UTF-16 needs a module of Python's that nobody may read.
        with socket.create_connection((address, SMB), 10) as client:
            client.settimeout(20)
            for message in TALKS[Smb]:
                client.sendall(message)
                assert client.recv(1000)
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
        assert status["Groups"].strip() == ""
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    finally:
        for sock in listeners:
            sock.close()
        process.terminate()
        assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == ""
