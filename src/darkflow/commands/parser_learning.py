"""Options of the commands that learn from captures or a store: addresses, tune."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

ADDRESSES_EXAMPLES = """\
examples:
  darkflow addresses --unused --networks 192.0.2.0/24,2001:db8::/32 day/*.pcap.zst
  darkflow addresses --unused --store /var/lib/darkflow --since 7d --sure 0.9 --blocked blocked.txt
  darkflow addresses --used --store /var/lib/darkflow --format csv
"""

TUNE_EXAMPLES = """\
examples:
  darkflow tune --networks 192.0.2.0/24,2001:db8::/32 day/*.pcap.zst
  darkflow tune --store /var/lib/darkflow --bound 0.1% --json
"""

COMMANDS = (
    (
        "addresses",
        "list the watched addresses and ports that nobody answers from, or that answer",
        "Lists which watched addresses and ports never answered and how sure that is, as CIDR"
        " blocks where a whole range is silent; or which did answer. From captures, or from a"
        " store.",
        ADDRESSES_EXAMPLES,
    ),
    (
        "tune",
        "say which T fits each network, and why",
        "Measures how long answers take and how long clients wait, and says for each T how many"
        " live flows would be called dark, and which T fits each watched network. From captures,"
        " or from a store.",
        TUNE_EXAMPLES,
    ),
)


def add_options(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of one of COMMANDS, but for the settings."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="capture, or - for standard input")
    parser.add_argument("--store", metavar="DIR", help="read this store instead of captures")
    parser.add_argument(
        "--since", metavar="WHEN",
        help="of a store, only from this time on: RFC 3339, or an age as 2h, 7d",
    )  # fmt: skip
    if name == "tune":
        parser.add_argument("--json", action="store_true", help="one JSON document")
        return
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--unused", action="store_true", help="what never answered (this is the default)"
    )
    which.add_argument("--used", action="store_true", help="what answered, and when")
    parser.add_argument(
        "--blocked", metavar="FILE",
        help="a firewall's list of what it blocks, as second evidence: an address or CIDR per line,"
        " with :PORT if only that port is meant",
    )  # fmt: skip
    parser.add_argument(
        "--sure", metavar="SHARE", default="0",
        help="list only what is at least so sure to be unused, from 0 to 1 (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), default="table",
        help="how the list is printed (default: table)",
    )  # fmt: skip
