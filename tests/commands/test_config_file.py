"""The TOML file: what it may say, what is said of it, who comes before whom."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from darkflow.cli import parse_settings, read_options
from darkflow.commands.config_file import Keys, file_values
from darkflow.commands.parser import build_parser, commands_of
from darkflow.units import SECOND_NS
from running import darkflow


def said(tmp_path: Path, text: str, command: str = "sensor") -> dict[str, Any]:
    """What a file of this text says to a command."""
    path = tmp_path / "darkflow.toml"
    path.write_text(text)
    return file_values(str(path), command, Keys(commands_of(build_parser())))


def taken(tmp_path: Path, text: str, *words: str) -> tuple[Any, dict[str, Any]]:
    """Options and settings of `darkflow sensor` with this file and these words."""
    path = tmp_path / "darkflow.toml"
    path.write_text(text)
    options = read_options(["sensor", "--config", str(path), *words])
    return options, parse_settings(options)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("hold = 5", {"hold": "5"}),
        ("hold = 2.5", {"hold": "2.5"}),
        ("hold = 0.1", {"hold": "0.1"}),
        ("hold = 1e-3", {"hold": "0.001"}),
        ('hold = "50ms"', {"hold": "50ms"}),
        ("queue-size = 1_000", {"queue_size": "1000"}),
        ("queue_size = 1000", {"queue_size": "1000"}),
        ('ring-size = "64MiB"', {"ring_size": "64MiB"}),
        (
            'networks = ["192.0.2.0/24", "2001:db8::/32"]',
            {"networks": "192.0.2.0/24,2001:db8::/32"},
        ),
        ('networks = "192.0.2.0/24,2001:db8::/32"', {"networks": "192.0.2.0/24,2001:db8::/32"}),
        ("networks = []", {"networks": None}),
        ("decap = true", {"decap": "all"}),
        ("decap = false", {"decap": ""}),
        ('decap = ["vxlan", "gre"]', {"decap": "vxlan,gre"}),
        ('interface = ["eth1", "eth2"]', {"interface": ["eth1", "eth2"]}),
        ('interface = "eth1"', {"interface": ["eth1"]}),
        ('outgoing = "no"', {"outgoing": "no"}),
        ("outgoing = true", {"outgoing": "yes"}),
        ('store = "/var/lib/darkflow"', {"store": "/var/lib/darkflow"}),
        ('dark-pcap = "d"\nevents_at = "end"', {"dark_pcap": "d", "events_at": "end"}),
        ("top = 5\njson = true", {}),  # analyze's
        ("stats = 7\n[sensor]\nstats = 8\n[analyze]\nhold = 1", {"stats": "8"}),
    ],
)
def test_values_may_be_written_as_is_natural(
    tmp_path: Path, text: str, values: dict[str, Any]
) -> None:
    assert said(tmp_path, text) == values


def test_one_file_serves_several_commands(tmp_path: Path) -> None:
    text = 'hold = "3s"\nstats = 9\ntop = 5\n[sensor]\nhold = "4s"\n[analyze]\njson = true\n'
    assert said(tmp_path, text, "sensor") == {"hold": "4s", "stats": "9"}
    assert said(tmp_path, text, "analyze") == {"hold": "3s", "top": "5", "json": True}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("holds = 5", 'unknown setting "holds": did you mean "hold"?'),
        ('interfaces = ["a"]', 'unknown setting "interfaces": did you mean "interface"?'),
        ("xyz = 5", 'unknown setting "xyz": --print-config prints all there are'),
        ("[sensr]\nhold = 5", 'unknown section "sensr": did you mean "sensor"?'),
        ("[query]\nhold = 5", 'unknown section "query": --print-config prints all there are'),
        ("[sensor]\nlimit = 5", 'unknown setting "limit" in [sensor]: --print-config'),
        ("[analyze]\nhold = 0", "hold: '0' is too short: it must be longer than 0"),
        ("sensor = 5", "sensor: is a section: write [sensor] before its settings"),
        ("[[sensor]]\nhold = 5", "sensor: is a section: write [sensor] before its settings"),
        ("queue-size = 1\nqueue_size = 2", '"queue-size" is there twice, with "-" and with "_"'),
        ('hold = "5x"', "hold: '5x' is not understood: write for example 5s, 50ms or 2.5 (sec"),
        ("hold = -5", "hold: '-5' is not understood"),
        ("hold = inf", "hold: 'Infinity' is not understood"),
        ("hold = 1e999999999", "hold: '1E+999999999' is not understood"),
        ("hold = true", 'hold: not a value that it can have: write for example hold = "5s"'),
        ("hold = [5]", 'hold: not a value that it can have: write for example hold = "5s"'),
        ("hold = 1979-05-27", 'hold: not a value that it can have: write for example hold = "5s"'),
        ("[hold]\nx = 5", 'hold: not a value that it can have: write for example hold = "5s"'),
        (
            "networks = [5]",
            "networks: not a value that it can have: write for example networks = [",
        ),
        ('networks = ["10.0.0.1/8"]', "networks: '10.0.0.1/8' has host bits set: did you mean"),
        ('networks = ["192.0.2.0/24", ""]', "networks: '' is no network"),
        ('decap = ["vxlam"]', "decap: unknown tunnel 'vxlam': choose from vxlan, gre"),
        ("top = 5000", "top: '5000' is more than 1000 rows"),
        ("interface = 5", 'interface: write a list of texts: interface = ["...", "..."]'),
        ("interface = [5]", 'interface: write a list of texts: interface = ["...", "..."]'),
        ('interface = [""]', 'interface: write a list of texts: interface = ["...", "..."]'),
        ('outgoing = "perhaps"', 'outgoing: "perhaps" is none of auto, yes, no'),
        ("events-at = true", 'events-at: "yes" is none of auto, verdict, end'),
        ("store = 5", 'store: write a text: store = "..."'),
        ("store = true", 'store: write a text: store = "..."'),
        ('json = "yes"', "json: write true or false"),
        ('config = "a.toml"', 'unknown setting "config": '),
        ("hold 5", "line 1, column 6: Expected '=' after a key in a key/value pair"),
        ("hold = 5\n\n  stats = ", "end of document: Invalid value"),
        ("hold = 5\nhold = 6\n", "line 2, column 9: Cannot overwrite a value"),
        (f"a = {'[' * 5000}", "nested too deeply"),
        (f"hold = {'9' * 5000}", "a number in it is too long"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ValueError) as wrong:
        said(tmp_path, text)
    assert str(wrong.value).startswith(f"{tmp_path / 'darkflow.toml'}: {line}")
    assert "\n" not in str(wrong.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"hold = 5\n\xff")
    for path, line in (
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "line 2: not UTF-8"),
        (Path("/dev/zero"), "larger than 1 MiB: is it a configuration file?"),
    ):
        done = darkflow("sensor", "--config", str(path))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"darkflow: {path}: {line}\n"


def test_the_command_line_comes_before_the_file_and_that_before_the_default(
    tmp_path: Path,
) -> None:
    text = 'hold = "3s"\nidle = "30s"\ninterface = ["a", "b"]\noutgoing = "no"\nevents = "e"\n'
    options, settings = taken(tmp_path, text)
    assert (settings["hold"], settings["idle"]) == (3 * SECOND_NS, 30 * SECOND_NS)
    assert settings["stats"] == 60 * SECOND_NS
    assert (options.interface, options.outgoing, options.events) == (["a", "b"], "no", ["e"])
    words = ("-T", "4s", "-i", "c", "--outgoing", "auto", "--events", "f")
    options, settings = taken(tmp_path, text, *words)
    assert (settings["hold"], settings["idle"]) == (4 * SECOND_NS, 30 * SECOND_NS)
    assert (options.interface, options.outgoing, options.events) == (["c"], "auto", ["f"])


def test_analyze_reads_it_too(tmp_path: Path) -> None:
    (tmp_path / "darkflow.toml").write_text('json = true\nevents = "e.jsonl"\n')
    lab = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
    done = darkflow("analyze", "--config", "darkflow.toml", str(lab), cwd=tmp_path)
    assert (done.returncode, done.stdout[0]) == (0, "{")
    assert (tmp_path / "e.jsonl").stat().st_size > 1000


def test_the_sensor_needs_an_interface_from_somewhere(tmp_path: Path) -> None:
    done = darkflow("sensor")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("darkflow: no interface to watch: give -i IF, or a file with")
    (tmp_path / "c.toml").write_text('interface = "nosuch0"\n')
    done = darkflow("sensor", "--config", "c.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "nosuch0" in done.stderr or "CAP_NET_RAW" in done.stderr


def test_the_example_can_be_used() -> None:
    path = Path(__file__).resolve().parents[2] / "contrib" / "darkflow.toml"
    found = file_values(str(path), "sensor", Keys(commands_of(build_parser())))
    assert found["interface"] == ["eth1"]
    # What stands there commented out can be brought in.
    text = path.read_text().replace("#events", "events")
    assert tomllib.loads(text).keys() >= {"events", "store"}


SERVICE = '[[honeypot.service]]\nname = "web"\nports = ["80"]\ncommand = "true"\n'


def test_services_are_tables_of_the_honeypot(tmp_path: Path) -> None:
    text = f'networks = "192.0.2.0/24"\n[honeypot]\nhold = "3s"\n{SERVICE}{SERVICE}'
    text = text.replace("web", "mail", 1).replace("80", "25", 1)
    found = said(tmp_path, text, "honeypot")
    assert [one["name"] for one in found["service"]] == ["mail", "web"]
    assert found["hold"] == "3s"
    # They are checked for every command, and are the honeypot's alone.
    assert said(tmp_path, text, "sensor") == {"networks": "192.0.2.0/24"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{SERVICE}{SERVICE}", 'service "web": there are two of this name'),
        (SERVICE.replace("ports", "prots"), 'unknown key "prots": did you mean "ports"?'),
        ("[honeypot]\nservice = 5\n", "service: write each one below a line [[honeypot.service]]"),
        (SERVICE.replace("honeypot", "sensor"), 'unknown setting "service" in [sensor]'),
    ],
)
def test_what_is_wrong_with_a_service_is_said(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    done = darkflow("honeypot", "--config", "c.toml", "--print-config", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("darkflow: c.toml: ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
