"""Reading the configuration file again while a command runs: what applies now, what later."""

from __future__ import annotations

from typing import NamedTuple

from darkflow.config import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


class Reread(NamedTuple):
    """`settings`: those in use, with what changed and applies at once (`live`) put in.

    `later`: names of what changed too and needs a start. `options` are left as they are.
    """

    settings: dict[str, Any]
    live: tuple[str, ...]
    later: tuple[str, ...]


def reread(options: argparse.Namespace, settings: dict[str, Any]) -> Reread:
    """Read the file of --config again, against what is in use.

    ValueError says what is wrong with it; nothing is changed then. Without a file nothing changes.
    """
    if not options.config:
        return Reread(settings, (), ())
    new_options, new_settings = options.read_again()
    changed = {name for name, value in new_settings.items() if settings.get(name) != value}
    # What a honeypot has built its network from cannot change while that stands.
    live = tuple(sorted(changed.intersection(LIVE).difference(getattr(options, "needs_start", ()))))
    given = {
        name
        for name, value in vars(new_options).items()
        if name not in new_settings and name != "read_again" and getattr(options, name) != value
    }
    later = tuple(sorted((changed - set(live)) | given))
    return Reread(settings | {name: new_settings[name] for name in live}, live, later)


def as_key(name: str) -> str:
    """As it is written in the file."""
    return name.replace("_", "-")
