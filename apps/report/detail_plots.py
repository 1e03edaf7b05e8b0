"""The PNG files of runs with held-out accuracy, groups or words: several panels each, over the number of updates.  A
panel whose columns are not there is left out, and so is a figure without panels."""
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FuncFormatter
from run import LAST, residual_edges
from style import LINES, MODEL, plt, save, smooth, thousands, time_unit
from summary import LEVELS

FEW = 30  # points that a curve can mark one by one


def panels_of(run, title, plots, path):
    """One figure of the panels that have something to show: each draws on its axes and is True, or draws nothing."""
    if not run.detailed():
        return None
    figure, axes = plt.subplots(1, len(plots), squeeze=False)  # to draw on; laid out anew below
    shown = [plot for plot, axis in zip(plots, axes[0]) if plot(run, axis)]
    plt.close(figure)
    if not shown:
        return None
    across = len(shown) if len(shown) < 4 else 2 if len(shown) == 4 else 3
    down = -(-len(shown) // across)
    figure, axes = plt.subplots(down, across, figsize=(max(4.2 * across, 6), 3.4 * down), squeeze=False,
                                constrained_layout=True)
    for plot, axis in zip(shown, axes.flat):
        axis.xaxis.set_major_formatter(FuncFormatter(thousands))
        axis.set_xlabel("updates")
        plot(run, axis)
    for axis in axes.flat[len(shown):]:
        axis.set_visible(False)
    figure.suptitle(f"{run.name}: {title}", fontsize=11)
    return save(figure, path)


def curves(run, axis, title, ylabel, lines, least=None, scale=1):
    """Columns of /training (and, as points, of /evaluation) in one panel; lines: (table, column, label)."""
    drawn = 0
    for (table, column, label), color in zip(lines, LINES):
        x, y = run.curve(table, column, over="step")
        if not len(x):
            continue
        drawn += 1
        points = table is run.evaluation
        if len(x) >= 40 and not points:
            axis.plot(x, scale * y, color=color, linewidth=0.7, alpha=0.35)
            y = smooth(y)
        axis.plot(x, scale * y, color=color, linewidth=1.6, marker="." if points and len(x) <= FEW else None,
                  label=label)
    axis.set(title=title, ylabel=ylabel)
    if least is not None and axis.get_ylim()[1] > least:
        axis.set_ylim(bottom=least)
    if drawn > 1:
        axis.legend(fontsize=8)
    return drawn > 0


# --- learning.png ---

def accuracy(run, axis, column=0, unit=1):
    """Against updates, or against time; bars, or a band where they would touch: one standard error."""
    drawn = 0
    for name, color in zip(run.accuracies(), LINES):
        rows = np.array(run.evaluated(name))
        rows = rows[np.isfinite(rows[:, column])]
        if not len(rows):
            continue
        drawn += 1
        x, y, error = rows[:, column] / unit, 100 * rows[:, 2], np.nan_to_num(100 * rows[:, 3])
        few, label = len(rows) <= FEW, name.removesuffix("_accuracy")
        axis.errorbar(x, y, yerr=error if few else None, color=color, linewidth=1.6, marker="." if few else None,
                      capsize=2, elinewidth=1, label=label)
        if not few:
            axis.fill_between(x, y - error, y + error, color=color, alpha=0.2, linewidth=0)
    for level in LEVELS:
        axis.axhline(100 * level, color="#c3c9d0", linewidth=1, linestyle=":")
    axis.set(title="held-out accuracy", ylabel="correct (%)", ylim=(0, 103))
    if drawn > 1:
        axis.legend(fontsize=8)
    return drawn > 0


def accuracy_in_time(run, axis):
    ends = [row[1] for name in run.accuracies() for row in run.evaluated(name)[-1:] if np.isfinite(row[1])]
    unit, name = time_unit(max(ends, default=0))
    axis.set_xlabel(f"wall-clock time ({name})")
    return accuracy(run, axis, column=1, unit=unit)


def reward_parts(run, axis):
    lines = [(run.training, f"sampled_{part}", part) for part in run.reward_parts()]
    return curves(run, axis, "reward of what was sampled, by part", "mean per trajectory", lines)


def reward(run, axis):
    lines = [(run.training, "sampled_log_reward", "sampled"), (run.training, "log_reward", "trained on")]
    return curves(run, axis, "log R", "mean log R (nats)", lines)


def learning(run, folder):
    return panels_of(run, "what is learned", (accuracy, accuracy_in_time, reward_parts, reward),
                     folder / "learning.png")


# --- divergence.png ---

def log_ratio(run, axis):
    return curves(run, axis, "log p \u2212 log p_ref (KL, on fresh samples)", "nats per trajectory",
                  [(run.training, "log_ratio", None)])


def spread(run, axis):
    return curves(run, axis, "spread of log Z within a group", "rms (nats)", [(run.training, "spread", None)], least=0)


def temperature(run, axis):
    if run.varies("temperature"):
        axis.plot(*run.curve(run.training, "temperature", over="step"), color=MODEL, linewidth=1.6)
    axis.set(title="temperature of the reward", ylabel="divides log R")
    axis.set_ylim(bottom=0)
    return run.varies("temperature")


def bin_ends(count):
    """Ticks at the inner ends of the bins."""
    edges = residual_edges(count)
    return {"ticks": np.arange(1, count), "labels": [f"{edge:g}".replace("-", "\u2212") for edge in edges],
            "fontsize": 8}


def residuals_now(run, axis):
    counts = run.training.get("residual_histogram")
    if counts is None or not np.nansum(counts):
        return False
    counts = np.nansum(counts[-max(LAST, len(counts) // 10):], axis=0)
    axis.bar(np.arange(len(counts)) + 0.5, 100 * counts / max(counts.sum(), 1), color=MODEL, width=0.9)
    axis.set_xticks(**bin_ends(len(counts)), rotation=60)
    axis.set(title="residuals, last rows", xlabel="residual (nats)", ylabel="share (%)", xlim=(0, len(counts)))
    axis.grid(axis="x", visible=False)
    return True


def residuals_in_time(run, axis):
    counts, step = run.training.get("residual_histogram"), run.training.get("step")
    if counts is None or not np.nansum(counts):
        return False
    every = -(-len(counts) // 150)  # rows in one stripe
    begins = np.arange(0, len(counts), every)
    stripes = np.add.reduceat(np.nan_to_num(counts), begins)
    shares = 100 * stripes / np.maximum(stripes.sum(axis=1, keepdims=True), 1)
    ends = step[np.minimum(begins + every, len(step)) - 1]
    image = axis.pcolormesh(np.insert(ends, 0, min(0, ends[0])), np.arange(counts.shape[1] + 1), shares.T,
                            cmap="viridis", norm=PowerNorm(0.5, vmin=0), rasterized=True)
    axis.set_yticks(**bin_ends(counts.shape[1]))
    axis.set(title="residuals over the run", ylabel="residual (nats)")
    axis.grid(False)
    axis.figure.colorbar(image, ax=axis, label="share (%)")
    return True


def divergence(run, folder):
    return panels_of(run, "how far the policy is from the reference, and its groups from agreement",
                     (log_ratio, spread, residuals_in_time, residuals_now, temperature), folder / "divergence.png")


# --- trajectories.png ---

def length(run, axis):
    lines = [(run.training, "sampled_length", "sampled"), (run.training, "length", "trained on"),
             (run.evaluation, "mean_length", "evaluated")]
    return curves(run, axis, "length", "transitions (tokens, of text)", lines)


def truncated(run, axis):
    lines = [(run.training, "sampled_truncated", "sampled"), (run.training, "truncated", "trained on"),
             (run.evaluation, "truncated", "evaluated")]
    return curves(run, axis, "cut off", "share (%)", lines, least=0, scale=100)


def entropy(run, axis):
    return curves(run, axis, "entropy of what was sampled", "nats per transition",
                  [(run.training, "sampled_entropy", None)], least=0)


def unique(run, axis):
    shown = curves(run, axis, "distinct trajectories within a group", "share (%)", [(run.training, "unique", None)],
                   scale=100)
    axis.set_ylim(0, 103)
    return shown


def speed(run, axis):
    lines = [(run.training, "searcher_transitions", "sampled"), (run.training, "trainer_transitions", "trained on")]
    return curves(run, axis, "speed", "transitions/s (tokens/s, of text)", lines, least=0)


def idle(run, axis):
    lines = [(run.training, "searcher_idle", "searchers"), (run.training, "trainer_idle", "trainers")]
    shown = curves(run, axis, "waiting", "share of their time (%)", lines, scale=100)
    axis.set_ylim(0, 103)
    return shown


def trajectories(run, folder):
    return panels_of(run, "what was sampled, and how fast", (length, truncated, entropy, unique, speed, idle),
                     folder / "trajectories.png")


FIGURES = (learning, divergence, trajectories)
