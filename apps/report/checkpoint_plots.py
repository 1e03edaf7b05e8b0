"""The picture of one checkpoint: its store by staleness and reward, its parameters by norm."""
import numpy as np
from run import bin_labels
from style import LINES, MODEL, TARGET, plt, save

MOST_TENSORS = 24
FEW = 12  # different rewards that get a bar each


def staleness(checkpoint, axis):
    counts = checkpoint.staleness_counts()
    axis.bar(range(len(counts)), counts, color=MODEL, width=0.85)
    axis.set_xticks(range(len(counts)), bin_labels(16)[:len(counts)], rotation=45 if len(counts) > 6 else 0, fontsize=8)
    axis.set(title="records by staleness", xlabel="staleness (updates)", ylabel="records")
    axis.grid(axis="x", visible=False)


def reward(checkpoint, axis):
    values = checkpoint.index["log_reward"]
    values = values[np.isfinite(values)]
    different, counts = np.unique(values, return_counts=True)
    if 0 < len(different) <= FEW:
        axis.bar(different, counts, color=MODEL, width=np.diff(different).min(initial=1) * 0.8)
    else:
        axis.hist(values, bins=40, color=MODEL, rwidth=0.92)
    axis.set(title="records by reward", xlabel="log R (nats)", ylabel="records")
    axis.grid(axis="x", visible=False)


def versions(checkpoint, axis):
    found, step = checkpoint.index["version"], checkpoint.about["step"]
    width = -(-(found.max() - found.min() + 1) // 40)  # whole updates, so that all bins hold as many versions
    axis.hist(found, bins=np.arange(found.min(), found.max() + width + 1, width), color=MODEL, rwidth=0.92)
    axis.axvline(step, color=TARGET, linestyle="--", label=f"the weights that are here: {step:,}")
    axis.set(title="records by the weights that sampled them", xlabel="version (updates)", ylabel="records")
    axis.set_ylim(top=1.2 * axis.get_ylim()[1])
    axis.legend(loc="upper left")
    axis.grid(axis="x", visible=False)


def norms(checkpoint, axis):
    """Root mean square of every tensor's weights; of large models those that differ most from the typical."""
    rows = [(name, group, values["weights"] / max(size, 1) ** 0.5) for tensors in checkpoint.sets.values()
            for name, group, size, values in tensors if "weights" in values]
    typical = np.median([value for _, _, value in rows]) if rows else 0
    shown = set(sorted(range(len(rows)), key=lambda i: -abs(rows[i][2] - typical))[:MOST_TENSORS])
    rows = [row for i, row in enumerate(rows) if i in shown][::-1]
    colors = {group: LINES[i % len(LINES)] for i, group in enumerate(dict.fromkeys(group for _, group, _ in rows))}
    for group, color in colors.items():
        axis.plot(*zip(*[(row[2], i) for i, row in enumerate(rows) if row[1] == group]), "o", color=color, label=group)
    axis.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=8 if len(rows) < 16 else 6)
    axis.set(title="root mean square of the weights", xlabel="of each tensor",
             xscale="log" if all(value > 0 for _, _, value in rows) else "linear")
    axis.legend()


def of_one(checkpoint, folder):
    """checkpoint-<step>.png"""
    records = len(checkpoint.record_bytes) > 0
    panels = [staleness, versions, reward, norms] if records else [norms]
    across = min(2, len(panels))
    figure, axes = plt.subplots(-(-len(panels) // across), across, figsize=(5.6 * across, 3.6 * len(panels) / across),
                                squeeze=False, constrained_layout=True)
    for panel, axis in zip(panels, axes.flat):
        panel(checkpoint, axis)
    figure.suptitle(f"{checkpoint.name}: {len(checkpoint.record_bytes):,} records at step {checkpoint.about['step']:,}",
                    fontsize=11)
    return [save(figure, folder / f"{checkpoint.path.stem}.png")]
