"""The commands and their options, as argparse has them."""

from __future__ import annotations

import argparse
import os
import sys

from darkflow import __version__
from darkflow.commands.parser_lab import add_lab
from darkflow.config import settings_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

EXIT_USAGE = 2
# Of a store, as sinks/delta.py has them, which takes too long to import for this.
TABLES = (
    "darkflows", "late_answers", "undecided", "sessions", "cuts", "cut_traces", "scans",
    "backscatter", "answered", "stats",
)  # fmt: skip

EXAMPLES = """\
examples:
  darkflow analyze capture.pcap
  darkflow analyze --networks 192.0.2.0/24,2001:db8::/32 --events dark.jsonl day/*.pcap.zst
  tcpdump -i eth0 -w - | darkflow analyze - --events -
  darkflow analyze in.pcap out.pcap --json --dark-pcap dark.pcap
"""

QUERY_EXAMPLES = """\
examples:
  darkflow query --store /var/lib/darkflow \\
    "SELECT dest_port, COUNT(*) AS flows FROM darkflows GROUP BY dest_port ORDER BY flows DESC LIMIT 10"
  darkflow query --store /var/lib/darkflow --format csv \\
    "SELECT timestamp, src_ip, dest_ip FROM darkflows WHERE dest_port = 23 AND day = '2026-03-01'"
"""  # noqa: E501 (to be copied as it is)

EXPORT_EXAMPLES = """\
examples:
  darkflow export --store /var/lib/darkflow --format jsonl --since 2h -o dark.jsonl
  darkflow export --store /var/lib/darkflow --format zeek --since 7d | zeek-cut id.orig_h id.resp_p
"""

DOCTOR_EXAMPLES = """\
examples:
  sudo darkflow doctor -i eth1 --networks 192.0.2.0/24 --store /var/lib/darkflow/store
  sudo darkflow doctor --config /etc/darkflow/darkflow.toml --json
  sudo darkflow doctor --outside eth0 --inside eth1 --networks 192.0.2.0/24

exit status: 0 when nothing failed, 1 when something did, 2 for wrong usage.
"""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse makes one for every option, and would import shutil only to ask for the width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_columns() - 2)


def terminal_columns() -> int:
    """As wide as the terminal is, or 80."""
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        fail(f"{message} (see: {self.prog} --help)")


def fail(message: str) -> NoReturn:
    """One line on stderr, exit status 2."""
    sys.stderr.write(f"darkflow: {' '.join(message.split())}\n")
    raise SystemExit(EXIT_USAGE)


def build_parser() -> Parser:
    """The commands and their options."""
    parser = Parser(
        prog="darkflow",
        description="Finds the TCP flows that nobody answers.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"darkflow {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_analyze(commands)
    fields = commands.add_parser(
        "fields",
        help="list every field of the events",
        description="Lists every field of the event lines with type, unit and meaning.",
        epilog="example:\n  darkflow fields --json",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    fields.add_argument("--json", action="store_true", help="as one JSON document")
    fields.add_argument("--markdown", action="store_true", help="as the table of the docs")
    _add_sensor(commands)
    _add_honeypot(commands)
    _add_remote(commands)
    _add_doctor(commands)
    _add_query(commands)
    _add_export(commands)
    _add_report(commands)
    add_learning(commands)
    add_lab(commands, HelpFormatter)
    return parser


def add_learning(commands: argparse._SubParsersAction[Parser]) -> None:
    """The commands that learn from captures or a store."""
    from darkflow.commands import parser_learning as learning

    for name, told, description, examples in learning.COMMANDS:
        parser = commands.add_parser(
            name,
            help=told,
            description=description,
            epilog=examples,
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )
        learning.add_options(name, parser)
        _add_settings(parser, name)
        parser.add_argument(
            "--config", metavar="FILE", help="read settings and options from this TOML file"
        )


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _add_analyze(commands: argparse._SubParsersAction[Parser]) -> None:
    analyze = commands.add_parser(
        "analyze",
        help="find the dark flows of captures",
        description="Reads captures (pcap, pcapng; plain, gzip, zstd, xz, bzip2, lz4; '-' is"
        " standard input), merges them by time and says which flows nobody answered.",
        epilog=EXAMPLES
        + "\nexit status: 0; 1 when a capture could not be read to its end; 2 for wrong usage"
        " or\nwhen nothing could be read; 130 after Ctrl-C. What was read is reported in any case.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    analyze.add_argument(
        "files", nargs="*", metavar="FILE", help="capture, or - for standard input"
    )
    _add_settings(analyze, "analyze")
    analyze.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    _add_outputs(analyze)
    _add_file(analyze)


def _add_sensor(commands: argparse._SubParsersAction[Parser]) -> None:
    sensor = commands.add_parser(
        "sensor",
        help="watch interfaces and write dark flows as they are found (root)",
        description="Watches one or more interfaces, for example a mirror port or two taps, and"
        " writes each dark flow when T has passed. Runs until Ctrl-C or SIGTERM.",
        epilog="examples:\n  sudo darkflow sensor -i eth1 --networks 192.0.2.0/24 --events"
        " dark.jsonl\n  sudo darkflow sensor -i tap-in -i tap-out --events -",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    sensor.add_argument(
        "-i", "--interface", action="append", metavar="IF",
        help="interface to watch; may be given several times",
    )  # fmt: skip
    sensor.add_argument(
        "--outgoing",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether packets that this machine sends count (default: auto: with one interface)",
    )
    sensor.add_argument(
        "--timestamps",
        choices=("kernel", "hardware"),
        default="kernel",
        help="whose times packets get: the kernel's, or the network card's own (default: kernel)",
    )
    sensor.add_argument(
        "--no-view", action="store_true", help="log lines on a terminal too, no live view"
    )
    _add_settings(sensor, "sensor")
    _add_outputs(sensor)
    _add_file(sensor)


def _add_honeypot(commands: argparse._SubParsersAction[Parser]) -> None:
    from darkflow.commands.parser_honeypot import EXAMPLES, add_honeypot_options

    honeypot = commands.add_parser(
        "honeypot",
        help="answer dark flows in their destination's name (root)",
        description="As the sensor, and gives dark flows to a honeypot that answers from the"
        " destination's address, until the real host does. Alone with --mirror or --outside and"
        " --inside it makes a namespace of its own and a responder on every port.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add_honeypot_options(honeypot)
    honeypot.add_argument(
        "--no-view", action="store_true", help="log lines on a terminal too, no live view"
    )
    _add_settings(honeypot, "honeypot")
    _add_outputs(honeypot)
    _add_file(honeypot)


def _add_remote(commands: argparse._SubParsersAction[Parser]) -> None:
    from darkflow.commands import parser_honeypot as remote

    for name, told, examples in (
        ("status", "what a running honeypot does: flows, rates, services, losses",
         remote.STATUS_EXAMPLES),
        ("flows", "who is diverted to the honeypot now", remote.FLOWS_EXAMPLES),
        ("cut", "end diverted flows", remote.CUT_EXAMPLES),
        ("allow", "show or change what is never diverted", remote.ALLOW_EXAMPLES),
    ):  # fmt: skip
        parser = commands.add_parser(
            name,
            help=told,
            description=f"{told[0].upper()}{told[1:]}. Asks the honeypot of this machine.",
            epilog=examples,
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )
        remote.add_remote_options(name, parser)


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check whether a sensor would see and keep what it should, and say how to mend it",
        description="Looks at the kernel, the permissions, the interfaces, memory, clock and disk,"
        " listens for some seconds whether both directions come, and says of each whether it is"
        " well, and if not, how to mend it. Changes nothing; what it may not look at it says.",
        epilog=DOCTOR_EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    doctor.add_argument(
        "-i", "--interface", action="append", metavar="IF",
        help="interface to check and to listen on; may be given several times",
    )  # fmt: skip
    doctor.add_argument(
        "--seconds", default="10", metavar="TIME",
        help="how long to listen at most; 0 does not (default: 10)",
    )  # fmt: skip
    for name, what in (("mirror", "on a mirror"), ("outside", "inline"), ("inside", "inline")):
        doctor.add_argument(
            f"--{name}",
            metavar="IF",
            help=f"check what a honeypot needs {what}, with this interface",
        )
    doctor.add_argument("--store", metavar="DIR", help="the folder that a store is to have")
    _add_settings(doctor, "doctor")
    doctor.add_argument("--json", action="store_true", help="one JSON document")
    doctor.add_argument(
        "--config", metavar="FILE", help="check what this TOML file of a sensor says"
    )


def _add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    for setting in settings_of(command):
        default = "" if not setting.default else f" (default: {setting.default})"
        parser.add_argument(
            *setting.flags,
            dest=setting.name,
            default=setting.default,
            metavar=setting.unit.upper() if setting.unit.isalpha() else setting.unit,
            # argparse has % for names in its texts.
            help=(setting.help + default).replace("%", "%%"),
        )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--events",
        action="append",
        metavar="TARGET",
        help="write a JSON line per dark flow, late answer and undecided flow: to a file, to -, or"
        " as syslog to syslog:/dev/log, udp://HOST:PORT or tcp://HOST:PORT; may be given several"
        " times",
    )
    parser.add_argument(
        "--events-at",
        choices=("auto", "verdict", "end"),
        default="auto",
        help="write a dark flow's line at its verdict, or at its end with all its SYNs counted"
        " (default: auto: at the end for files, at the verdict for a pipe)",
    )
    parser.add_argument(
        "--store", metavar="DIR", help="append events and the run's counters to the store in DIR"
    )
    parser.add_argument(
        "--dark-pcap", metavar="FILE", help="write the SYN frames of dark flows as a pcap"
    )


def _add_report(commands: argparse._SubParsersAction[Parser]) -> None:
    from darkflow.commands.parser_report import EXAMPLES, add_report_options

    report = commands.add_parser(
        "report",
        help="write a page on the dark flows of a store or of captures, with the paper's figures",
        description="Writes one page that needs nothing else: the likely infected hosts, sources,"
        " ports, scans, the figures and tables of the DarkFlow paper, and what was lost.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add_report_options(report)
    _add_settings(report, "report")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="read settings and options from this TOML file; those given here come before it",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print every setting and option with its value as such a file, and end",
    )


def _add_query(commands: argparse._SubParsersAction[Parser]) -> None:
    query = commands.add_parser(
        "query",
        help="ask a store in SQL",
        description=f"Runs a SELECT over a store's tables: {', '.join(TABLES)}.",
        epilog=QUERY_EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    query.add_argument("sql", metavar="SQL", help="the query")
    query.add_argument("--store", metavar="DIR", required=True, help="the store")
    query.add_argument(
        "--format",
        choices=("table", "csv", "jsonl", "json"),
        default="table",
        help="how the result is printed (default: table)",
    )


def _add_export(commands: argparse._SubParsersAction[Parser]) -> None:
    export = commands.add_parser(
        "export",
        help="write rows of a store for other programs",
        description="Writes a table of a store as Parquet, CSV, JSON lines (as --events writes"
        " them) or as Zeek's conn.log.",
        epilog=EXPORT_EXAMPLES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    export.add_argument("--store", metavar="DIR", required=True, help="the store")
    export.add_argument(
        "--format", choices=("parquet", "csv", "jsonl", "zeek"), required=True, help="as what"
    )
    export.add_argument(
        "--table",
        choices=TABLES,
        default="darkflows",
        help="which rows (default: darkflows)",
    )
    when = "RFC 3339 as 2026-03-01T10:00:00Z, or an age as 2h, 7d"
    export.add_argument("--since", metavar="WHEN", help=f"only from this time on: {when}")
    export.add_argument("--until", metavar="WHEN", help="only before this time")
    export.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="where to (default: -, standard output)"
    )
