"""`darkflow lab`: a small internet of namespaces, real scanners in it, and Darkflow answering."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from darkflow.commands.analyze import EXIT_USAGE, complain
from darkflow.lab.run import MIN_SECONDS, LabResult, can_run, run_lab, terminated_like_interrupted
from darkflow.lab.topology import WATCHED_NETWORKS
from darkflow.units import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from darkflow.lab.standing import State

MOST_SECONDS = 600
LEAST_HOLD_S, MOST_HOLD_S = 0.2, 30.0
INTERRUPTED = 130


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def lab_command(options: argparse.Namespace, analyze: Callable[[list[str]], int]) -> int:
    """Do what `action` says; the exit status.

    `analyze` runs `darkflow analyze` with these arguments.
    """
    try:
        with terminated_like_interrupted():
            return _do(options, analyze)
    except (OSError, RuntimeError, ValueError) as error:
        complain(str(error))
        return EXIT_USAGE
    except KeyboardInterrupt:
        gone = options.action in ("run", "up", "evaluate", "capture")
        complain("interrupted; the lab is gone" if gone else "interrupted; the lab stays as it is")
        return INTERRUPTED


def _do(options: argparse.Namespace, analyze: Callable[[list[str]], int]) -> int:
    if options.words and options.action not in ("shell", "attack"):
        raise ValueError(f"darkflow lab {options.action} takes no {options.words[0]!r}")
    if options.action == "evaluate":
        from darkflow.commands.evaluate import evaluate_command

        return evaluate_command(options)
    if options.action == "capture":
        return _capture(options, _seconds(options), analyze)
    hold_s = _hold(options)
    if options.action in ("run", "up"):
        reason = can_run()
        if reason is not None:
            return _recorded(options.recorded, reason, analyze)
    elif os.geteuid() != 0:
        raise ValueError(f"darkflow lab {options.action} needs root")
    return {"run": _run, "up": _up, "down": _down, "shell": _shell, "attack": _attack}[
        options.action
    ](options, hold_s)


def _seconds(options: argparse.Namespace) -> float:
    try:
        seconds = parse_time(options.seconds) / 1e9
    except ValueError as error:
        raise ValueError(f"--seconds: {error}") from None
    if not MIN_SECONDS <= seconds <= MOST_SECONDS:
        raise ValueError(
            f"--seconds: a run takes {MIN_SECONDS:g} to {MOST_SECONDS} s, not {seconds:g}"
        )
    return seconds


def _hold(options: argparse.Namespace) -> float:
    try:
        hold_s = parse_time(options.hold) / 1e9
    except ValueError as error:
        raise ValueError(f"--hold: {error}") from None
    if not LEAST_HOLD_S <= hold_s <= MOST_HOLD_S:
        raise ValueError(
            f"--hold: in the lab T is {LEAST_HOLD_S:g} to {MOST_HOLD_S:g} s, not {hold_s:g}"
        )
    return hold_s


def _run(options: argparse.Namespace, hold_s: float) -> int:
    from darkflow.commands.lab_summary import show
    from darkflow.lab.answering import Place
    from darkflow.lab.show import run_show

    _say(f"A small internet, Darkflow in it by {options.mode}; it takes about half a minute.\n")
    place = Place(Path(options.folder))
    shown = run_show(options.mode, hold_s, place, lambda line: _say(f"  {line}"))
    for failure in shown.failures:
        complain(failure)
    show(shown, sys.stdout, sys.stdout.isatty())
    return 1 if shown.failures else 0


def _up(options: argparse.Namespace, hold_s: float) -> int:
    from darkflow.lab.standing import up

    state = up(options.mode, hold_s, Path(options.folder))
    program, control = _program(), state.place.control
    _say(f"The lab is up, Darkflow in it by {state.mode}, T = {hold_s:g} s.")
    for line in (
        f"{program} lab attack masscan",
        f"{program} lab shell outside -- curl http://203.0.113.200/",
        f"{program} lab shell honeypot -- ss -tn",
        f"{program} status --control {control}",
        f"{program} flows --control {control}",
        f"{program} lab down",
    ):
        _say(f"  sudo {line}")
    return 0


def _down(options: argparse.Namespace, hold_s: float) -> int:
    del options, hold_s
    from darkflow.lab.standing import down

    _say("The lab is gone." if down() else "There is no lab.")
    return 0


def _shell(options: argparse.Namespace, hold_s: float) -> int:
    del hold_s
    from darkflow.lab.standing import command_in, needed

    state = needed()
    where, command = place_and_command(options.words, sys.argv)
    argv = command_in(state, where, command or ["env", f"PS1=lab {where}# ", "sh"])
    sys.stdout.flush()
    os.execvp(argv[0], argv)


def place_and_command(words: list[str], argv: list[str]) -> tuple[str, list[str]]:
    """The place that is named, or outside, and the command: what stands behind -- or the place."""
    if "--" not in argv:
        return (words[0], words[1:]) if words else ("outside", [])
    command = argv[argv.index("--") + 1 :]
    named = words[: len(words) - len(command)]
    return (named[0] if named else "outside"), [*named[1:], *command]


def _attack(options: argparse.Namespace, hold_s: float) -> int:
    del hold_s
    from darkflow.lab.standing import needed

    return _send(needed(), options.words or ["all"])


def _send(state: State, tools: list[str]) -> int:
    from dataclasses import replace

    from darkflow.lab.attack import Asked, by_tool
    from darkflow.lab.programs import Programs
    from darkflow.lab.run import carry_out, tool_run
    from darkflow.lab.traffic import write_files

    with tempfile.TemporaryDirectory(prefix="darkflow-lab-") as name:
        asked = Asked(state.mode, state.hold_s, 60.0, Path(name), sys.executable)
        known = by_tool(asked)
        unknown = set(tools) - {*known, "all"}
        if unknown:
            raise ValueError(f"{min(unknown)!r} is none of {', '.join([*known, 'all'])}")
        chosen = list(known) if "all" in tools else tools
        steps = [replace(step, at_s=0.0) for tool in chosen for step in known[tool]]
        write_files(Path(name))
        failed = 0
        with Programs(Path(name)) as programs:
            for step, program in carry_out(steps, 60.0, programs, state.names, _say):
                run = tool_run(step, program)
                failed += run.failure is not None
                _say(f"\n{step.tool} from {step.source} to {' '.join(step.targets)}:")
                _say(run.failure or run.output.strip() or program.errors().strip())
    _say(f"\nNext: sudo {_program()} flows --control {state.place.control}")
    return 1 if failed else 0


def _capture(
    options: argparse.Namespace, seconds: float, analyze: Callable[[list[str]], int]
) -> int:
    reason = can_run()
    if reason is not None:
        return _recorded(options.recorded, reason, analyze)
    with tempfile.TemporaryDirectory(prefix="darkflow-") as folder:
        capture = Path(options.keep or f"{folder}/lab.pcap")
        try:
            outcome = run_lab(capture, seconds, lambda line: _say(f"  {line}"))
        except (OSError, RuntimeError) as error:
            complain(f"the lab could not run: {error}")
            return EXIT_USAGE
        _tell(outcome)
        status = analyze(_arguments(str(capture)))
    if options.keep:
        _say_next(options.keep)
    elif options.recorded:
        _say(f"\nSuch a run was recorded: {options.recorded}")
        _say_next(options.recorded)
    return status or (1 if outcome.failures else 0)


def _program() -> str:
    return os.path.relpath(sys.argv[0])


def _say_next(capture: str) -> None:
    """What to type next, as it can be typed here."""
    _say(f"\nNext: {_program()} analyze {capture} --events dark.jsonl")


def _arguments(capture: str) -> list[str]:
    return ["analyze", capture, "--networks", ",".join(WATCHED_NETWORKS)]


def _tell(outcome: LabResult) -> None:
    for failure in outcome.failures:
        complain(failure)
    _say("\nWhat passed the gateway, as `darkflow analyze` sees it:")


def _recorded(capture: str | None, reason: str, analyze: Callable[[list[str]], int]) -> int:
    """Without root: a run that was recorded."""
    if capture is None:
        complain(f"{reason}; with --recorded FILE a recorded run is analyzed instead")
        return EXIT_USAGE
    _say(f"Not live: {reason}.")
    _say(
        "As root this would build a small internet of network namespaces, let masscan, zmap, nmap,"
    )
    _say("curl, ssh and hping3 loose in it, and have a honeypot answer for every address at which")
    _say(f"nobody is. Here is what the scanners sent, as it was recorded: {capture}")
    status = analyze(_arguments(capture))
    _say_next(capture)
    return status
