"""Several runs in one picture, compare.png."""
import os
import re

import numpy as np
from run import labels_of
from style import LINES, FuncFormatter, plt, save, smooth, thousands, time_unit
from summary import LEVELS


def of_many(runs, folder):
    return [accuracy(runs, folder) if any(run.accuracies() for run in runs) else loss(runs, folder)]


def loss(runs, folder):
    """Loss, and beside it the distance (or log Z, where no run knows its distance)."""
    known = any(len(run.curve(run.evaluation, "tv")[0]) for run in runs)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for run, label in zip(runs, labels_of(runs)):
        x, y = run.curve(run.training, "loss")
        left.plot(x, smooth(y), linewidth=1.6, label=label)
        x, y = run.curve(run.evaluation, "tv") if known else run.curve(run.log_z_source(), "log_z")
        right.plot(x, y, linewidth=1.6, label=label if len(x) else f"{label}: not known")
    left.set(title="loss (running median)", ylabel="loss per trajectory (nats\u00b2)", yscale="log")
    if known:
        right.set(title="exact distance to the target", ylabel="total variation", yscale="log")
    else:
        right.set(title="estimate of log Z", ylabel="log Z (nats)")
    for axes in (left, right):
        axes.set_xlabel("trajectories trained")
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
        axes.legend()
    return save(figure, folder / "compare.png")


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


def accuracy(runs, folder):
    """Sampled accuracy on held-out questions: a line per run, a thick one per group of runs (their median)."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, constrained_layout=True)
    ends = [row[1] for run in runs for row in run.evaluated("sampled_accuracy")[-1:] if np.isfinite(row[1])]
    unit, unit_name = time_unit(max(ends, default=0))
    for i, (label, members) in enumerate(groups_of(runs)):
        style = {"color": LINES[i % len(LINES)], "linestyle": ("-", "--", ":")[i // len(LINES) % 3]}
        for axes, column, scale in ((panels[0], 0, 1), (panels[1], 1, unit)):
            rows = [np.array(run.evaluated("sampled_accuracy")) for run in members]
            rows = [row[np.isfinite(row[:, column])] for row in rows if len(row)]
            curves = [(row[:, column] / scale, 100 * row[:, 2]) for row in rows if len(row)]
            if len(curves) > 1:
                for x, y in curves:
                    axes.plot(x, y, linewidth=0.9, alpha=0.45, **style)
            x, y = median_line(curves) if curves else ([], [])
            axes.plot(x, y, linewidth=2, marker="." if len(x) <= 30 else None,
                      label=label if curves else f"{label}: not known", **style)
    for axes, xlabel in zip(panels, ("updates", f"wall-clock time ({unit_name})")):
        for level in LEVELS:
            axes.axhline(100 * level, color="#c3c9d0", linewidth=1, linestyle=":")
        axes.set(xlabel=xlabel, ylim=(0, 100))
    panels[0].xaxis.set_major_formatter(FuncFormatter(thousands))
    panels[0].set(ylabel="held-out accuracy, sampled (%)", title="against updates")
    panels[1].set_title("against time")
    panels[0].legend(loc="best", fontsize=9 if len(runs) < 9 else 7)
    if any(len(members) > 1 for _, members in groups_of(runs)):
        figure.suptitle("thick: median of the runs that differ by their seed alone", fontsize=9)
    return save(figure, folder / "compare.png")
