"""What a service of the honeypot tells of a session: checked, bounded, by Suricata's names.

It comes from programs that repeat what clients said: nothing here may fail on it, let a line grow
without end or take the place of a field that Darkflow fills.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from darkflow.sinks.fields import FIELDS, REPORTED

# As JSON, all objects of one session together.
MOST_BYTES = 16_384
NAME_CHARACTERS = 64
LOGIN_CHARACTERS = 256
DECRYPTED_BYTES = 1 << 16

_OWN = {field.name.partition(".")[0] for field in FIELDS if field not in REPORTED}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_PATHS = tuple(field.name.split(".") for field in REPORTED)
_NOTHING = (None,) * len(_PATHS)
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# The responder's names, and where Suricata has the same.
_RENAMED = {
    "http": (
        ("method", "http_method"), ("path", "url"), ("host", "hostname"),
        ("user_agent", "http_user_agent"), ("version", "protocol"),
    ),
    "tls": (("ja3", "ja3.hash"), ("alpn", "client_alpns")),
    "ssh": (("client", "client.software_version"), ("hassh", "client.hassh.hash")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """A service's word on a session.

    service: its name. protocol: what was spoken, "" if it cannot tell. fields: what was learnt,
    objects by protocol. decrypted: the client's first bytes inside TLS.
    """

    service: str = ""
    protocol: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    decrypted: bytes = b""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is kept of it. fields: JSON text; reported: its parts for the columns of REPORTED.

    login: the first user and password. lost: something did not fit and was left out.
    """

    service: str | None = None
    protocol: str | None = None
    decrypted: bytes = b""
    fields: str | None = None
    reported: tuple[str | None, ...] = _NOTHING
    login: tuple[str | None, str | None] = (None, None)
    lost: bool = False


NOTHING = Checked()


def checked(told: Told) -> Checked:
    """What is no object, or has no name or that of a field of ours, or finds no room, is lost."""
    objects: dict[str, Any] = {}
    texts: list[str] = []
    room = MOST_BYTES
    for name, value in told.fields.items():
        try:
            if not isinstance(value, Mapping) or not _NAME.fullmatch(name) or name in _OWN:
                continue
            renamed = _by_suricata(name, value)
            text = f'"{name}":{_encode(renamed)}'
            if "\\ud" in text:
                # Perhaps half of a surrogate pair, which stricter readers refuse.
                renamed = _mended(renamed)
                text = f'"{name}":{_encode(renamed)}'
        except (TypeError, ValueError, RecursionError):
            continue
        if len(text) + 2 <= room:
            room -= len(text) + 1
            texts.append(text)
            objects[name] = renamed
    return Checked(
        _short(told.service),
        _short(told.protocol),
        told.decrypted[:DECRYPTED_BYTES],
        "{" + ",".join(texts) + "}" if texts else None,
        tuple(_text_at(objects, path) for path in _PATHS) if texts else _NOTHING,
        _login(objects),
        len(texts) < len(told.fields),
    )


def _short(name: str) -> str | None:
    return _whole(name[:NAME_CHARACTERS]) or None


def _by_suricata(protocol: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, those renamed that Suricata has under another name."""
    found = dict(fields)
    for ours, theirs in _RENAMED.get(protocol, ()):
        value = found.get(ours)
        if value is None or isinstance(value, dict):
            continue
        del found[ours]
        *parents, leaf = theirs.split(".")
        inner = found
        for parent in parents:
            below = inner.get(parent)
            below = dict(below) if isinstance(below, dict) else {}
            inner[parent] = below
            inner = below
        inner[leaf] = value
        if theirs == "client.software_version" and str(value).startswith("SSH-"):
            # RFC 4253, 4.2: SSH-protoversion-softwareversion, perhaps a blank and comments
            _, inner["proto_version"], inner[leaf] = (*str(value).split("-", 2), "")[:3]
    return found


def _login(objects: dict[str, Any]) -> tuple[str | None, str | None]:
    for name in objects:
        user, password = (_text_at(objects, [name, key]) for key in ("user", "password"))
        if user is not None or password is not None:
            return user and user[:LOGIN_CHARACTERS], password and password[:LOGIN_CHARACTERS]
    return None, None


def _whole(text: str) -> str:
    """Halves of surrogate pairs replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, dict):
        return {_mended(name): _mended(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(part) for part in value]
    return value


def _text_at(objects: Any, path: list[str]) -> str | None:
    for name in path:
        objects = objects.get(name) if isinstance(objects, dict) else None
    return objects if isinstance(objects, str) else None
