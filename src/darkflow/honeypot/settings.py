"""The built-in responder's part of the settings: for its own command line, and as it uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkflow import config
from darkflow.units import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# `payload` is shared with the sessions, which keep the same bytes.
SETTINGS = tuple(
    setting
    for setting in config.SETTINGS
    if setting.name == "payload" or setting.name.startswith("responder_")
)


@dataclass(frozen=True)
class Limits:
    """The settings' values as the responder uses them."""

    idle_s: float = 15.0
    time_s: float = 60.0
    kept: int = 4096
    bytes: int = 1 << 20
    connections: int = 8192
    tls: int = 1024
    certificate: str = ""
    marker: str = ""


def limits(values: Mapping[str, Any]) -> Limits:
    """From the settings' values, by name."""
    return Limits(
        idle_s=values["responder_idle"] / SECOND_NS,
        time_s=values["responder_time"] / SECOND_NS,
        kept=values["payload"],
        bytes=values["responder_bytes"],
        connections=values["responder_connections"],
        tls=values["responder_tls"],
        certificate=values["responder_certificate"] or "",
        marker=values["responder_marker"] or "",
    )


def parsed(texts: Mapping[str, str | None]) -> dict[str, Any]:
    """The settings' values from their texts; ValueError names the option that has a bad one."""
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = texts[setting.name]
        try:
            values[setting.name] = None if text is None else setting.parse(text)
        except ValueError as error:
            raise ValueError(f"{setting.flags[0]}: {error}") from None
    return values


def arguments(texts: Mapping[str, str | None]) -> list[str]:
    """The responder's command line from the settings' texts, by name; others are passed over."""
    return [
        f"{setting.flags[0]}={text}"
        for setting in SETTINGS
        if (text := texts.get(setting.name)) is not None
    ]
