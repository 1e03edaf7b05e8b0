"""Exact numbers of the hypergrid and the bit sequences: integers and fractions; floats only for logarithms.

Hypergrid (H, D, R0, R1, R2): states {0..H-1}^D, edges increment one coordinate below H-1, or stop (always legal).
  R(s) = R0 + R1 [all coordinates outer] + R2 [all in the band]; with u = |2i - (H-1)|:
  outer: 4u > 2(H-1)      band: 6(H-1) < 10u < 8(H-1)        (open tests; in integers, no rounding)
  F(s) = R(s) + sum over children s' of F(s') P_B(s|s'),  P_B(s|s') = 1 / #{d : s'_d > 0}
"""
import itertools
import math
from collections import Counter
from fractions import Fraction as Q


def outer(i, side):
    return 4 * abs(2 * i - (side - 1)) > 2 * (side - 1)


def band(i, side):
    return 6 * (side - 1) < 10 * abs(2 * i - (side - 1)) < 8 * (side - 1)


def reward(state, side, r0, r1, r2):
    value = r0
    if all(outer(i, side) for i in state):
        value += r1
    if all(band(i, side) for i in state):
        value += r2
    return value


def children(state, side):
    return [state[:d] + (i + 1,) + state[d + 1:] for d, i in enumerate(state) if i < side - 1]


def parents(state):
    return sum(i > 0 for i in state)


def states(side, dims):
    """In order of the index sum_d s_d H^(D-1-d), which is also a topological order."""
    return itertools.product(range(side), repeat=dims)


def flows(side, dims, rewards, number=Q):
    """F of every state, by the backward recursion; number = float for grids too large for fractions."""
    flow = {}
    for state in reversed(list(states(side, dims))):
        flow[state] = number(reward(state, side, *rewards))
        for child in children(state, side):
            flow[state] += flow[child] / parents(child)
    return flow


def grid_z(side, dims, rewards):
    """By enumeration, by the counts of one coordinate, and by the flow of s0: all three must agree."""
    census = Counter(reward(s, side, *rewards) for s in states(side, dims))
    listed = sum(value * count for value, count in census.items())
    a, b = sum(outer(i, side) for i in range(side)), sum(band(i, side) for i in range(side))
    counted = rewards[0] * side**dims + rewards[1] * a**dims + rewards[2] * b**dims
    origin = flows(side, dims, [float(r) for r in rewards], float)[(0,) * dims]
    return listed, counted, origin


def grid_flow_policy(side, dims, rewards):
    """log F (H^D) and P_F (H^D, D+1), column D = stop, of the exact solution under uniform P_B."""
    flow = flows(side, dims, rewards)
    policy, log_flow, visits, stops = [], [], {(0,) * dims: Q(1)}, {}
    for state in states(side, dims):
        row = []
        for d, i in enumerate(state):
            child = state[:d] + (i + 1,) + state[d + 1:]
            p = flow[child] / parents(child) / flow[state] if i < side - 1 else Q(0)
            row.append(p)
            if p:
                visits[child] = visits.get(child, Q(0)) + visits[state] * p
        row.append(reward(state, side, *rewards) / flow[state])
        stops[state] = visits[state] * row[-1]
        policy.append(row)
        log_flow.append(math.log(flow[state]))
    return flow, log_flow, policy, stops


def zero_logits(side, dims, rewards):
    """The policy that is uniform over the legal actions: its terminal distribution and moments of delta at log Z = 0.

    Forward pass: every state carries its probability m and, weighted by it, the first and second moment of the sum of
    log_pf - log P_B over the edges so far.  ELBO = -E[delta].  length counts the stop edge.
    """
    mass, first, second = {(0,) * dims: Q(1)}, {(0,) * dims: 0.0}, {(0,) * dims: 0.0}
    terminal, mean, square, length = {}, [], [], Q(0)
    for state in states(side, dims):
        m, s1, s2 = mass[state], first[state], second[state]
        legal = children(state, side)
        share = Q(1, len(legal) + 1)
        step = math.log(share)
        for child in legal:
            gain = step + math.log(parents(child))
            mass[child] = mass.get(child, Q(0)) + m * share
            first[child] = first.get(child, 0.0) + share * (s1 + float(m) * gain)
            second[child] = second.get(child, 0.0) + share * (s2 + 2 * gain * s1 + float(m) * gain * gain)
        last = step - math.log(reward(state, side, *rewards))
        terminal[state] = m * share
        mean.append(share * (s1 + float(m) * last))
        square.append(share * (s2 + 2 * last * s1 + float(m) * last * last))
        length += m * share * (sum(state) + 1)
    total = sum(reward(s, side, *rewards) for s in terminal)
    distance = sum(abs(p - reward(s, side, *rewards) / total) for s, p in terminal.items()) / 2
    return {"tv": distance, "elbo": -math.fsum(mean), "delta_squared": math.fsum(square), "length": length,
            "terminal": list(terminal.values())}


MOTIFS = ("00000000", "11111111", "11110000", "00001111", "00111100")


def bit_distances(bits):
    """Counts of the 2^n strings by their Hamming distance to the nearest concatenation of motifs."""
    modes = [int("".join(parts), 2) for parts in itertools.product(MOTIFS, repeat=bits // 8)]
    counts = [0] * (bits + 1)
    for x in range(1 << bits):
        counts[min(bin(x ^ mode).count("1") for mode in modes)] += 1
    return counts, len(modes)


def bit_log_z(counts, bits, exponent):
    """log of the sum over x of exp(-b d(x) / n)."""
    return math.log(math.fsum(k * math.exp(-exponent * d / bits) for d, k in enumerate(counts)))
