"""The certificate, as OpenSSL reads it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from conftest import skip
from darkflow.honeypot.certificate import self_signed


def openssl(*words: str) -> str:
    """What the program says."""
    if shutil.which("openssl") is None:
        skip("openssl is not there")
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """Key and certificate in a file."""
    path = tmp_path / "both.pem"
    path.write_text(self_signed("srv.example"))
    return path


def test_signature_and_key_are_right(pem: Path) -> None:
    for _ in range(5):
        assert "OK" in openssl("verify", "-check_ss_sig", "-CAfile", str(pem), str(pem))
        assert "EC Key valid" in openssl("ec", "-in", str(pem), "-check", "-noout")
        public = openssl("x509", "-in", str(pem), "-noout", "-pubkey")
        assert public in openssl("ec", "-in", str(pem), "-pubout")
        pem.write_text(self_signed("srv.example"))


def test_what_it_says(pem: Path) -> None:
    shown = openssl("x509", "-in", str(pem), "-noout", "-text")
    for words in ("Version: 3", "CN = srv.example", "ecdsa-with-SHA256", "NIST CURVE: P-256",
                  "DNS:srv.example"):  # fmt: skip
        assert words in shown
    openssl("x509", "-in", str(pem), "-noout", "-checkend", str(9 * 365 * 86400))
    day = openssl("x509", "-in", str(pem), "-noout", "-startdate").partition("=")[2].strip()
    assert ssl.cert_time_to_seconds(day) < time.time() - 100 * 86400


def test_python_takes_it_and_each_is_new(pem: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    assert self_signed("a") != self_signed("a")
