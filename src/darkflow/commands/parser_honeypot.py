"""The command line of the honeypot, and of the commands that speak to a running one."""

from __future__ import annotations

import argparse

# Where a running honeypot listens.
SOCKET = "/run/darkflow/control.sock"

EXAMPLES = """\
examples:
  sudo darkflow honeypot --mirror eth1 --networks 192.0.2.0/24,2001:db8::/32 --store /srv/dark
  sudo darkflow honeypot --outside eth0 --inside eth1 --networks 192.0.2.0/24 --events dark.jsonl
  sudo darkflow honeypot --config /etc/darkflow/darkflow.toml
  darkflow honeypot --outside eth0 --inside eth1 --networks 192.0.2.0/24 --dry-run
  sudo darkflow honeypot exec -- ss -tn
"""

STATUS_EXAMPLES = "examples:\n  sudo darkflow status\n  sudo darkflow status --json"
FLOWS_EXAMPLES = "example:\n  sudo darkflow flows --limit 20"
CUT_EXAMPLES = """\
examples:
  sudo darkflow cut 198.51.100.7:4242-192.0.2.9:22
  sudo darkflow cut '[2001:db8::7]:4242-[2001:db8:1::9]:22'
  sudo darkflow cut --all
"""
ALLOW_EXAMPLES = """\
examples:
  sudo darkflow allow
  sudo darkflow allow add address 192.0.2.128/25
  sudo darkflow allow add port 443
  sudo darkflow allow remove source 198.51.100.7
"""


def add_honeypot_options(honeypot: argparse.ArgumentParser) -> None:
    """What only the honeypot has, beside the settings."""
    honeypot.add_argument(
        "action", nargs="?", choices=("run", "exec"), default="run",
        help="run (default); exec runs a command inside the honeypot's namespace",
    )  # fmt: skip
    honeypot.add_argument(
        "argv", nargs="*", metavar="COMMAND", help="for exec: the command, after --"
    )
    honeypot.add_argument(
        "--mirror", metavar="IF", help="copies of the traffic come here; answers are routed"
    )
    honeypot.add_argument(
        "--no-answers-expected", action="store_true",
        help="mirror: divert although no answer of a watched host is seen; only for networks"
        " without any live host, as on a mirror of one direction all connections would be reset",
    )  # fmt: skip
    honeypot.add_argument(
        "--outside", metavar="IF", help="inline: the interface to the outside of a router"
    )
    honeypot.add_argument("--inside", metavar="IF", help="inline: the one to the watched networks")
    honeypot.add_argument(
        "--sensor-to", metavar="IF",
        help="no honeypot: copy dark SYNs and what follows in their flows out of this interface",
    )  # fmt: skip
    honeypot.add_argument(
        "--allow-address", action="append", metavar="CIDR",
        help="never divert flows to these addresses; may be given several times",
    )  # fmt: skip
    honeypot.add_argument(
        "--allow-source", action="append", metavar="CIDR",
        help="never divert flows from these addresses",
    )  # fmt: skip
    honeypot.add_argument(
        "--allow-port", action="append", metavar="PORT", help="never divert flows to this port"
    )
    honeypot.add_argument(
        "--late-answer", choices=("cuts", "unless-established"), default="cuts",
        help="whether an answer of the real host ends a session that the client has established"
        " with the honeypot already (default: cuts)",
    )  # fmt: skip
    honeypot.add_argument(
        "--no-shield", action="store_true",
        help="inline: let the gateway's own host-unreachable messages about held flows through",
    )  # fmt: skip
    honeypot.add_argument(
        "--honeypot-pcap", metavar="FILE", help="write the honeypot's traffic as a pcap"
    )
    honeypot.add_argument(
        "--control", metavar="SOCKET", default=SOCKET,
        help=f"where it listens for darkflow status, flows, cut, allow (default: {SOCKET})",
    )  # fmt: skip
    honeypot.add_argument(
        "--control-group", metavar="GROUP", help="members of this group may ask, not only root"
    )
    # Only a file can have them: [[honeypot.service]].
    honeypot.set_defaults(service=None, outgoing="no", timestamps="kernel")
    honeypot.set_defaults(needs_start=("networks",))
    honeypot.add_argument(
        "--dry-run", action="store_true", help="print what would be set up, and do nothing"
    )


def add_remote_options(command: str, parser: argparse.ArgumentParser) -> None:
    """What `status`, `flows`, `cut` and `allow` have."""
    if command == "flows":
        parser.add_argument(
            "--limit", type=int, default=100, metavar="N", help="the latest N (default: 100)"
        )
    elif command == "cut":
        parser.add_argument(
            "flow", nargs="?", metavar="FLOW", help="the flow, as darkflow flows writes it"
        )
        parser.add_argument("--all", action="store_true", help="every flow")
    elif command == "allow":
        parser.add_argument(
            "action", nargs="?", choices=("list", "add", "remove"), default="list",
            help="show the list (default), or change it while the honeypot runs",
        )  # fmt: skip
        parser.add_argument(
            "kind", nargs="?", choices=("address", "source", "port"), help="of what"
        )
        parser.add_argument("value", nargs="?", metavar="VALUE", help="CIDR or port")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--control", metavar="SOCKET", default=SOCKET,
        help=f"where the honeypot listens (default: {SOCKET})",
    )  # fmt: skip
