"""What all pictures have in common."""
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is chosen)
from matplotlib.ticker import FuncFormatter  # noqa: E402

MODEL, TARGET, PALE = "#1f6fb4", "#c4501b", "#9aa5b1"
LINES = (MODEL, TARGET, "#2d8a5f", "#8a5aa8", "#b88a00", "#4b5763", "#d06a9c", "#3aa6b9")  # told apart by most eyes
plt.rcParams.update({"figure.dpi": 120, "font.size": 10, "axes.grid": True, "grid.color": "#e3e6ea",
                     "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
                     "legend.frameon": False, "axes.titlesize": 11, "axes.titlelocation": "left"})


def thousands(value, _):
    return f"{value / 1e6:g} M" if abs(value) >= 1e6 else f"{value / 1e3:g} k" if abs(value) >= 1e3 else f"{value:g}"


def canvas(title, ylabel, xlabel="trajectories trained"):
    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    return figure, axes


def save(figure, path):
    figure.savefig(path)
    plt.close(figure)
    return path


def smooth(values):
    """Running median over a twentieth of the curve."""
    half = len(values) // 40
    return np.array([np.median(values[max(0, i - half):i + half + 1]) for i in range(len(values))])


def time_unit(seconds):
    """(seconds per unit, its name) for an axis that ends at `seconds`."""
    return (1, "s") if seconds < 600 else (60, "min") if seconds < 4 * 3600 else (3600, "h")
