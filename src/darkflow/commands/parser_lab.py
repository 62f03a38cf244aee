"""What `darkflow lab` takes on the command line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    Commands = argparse._SubParsersAction[Any]

FOLDER = "darkflow-lab"
DESCRIPTION = """\
A small internet of network namespaces with Darkflow answering in it. Nothing leaves the machine.

  run      build it, let masscan, zmap, nmap, curl, ssh and hping3 loose in it, show what Darkflow
           answers and what it finds, and take it down: about half a minute (default)
  up       build it and leave it running; down: take it away
  shell    a shell at a place of it: outside, router, inside, machine, honeypot
  attack   send one of the programs: curl, ssh, masscan, zmap, nmap, hping3, slow, all
  evaluate rerun the experiments of the DarkFlow paper and write a page, theirs beside ours: about
           five minutes
  capture  no honeypot: capture at its gateway for a while, and analyze the capture"""
EXAMPLE = """\
example:
  sudo darkflow lab up
  sudo darkflow lab attack masscan
  sudo darkflow lab shell outside -- curl http://203.0.113.200/
  sudo darkflow lab down
  sudo darkflow lab evaluate -o evaluate.html"""


def add_lab(commands: Commands, formatter: type[argparse.HelpFormatter]) -> None:
    """The command and its options."""
    lab = commands.add_parser(
        "lab",
        help="a small internet of network namespaces, with scanners and the honeypot (root)",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    lab.add_argument(
        "action", nargs="?", default="run",
        choices=("run", "up", "down", "shell", "attack", "evaluate", "capture"),
        help="see above",
    )  # fmt: skip
    lab.add_argument(
        "words", nargs="*", metavar="WHAT",
        help="shell: the place, and after -- a command; attack: the program",
    )  # fmt: skip
    lab.add_argument(
        "--mode", choices=("mirror", "inline"), default="mirror",
        help="run, up: how Darkflow stands in the network (default: mirror)",
    )  # fmt: skip
    lab.add_argument(
        "-T", "--hold", default="5s", metavar="TIME",
        help="run, up: how long a SYN may stay without an answer (default: 5s)",
    )  # fmt: skip
    lab.add_argument(
        "--folder", metavar="DIR", default=FOLDER,
        help=f"run, up: where store, events and logs go; what a lab left there is replaced"
        f" (default: {FOLDER})",
    )  # fmt: skip
    lab.add_argument(
        "--seconds", default="20", metavar="TIME", help="capture: how long (default: 20)"
    )
    lab.add_argument("--keep", metavar="FILE", help="capture: keep the capture here")
    lab.add_argument(
        "--recorded", metavar="FILE", help="run, capture: without root, analyze this capture"
    )
    lab.add_argument(
        "-o", "--output", metavar="FILE", default="evaluate.html",
        help="evaluate: the page; numbers and figures go beside it (default: evaluate.html)",
    )  # fmt: skip
    lab.add_argument(
        "--only", metavar="NAME", action="append",
        help="evaluate: this part alone; may be given several times: network, forged, throughput,"
        " cut, lists",
    )  # fmt: skip
    lab.add_argument(
        "--quick", action="store_true",
        help="evaluate: everything small, in half a minute, to see that it works",
    )  # fmt: skip
