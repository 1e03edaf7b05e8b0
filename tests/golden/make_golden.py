#!/usr/bin/env python3
"""Writes golden.json, the reference numbers of the tests; with --check compares instead.  Python alone, no packages.

  make_golden.py            compute, assert, write golden.json beside this file
  make_golden.py --check    compute, assert, compare with the committed golden.json; exit 1 on any difference
"""
import json
import math
import sys
from fractions import Fraction as Q
from pathlib import Path

import exact
import objectives

FILE = Path(__file__).resolve().parent / "golden.json"
SPARSE = (Q("0.001"), Q("0.5"), Q(2))
DENSE = (Q("0.1"), Q("0.5"), Q(2))
failures = []


def assert_that(what, holds):
    if not holds:
        failures.append(what)
    print(("ok    " if holds else "FAIL  ") + what)


def near(what, value, wanted, tolerance):
    assert_that(f"{what} = {float(value):.9g} (wanted {wanted}, tolerance {tolerance})",
                abs(float(value) - wanted) <= tolerance)


def plain(value):
    """Fractions to the nearest double, containers to lists."""
    if isinstance(value, Q):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def objective_section():
    cases = objectives.cases()
    for case in cases:
        objectives.check(case, assert_that)
    want = objectives.expected(cases[0])["vargrad"]
    assert_that("vargrad of the three samples: log Z = 7/6", want["log_z"] == [Q(7, 6)] * 3)
    assert_that("vargrad of the three samples: loss = 2/9", want["mean_loss"] == Q(2, 9))
    assert_that("vargrad of the three samples: gradient = (-2/9, 4/9, -2/9)",
                want["grad_log_pf"] == [[Q(-2, 9)], [Q(4, 9)], [Q(-2, 9)]])
    return {
        "note": "Inputs are exact in float32. loss: per trajectory, nats^2; mean_loss: their mean over the batch; "
                "grad_*: of mean_loss. log_flow[i][length[i]] is a decoy: the terminal's log flow is log_reward / "
                "temperature. log_z: tb the learned input, vargrad the group's mean (no gradient), else log_flow[:,0].",
        "cases": [dict(case, expected=objectives.expected(case)) for case in cases]}


def z_section():
    rows = []
    for side, dims, rewards, wanted in [(8, 2, DENSE, Q("22.4")), (16, 2, DENSE, Q("65.6")), (8, 4, DENSE, Q("569.6")),
                                        (20, 4, SPARSE, Q(5672))]:
        listed, counted, origin = exact.grid_z(side, dims, rewards)
        name = f"Z({side},{dims},{float(rewards[0])})"
        assert_that(f"{name} = {float(wanted)}: by enumeration and by counts, exactly", listed == counted == wanted)
        near(f"{name}: flow of s0 by dynamic program", origin, float(wanted), 1e-11 * float(wanted))
        rows.append({"side": side, "dims": dims, "rewards": rewards, "z": wanted, "log_z": math.log(wanted)})
    bands = {str(h): [i for i in range(h) if exact.band(i, h)] for h in (8, 11, 16, 20, 21, 31, 41, 101)}
    assert_that("band at H = 16 has two cells, at H = 11 none", bands["16"] == [2, 13] and not bands["11"])
    return rows, bands


def flow_section():
    flow, log_flow, policy, stops = exact.grid_flow_policy(8, 2, DENSE)
    total = flow[(0, 0)]
    target = [exact.reward(s, 8, *DENSE) / total for s in exact.states(8, 2)]
    assert_that("8x8: F(s0) = Z exactly", total == Q("22.4"))
    assert_that("8x8: P_F of the exact flows sums to 1 in every state", all(sum(row) == 1 for row in policy))
    assert_that("8x8: the exact flows' policy stops with the target distribution", list(stops.values()) == target)
    return {"side": 8, "dims": 2, "rewards": DENSE, "log_z": math.log(total),
            "note": "State index s_0 * 8 + s_1; uniform P_B. log_flow (64); p_f (64, 3): increment s_0, increment s_1, "
                    "stop; target (64) = R / Z; reward (64).",
            "reward": [exact.reward(s, 8, *DENSE) for s in exact.states(8, 2)],
            "target": target, "log_flow": log_flow, "p_f": policy}


def zero_logit_section():
    result = exact.zero_logits(8, 2, DENSE)
    assert_that("zero logits: terminal distribution sums to 1", sum(result["terminal"]) == 1)
    near("zero logits: TV", result["tv"], 0.699978, 5e-7)
    near("zero logits: ELBO", result["elbo"], 1.537807, 5e-7)
    near("zero logits: E[delta^2] at log Z = 0", result["delta_squared"], 3.616320, 5e-7)
    near("zero logits: E[length], the stop edge counted,", result["length"], 2.984375, 0)
    return {"note": "P_F uniform over the legal actions, P_B uniform, R0 = 0.1. tv = sum |p - R/Z| / 2; "
                    "elbo = -E[delta], delta_squared = E[delta^2], both at log Z = 0; length counts the stop "
                    "edge: 1.984375 increments and the stop; terminal (64): chance to stop in state s_0 * 8 + s_1.",
            **result}


def bit_section():
    counts, modes = exact.bit_distances(16)
    assert_that("bits n = 16: 25 modes, 65536 strings", modes == 25 and sum(counts) == 65536 and counts[0] == 25)
    log_z = [exact.bit_log_z(counts, 16, b) for b in (1, 2, 3)]
    for b, value, wanted in zip((1, 2, 3), log_z, (10.798843, 10.514184, 10.236415)):
        near(f"bits n = 16: log Z at b = {b}", value, wanted, 5e-7)
    return {"bits": 16, "modes": modes, "exponents": [1, 2, 3], "log_z": log_z,
            "note": "All 25 concatenations of the five motifs are modes; strings_by_distance[d] counts the strings at "
                    "Hamming distance d from the nearest mode. Independent of the word length k.",
            "strings_by_distance": counts}


def differs(ours, theirs, path="golden"):
    """The first place where two documents differ by more than rounding, or None."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        pairs = [(ours[key], theirs[key], f"{path}.{key}") for key in ours]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(ours, theirs))]
    elif isinstance(ours, float):
        same = isinstance(theirs, float) and math.isclose(ours, theirs, rel_tol=1e-13, abs_tol=1e-15)
        return None if same else path
    else:
        return None if ours == theirs else path
    return next(filter(None, (differs(*pair) for pair in pairs)), None)


def dump(value, indent=0):
    """JSON with one line per list of numbers."""
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        body = ",\n".join(f"{pad}{json.dumps(key)}: {dump(item, indent + 1)}" for key, item in value.items())
        return "{\n" + body + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, (list, dict)) for item in value):
        return "[\n" + ",\n".join(pad + dump(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
    return json.dumps(value)


def main(arguments):
    grids, bands = z_section()
    golden = plain({"made_by": "tests/golden/make_golden.py", "objectives": objective_section(),
                    "hypergrid_z": grids, "hypergrid_bands": bands, "hypergrid_flows_8x8": flow_section(),
                    "zero_logits_8x8": zero_logit_section(), "bits_16": bit_section()})
    if arguments == ["--check"]:
        place = differs(golden, json.loads(FILE.read_text()))
        where = f" (differs at {place}; run the script without --check and read the diff)" if place else ""
        assert_that("golden.json equals what this script computes" + where, not place)
    elif not arguments and not failures:
        FILE.write_text(dump(golden) + "\n")
    elif arguments:
        print(__doc__)
        return 2
    print(f"{len(failures)} failed" if failures else "all golden numbers hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
