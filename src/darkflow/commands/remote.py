"""`darkflow status`, `flows`, `cut` and `allow`: questions to a running honeypot."""

from __future__ import annotations

import json
import sys

from darkflow.commands.control import ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def remote_command(options: argparse.Namespace) -> int:
    """Ask and print; ValueError says in one line why there is no answer."""
    if options.command == "cut" and bool(options.flow) == options.all:
        raise ValueError("cut one FLOW, or --all (see: darkflow cut --help)")
    answer = ask(options.control, **_request(options))
    if options.json:
        print_out(json.dumps(answer, indent=1))
        return 0
    {"status": _status, "flows": _flows, "cut": _cut, "allow": _allow}[options.command](answer)
    return 0


def print_out(text: str) -> None:
    """One text on standard output."""
    sys.stdout.write(text + "\n")


def _request(options: argparse.Namespace) -> dict[str, Any]:
    request: dict[str, Any] = {"command": options.command}
    if options.command == "flows":
        request["limit"] = options.limit
    elif options.command == "cut":
        request |= {"flow": options.flow, "all": options.all}
    elif options.command == "allow":
        request |= {"action": options.action, "kind": options.kind, "value": options.value}
    return request


def _status(answer: dict[str, Any]) -> None:
    for section, values in answer.items():
        if not isinstance(values, dict):
            print_out(f"{section:24} {values}")
            continue
        print_out(section)
        for name, value in values.items():
            shown = (
                f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
            )
            print_out(f"  {name.replace('_', ' '):30} {shown}")


def _flows(answer: dict[str, Any]) -> None:
    for flow in answer["flows"]:
        state = "established" if flow["handshake"] else "half open"
        print_out(
            f"{flow['flow']:48} {state:12} {flow['age_s']:9.1f} s"
            f" {flow['bytes_toserver']:>9,} B in {flow['bytes_toclient']:>9,} B out"
        )
    rest = answer["open"] - len(answer["flows"])
    more = f", {rest:,} of them not shown" if rest else ""
    print_out(f"{answer['open']:,} sessions open{more}; {answer['diverted']:,} flows diverted")


def _cut(answer: dict[str, Any]) -> None:
    print_out(f"{answer['cut']:,} flows cut")


def _allow(answer: dict[str, Any]) -> None:
    for kind in ("addresses", "sources", "ports"):
        told = ", ".join(str(one) for one in answer[kind]) or "none"
        print_out(f"{kind:10} {told}")
    if answer["lasts"]:
        print_out(f"{'lasts':10} {answer['lasts']}")
    if answer["cut"]:
        print_out(f"{answer['cut']:,} flows cut")
