"""Losses and gradients of every objective in exact rational arithmetic, from the definitions, edge by edge.

  delta(tau) = log Z + sum_t log_pf - c sum_t log_ref - log R / temperature          (nats)
  tb       delta^2, log Z learned per trajectory                                     Malkin et al. 2022, eq. 14
  vargrad  delta^2, log Z = mean over the group of (c log_ref + log R / temperature - log_pf), no gradient through it
  rloo     -(log R - mean of the group's others) log_pf: linear, no reference          Ahmadian et al. 2024, eq. 6
  db       mean over the edges of a trajectory of delta_{t,t+1}^2
  subtb    sum_{i<j} lambda^(j-i) delta_ij^2 / sum_{i<j} lambda^(j-i), per trajectory  Madan et al. 2023, eq. 11
  delta_ij = F_i + sum_{i<=t<j} (log_pf_t - c log_ref_t) - F_j, F_n = log R / temperature

The inputs are multiples of 1/64: exact in float32.  The losses are quadratic, so central differences are exact too:
analytic gradient == central difference is an equality here, not a tolerance.
"""
import random
from fractions import Fraction as Q

NAMES = ("tb", "vargrad", "rloo", "db", "subtb")
INPUTS = ("log_pf", "log_ref", "log_flow", "log_z")


def _dyadic(rng, low, high):
    return Q(rng.randint(low * 64, high * 64), 64)


def make_case(name, seed, lengths, groups, temperature, c, lam):
    """Rows are padded with zeros to T = max length; log_flow[length] is a decoy that no objective may use."""
    rng = random.Random(seed)
    width = max(lengths)

    def rows(low, high, extra):
        return [[_dyadic(rng, low, high) if t < n + extra else Q(0) for t in range(width + extra)] for n in lengths]

    case = {"name": name, "temperature": Q(temperature), "ref_coefficient": Q(c), "lambda": Q(lam),
            "length": lengths, "group": groups, "query": [g * 10 + 3 for g in groups],
            "log_pf": rows(-4, 0, 0), "log_ref": rows(-2, 0, 0), "log_flow": rows(-1, 5, 1),
            "log_reward": [_dyadic(rng, -3, 3) for _ in lengths], "log_z": [_dyadic(rng, -2, 6) for _ in lengths]}
    return case


def issue_case():
    """Three samples of one query with whole-sequence log-probs, as a language model has them."""
    def column(*values):
        return [[Q(v)] for v in values]

    return {"name": "three_samples_of_one_query", "temperature": Q("0.5"), "ref_coefficient": Q(1), "lambda": Q("0.9"),
            "length": [1, 1, 1], "group": [0, 0, 0], "query": [0, 0, 0],
            "log_pf": column("-2", "-3", "-1.5"), "log_ref": column("-2.5", "-2.5", "-2"),
            "log_flow": [[Q(0), Q(0)]] * 3, "log_reward": [Q(1), Q(0), Q(1)], "log_z": [Q(0)] * 3}


def cases():
    return [
        issue_case(),
        make_case("plain", 1, [3, 1, 7, 2, 5], [0, 0, 0, 0, 0], "1", "1", "0.9"),
        make_case("interleaved_groups", 2, [4, 6, 1, 7, 3, 2], [4, 1, 4, 1, 4, 1], "0.5", "0.75", "0.9"),
        make_case("uneven_groups_lambda_1.9", 3, [2, 7, 1, 5, 4], [9, 2, 9, 2, 2], "1.25", "1.5", "1.9"),
        make_case("single_edges", 4, [1, 1, 1, 1, 1, 1], [3, 0, 3, 0, 8, 8], "2", "0.5", "1.9"),
        make_case("three_pairs", 5, [7, 7, 1, 2, 6, 3], [5, 0, 6, 6, 5, 0], "0.25", "1", "1"),
    ]


def _score(case, i):
    return case["log_reward"][i] / case["temperature"]


def group_log_z(case):
    """log Z of every trajectory's group, (B)."""
    values = [case["ref_coefficient"] * sum(case["log_ref"][i][:n]) + _score(case, i) - sum(case["log_pf"][i][:n])
              for i, n in enumerate(case["length"])]
    result = []
    for g in case["group"]:
        members = [v for v, other in zip(values, case["group"]) if other == g]
        result.append(sum(members) / len(members))
    return result


def advantages(case):
    """log R minus the mean of the others of its group, (B)."""
    result = []
    for i, g in enumerate(case["group"]):
        others = [r for j, r in enumerate(case["log_reward"]) if case["group"][j] == g and j != i]
        result.append(case["log_reward"][i] - sum(others) / len(others))
    return result


def group_rewards(case):
    """The mean log R of every trajectory's group, (B)."""
    members = {g: [r for r, other in zip(case["log_reward"], case["group"]) if other == g] for g in case["group"]}
    return [sum(members[g]) / len(members[g]) for g in case["group"]]


def _terms(case, objective, i, log_z):
    """The loss of trajectory i, sum of weight * residual^2, as [(weight, residual, first edge, last edge + 1)]."""
    n, c = case["length"][i], case["ref_coefficient"]
    edges = [case["log_pf"][i][t] - c * case["log_ref"][i][t] for t in range(n)]
    if objective in ("tb", "vargrad"):
        return [(Q(1), log_z[i] + sum(edges) - _score(case, i), 0, n)]
    flow = case["log_flow"][i][:n] + [_score(case, i)]
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n + 1) if objective == "subtb" or b == a + 1]
    weight = [case["lambda"] ** (b - a) if objective == "subtb" else Q(1) for a, b in pairs]
    return [(w / sum(weight), flow[a] + sum(edges[a:b]) - flow[b], a, b) for (a, b), w in zip(pairs, weight)]


def _log_z(case, objective, detached):
    if objective == "vargrad":
        return detached if detached is not None else group_log_z(case)
    if objective == "rloo":
        return group_rewards(case)
    return case["log_z"] if objective == "tb" else [row[0] for row in case["log_flow"]]


def losses(case, objective, detached=None):
    log_z = _log_z(case, objective, detached)
    if objective == "rloo":
        return [-a * sum(case["log_pf"][i][:n]) for i, (a, n) in enumerate(zip(advantages(case), case["length"]))]
    return [sum(w * r * r for w, r, _, _ in _terms(case, objective, i, log_z)) for i in range(len(case["length"]))]


def gradients(case, objective):
    """Of the mean loss over the batch, by hand: d(w r^2) = 2 w r dr."""
    count, c = len(case["length"]), case["ref_coefficient"]
    grad = {key: [[Q(0)] * len(row) for row in case[key]] for key in INPUTS[:3]}
    grad["log_z"] = [Q(0)] * count
    log_z = _log_z(case, objective, None)
    for i in range(count):
        if objective == "rloo":
            for t in range(case["length"][i]):
                grad["log_pf"][i][t] = -advantages(case)[i] / count
            continue
        for w, r, first, last in _terms(case, objective, i, log_z):
            step = 2 * w * r / count
            for t in range(first, last):
                grad["log_pf"][i][t] += step
                grad["log_ref"][i][t] -= c * step
            if objective == "tb":
                grad["log_z"][i] += step
            elif objective != "vargrad":
                grad["log_flow"][i][first] += step
                if last < case["length"][i]:  # the flow of the terminal is the reward: no gradient
                    grad["log_flow"][i][last] -= step
    return grad


def _difference(case, objective, key, i, t, detached):
    h, ends = Q(1, 7), []
    for sign in (1, -1):
        copy = dict(case)
        copy[key] = [list(row) if isinstance(row, list) else row for row in case[key]]
        if t is None:
            copy[key][i] += sign * h
        else:
            copy[key][i][t] += sign * h
        ends.append(sum(losses(copy, objective, detached)) / len(case["length"]))
    return (ends[0] - ends[1]) / (2 * h)


def differences(case, objective, detach=True):
    """Central differences of the mean loss; VarGrad's log Z is held fixed, or (detach=False) moves along."""
    held = group_log_z(case) if objective == "vargrad" and detach else None
    result = {key: [[_difference(case, objective, key, i, t, held) for t in range(len(row))]
                    for i, row in enumerate(case[key])] for key in INPUTS[:3]}
    result["log_z"] = [_difference(case, objective, "log_z", i, None, held) for i in range(len(case["length"]))]
    return result


def _permuted(case, order):
    return {key: [value[i] for i in order] if isinstance(value, list) else value for key, value in case.items()}


def check(case, assert_that):
    """Equalities that any right implementation keeps."""
    order = list(range(len(case["length"])))
    random.Random(7).shuffle(order)
    label = case["name"]
    for objective in NAMES:
        grad = gradients(case, objective)
        assert_that(f"{label}: {objective} gradient == central difference", grad == differences(case, objective))
        moved = losses(_permuted(case, order), objective)
        assert_that(f"{label}: {objective} does not depend on row order",
                    moved == [losses(case, objective)[i] for i in order])
    assert_that(f"{label}: vargrad's gradient does not change when log Z moves along",
                differences(case, "vargrad", detach=False) == differences(case, "vargrad"))
    if len(set(case["group"])) > 1:
        mixed = dict(case, group=[0] * len(order))
        assert_that(f"{label}: mixing the groups would give another loss",
                    losses(mixed, "vargrad") != losses(case, "vargrad"))


def expected(case):
    out = {}
    for objective in NAMES:
        loss = losses(case, objective)
        out[objective] = {"loss": loss, "mean_loss": sum(loss) / len(loss), "log_z": _log_z(case, objective, None)}
        out[objective].update({"grad_" + key: value for key, value in gradients(case, objective).items()})
    return out
