"""OUTDIR/peers.jsonl -> peers.json and peers.md:  table.py OUTDIR"""
import json
import sys
from pathlib import Path

COLUMNS = "| peer | task | batch | cores | trajectories/s | per CPU second | mean length | exact TV | load |"


def table(rows):
    lines = [COLUMNS, "|" + "---|" * (COLUMNS.count("|") - 1)]
    for r in rows:
        tv = f"{r['tv']:.4f}" if "tv" in r else ""
        lines.append(f"| {r['peer']} | {r['task']} | {r['batch']} | {r['cores']} "
                     f"| {r['trajectories_per_second']:.0f} | {r['trajectories_per_cpu_second']:.0f} "
                     f"| {r['mean_length']:.2f} | {tv} | {r['load_1min']:.1f} |")
    versions = {name: version for r in rows for name, version in r["versions"].items()}
    return lines + ["", "Processor: " + rows[0]["processor"] + "; " + ", ".join(map(" ".join, versions.items())) +
                    ". Mean length counts the stop edge. A load above the cores used means a disturbed row."]


def main(folder):
    rows = [json.loads(line) for line in (folder / "peers.jsonl").read_text().splitlines()]
    if not rows:
        sys.exit("no rows (ONLY matched nothing) give a pattern such as 'torchgfn bits'")
    text = "\n".join(table(rows))
    (folder / "peers.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    (folder / "peers.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
