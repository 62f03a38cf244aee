"""What is said on one connection, from the first byte on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.honeypot.certificate import self_signed
from darkflow.honeypot.conversation import RECOGNISE_LIMIT, Conversation
from darkflow.honeypot.encryption import Encryption
from darkflow.honeypot.protocols import tls
from darkflow.honeypot.protocols.http import Http
from darkflow.honeypot.protocols.protocol import Protocol, Reply
from darkflow.honeypot.protocols.smtp import Smtp
from darkflow.honeypot.protocols.table import BUILT_IN, Protocols
from talks import CONTEXT, TALKS, answers, mysql_login
from tls_client import TlsClient

ROOT = Path(__file__).resolve().parents[2]
TABLE = Protocols()
ENCRYPTION = Encryption(self_signed("srv.example"), 1 << 20)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def talk(port: int, encryption: Encryption | None = ENCRYPTION) -> Conversation:
    """A new one, on that port."""
    context = CONTEXT._replace(port=port, tls=encryption is not None)
    return Conversation(TABLE, context, encryption, kept=100)


def test_an_odd_port_is_what_its_client_makes_of_it() -> None:
    conversation = talk(40404)
    assert conversation.opened() == Reply()
    assert conversation.service is None
    assert conversation.received(b"GE") == Reply()
    assert conversation.received(b"T /x HTTP/1.0\r\n\r\n").data.startswith(b"HTTP/1.1 404")
    assert conversation.service == "http"
    assert conversation.fields()["http"]["path"] == "/x"


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_protocol_is_spoken_on_its_own_port(kind: type[Protocol]) -> None:
    port = min(kind.ports)
    for encryption in (ENCRYPTION, None):
        conversation = talk(port, encryption)
        machine = kind(CONTEXT._replace(port=port, tls=encryption is not None))
        assert conversation.opened() == Reply(machine.greeting())
        assert conversation.service == (kind.name if machine.greeting() else None)
        expected = answers(machine, TALKS[kind])
        for reply, message in zip(expected, TALKS[kind], strict=False):
            assert conversation.received(message)[:2] == reply[:2]
        assert conversation.service == kind.name
        assert conversation.fields() == ({kind.name: machine.fields} if machine.fields else {})


def test_a_port_speaks_its_own_and_understands_others() -> None:
    conversation = talk(22)
    assert conversation.opened().data.startswith(b"SSH-2.0-")
    assert conversation.received(GET) == Reply(
        b"Invalid SSH identification string.\r\n", close=True
    )
    assert conversation.service == "http"
    assert conversation.fields() == {
        "http": {"method": "GET", "path": "/", "version": "HTTP/1.1", "host": "a", "requests": 1}
    }


def test_whoever_says_nothing_that_is_known_is_listened_to() -> None:
    conversation = talk(40404)
    for _ in range(100):
        assert conversation.received(b"?" * 100) == Reply()
    assert conversation.service is None
    assert conversation.fields() == {}
    # Too late to be recognised.
    assert conversation.received(GET) == Reply()
    late = talk(40404)
    late.received(b"?" * (RECOGNISE_LIMIT + 1))
    assert late.received(GET) == Reply()


def test_https() -> None:
    for port in (443, 40404, 80):
        conversation = talk(port)
        conversation.opened()
        client = TlsClient(["http/1.1"], name="www.example")
        assert client.shake(lambda data, c=conversation: c.received(data).data) == b""  # type: ignore[misc]
        page = client.ask(lambda data, c=conversation: c.received(data).data, GET)  # type: ignore[misc]
        assert page.startswith(b"HTTP/1.1 200")
        assert b"darkmark" in page
        assert conversation.service == "http"
        assert conversation.decrypted == GET
        fields = conversation.fields()
        assert fields["http"]["host"] == "a"
        assert fields["tls"]["sni"] == "www.example"
        assert fields["tls"]["alpn"] == ["http/1.1"]
        assert str(fields["tls"]["ja4"]).startswith("t13d")
        assert fields["tls"]["cipher"] == "TLS_AES_256_GCM_SHA384"
        conversation.ended()


def test_servers_that_speak_first_do_so_inside_tls() -> None:
    for port, greeting in ((993, b"* OK ["), (465, b"220 srv-0001 "), (990, b"220 (vsFTPd")):
        conversation = talk(port)
        assert conversation.opened() == Reply()
        client = TlsClient()
        said = client.shake(lambda data, c=conversation: c.received(data).data)  # type: ignore[misc]
        assert said.startswith(greeting)
        assert b"STARTTLS" not in said
    # A port that has greeted in clear has nothing of its own inside.
    conversation = talk(25)
    conversation.opened()
    client = TlsClient()
    assert client.shake(lambda data: conversation.received(data).data) == b""
    assert conversation.service == "tls"


def test_starttls() -> None:
    conversation = talk(25)
    conversation.opened()
    conversation.received(b"EHLO me\r\n")
    assert conversation.received(b"STARTTLS\r\n").data.startswith(b"220 ")
    client = TlsClient()
    server = lambda data: conversation.received(data).data  # noqa: E731
    assert client.shake(server) == b""
    assert b"STARTTLS" not in client.ask(server, b"EHLO again\r\n")
    assert client.ask(server, b"STARTTLS\r\n").startswith(b"454 ")
    assert conversation.service == "smtp"
    fields = conversation.fields()
    assert fields["smtp"]["helo"] == "me"
    assert str(fields["tls"]["ja3"])


def test_tls_may_come_in_one_piece_with_the_wish_for_it() -> None:
    conversation = talk(3306)
    conversation.opened()
    client = TlsClient(name="db.example")
    wish = b"\x20\0\0\x01\x00\x8a\x00\x00" + bytes(28)
    answer = conversation.received(wish + client.hello())
    assert not answer.close
    client.incoming.write(answer.data)
    server = lambda data: conversation.received(data).data  # noqa: E731
    assert client.shake(server) == b""
    assert b"Access denied for user 'root'@" in client.ask(server, mysql_login(b"root"))
    assert conversation.fields()["tls"]["sni"] == "db.example"
    assert conversation.fields()["mysql"]["user"] == "root"


def test_a_client_that_breaks_its_word_about_tls_is_closed() -> None:
    conversation = talk(25)
    conversation.opened()
    conversation.received(b"STARTTLS\r\n")
    assert conversation.received(b"MAIL FROM:<a>\r\n").close
    assert conversation.service == "smtp"


def test_without_tls_the_hello_is_read_and_refused() -> None:
    for encryption in (None, Encryption(self_signed("a"), 0)):
        conversation = talk(443, encryption)
        hello = TlsClient(name="www.example").hello()
        for at in range(len(hello) - 1):
            assert conversation.received(hello[at : at + 1]) == Reply()
        assert conversation.received(hello[-1:]) == Reply(tls.REFUSAL, close=True)
        assert conversation.service == "tls"
        assert conversation.fields()["tls"]["sni"] == "www.example"


def test_a_place_for_tls_is_given_back() -> None:
    encryption = Encryption(self_signed("a"), 1)
    for _ in range(3):
        conversation = talk(443, encryption)
        assert not conversation.received(TlsClient().hello()).close
        assert encryption.open == 1
        conversation.ended()
        conversation.ended()
        assert encryption.open == 0


def test_tls_inside_tls_is_not_entered() -> None:
    conversation = talk(443)
    client = TlsClient()
    server = lambda data: conversation.received(data).data  # noqa: E731
    client.shake(server)
    assert client.ask(server, TlsClient().hello())[:12] != b""
    assert conversation.service == "http"


def test_what_is_kept_of_the_inside_is_bounded() -> None:
    conversation = talk(443)
    client = TlsClient()
    server = lambda data: conversation.received(data).data  # noqa: E731
    client.shake(server)
    for _ in range(5):
        client.ask(server, b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n" + b"x" * 50)
    assert len(conversation.decrypted) == 100


def test_the_front_sees_a_fault() -> None:
    class Faulty(Http):
        """Fails when it hears anything."""

        def received(self, data: bytes) -> Reply:
            """Never answers."""
            raise RuntimeError(data)

    conversation = Conversation(Protocols([Faulty]), CONTEXT, None, 100)
    with pytest.raises(RuntimeError):
        conversation.received(GET)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_nothing_makes_it_fail(data: st.DataObject) -> None:
    ports = st.sampled_from([*TABLE.by_port, *TABLE.by_tls_port, 40404])
    conversation = talk(data.draw(ports), data.draw(st.sampled_from([ENCRYPTION, None])))
    said = st.binary(max_size=200) | st.sampled_from([m for talk in TALKS.values() for m in talk])
    hello = TlsClient().hello()
    reply = conversation.opened()
    for _ in range(data.draw(st.integers(1, 6))):
        if reply.close:
            break
        reply = conversation.received(data.draw(said | st.just(hello)) or b"\0")
        assert len(reply.data) < 64 << 10
    assert json.dumps(conversation.fields()).isascii()
    assert conversation.service is None or conversation.service.isidentifier()
    conversation.ended()


# Run by an interpreter that has imported the responder and nothing else.
WATCHED = """
import json, sys
from darkflow.honeypot import responder
from darkflow.honeypot.certificate import self_signed
from darkflow.honeypot.conversation import Conversation
from darkflow.honeypot.encryption import Encryption
from darkflow.honeypot.protocols.protocol import Context

table = responder.Protocols()
encryption = Encryption(self_signed("a"), 1000)
talks = [[bytes.fromhex(message) for message in talk] for talk in json.load(sys.stdin)]
seen, active = [], False

def hook(event, arguments):
    if active and not event.startswith(("object.__getattr__", "sys._getframe", "cpython.")):
        seen.append((event, str(arguments)))

sys.addaudithook(hook)
active = True
for port in (*table.by_port, *table.by_tls_port, 40404):
    for talk in talks:
        context = Context("203.0.113.9", port, "srv", tls=True)
        conversation = Conversation(table, context, encryption, 4096)
        conversation.opened()
        for message in talk:
            if conversation.received(message).close:
                break
        json.dumps([conversation.fields(), conversation.service])
        conversation.ended()
open("/dev/null").close()
active = False
print(seen)
"""


def test_nothing_that_is_said_opens_a_file_a_connection_or_a_process() -> None:
    """Python tells an audit hook of everything of the kind, imports included."""
    talks = [[message.hex() for message in talk] for talk in TALKS.values()]
    talks.append([TlsClient().hello().hex()])
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        input=json.dumps(talks),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The one file that was opened on purpose, to see that the hook works.
    assert done.stdout.startswith("[('open', \"('/dev/null',")
    assert done.stdout.count("', \"") == 1, done.stdout


def test_its_parts_are_what_the_table_says() -> None:
    assert TABLE.by_port[25] is Smtp
