"""One checkpoint, by itself: where the run is, what its parameters and its store hold.  Schema: docs/hdf5.md."""
import json
import pathlib
import textwrap

import h5py
import numpy as np
import summary
from run import Problem, bin_edges, bin_labels, deck_values

FORMAT, FORMAT_VERSION = "tightrope-checkpoint", 1
MOMENTS = {"adam_first": "first moment", "adam_second": "second moment"}
LEVELS = (0, 0.05, 0.5, 0.95, 1)  # of what is shown of a column


def is_checkpoint(path):
    """False for whatever cannot be read, too: the report of a run says what is wrong with it."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("format") == FORMAT
    except OSError:
        return False


class Checkpoint:
    """Attributes in about; sets["policy"] = [(name, group, {"weights": norm, ...}, size)]; index["query"], ..."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.folder = self.path.parent
        self.name = f"{self.folder.resolve().name}/{self.path.stem}"
        try:
            with h5py.File(self.path, "r") as file:
                self.read(file)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise Problem(f"cannot read '{path}' (it is damaged: {error}) tightrope-inspect says more") from None

    def read(self, file):
        self.about = dict(file.attrs)
        if self.about["format_version"] > FORMAT_VERSION:
            raise Problem(f"cannot read '{self.path}' (its format version is {self.about['format_version']}, this tool "
                          f"reads up to {FORMAT_VERSION}) use a newer tightrope-report")
        self.deck = deck_values(str(self.about["deck"]))
        self.numbers = {name: value for group in ("clocks", "integers", "scalars")
                        for name, value in file[group].attrs.items()}
        self.sets = {name: self.tensors(group) for name, group in file["parameters"].items()}
        self.record_bytes = file["store/record_bytes"][:]
        self.shares = file["store/record_bytes"].attrs["slabs"]
        self.index = {name: column[:] for name, column in file["index"].items() if name != "counters"}

    @staticmethod
    def tensors(group):
        """A row per tensor: its name, group, size, and the norm of its part of each array."""
        arrays = {name: data[:].astype("f8") for name, data in group.items()}
        rows = json.loads(group.attrs["table"])
        ends = [row["offset"] for row in rows[1:]] + [max(map(len, arrays.values()), default=0)]
        return [(row["name"], row["group"], end - row["offset"],
                 {name: float(np.linalg.norm(values[row["offset"]:end])) for name, values in arrays.items()})
                for row, end in zip(rows, ends)]

    def staleness(self):
        """Updates between the weights that sampled a record and those that are here."""
        return self.about["step"] - self.index["version"]

    def staleness_counts(self, bins=16):
        """Records by staleness, in the bins of a run's histograms, up to the last one that holds any."""
        counts, _ = np.histogram(self.staleness(), [*bin_edges(bins), np.inf])
        return counts[:max(np.flatnonzero(counts), default=0) + 1]


def quantiles(values, form=".4g"):
    levels = np.quantile(values, LEVELS)
    return ", ".join(f"{name} {value:{form}}" for name, value in
                     zip(("least", "5 %", "median", "95 %", "most"), levels))


def groups(tensors):
    """{group: (tensors, values, {array: norm})} of a parameter set."""
    found = {}
    for _, group, size, norms in tensors:
        count, values, squares = found.get(group, (0, 0, {}))
        found[group] = (count + 1, values + size,
                        {name: squares.get(name, 0) + norm ** 2 for name, norm in norms.items()})
    return {group: (count, values, {name: square ** 0.5 for name, square in squares.items()})
            for group, (count, values, squares) in found.items()}


def norm_text(norms):
    words = [f"norm {norms['weights']:.4g}"] if "weights" in norms else []
    return ", ".join(words + [f"{name} {norms[array]:.4g}" for array, name in MOMENTS.items() if array in norms])


def parameter_lines(checkpoint):
    for name, tensors in checkpoint.sets.items():
        for group, (count, values, norms) in groups(tensors).items():
            yield f"{name}, {group}", f"{summary.plural(count, 'tensors')}, {values:,} values: {norm_text(norms)}"


def store_lines(checkpoint):
    count, index = len(checkpoint.record_bytes), checkpoint.index
    shares = ", ".join(f"{share:,}" for share in checkpoint.shares)
    yield "records", (f"{count:,}, {checkpoint.record_bytes.sum():,} bytes" +
                      (f" ({shares} by trainer)" if len(checkpoint.shares) > 1 else ""))
    if not count:
        return
    yield "queries", f"{len(np.unique(index['query'])):,}; distinct trajectories {len(np.unique(index['content'])):,}"
    yield "versions", f"{index['version'].min():,} to {index['version'].max():,}"
    yield "staleness", quantiles(checkpoint.staleness(), ".0f") + " updates"
    counts = checkpoint.staleness_counts()
    yield "", ", ".join(f"{label}: {number:,}" for label, number in zip(bin_labels(16), counts) if number)
    yield "log reward", quantiles(index["log_reward"]) + " nats"
    yield "length", quantiles(index["length"], ".0f") + " transitions"
    yield "uses", quantiles(index["uses"], ".0f") + " draws"


def deck_lines(checkpoint):
    sections = {}
    for key, value in checkpoint.deck.items():
        section, name = key.split(".", 1)
        sections.setdefault(section, []).append(f"{name} = {value}")
    for section, keys in sections.items():
        yield f"[{section}]", ", ".join(keys)


def lines_of(checkpoint):
    about = checkpoint.about
    ranks = ", ".join(summary.plural(about[name], name) for name in ("ranks", "trainers", "searchers"))
    yield "checkpoint", f"{checkpoint.name} (task {about['task']}, {ranks}, format {about['format_version']})"
    yield "step", f"{about['step']:,}, after {summary.span(float(checkpoint.numbers.get('seconds', np.nan)))}"
    yield "numbers", ", ".join(f"{name} {value:g}" for name, value in sorted(checkpoint.numbers.items())
                               if name != "seconds")
    yield from parameter_lines(checkpoint)
    yield from store_lines(checkpoint)
    yield "build", str(about["build"]).split("\n")[0]
    yield from deck_lines(checkpoint)
    yield "data", str(checkpoint.path)


def of_one(checkpoint, width=120):
    lines = []
    for name, text in lines_of(checkpoint):
        lines += textwrap.wrap(text, max(width, 60), initial_indent=f"{name:<19}", subsequent_indent=19 * " ",
                               break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)
