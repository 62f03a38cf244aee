"""Plots in one calm style: a description in, SVG for a page, SVG and PNG for a folder out.

Colours are roles. A page replaces them by CSS variables, so that they follow its light or dark
scheme; files have the light ones. matplotlib is imported when the first plot is drawn.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What each role looks like in files and in a light page; page.css has the same and the dark ones.
COLOURS = {
    "ink": "#1f2a37",
    "muted": "#64707d",
    "line": "#d9dee4",
    "first": "#1f5fa8",
    "second": "#b5541c",
    "paper": "#6d5a9c",
}
PLAIN, WIDE, NARROW = (7.6, 3.5), (7.6, 3.3), (3.9, 3.1)
PNG_DPI = 200
TITLE_INCHES, PAD = 0.32, 4.0
# No curve needs more points than a screen has columns.
MOST_POINTS = 600
SERIES_KINDS = ("line", "steps", "bars", "stems", "points")


@dataclass(frozen=True)
class Series:
    """Values of one kind under one name: `kind` of SERIES_KINDS, `role` of COLOURS."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    kind: str = "line"
    role: str = "first"


@dataclass(frozen=True)
class Mark:
    """A dashed line at an x, and what is written beside it."""

    x: float
    label: str
    role: str = "paper"


@dataclass(frozen=True)
class Plot:
    """What a plot shows.

    name: of its files and of what it is called within a page: letters and digits. x_scale, y_scale:
    `linear`, `log`, `time` (ns since 1970, UTC; x only), `share` (0 to 1; y only), `duration` (ns,
    logarithmic; x only). bars lie, with `names` at their left, if the plot has names.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    x_scale: str = "linear"
    y_scale: str = "linear"
    marks: Sequence[Mark] = ()
    names: Sequence[str] = field(default=())


def thinned(
    x: Sequence[float], y: Sequence[float], most: int = MOST_POINTS
) -> tuple[list[float], list[float]]:
    """At most so many of the points; of each part of the curve its lowest and highest stay."""
    if len(x) <= most:
        return list(x), list(y)
    parts = max(most // 2 - 1, 1)
    kept = {0, len(x) - 1}
    for part in range(parts):
        inside = range(len(x) * part // parts, len(x) * (part + 1) // parts)
        kept |= {min(inside, key=y.__getitem__), max(inside, key=y.__getitem__)}
    order = sorted(kept)
    return [x[at] for at in order], [y[at] for at in order]


def page_svg(plot: Plot, narrow: bool = False) -> str:
    """As it stands in a page, colours as CSS variables; for a wide screen or a phone."""
    text = _svg(plot, NARROW if narrow else WIDE, titled=False, salt=f"{plot.name}{narrow:d}")
    text = text[text.index("<svg") :]
    # The page gives it its width, the font and what it is called.
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    # Nothing refers to groups, and in a page an id is there once.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = text.replace("<svg ", '<svg aria-hidden="true" ', 1)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    for role, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{role})")
    return re.sub(r">\s+<", "><", text).strip()


def file_svg(plot: Plot) -> str:
    """As a file of its own, with its title."""
    return _svg(plot, PLAIN, titled=True, salt=plot.name)


def file_png(plot: Plot) -> bytes:
    """The same as pixels."""
    with _style(plot.name):
        figure = _drawn(plot, PLAIN, titled=True)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return out.getvalue()


def write_files(plot: Plot, folder: Path) -> list[Path]:
    """NAME.svg and NAME.png in a folder."""
    svg, png = folder / f"{plot.name}.svg", folder / f"{plot.name}.png"
    svg.write_text(file_svg(plot), encoding="utf-8")
    png.write_bytes(file_png(plot))
    return [svg, png]


def _svg(plot: Plot, size: tuple[float, float], titled: bool, salt: str) -> str:
    with _style(salt):
        figure = _drawn(plot, size, titled)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    return out.getvalue()


@contextmanager
def _style(salt: str) -> Iterator[None]:
    """One look for all; texts stay texts and are no formulas; ids differ by the salt."""
    # Without a home it keeps its list of fonts in a folder of its own, which is no news.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl

    ink, muted, line = COLOURS["ink"], COLOURS["muted"], COLOURS["line"]
    with mpl.rc_context({
        "svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False,
        "font.family": "DejaVu Sans", "font.size": 9,
        "text.color": ink, "axes.labelcolor": muted,
        "xtick.color": muted, "ytick.color": muted, "axes.edgecolor": line,
        "axes.grid": True, "grid.color": line, "grid.linewidth": 0.6, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
        "xtick.major.size": 3, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
        "legend.frameon": False, "legend.fontsize": 8.5, "lines.linewidth": 1.7,
        "path.simplify": True,
    }):  # fmt: skip
        yield


def _drawn(plot: Plot, size: tuple[float, float], titled: bool) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    figure.patch.set_alpha(0.0 if not titled else 1.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    if plot.names:
        _lying_bars(axes, plot)
    else:
        for series in plot.series:
            _add(axes, series)
        _scale(axes, plot, narrow=size == NARROW)
    _add_marks(axes, plot)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    if len(plot.series) > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0, borderpad=0.2,
            ncols=1 if size == NARROW else 3,
        )  # fmt: skip
    above = 0.0
    if titled:
        figure.text(0.012, 0.98, plot.title, va="top", fontsize=10.5, fontweight="bold")
        above = TITLE_INCHES * figure.dpi
    _fit(figure, axes, above)
    return figure


def _fit(figure: Figure, axes: Axes, above: float) -> None:
    """Give the axes all the room that their texts leave; matplotlib's own layout draws thrice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    around = axes.get_tightbbox(canvas.get_renderer())  # type: ignore[no-untyped-call]
    assert around is not None
    inside, whole = axes.bbox, figure.bbox
    figure.subplots_adjust(
        (inside.x0 - around.x0 + PAD) / whole.width,
        (inside.y0 - around.y0 + PAD) / whole.height,
        1 - (around.x1 - inside.x1 + PAD) / whole.width,
        1 - (around.y1 - inside.y1 + PAD + above) / whole.height,
    )


def _add(axes: Axes, series: Series) -> None:
    colour, x, y = COLOURS[series.role], series.x, series.y
    if series.kind in ("line", "steps"):
        x, y = thinned(x, y)
        style = "steps-post" if series.kind == "steps" else "default"
        axes.plot(x, y, color=colour, label=series.label, drawstyle=style)
    elif series.kind == "points":
        axes.plot(
            x, y, "D", color=colour, label=series.label, markersize=5, markerfacecolor="none",
            markeredgewidth=1.5, zorder=5,
        )  # fmt: skip
    elif series.kind == "stems":
        axes.vlines(x, 0, y, color=colour, label=series.label, linewidth=1.6)
    else:
        axes.bar(x, y, color=colour, label=series.label, width=0.8)


def _lying_bars(axes: Axes, plot: Plot) -> None:
    """One bar for each name and series, from the top down."""
    rows = range(len(plot.names))
    thick = 0.76 / len(plot.series)
    for number, series in enumerate(plot.series):
        where = [row + (number - (len(plot.series) - 1) / 2) * thick for row in rows]
        axes.barh(where, series.y, thick * 0.9, color=COLOURS[series.role], label=series.label)
    axes.set_yticks(list(rows), list(plot.names))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if plot.x_scale == "log":
        axes.set_xscale("log")
        axes.set_xlim(left=0.7)
    _count_ticks(axes, "x", plot.x_scale)


def _scale(axes: Axes, plot: Plot, narrow: bool) -> None:
    if plot.x_scale == "time":
        _time_ticks(axes, narrow)
    elif plot.x_scale == "duration":
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: duration(value))
        axes.xaxis.minorticks_off()
    elif plot.x_scale == "log":
        axes.set_xscale("log")
        _count_ticks(axes, "x", "log")
    if plot.y_scale == "share":
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    else:
        if plot.y_scale == "log":
            axes.set_yscale("log")
            top = axes.get_ylim()[1] * (4 if plot.marks else 1)
            axes.set_ylim(0.7, max(top, 1.5))
        else:
            axes.set_ylim(bottom=0)
        _count_ticks(axes, "y", plot.y_scale)


def _count_ticks(axes: Axes, which: str, scale: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: short(value))
    from matplotlib.ticker import LogLocator, MaxNLocator

    if scale == "log":
        low, high = axis.get_view_interval()
        subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=9))
        axis.minorticks_off()
    else:
        axis.set_major_locator(MaxNLocator(5, integer=True))


def _time_ticks(axes: Axes, narrow: bool) -> None:
    """Moments of UTC, as many as there is room for, the day said where it is needed."""
    low, high = axes.get_xlim()
    step = nice_step_ns((high - low) / (3 if narrow else 6))
    ticks = list(range(int(-(-low // step) * step), int(high) + 1, int(step)))
    axes.set_xticks(ticks, [moment(tick, step, at == 0) for at, tick in enumerate(ticks)])
    axes.set_xlim(low, high)


def _add_marks(axes: Axes, plot: Plot) -> None:
    low, high = axes.get_xlim()
    for number, mark in enumerate(plot.marks):
        if not low <= mark.x <= high:
            continue
        axes.axvline(mark.x, color=COLOURS[mark.role], linewidth=1, linestyle=(0, (4, 3)))
        middle = (axes.transData.transform((mark.x, 1))[0] - axes.bbox.x0) / axes.bbox.width
        left = middle > 0.6
        # Curves of shares are at the top when they come to an end.
        y, up = (0, 6 + 11 * number) if plot.y_scale == "share" else (1, -9 - 11 * number)
        axes.annotate(
            mark.label, (mark.x, y), (-4 if left else 4, up),
            xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8,
            color=COLOURS[mark.role], ha="right" if left else "left",
        )  # fmt: skip


_TICK_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 2 * 86400, 7 * 86400, 14 * 86400, 28 * 86400,
)  # fmt: skip


def nice_step_ns(least_ns: float) -> int:
    """The shortest usual step of a clock or calendar that is not below this one."""
    for seconds in _TICK_STEPS_S:
        if seconds * 1e9 >= least_ns:
            return seconds * 1_000_000_000
    return int(-(-least_ns // 86_400e9)) * 86_400 * 1_000_000_000


def moment(t_ns: int, step_ns: int, first: bool) -> str:
    """A tick of time; the first and midnight say the day."""
    at = datetime.fromtimestamp(t_ns // 1_000_000_000, UTC)
    if step_ns >= 28 * 86_400 * 1_000_000_000:
        return at.strftime("%Y-%m-%d")
    if step_ns >= 86_400 * 1_000_000_000:
        return at.strftime("%Y-%m-%d" if first else "%m-%d")
    clock = at.strftime("%H:%M:%S" if step_ns < 60 * 1_000_000_000 else "%H:%M")
    midnight = (at.hour, at.minute, at.second) == (0, 0, 0)
    return f"{clock}\n{at:%Y-%m-%d}" if first else f"{clock}\n{at:%m-%d}" if midnight else clock


def duration(value_ns: float) -> str:
    """1 µs, 10 ms, 5 s: the unit that leaves a short number."""
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value_ns >= size * 0.999:
            return f"{value_ns / size:.3g} {unit}"
    return f"{value_ns:.0f} ns"


def short(value: float) -> str:
    """1200 as 1.2 k, 3,000,000 as 3 M."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
