"""The options of `darkflow report`, as argparse has them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EXAMPLES = """\
examples:
  darkflow report --store /var/lib/darkflow --since 7d -o week.html
  darkflow report --networks 192.0.2.0/24 day/*.pcap.zst -o day.html --figures figures

exit status: 0; 1 when the page could not be written to its end or a capture not be read to its
end; 2 for wrong usage, or when there is nothing to report on.
"""


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """What it is made from, and where it goes."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="captures to report on, or -")
    parser.add_argument("--store", metavar="DIR", help="report on this store instead of captures")
    when = "RFC 3339 as 2026-03-01T10:00:00Z, or an age as 2h, 7d"
    parser.add_argument("--since", metavar="WHEN", help=f"only from this time on: {when}")
    parser.add_argument("--until", metavar="WHEN", help="only before this time")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="report.html",
        help="the page (default: report.html); - is standard output",
    )  # fmt: skip
    parser.add_argument(
        "--figures", metavar="DIR", help="write the figures into DIR too, each as SVG and as PNG"
    )
    parser.add_argument(
        "--title", metavar="TEXT", default="Dark flows", help="of the page (default: Dark flows)"
    )
