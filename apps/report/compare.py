"""Several runs in one table: what differs between their decks, and what became of them."""
import math

from run import CHANCE, LAST, labels_of
from summary import LEVELS, UNKNOWN, accuracy, final_loss, number, span, whole


MOST_KEYS = 6  # of the decks, as columns, and again as names below the table


def different_keys(runs):
    """Keys whose values differ, in the order of the deck; seeds count, names and folders do not."""
    keys = dict.fromkeys(key for run in runs for key in run.deck)
    hidden = set(CHANCE) - {"run.seed"}
    return [key for key in keys if key not in hidden and len({run.deck.get(key) for run in runs}) > 1]


def heads_of(keys):
    """{key: its name without the section, where that is enough}"""
    names = [key.split(".", 1)[1] for key in keys]
    return {key: name if names.count(name) == 1 else key for key, name in zip(keys, names)}


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


def rows_of(runs):
    """(a dictionary per run, a line about keys that differ but have no column, or "")"""
    with_accuracy = any(run.accuracies() for run in runs)
    keys = [key for key in different_keys(runs) if not (with_accuracy and key == "objective.kind")]
    heads = heads_of(keys[:MOST_KEYS])
    rows = []
    for run, label in zip(runs, labels_of(runs)):
        row = (accuracy_row_of if with_accuracy else row_of)(run, label)
        settings = {head: run.deck.get(key, UNKNOWN) for key, head in heads.items()}
        rows.append({"run": label, **settings, **row})
    more = keys[MOST_KEYS:2 * MOST_KEYS]
    others = len(keys) - 2 * MOST_KEYS
    return rows, "also different: " * bool(more) + ", ".join(more) + f" and {others} more keys" * (others > 0)


def table(runs, markdown=False):
    """A row per run; of held-out accuracy where one of them knows it."""
    rows, more = rows_of(runs)
    cells = [list(rows[0])] + [list(row.values()) for row in rows]
    below = [more] if more else []
    if markdown:
        cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
        cells.insert(1, ["---"] + ["---:"] * (len(rows[0]) - 1))
        return "\n".join([f"| {' | '.join(row)} |" for row in cells] + below)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))) for row in cells]
    return "\n".join(lines + below)
