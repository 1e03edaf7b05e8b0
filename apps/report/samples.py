"""Records in words: samples.jsonl of a run.  Schema: docs/hdf5.md."""
import json
import math
import textwrap
import unicodedata

KINDS = ("highest", "lowest", "newest")  # the order of reading


def read(run):
    """(samples as dictionaries, number of lines that are none).  A growing file may end in half a line; a restart may
    have written the records of its step twice."""
    path = run.folder / "samples.jsonl"
    if not path.exists():
        return [], 0
    found, broken = [], 0
    for line in dict.fromkeys(path.read_bytes().split(b"\n")):
        try:
            sample = json.loads(line.decode("utf-8", "replace")) if line.strip() else None
        except (ValueError, RecursionError):
            sample = ""
        if isinstance(sample, dict) and isinstance(sample.get("text"), str) and real(sample, "step") >= 0:
            found.append(sample)
        elif sample is not None:
            broken += 1
    return found, broken


def real(values, name):
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def of_step(samples, step):
    """Those of one evaluation, in the order of reading."""
    place = {kind: i for i, kind in enumerate(KINDS)}
    return sorted((sample for sample in samples if sample["step"] == step),
                  key=lambda sample: place.get(sample.get("kind"), len(KINDS)))


def steps(samples):
    return sorted({sample["step"] for sample in samples})


def escaped(text, keep=""):
    """Control characters, line and text-direction marks and lone surrogates as escapes; so is the backslash."""
    def one(c):
        hidden = unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") or c == "\\"
        return c.encode("unicode_escape").decode() if hidden and c not in keep else c
    return "".join(one(c) for c in text)


def columns(text):
    """Places on a terminal: two for wide characters, none for marks on the one before."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fitting(text, width):
    """As much of the beginning as fits into `width` columns."""
    used = 0
    for i, c in enumerate(text):
        used += columns(c)
        if used > width:
            return text[:i]
    return text


def cut(text, width):
    """At most `width` columns: a third of the beginning, and the end, where the answer is."""
    if columns(text) <= width:
        return text
    room = max(width - 3, 2)
    return f"{fitting(text, room // 3)} \u2026 {fitting(text[::-1], room - room // 3)[::-1]}"


def shown(values, name, form):
    value = real(values, name)
    return "-" if math.isnan(value) else format(value, form)


def facts(sample):
    """Where a sample comes from, and what it is worth."""
    parts = sample.get("reward") if isinstance(sample.get("reward"), dict) else {}
    words = [f"{name} {shown(sample, key, form)}" for name, key, form in (
        ("version", "version", ".0f"), ("length", "length", ".0f"), ("log p", "log_pf", ".3f"),
        ("log p_ref", "log_ref", ".3f"), ("log R", "log_reward", ".3f"))]
    words += [f"{name} {shown(parts, name, '.4g')}" for name in parts]
    words += ["cut off"] if sample.get("truncated") is True else []
    return ", ".join(words)


def lines_of_last(run, width):
    """The samples of the last evaluation for the terminal: what is known of each, and its text on one line."""
    samples, _ = read(run)
    if not samples:
        return
    last, width = steps(samples)[-1], max(width, 40)
    yield f"{'samples':<14}of update {last:,.0f}"
    for sample in of_step(samples, last):
        kind = escaped(str(sample.get("kind", "-")))
        yield from textwrap.wrap(f"{kind:<10}{escaped(facts(sample))}", width, initial_indent="  ",
                                 subsequent_indent=12 * " ")
        yield 12 * " " + cut(escaped(sample["text"]), width - 12)


def write(run, folder):
    """samples.txt: all of them, evaluation by evaluation, lines broken where the text breaks them."""
    samples, broken = read(run)
    if not samples:
        return []
    lines = [f"{run.name}: records in the store at each evaluation; control characters are shown as escapes"]
    lines += [f"({broken} of the lines of samples.jsonl cannot be read and are left out)"] if broken else []
    for step in steps(samples):
        lines += ["", f"=== update {step:,.0f} ==="]
        for sample in of_step(samples, step):
            lines += ["", escaped(f"{sample.get('kind', '-')} (query {shown(sample, 'query', '.0f')}, "
                                  f"id {shown(sample, 'id', '.0f')}): {facts(sample)}")]
            lines += ["  | " + line for line in escaped(sample["text"], keep="\n").split("\n")]
    path = folder / "samples.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [path]
