"""What the terminal shows."""
import math

from run import LAST, floor_of_tv, share_below

UNKNOWN = "-"


def number(value, digits=4):
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def whole(value):
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}"


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


def lines_of_one(run):
    training, about = run.training, run.about
    restarts = len([line for line in str(about.get("restarts", "")).split("\n") if line])
    ranks = ", ".join(plural(about[name], name) for name in ("ranks", "trainers", "searchers"))
    yield "run", f"{run.name} (task {about['task']}, {ranks})"
    yield "started", f"{about['started']}" + (f", {plural(restarts, 'restarts')}" if restarts else "")
    yield "steps", (f"{whole(run.last(training, 'step'))} in {span(run.last(training, 'seconds'))}, "
                    f"{whole(run.last(training, 'trajectories'))} trajectories trained")
    yield "speed", (f"{whole(run.last(training, 'trainer_rate', 10**9))} trajectories/s trained, "
                    f"{whole(run.last(training, 'searcher_rate', 10**9))} sampled (medians)")
    yield "loss", f"{final_loss(run):.3g} nats\u00b2 (median of the last tenth)"
    yield "log Z", log_z_line(run)
    yield "exact TV", tv_line(run)
    yield "reward", f"mean log R {number(run.last(training, 'log_reward', LAST), 3)} nats"
    yield "staleness", spread_line(run, "staleness", "staleness_histogram", "updates")
    yield "reuse", spread_line(run, "reuse", "reuse_histogram", "earlier draws")
    yield "idle", (f"searchers {percent(run.last(training, 'searcher_idle', LAST))}, "
                   f"trainers {percent(run.last(training, 'trainer_idle', LAST))} of their time")
    yield "data", str(run.path)


def of_one(run):
    return "\n".join(f"{name:<14}{text}" for name, text in lines_of_one(run))


def row_of(run):
    training = run.training
    tv = run.last(run.evaluation, "tv", LAST)
    error = run.last(run.log_z_source(), "log_z", LAST) - run.exact_log_z()
    return [run.name, whole(run.last(training, "step")), whole(run.last(training, "trajectories")),
            span(run.last(training, "seconds")), whole(run.last(training, "trainer_rate", 10**9)),
            f"{final_loss(run):.3g}", UNKNOWN if math.isnan(error) else f"{error:+.4f}", number(tv),
            number(run.last(training, "log_reward", LAST), 3), number(run.last(training, "staleness", LAST), 1)]


def of_many(runs):
    head = [["run", "steps", "trajectories", "time", "per second", "loss", "log Z error", "exact TV", "log R",
             "staleness"]]
    table = head + [row_of(run) for run in runs]
    widths = [max(len(row[i]) for row in table) for i in range(len(head[0]))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) for row in table)
