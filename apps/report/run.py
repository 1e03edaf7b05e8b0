"""One run's metrics.h5, read whole.  Schema: docs/hdf5.md."""
import math
import os
import pathlib
import re
import time

# The file may be growing: its writer holds no lock, and neither does the reader.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
import h5py  # noqa: E402  (after the setting above, which it reads once)
import numpy as np  # noqa: E402

FORMAT_VERSION = 1
LAST = 5  # evaluations whose median stands for the end of a run
SAMPLED = ("log_reward", "length", "truncated", "entropy")  # sampled_X for any other X: a part of the reward
# Keys of a deck that change nothing but chance, names and restarts: runs that are otherwise equal are one group.
CHANCE = ("run.seed", "run.name", "run.folder", "run.restart", "run.progress")


class Problem(Exception):
    """problem (why) what to do"""


class Run:
    """Columns as arrays: training["loss"], evaluation["tv"], exact["target"]; attributes in about."""

    def __init__(self, path):
        given = pathlib.Path(path)
        self.path = given / "metrics.h5" if given.is_dir() else given
        self.folder = self.path.parent
        self.name = self.folder.resolve().name
        if not self.path.exists():
            why = "no metrics.h5 in it" if given.is_dir() else "there is no such file or folder"
            raise Problem(f"cannot report on '{path}' ({why}) give the folder of a run, such as runs/hypergrid")
        self.read()
        if not self.rows(self.training):
            raise Problem(f"nothing to report on in '{self.path}' (it holds no row yet) wait for the first interval")

    def read(self):
        """A reader may meet a flush of the writer half way: a second look finds a whole file."""
        for attempt in range(6):
            try:
                self.read_once()
                return
            except (OSError, KeyError, RuntimeError, ValueError) as error:
                reason = str(error)
                time.sleep(0.1 * attempt)
        raise Problem(f"cannot read '{self.path}' (it is damaged or no metrics file: {reason}) "
                      "restore it or choose another run")

    def read_once(self):
        with h5py.File(self.path, "r") as file:
            self.about = dict(file.attrs)
            self.deck = deck_values(str(self.about.get("deck", "")))
            if self.about.get("format") != "tightrope-metrics":
                raise Problem(f"cannot read '{self.path}' (it is no metrics file of tightrope) "
                              "give the folder of a run")
            if self.about["format_version"] > FORMAT_VERSION:
                raise Problem(f"cannot read '{self.path}' (its format version is {self.about['format_version']}, this "
                              f"tool reads up to {FORMAT_VERSION}) use a newer tightrope-report")
            self.training = self.table(file["training"])
            self.evaluation = self.table(file["evaluation"], without="distribution")
            self.learned = self.newest(file["evaluation"].get("distribution"))
            self.exact = {name: data[()] for name, data in file["exact"].items()}

    @staticmethod
    def table(group, without=None):
        """All columns (but the large one), cut to the rows that each of them has."""
        columns = {name: data[()] for name, data in group.items() if name != without}
        rows = min((len(values) for values in columns.values()), default=0)
        return {name: values[:rows] for name, values in columns.items()}

    @staticmethod
    def newest(rows):
        """The last whole row of a vector column, or None: earlier ones are not worth their memory."""
        for row in range(len(rows) - 1 if rows is not None else -1, -1, -1):
            values = rows[row]
            if np.isfinite(values).all():
                return values
        return None

    @staticmethod
    def rows(table):
        return len(table.get("step", ()))

    def last(self, table, name, count=1):
        """Median of the last `count` values that are there; NaN where there is none."""
        values = table.get(name, np.array([]))
        values = values[np.isfinite(values)]
        return float(np.median(values[-count:])) if len(values) else math.nan

    def curve(self, table, name, over="trajectories"):
        """(trajectories, values) where the column holds a value."""
        if name not in table or over not in table:
            return np.array([]), np.array([])
        good = np.isfinite(table[name])
        return table[over][good], table[name][good]

    def accuracies(self):
        """Columns of held-out accuracy, what is sampled first."""
        names = [name for name in self.evaluation if re.search("(^|_)accuracy$", name) and self.evaluated(name)]
        return sorted(names, key=lambda name: (name != "sampled_accuracy", name != "greedy_accuracy", name))

    def evaluated(self, name):
        """[(update, seconds, value, standard error)] of the evaluations that hold a value; NaN for what is unknown."""
        rows, unknown = self.evaluation, np.full(self.rows(self.evaluation), math.nan)
        if name not in rows or not len(unknown):
            return []
        seconds, error = rows.get("seconds", unknown), rows.get(f"{name}_error", unknown)
        if "seconds" in self.training:  # where no evaluation says when it was: between two rows of training
            known = [np.insert(self.training[column], 0, 0) for column in ("step", "seconds")]
            seconds = np.where(np.isfinite(seconds), seconds, np.interp(rows["step"], *known))
        return [row for row in zip(rows["step"], seconds, rows[name], error) if np.isfinite(row[2])]

    def reached(self, level, name="sampled_accuracy"):
        """(update, seconds) of the first evaluation at or above the level; NaN where there is none."""
        return next((row[:2] for row in self.evaluated(name) if row[2] >= level), (math.nan, math.nan))

    def varies(self, name):
        """Whether a column of /training changes by more than rounding."""
        _, values = self.curve(self.training, name, over="step")
        return len(values) > 0 and bool(np.ptp(values) > 1e-6 * np.abs(values).max())

    def reward_parts(self):
        return [name[8:] for name in self.training if name.startswith("sampled_") and name[8:] not in SAMPLED]

    def detailed(self):
        """Whether the columns tell of held-out accuracy, groups or words; other runs get the short report."""
        columns = ("spread", "unique", "sampled_entropy")
        return bool(self.accuracies() or any(np.isfinite(self.last(self.training, name)) for name in columns))

    def sampled(self):
        """Trajectories sampled in the whole run: the rate of each row over its interval."""
        if "searcher_rate" not in self.training or "seconds" not in self.training:
            return math.nan
        return float(np.nansum(self.training["searcher_rate"] * np.diff(self.training["seconds"], prepend=0)))

    def group(self):
        """Equal for runs that differ by chance alone."""
        return tuple(sorted(item for item in self.deck.items() if item[0] not in CHANCE)) or self.path

    def log_z_source(self):
        """Where log Z is read: evaluations know it best."""
        return self.evaluation if np.isfinite(self.last(self.evaluation, "log_z")) else self.training

    def exact_log_z(self):
        return float(self.exact["log_z"][0]) if "log_z" in self.exact else math.nan

    def histogram(self, name):
        """Counts of the whole run, or None."""
        if name not in self.training:
            return None
        total = np.nansum(self.training[name], axis=0)
        return total if total.sum() > 0 else None

    def distributions(self):
        """(target, newest learned, shape) or None."""
        target = self.exact.get("target")
        if target is None or self.learned is None or len(self.learned) != len(target):
            return None
        return target, self.learned, [int(size) for size in self.exact.get("shape", [len(target)])]


def deck_values(text):
    """{"section.key": value} of a resolved deck; comments begin with # at the start of a line or after a space."""
    values, section = {}, ""
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line:
            key, value = line.split("=", 1)
            values[f"{section}.{key.strip()}"] = value.strip()
    return values


def labels_of(runs):
    """Names of the folders, with their parents where two are the same."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else f"{run.folder.resolve().parent.name}/{name}"
            for run, name in zip(runs, names)]


def residual_edges(count):
    """Inner ends of the bins of residuals (nats): ... -1, -1/2, 0, 1/2, 1 ...; the outer bins are open."""
    upper = [2.0 ** i / 2 for i in range(count // 2 - 1)]
    return [-edge for edge in reversed(upper)] + [0.0] + upper


def bin_edges(count):
    """Lower ends of the histograms' bins: 0, 1, 2, 4, 8 ..."""
    return [0] + [2 ** i for i in range(count - 1)]


def bin_labels(count):
    edges = bin_edges(count)
    labels = [str(low) if high - low == 1 else f"{low}\u2013{high - 1}" for low, high in zip(edges, edges[1:])]
    return labels + [f"\u2265{edges[-1]}"]


def share_below(counts, share):
    """The largest value of the first bin at which `share` of all is reached (its least value in the last bin)."""
    edges = bin_edges(len(counts))
    reached = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
    return edges[reached + 1] - 1 if reached + 1 < len(edges) else edges[reached]


def floor_of_tv(target, n):
    """Expected total variation between the target and n perfect samples of it: half the sum over x of
    E|Bin(n, p) / n - p|, each by de Moivre's formula 2 m C(n, m) p^m (1 - p)^(n - m + 1) / n, m = floor(n p) + 1.
    Cells of equal probability are computed once."""
    n = int(n)
    if n < 1:
        return math.nan
    values, times = np.unique(target[target > 0], return_counts=True)
    total = 0.0
    for p, count in zip(values, times):
        if p >= 1:
            continue
        m = math.floor(n * p) + 1
        log_binomial = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)
        total += count * 2 * m / n * math.exp(log_binomial + m * math.log(p) + (n - m + 1) * math.log1p(-p))
    return total / 2
