"""Several runs on one page, compare.png: a table above, curves below."""
import os
import re

import compare
import numpy as np
from run import labels_of
from style import LINES, FuncFormatter, plt, save, smooth, thousands, time_unit
from summary import LEVELS


def page(runs, folder):
    draw = accuracy if any(run.accuracies() for run in runs) else loss
    rows, more = compare.rows_of(runs)
    widths = [max(map(len, column)) + 2 for column in zip(list(rows[0]), *(row.values() for row in rows))]
    width, height = max(11, 0.078 * sum(widths)), 0.24 * (len(rows) + 2 + bool(more))
    figure = plt.figure(figsize=(width, height + 4.6), constrained_layout=True)
    above, below = figure.subfigures(2, 1, height_ratios=[height, 4.6])
    colors = draw(runs, below.subplots(1, 2, sharey=draw is accuracy))
    write_table(above.subplots(), rows, widths, colors, more)
    return save(figure, folder / "compare.png")


def write_table(axes, rows, widths, colors, more):
    """The rows as text, each run's name in the colour of its curve."""
    axes.axis("off")
    lines = len(rows) + 1 + bool(more)
    axes.set(xlim=(0, sum(widths)), ylim=(lines, 0))
    for number, row in enumerate([dict.fromkeys(rows[0]), *rows]):
        place = 0
        for i, ((head, cell), width) in enumerate(zip(row.items(), widths)):
            style = {"color": colors[number - 1], "weight": "bold"} if i == 0 and number > 0 else {}
            style = {"color": "#4b5763"} if number == 0 else style
            axes.text(place if i == 0 else place + width, number + 0.5, head if number == 0 else cell, va="center",
                      ha="left" if i == 0 else "right", fontsize=8, parse_math=False, **style)
            place += width
    axes.axhline(1, color="#c3c9d0", linewidth=1)
    axes.text(0, lines - 0.4, more, fontsize=8, color="#4b5763", va="center")


def style_of(i):
    return {"color": LINES[i % len(LINES)], "linestyle": ("-", "--", ":")[i // len(LINES) % 3]}


def loss(runs, panels):
    """Loss, and beside it the distance (or log Z, where no run knows its distance).  Returns a colour per run."""
    left, right = panels
    known = any(len(run.curve(run.evaluation, "tv")[0]) for run in runs)
    for i, (run, label) in enumerate(zip(runs, labels_of(runs))):
        x, y = run.curve(run.training, "loss")
        left.plot(x, smooth(y), linewidth=1.6, label=label, **style_of(i))
        x, y = run.curve(run.evaluation, "tv") if known else run.curve(run.log_z_source(), "log_z")
        right.plot(x, y, linewidth=1.6, label=label if len(x) else f"{label}: not known", **style_of(i))
    left.set(title="loss (running median)", ylabel="loss per trajectory (nats\u00b2)", yscale="log")
    if known:
        right.set(title="exact distance to the target", ylabel="total variation", yscale="log")
    else:
        right.set(title="estimate of log Z", ylabel="log Z (nats)")
    for axes in (left, right):
        axes.set_xlabel("trajectories trained")
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
        axes.legend(fontsize=9 if len(runs) < 9 else 6, ncols=1 if len(runs) < 13 else 2)
    return [style_of(i)["color"] for i in range(len(runs))]


def groups_of(runs):
    """[(name, runs)]: what differs by its seed alone is one group, named by what its runs' names begin with."""
    found = {}
    for run, label in zip(runs, labels_of(runs)):
        found.setdefault(run.group(), []).append((label, run))
    groups = []
    for members in found.values():
        labels = [label for label, _ in members]
        common = re.sub(r"[-_. ]+(seed|s)?[-_. =]*\d*$", "", os.path.commonprefix(labels)) or labels[0]
        groups.append((labels[0] if len(labels) == 1 else f"{common} ({len(labels)} runs)",
                       [run for _, run in members]))
    names = [name for name, _ in groups]
    return [(name if names.count(name) == 1 else f"{labels_of(members)[0]} and {len(members) - 1} more", members)
            for name, members in groups]


def median_line(curves):
    """(x, median of the curves), each straight between its points, where all of them have values."""
    x = np.unique(np.concatenate([curve[0] for curve in curves]))
    x = x[(x >= max(curve[0][0] for curve in curves)) & (x <= min(curve[0][-1] for curve in curves))]
    return x, np.median([np.interp(x, *curve) for curve in curves], axis=0)


def accuracy(runs, panels):
    """Sampled accuracy on held-out questions: a line per run, a thick one per group of runs (their median).  Returns a
    colour per run."""
    ends = [row[1] for run in runs for row in run.evaluated("sampled_accuracy")[-1:] if np.isfinite(row[1])]
    unit, unit_name = time_unit(max(ends, default=0))
    groups = groups_of(runs)
    for i, (label, members) in enumerate(groups):
        for axes, column, scale in ((panels[0], 0, 1), (panels[1], 1, unit)):
            rows = [np.array(run.evaluated("sampled_accuracy")) for run in members]
            rows = [row[np.isfinite(row[:, column])] for row in rows if len(row)]
            curves = [(row[:, column] / scale, 100 * row[:, 2]) for row in rows if len(row)]
            if len(curves) > 1:
                for x, y in curves:
                    axes.plot(x, y, linewidth=0.9, alpha=0.45, **style_of(i))
            x, y = median_line(curves) if curves else ([], [])
            axes.plot(x, y, linewidth=2, marker="." if len(x) <= 30 else None,
                      label=label if curves else f"{label}: not known", **style_of(i))
    for axes, xlabel in zip(panels, ("updates", f"wall-clock time ({unit_name})")):
        for level in LEVELS:
            axes.axhline(100 * level, color="#c3c9d0", linewidth=1, linestyle=":")
        axes.set(xlabel=xlabel, ylim=(0, 100))
    panels[0].xaxis.set_major_formatter(FuncFormatter(thousands))
    panels[0].set(ylabel="held-out accuracy, sampled (%)", title="against updates")
    several = any(len(members) > 1 for _, members in groups)
    panels[1].set_title("against time" + ("; thick: median of runs that differ by their seed alone" if several else ""))
    panels[0].legend(loc="best", fontsize=9 if len(runs) < 9 else 7)
    colors = {id(run): style_of(i)["color"] for i, (_, members) in enumerate(groups) for run in members}
    return [colors[id(run)] for run in runs]
