"""The server's side of TLS: talks, limits, junk."""

from __future__ import annotations

import ssl
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.honeypot.certificate import self_signed
from darkflow.honeypot.encryption import Encryption, Layer
from tls_client import TlsClient

PEM = self_signed("srv.example")


def layer_of(encryption: Encryption) -> Layer:
    """One more session."""
    layer = encryption.begin()
    assert layer is not None
    return layer


def test_both_sides_understand_each_other() -> None:
    layer = layer_of(Encryption(PEM, 1))
    heard: list[bytes] = []

    def server(data: bytes) -> bytes:
        plain, out, over = layer.feed(data)
        assert not over
        heard.append(plain)
        return out + (layer.send(b"you said " + plain) if plain else b"")

    client = TlsClient(["h2", "http/1.1"])
    assert client.shake(server) == b""
    assert layer.is_ready
    assert client.ask(server, b"hello") == b"you said hello"
    assert heard[-1] == b"hello"
    assert client.session.selected_alpn_protocol() == "http/1.1"
    assert layer.cipher() == (client.session.cipher() or ("",))[0]


def test_a_client_that_says_goodbye_ends_it() -> None:
    layer = layer_of(Encryption(PEM, 1))
    client = TlsClient()
    client.shake(lambda data: layer.feed(data)[1])
    with pytest.raises(ssl.SSLWantReadError):
        client.session.unwrap()
    assert layer.feed(client.outgoing.read())[2]


def test_old_clients_are_served() -> None:
    client = TlsClient()
    context = client.session.context
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    client.session = context.wrap_bio(client.incoming, client.outgoing, server_hostname="x")
    layer = layer_of(Encryption(PEM, 1))
    client.shake(lambda data: layer.feed(data)[1])
    assert client.session.version() == "TLSv1"


def test_sessions_are_bounded_and_places_come_back() -> None:
    encryption = Encryption(PEM, 2)
    first, second = layer_of(encryption), layer_of(encryption)
    assert encryption.begin() is None
    assert (encryption.open, encryption.refused) == (2, 1)
    first.close()
    first.close()
    assert encryption.open == 1
    layer_of(encryption).close()
    second.close()
    assert encryption.open == 0


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 200), st.integers(0, 20))
def test_nothing_makes_it_fail(junk: bytes, at: int, cut: int) -> None:
    hello = TlsClient().hello()
    for data in (junk, hello[:at] + junk + hello[at + cut :]):
        layer = layer_of(Encryption(PEM, 1))
        plain, out, _ = layer.feed(data)
        assert plain == b""
        assert len(out) < 4096
        # Whatever state it is in, one more word to the client does no harm.
        layer.send(b"x")
        layer.feed(junk)


def test_a_certificate_that_is_none_is_refused() -> None:
    for pem in ("", "nonsense", PEM.partition("-----BEGIN CERTIFICATE")[0]):
        with pytest.raises(ValueError, match="no key and certificate of it"):
            Encryption(pem, 1)
