"""What services tell: by Suricata's names, within limits, whatever clients have said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darkflow.sinks.told import DECRYPTED_BYTES, MOST_BYTES, NOTHING, Told, checked
from recording import OBJECTS, REPORTED, TOLD


def fields_of(fields: dict[str, Any]) -> dict[str, Any]:
    """What is kept of them."""
    found = checked(Told(fields=fields)).fields
    return {} if found is None else json.loads(found)


def test_a_session_of_which_nothing_was_told() -> None:
    assert checked(Told()) == NOTHING
    assert checked(Told("cowrie")).service == "cowrie"


def test_the_responder_s_word() -> None:
    found = checked(TOLD)
    assert (found.service, found.protocol, found.lost) == ("responder", "http", False)
    assert json.loads(found.fields or "") == OBJECTS
    assert (*found.reported, *found.login) == tuple(REPORTED.values())
    assert found.decrypted == TOLD.decrypted


@pytest.mark.parametrize(
    ("banner", "client"),
    [
        ("SSH-2.0-Go", {"proto_version": "2.0", "software_version": "Go"}),
        ("SSH-1.99-a-b", {"proto_version": "1.99", "software_version": "a-b"}),
        ("SSH-2.0", {"proto_version": "2.0", "software_version": ""}),
        ("SSH-", {"proto_version": "", "software_version": ""}),
        ("nonsense", {"software_version": "nonsense"}),
    ],
)
def test_banners_of_ssh_clients(banner: str, client: dict[str, str]) -> None:
    assert fields_of({"ssh": {"client": banner}}) == {"ssh": {"client": client}}


def test_what_has_suricata_s_names_keeps_them() -> None:
    fields = {
        "http": {"http_method": "GET", "url": "/"}, "tls": {"ja3": {"hash": "1", "string": "2"}},
        "ssh": {"client": {"software_version": "x"}, "hassh": "9"},
    }  # fmt: skip
    expected = fields | {"ssh": {"client": {"software_version": "x", "hassh": {"hash": "9"}}}}
    assert fields_of(fields) == expected
    assert fields["ssh"] == {"client": {"software_version": "x"}, "hassh": "9"}  # not ours


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session", {}), ("src_ip", {}), ("darkflow", {"a": 1}), ("event_type", {}), ("Http", {}),
        ("", {}), ("x" * 33, {}), ("a b", {}), ('a"', {}), ("http\n", {}), ("http", "GET"),
        ("http", None), ("http", [1]), ("x", {"a": b"bytes"}), ("x", {"a": float("nan")}),
        ("x", {"a": {("tuple",): 1}}), (7, {}),
    ],
)  # fmt: skip
def test_what_is_no_object_or_takes_a_place_of_ours_is_lost(name: Any, value: Any) -> None:
    found = checked(Told(fields={name: value, "redis": {"commands": ["PING"]}}))
    assert found.lost
    assert found.fields == '{"redis":{"commands":["PING"]}}'
    assert checked(Told(fields={name: value})).fields is None


def test_what_is_too_deep_is_lost() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    found = checked(Told(fields={"x": deep, "y": {}}))
    assert (found.fields, found.lost) == ('{"y":{}}', True)
    inner = deep
    while inner:  # taken apart step by step: letting go of it in one would overflow the stack
        inner = inner.pop("a")


def test_objects_have_room_one_after_the_other() -> None:
    most = MOST_BYTES - len('{"a":{"b":""}}')
    for size, lost in ((most, False), (most + 1, True)):
        found = checked(Told(fields={"a": {"b": "x" * size}}))
        assert found.lost is lost
        assert (found.fields is None) is lost
    found = checked(Told(fields={"a": {"b": "x" * most}, "http": {"host": "h"}}))
    assert (found.lost, len(found.fields or "")) == (True, MOST_BYTES)
    found = checked(Told(fields={"a": {"b": "x" * MOST_BYTES}, "http": {"host": "h"}}))
    assert (found.lost, found.fields) == (True, '{"http":{"hostname":"h"}}')
    assert "h" in found.reported


def test_long_names_and_payloads_are_cut() -> None:
    found = checked(Told("s" * 1000, "p" * 1000, {}, b"d" * 100_000))
    assert (len(found.service or ""), len(found.protocol or "")) == (64, 64)
    assert len(found.decrypted) == DECRYPTED_BYTES


texts = st.text(alphabet=st.characters(), max_size=20) | st.text(
    alphabet=st.characters(categories=("Cs", "Cc", "So")), max_size=5
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


told_names = st.sampled_from(["http", "tls", "ssh", "x", "flow"])
told_fields = st.dictionaries(told_names, st.dictionaries(texts, values, max_size=3) | values)


@given(texts, texts, told_fields)
@example("\ud800", "\udfff", {"http": {"path": "\ud83d", "\ud800": ["\udc00", "\U0001f600"]}})
def test_whatever_clients_say_is_plain_json(
    service: str, protocol: str, fields: dict[str, Any]
) -> None:
    found = checked(Told(service, protocol, fields))
    for text in (found.service, found.protocol, *found.reported, *found.login):
        (text or "").encode()  # no half of a surrogate pair
    if found.fields is None:
        assert found.lost == bool(fields)
        return
    assert found.fields.isascii()
    kept = json.loads(found.fields)
    assert json.dumps(kept, ensure_ascii=False).encode()
    assert 0 < len(kept) <= len(fields)
    assert found.lost == (len(kept) < len(fields))
    assert all(isinstance(value, dict) for value in kept.values())
