"""MQTT: both versions, subscriptions, messages."""

from __future__ import annotations

from darkflow.honeypot.protocols.mqtt import PACKET_LIMIT, Mqtt
from darkflow.honeypot.protocols.protocol import Reply
from talks import CONTEXT, TALKS, answers, learnt, mqtt_packet, mqtt_text, said

CONNECT = mqtt_packet(0x10, mqtt_text(b"MQTT") + b"\x04\x02\x00\x3c" + mqtt_text(b"me"))
CONNECT5 = mqtt_packet(
    0x10,
    mqtt_text(b"MQTT") + b"\x05\x06\x00\x3c" + b"\x05\x11\x00\x00\x00\x0a" + mqtt_text(b"me")
    + b"\x00" + mqtt_text(b"gone") + mqtt_text(b"bye"),
)  # fmt: skip


def test_what_is_learnt() -> None:
    assert learnt(Mqtt) == {
        "version": 4, "client_id": "id1", "user": "root", "password": "secret",
        "logins": [["root", "secret"]], "topics": ["#"], "published": ["cmd"],
    }  # fmt: skip
    assert answers(Mqtt(CONTEXT), TALKS[Mqtt])[-1] == Reply(close=True)


def test_version_5_has_properties() -> None:
    machine = Mqtt(CONTEXT)
    assert machine.received(CONNECT5).data == b"\x20\x03\x00\x00\x00"
    assert machine.fields == {"version": 5, "client_id": "me", "will_topic": "gone"}
    wish = mqtt_packet(
        0x82, b"\x00\x01\x00" + mqtt_text(b"a") + b"\x00" + mqtt_text(b"b") + b"\x00"
    )
    assert machine.received(wish).data == b"\x90\x05\x00\x01\x00\x00\x00"
    assert machine.received(mqtt_packet(0xA2, b"\x00\x02\x00" + mqtt_text(b"a"))).data == (
        b"\xb0\x04\x00\x02\x00\x00"
    )


def test_order_and_parts() -> None:
    assert said(Mqtt, CONNECT[:3], CONNECT[3:] + b"\xc0\x00") == [b"", b"\x20\x02\x00\x00\xd0\x00"]
    assert Mqtt(CONTEXT).received(b"\xc0\x00") == Reply(close=True)
    assert answers(Mqtt(CONTEXT), [CONNECT, CONNECT])[-1].close
    assert said(Mqtt, CONNECT, mqtt_packet(0x30, mqtt_text(b"t") + b"x"))[1] == b""
    assert said(Mqtt, CONNECT, mqtt_packet(0xA2, b"\x00\x02" + mqtt_text(b"a")))[1] == (
        b"\xb0\x02\x00\x02"
    )


def test_lengths() -> None:
    assert Mqtt(CONTEXT).received(b"\x10\xff\xff\xff") == Reply()
    assert Mqtt(CONTEXT).received(b"\x10\xff\xff\xff\xff").close
    assert Mqtt(CONTEXT).received(b"\x10\xff\xff\xff\x7f").close
    assert PACKET_LIMIT < 1 << 21
    assert answers(Mqtt(CONTEXT), [CONNECT, b"\xc0\x00" * 20_000])[-1].close


def test_recognition() -> None:
    assert Mqtt.recognises(CONNECT)
    assert Mqtt.recognises(mqtt_packet(0x10, mqtt_text(b"MQIsdp") + b"\x03\x02\x00\x3c"))
    assert not Mqtt.recognises(b"\x10MQTT")
