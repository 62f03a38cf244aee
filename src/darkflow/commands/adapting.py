"""Shorter holds, from the settings: what `--adaptive` asks for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from darkflow.flow.adaptive import Adaptive
    from darkflow.flow.networks import Networks


def misfit(settings: dict[str, Any]) -> str | None:
    """Why the settings of `--adaptive` do not fit the others, or None."""
    if settings["adaptive"] is None:
        return None
    if settings["adaptive"] >= settings["hold"]:
        return "--adaptive: the shortest hold must be shorter than T (-T, --hold)"
    if settings["idle"] < settings["hold"]:
        return (
            "--adaptive needs an --idle of T (-T, --hold) or longer: flows that were dark sooner"
            " are watched until T"
        )
    if settings.get("workers", 1) > 1:
        return (
            "--adaptive cannot go with --workers: each would see only some of the answers of an"
            " address, and could take a living one for dark"
        )
    return None


def adaptive_of(settings: dict[str, Any], networks: Networks, seed: bytes) -> Adaptive | None:
    """What shortens the holds of one engine, or None; ValueError for settings that do not fit."""
    if settings["adaptive"] is None:
        return None
    problem = misfit(settings)
    if problem:
        raise ValueError(problem)
    from darkflow.flow.adaptive import Adaptive

    return Adaptive(
        (settings["hold"], settings["adaptive"]),
        (settings["adaptive_often"], settings["adaptive_long"], settings["adaptive_alive"]),
        settings["adaptive_max_false"],
        settings["adaptive_size"],
        networks,
        seed,
    )
