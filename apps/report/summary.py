"""What the terminal shows of one run."""
import math

import numpy as np
import samples
from run import LAST, floor_of_tv, share_below

UNKNOWN = "-"
LEVELS = (0.5, 0.85)  # of sampled accuracy: when were they reached?


def number(value, digits=4):
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def whole(value):
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}"


def rate(value):
    return whole(value) if value >= 100 or math.isnan(value) else f"{value:.3g}"


def percent(value):
    return UNKNOWN if math.isnan(value) else f"{100 * value:.0f} %"


def plural(count, name):
    return f"{count} {name if count != 1 else name[:-1]}"


def span(seconds):
    if math.isnan(seconds):
        return UNKNOWN
    hours, rest = divmod(int(round(seconds)), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def final_loss(run):
    """Median of the last tenth of the rows: one interval is noisy."""
    return run.last(run.training, "loss", max(1, run.rows(run.training) // 10))


def log_z_line(run):
    value, exact = run.last(run.log_z_source(), "log_z", LAST), run.exact_log_z()
    if math.isnan(exact):
        return f"{number(value)} nats (the exact value is not known)"
    return f"{number(value)} nats, exact {number(exact)} (error {value - exact:+.4f})"


def tv_line(run):
    tv = run.last(run.evaluation, "tv", LAST)
    if math.isnan(tv):
        return "not known for this task"
    text = f"{number(tv)} (median of the last {LAST} evaluations)"
    if "target" in run.exact:
        n = run.last(run.training, "trajectories")
        text += f"; {whole(n)} perfect samples would reach {number(floor_of_tv(run.exact['target'], n))}"
    return text


def spread_line(run, mean, histogram, unit):
    text = f"mean {number(run.last(run.training, mean, LAST), 1)} {unit}"
    counts = run.histogram(histogram)
    return text if counts is None else text + f", 95 % at most {whole(float(share_below(counts, 0.95)))}"


def rates_line(run, name, unit):
    trained, sampled = (rate(run.last(run.training, f"{role}_{name}", 10**9)) for role in ("trainer", "searcher"))
    return f"{trained} {unit} trained, {sampled} sampled (medians)"


def lines_of_one(run):
    training, about = run.training, run.about
    restarts = len([line for line in str(about.get("restarts", "")).split("\n") if line])
    ranks = ", ".join(plural(about[name], name) for name in ("ranks", "trainers", "searchers"))
    yield "run", f"{run.name} (task {about['task']}, {ranks})"
    yield "started", f"{about['started']}" + (f", {plural(restarts, 'restarts')}" if restarts else "")
    yield "steps", (f"{whole(run.last(training, 'step'))} in {span(run.last(training, 'seconds'))}, "
                    f"{whole(run.last(training, 'trajectories'))} trajectories trained")
    yield "speed", rates_line(run, "rate", "trajectories/s")
    yield "loss", f"{final_loss(run):.3g} nats\u00b2 (median of the last tenth)"
    yield "log Z", log_z_line(run)
    if not run.accuracies():
        yield "exact TV", tv_line(run)
    yield "reward", f"mean log R {number(run.last(training, 'log_reward', LAST), 3)} nats"
    yield "staleness", spread_line(run, "staleness", "staleness_histogram", "updates")
    yield "reuse", spread_line(run, "reuse", "reuse_histogram", "earlier draws")
    yield "idle", (f"searchers {percent(run.last(training, 'searcher_idle', LAST))}, "
                   f"trainers {percent(run.last(training, 'trainer_idle', LAST))} of their time")
    if run.detailed():
        yield from lines_of_detail(run)
    yield "data", str(run.path)


def accuracy(value, error):
    text = UNKNOWN if math.isnan(value) else f"{100 * value:.1f}"
    return (text if math.isnan(error) else f"{text} \u00b1 {100 * error:.1f}") + " %"


def accuracy_lines(run):
    for i, name in enumerate(run.accuracies()):
        rows = run.evaluated(name)
        first, last, best = rows[0], rows[-1], max(rows, key=lambda row: row[2])
        yield "accuracy" if i == 0 else "", (
            f"{name.removesuffix('_accuracy')}: {accuracy(*first[2:])} at update {whole(first[0])}, "
            f"{accuracy(*last[2:])} at update {whole(last[0])}, best {accuracy(*best[2:])} at update {whole(best[0])}")
    if run.evaluated("sampled_accuracy"):
        yield "reached", "; ".join(f"{percent(level)} sampled: {when(*run.reached(level))}" for level in LEVELS)


def when(update, seconds):
    return "never" if math.isnan(update) else f"update {whole(update)}, {span(seconds)}"


def named(run, *columns):
    """"name value unit" of those of the columns of /training that hold a value."""
    values = [(name, run.last(run.training, column, LAST), form, unit) for column, name, form, unit in columns]
    return ", ".join(f"{name} {100 * value if unit == '%' else value:{form}} {unit}".strip()
                     for name, value, form, unit in values if not math.isnan(value))


def time_line(run):
    """Shares of the time that is accounted for, by role."""
    spent = {name[8:]: float(np.nansum(values)) for name, values in run.training.items() if name[:8] == "seconds_"}
    roles = [("searchers", [name for name in ("sample", "refresh") if name in spent])]
    roles += [("trainers", [name for name in ("drain", "draw", "score", "backward", "optimise", "publish")
                            if name in spent])]
    return "; ".join(f"{role}: " + ", ".join(f"{name} {percent(spent[name] / sum(spent[n] for n in names))}"
                                            for name in names)
                     for role, names in roles if sum(spent[name] for name in names) > 0)


def others_line(run):
    """Every other number of the last evaluation."""
    drawn = ("step", "trajectories", "seconds", "log_z", "tv", *run.accuracies())
    words = []
    for name, values in sorted(run.evaluation.items()):
        if values.ndim == 1 and name not in drawn and not name.endswith("_error") and run.evaluated(name):
            value, error = run.evaluated(name)[-1][2:]
            words.append(f"{name} {value:.4g}" + ("" if math.isnan(error) else f" \u00b1 {error:.2g}"))
    return ", ".join(words)


def lines_of_detail(run):
    """What a run with held-out accuracy, groups or words says beyond the above."""
    parts = run.reward_parts()
    about = [("sampled", named(run, *((f"sampled_{part}", part, ".3f", "") for part in parts))),
             ("trained on", named(run, *((part, part, ".3f", "") for part in parts)))]
    lines = [*accuracy_lines(run),
             ("reward parts", "; ".join(f"{where}: {text}" for where, text in about if text)),
             ("divergence", named(run, ("log_ratio", "log p - log p_ref (the KL, on fresh samples)", ".3f", "nats"),
                                  ("spread", "spread within groups", ".3f", "nats"))),
             ("trajectories", named(run, ("length", "length", ".1f", ""), ("truncated", "cut off", ".1f", "%"),
                                    ("unique", "distinct within groups", ".0f", "%"),
                                    ("sampled_entropy", "entropy", ".3f", "nats per transition"))),
             ("temperature", temperature_line(run)),
             ("replay", named(run, ("replay_records", "", ",.0f", "records"), ("replay_fill", "full to", ".0f", "%"),
                              ("inserted", "taken in", ",.0f", ""), ("refused", "refused", ",.0f", ""),
                              ("skipped", "skipped", ",.0f", ""))),
             ("transitions", rates_line(run, "transitions", "transitions/s")
              if "trainer_transitions" in run.training else ""),
             ("time", time_line(run)), ("evaluation", others_line(run))]
    return [line for line in lines if line[1]]


def temperature_line(run):
    _, values = run.curve(run.training, "temperature", over="step")
    return f"{values[0]:.4g} at first, {values[-1]:.4g} at last" if run.varies("temperature") else ""


def of_one(run, width=120):
    lines = [f"{name:<14}{text}" for name, text in lines_of_one(run)]
    return "\n".join(lines + list(samples.lines_of_last(run, width)))
