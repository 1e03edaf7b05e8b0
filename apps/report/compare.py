"""Several runs in one table."""
import math

from run import LAST, labels_of
from summary import LEVELS, UNKNOWN, accuracy, final_loss, number, span, whole


def row_of(run, label):
    training = run.training
    tv = run.last(run.evaluation, "tv", LAST)
    error = run.last(run.log_z_source(), "log_z", LAST) - run.exact_log_z()
    return {"run": label, "steps": whole(run.last(training, "step")),
            "trajectories": whole(run.last(training, "trajectories")), "time": span(run.last(training, "seconds")),
            "per second": whole(run.last(training, "trainer_rate", 10**9)), "loss": f"{final_loss(run):.3g}",
            "log Z error": UNKNOWN if math.isnan(error) else f"{error:+.4f}", "exact TV": number(tv),
            "log R": number(run.last(training, "log_reward", LAST), 3),
            "staleness": number(run.last(training, "staleness", LAST), 1)}


def last_accuracy(run, name):
    rows = run.evaluated(name)
    return accuracy(*rows[-1][2:]) if rows else UNKNOWN


def accuracy_row_of(run, label):
    training = run.training
    row = {"run": label, "objective": run.deck.get("objective.kind", UNKNOWN),
           "updates": whole(run.last(training, "step")), "time": span(run.last(training, "seconds")),
           "trained": whole(run.last(training, "trajectories")), "sampled": whole(run.sampled()),
           "held-out, sampled": last_accuracy(run, "sampled_accuracy"),
           "held-out, greedy": last_accuracy(run, "greedy_accuracy")}
    for level in LEVELS:
        update, seconds = run.reached(level)
        row[f"to {100 * level:.0f} %"] = UNKNOWN if math.isnan(update) else f"{whole(update)} / {span(seconds)}"
    return row


def table(runs, markdown=False):
    """A row per run; of held-out accuracy where one of them knows it."""
    row = accuracy_row_of if any(run.accuracies() for run in runs) else row_of
    rows = [row(run, label) for run, label in zip(runs, labels_of(runs))]
    cells = [list(rows[0])] + [list(row.values()) for row in rows]
    if markdown:
        cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
        cells.insert(1, ["---"] + ["---:"] * (len(rows[0]) - 1))
        return "\n".join(f"| {' | '.join(row)} |" for row in cells)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) for row in cells)
