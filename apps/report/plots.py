"""The PNG files of every run: one idea each, over the number of trajectories trained."""
import math

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator
from run import bin_labels, floor_of_tv
from style import MODEL, PALE, TARGET, canvas, plt, save, smooth, thousands


def loss(run, folder):
    x, y = run.curve(run.training, "loss")
    if not len(x):
        return None
    figure, axes = canvas(f"{run.name}: loss", "loss per trajectory (nats\u00b2)")
    if len(x) >= 40:
        axes.plot(x, y, color=PALE, linewidth=0.8, label="per interval")
        axes.plot(x, smooth(y), color=MODEL, linewidth=1.8, label="running median")
        axes.legend()
    else:
        axes.plot(x, y, color=MODEL, linewidth=1.6)
    if (y > 0).all():
        axes.set_yscale("log")
    return save(figure, folder / "loss.png")


def log_z(run, folder):
    x, y = run.curve(run.log_z_source(), "log_z")
    if not len(x):
        return None
    exact = run.exact_log_z()
    if math.isnan(exact):
        figure, axes = canvas(f"{run.name}: estimate of log Z", "log Z (nats)")
        axes.plot(x, y, color=MODEL, linewidth=1.8)
        return save(figure, folder / "log_z.png")
    figure, (axes, below) = plt.subplots(2, 1, figsize=(7, 5.2), sharex=True, constrained_layout=True,
                                         height_ratios=[3, 2])
    axes.plot(x, y, color=MODEL, linewidth=1.8, label=f"estimate, last {y[-1]:.4f}")
    axes.axhline(exact, color=TARGET, linestyle="--", label=f"exact {exact:.4f}")
    axes.set(title=f"{run.name}: estimate of log Z", ylabel="log Z (nats)")
    axes.margins(y=0.12)
    axes.legend()
    below.semilogy(x, np.maximum(np.abs(y - exact), 1e-12), color=MODEL, linewidth=1.4)
    below.set(ylabel="|error| (nats)", xlabel="trajectories trained")
    below.xaxis.set_major_formatter(FuncFormatter(thousands))
    return save(figure, folder / "log_z.png")


def tv(run, folder):
    x, y = run.curve(run.evaluation, "tv")
    good = (x > 0) & (y > 0)
    x, y = x[good], y[good]
    if not len(x):
        return None
    figure, axes = canvas(f"{run.name}: exact distance to the target", "total variation")
    axes.plot(x, y, color=MODEL, linewidth=1.8, marker=".", label=f"model, last {y[-1]:.4f}")
    if "target" in run.exact:
        n = np.geomspace(x.min(), x.max(), 40) if len(x) > 1 else x
        axes.plot(n, [floor_of_tv(run.exact["target"], k) for k in n], color=TARGET, linestyle="--",
                  label="as many perfect samples (expected)")
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    if axes.get_ylim()[1] / axes.get_ylim()[0] < 20:
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend()
    return save(figure, folder / "tv.png")


def heat_maps(run, target, learned, shape, folder):
    extra = tuple(range(2, len(shape)))
    maps = [values.reshape(shape).sum(axis=extra) for values in (target, learned)]
    highest = max(values.max() for values in maps)
    figure, axes = plt.subplots(1, 2, figsize=(8.8, 4.6), constrained_layout=True)
    for axis, values, name in zip(axes, maps, ("target (exact)", "learned")):
        image = axis.imshow(values.T, origin="lower", cmap="viridis", vmin=0, vmax=highest)
        axis.set(title=name, xlabel="coordinate 0", ylabel="coordinate 1")
        axis.grid(False)
        for side in axis.spines.values():
            side.set_visible(False)
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    figure.colorbar(image, ax=axes, label="probability", shrink=0.8)
    over = f", summed over {len(extra)} more coordinates" if extra else ""
    figure.suptitle(f"{run.name}: distribution of the objects{over}", fontsize=11)
    return save(figure, folder / "distribution.png")


def distribution(run, folder):
    found = run.distributions()
    if found is None:
        return None
    target, learned, shape = found
    if len(shape) >= 2:
        return heat_maps(run, target, learned, shape, folder)
    order = np.argsort(-target, kind="stable")  # objects have no place of their own: by probability
    figure, axes = canvas(f"{run.name}: distribution of the objects", "probability", "object, by target probability")
    axes.plot(learned[order], color=MODEL, linestyle="none", marker=".", markersize=3, label="learned")
    axes.plot(target[order], color=TARGET, linewidth=1.8, label="target (exact)")
    axes.legend()
    return save(figure, folder / "distribution.png")


def histograms(run, folder):
    parts = [("staleness_histogram", "staleness of drawn trajectories", "staleness (updates)"),
             ("reuse_histogram", "how often they had been drawn before", "earlier draws")]
    parts = [(run.histogram(name), title, xlabel) for name, title, xlabel in parts]
    parts = [part for part in parts if part[0] is not None]
    if not parts:
        return None
    figure, axes = plt.subplots(1, len(parts), figsize=(4.5 * len(parts), 4), constrained_layout=True, squeeze=False)
    for axis, (counts, title, xlabel) in zip(axes[0], parts):
        axis.bar(range(len(counts)), 100 * counts / counts.sum(), color=MODEL, width=0.85)
        axis.set_xticks(range(len(counts)), bin_labels(len(counts)), rotation=45 if len(counts) > 8 else 0,
                        fontsize=8)
        axis.set(title=title, xlabel=xlabel, ylabel="share of draws (%)")
        axis.grid(axis="x", visible=False)
    figure.suptitle(f"{run.name}: replay", fontsize=11)
    return save(figure, folder / "histograms.png")


FIGURES = (loss, log_z, tv, distribution, histograms)
