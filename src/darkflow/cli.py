"""The command line: reads settings, starts a command, prints. `darkflow --help` starts here."""

from __future__ import annotations

import os
import sys

from darkflow.commands.parser import EXIT_USAGE, build_parser, commands_of, fail
from darkflow.config import settings_of
from darkflow.units import TUNNEL_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

# What a command cannot do without, and how it is said; a file of --config may have named it.
NEEDED = {
    "analyze": ("files", "the following arguments are required: FILE"),
    "sensor": ("interface", "no interface to watch: give -i IF, or a file with --config"),
}


def parse_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings' values; ValueError names the option that has a bad one."""
    values: dict[str, Any] = {}
    for setting in settings_of(options.command):
        text = getattr(options, setting.name)
        try:
            values[setting.name] = None if text is None else setting.parse(text)
        except ValueError as error:
            raise ValueError(f"{'/'.join(setting.flags)}: {error}") from None
    return values


def bare_decap(argv: list[str]) -> list[str]:
    """`--decap` needs no list; what follows it is one only if it names tunnels."""
    expanded: list[str] = []
    known = (*TUNNEL_NAMES, "all")
    for at, word in enumerate(argv):
        following = argv[at + 1].split(",") if at + 1 < len(argv) else []
        if word == "--decap" and not any(name.strip() in known for name in following):
            expanded.append("--decap=all")
        else:
            expanded.append(word)
    return expanded


def read_options(argv: list[str]) -> argparse.Namespace:
    """What the command line says, and where it is silent the file of its --config.

    ValueError says what is wrong with the file.
    """
    parser = build_parser()
    options = parser.parse_args(bare_decap(argv))
    if getattr(options, "config", None):
        from darkflow.commands.config_file import Keys, file_values

        keys = Keys(commands_of(parser))
        values = file_values(options.config, options.command, keys)
        # As defaults they come behind the command line; a list would be added to, so it waits.
        scalars = {name: value for name, value in values.items() if not isinstance(value, list)}
        commands_of(parser)[options.command].set_defaults(**scalars)
        options = parser.parse_args(bare_decap(argv))
        for name in values.keys() - scalars.keys():
            if getattr(options, name) is None:
                setattr(options, name, values[name])
    return options


def read_all(argv: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Options and settings; ValueError says what is wrong with one, or with the file.

    `options.read_again` does the same once more, for a command that reads its file again.
    """
    options = read_options(argv)
    options.read_again = lambda: read_all(argv)
    return options, parse_settings(options) if hasattr(options, "networks") else {}


def main(argv: list[str]) -> int:
    """Run one command; its exit status."""
    try:
        options, settings = read_all(argv)
    except ValueError as error:
        fail(str(error))
    if options.command is None:
        build_parser().print_help()
        return EXIT_USAGE
    if options.command == "fields":
        from darkflow.commands.fields import fields_command

        return fields_command(options)
    if options.command == "lab":
        from darkflow.commands.lab import lab_command

        return lab_command(options, main)
    if options.command == "doctor":
        from darkflow.commands.doctor import doctor_command

        return doctor_command(options, settings)
    if options.command in ("query", "export"):
        return _stored(options)
    if options.command == "report":
        return _report(options, settings)
    if options.command in ("addresses", "tune"):
        return _learn(options, settings)
    if options.command in ("status", "flows", "cut", "allow"):
        return _remote(options)
    if options.print_config:
        return _print_config(options)
    name, missing = NEEDED.get(options.command, ("command", ""))
    if not getattr(options, name):
        fail(f"{missing} (see: darkflow {options.command} --help)")
    if options.store:
        _need_store_packages()
    if options.command == "honeypot":
        from darkflow.commands.honeypot import honeypot_command

        return honeypot_command(options, settings)
    if options.command == "sensor":
        from darkflow.commands.sensor import sensor_command

        return sensor_command(options, settings)
    from darkflow.commands.analyze import analyze_command

    return analyze_command(options, settings)


def _learn(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    if options.command == "addresses":
        from darkflow.commands.addresses import addresses_command

        return addresses_command(options, settings)
    from darkflow.commands.tune import tune_command

    return tune_command(options, settings)


def _remote(options: argparse.Namespace) -> int:
    from darkflow.commands.remote import remote_command

    try:
        return remote_command(options)
    except ValueError as error:
        fail(str(error))


def _print_config(options: argparse.Namespace) -> int:
    from darkflow.commands.config_text import config_text

    try:
        text = config_text(commands_of(build_parser())[options.command], options)
    except ValueError as error:
        fail(str(error))
    sys.stdout.write(text)
    return 0


def _need_store_packages() -> None:
    """They are large, so that not everybody has them."""
    from importlib.util import find_spec

    if not (find_spec("deltalake") and find_spec("polars")):
        fail("the store needs deltalake and polars: pip install 'darkflow[store]'")


def _report(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    from importlib.util import find_spec

    missing = [name for name in ("deltalake", "jinja2", "matplotlib", "polars")
               if find_spec(name) is None]  # fmt: skip
    if missing:
        fail(f"a report needs {', '.join(missing)}: pip install 'darkflow[report]'")
    from darkflow.commands.report import report_command

    return report_command(options, settings)


def _stored(options: argparse.Namespace) -> int:
    _need_store_packages()
    if options.command == "query":
        from darkflow.commands.query import query_command

        return query_command(options)
    from darkflow.commands.export import export_command

    return export_command(options)


def _open_what_is_closed() -> None:
    """Started with closed standard streams: no other file may get their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    for at, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(at, "w" if at else "r"))  # noqa: SIM115, PTH123


def entry() -> None:
    """Console entry point."""
    _open_what_is_closed()
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        # Nothing more can be written there; at exit the rest of the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 141
        if not isinstance(error, BrokenPipeError):
            # A broken pipe needs no word: who read our output has gone.
            print(f"darkflow: cannot write standard output: {error.strerror}", file=sys.stderr)
            status = 1
    except KeyboardInterrupt:
        status = 130
    if _store_still_works():
        # A thread that comes back from native code while the interpreter goes down aborts it.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _store_still_works() -> bool:
    """Whether a store has given up its threads, because its disk is slower than it may take."""
    threading = sys.modules.get("threading")
    return threading is not None and any(
        thread.name in ("darkflow store", "darkflow upkeep") for thread in threading.enumerate()
    )


if __name__ == "__main__":
    entry()
