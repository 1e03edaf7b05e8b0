"""What a step costs on a machine that we do not have, on paper: flops and bytes over rates.  docs/scaling.md derives
the formulas and names the sources of MACHINE.  Seconds, bytes, flops; per GPU unless said.
"""
import dataclasses
import math


@dataclasses.dataclass
class Machine:
    flops: float = 989e12    # bfloat16 dense, H100 SXM
    memory: float = 80e9     # bytes
    bandwidth: float = 3.35e12
    nvlink: float = 450e9    # one direction
    network: float = 50e9    # one port of 400 Gb/s, one direction; as many ports as GPUs
    host: float = 64e9       # PCIe 5 x16, one direction
    node: int = 8            # GPUs
    # What of these is reached.
    training: float = 0.4    # of flops
    decoding: float = 0.6    # of bandwidth
    moving: float = 0.8      # of nvlink, network and host


@dataclasses.dataclass
class Model:
    parameters: float
    layers: int
    width: int         # of attention: heads x head
    cache_width: int   # of keys: heads x head after grouping
    trainer_gpus: int  # that hold one trainer, within a node
    searcher_gpus: int


@dataclasses.dataclass
class Work:
    prompt: int = 256      # tokens
    completion: int = 1024
    group: int = 16        # K completions of a prompt
    batch: int = 4096      # completions per update
    at_once: int = 256     # completions that a searcher decodes at most
    staleness: float = 8   # updates that a completion may be old when it is drawn, on average

    def tokens(self):
        """Per completion, its share of the prompt included."""
        return self.completion + self.prompt / self.group

    def context(self):
        return self.prompt + self.completion / 2


MACHINE = Machine()
MODELS = {  # Llama 3.2 1B, Llama 2 7B and 70B
    "1B": Model(1.24e9, 16, 2048, 512, 1, 1),
    "7B": Model(6.74e9, 32, 4096, 4096, 1, 1),
    "70B": Model(69e9, 80, 8192, 1024, 8, 8),
}
DISPATCH = 10e-6  # seconds of a sum over the GPUs of a searcher, twice per layer and token


def forward_flops(model, work):
    """Of one token: products with the weights, and attention over the mean context."""
    return 2 * model.parameters + 4 * model.layers * model.width * work.context()


def backward_seconds(model, machine, work, trainers):
    gpus = trainers * model.trainer_gpus
    return 2 * forward_flops(model, work) * work.batch * work.tokens() / (gpus * machine.flops * machine.training)


def all_reduce_seconds(model, machine, trainers):
    """Of a float32 gradient: within each node over NVLink, then each GPU its share over its own port."""
    own = 4 * model.parameters / model.trainer_gpus
    here = min(trainers, machine.node // model.trainer_gpus)
    nodes = math.ceil(trainers / here)
    within = 2 * (here - 1) / here * own / (machine.nvlink * machine.moving)
    across = 2 * (nodes - 1) / nodes * own / here / (machine.network * machine.moving)
    return within + across


def update_seconds(model, machine, work, trainers):
    """The sum hides behind the backward pass as far as that lasts; Adam reads and writes 28 bytes per parameter."""
    backward = backward_seconds(model, machine, work, trainers)
    shown = max(all_reduce_seconds(model, machine, trainers) - backward, 0)
    adam = 28 * model.parameters / model.trainer_gpus / trainers / machine.bandwidth / machine.decoding
    return 1.5 * backward + shown + adam


def trainer_memory(model, trainers):
    """bfloat16 weights and float32 gradient on every trainer; float32 weights and moments shared out over all."""
    return (6 + 12 / trainers) * model.parameters / model.trainer_gpus


def cache_bytes(model, work):
    """Keys and values of one completion at its end, bfloat16."""
    return 4 * model.layers * model.cache_width * (work.prompt + work.completion)


def completions_that_fit(model, machine, work):
    """Beside policy and reference in bfloat16, with a tenth of the memory left over."""
    room = 0.9 * machine.memory * model.searcher_gpus - 4 * model.parameters
    return int(room / cache_bytes(model, work))


def sample_seconds(model, machine, work, at_once):
    """A searcher's batch: every token reads the weights and the caches so far or is held up by its products; then
    the reference scores it.  Prompts are read once per group, by each of the two."""
    gpus = model.searcher_gpus
    cache = cache_bytes(model, work) * work.context() / (work.prompt + work.completion)
    reading = (2 * model.parameters + at_once * cache) / (gpus * machine.bandwidth * machine.decoding)
    products = at_once * forward_flops(model, work) / (gpus * machine.flops * machine.training)
    dispatch = 2 * model.layers * DISPATCH if gpus > 1 else 0
    scored = at_once * (work.completion + 2 * work.prompt / work.group)
    scoring = scored * forward_flops(model, work) / (gpus * machine.flops * machine.training)
    return work.completion * (max(reading, products) + dispatch) + scoring


def pull_seconds(model, machine):
    """bfloat16 weights through one port."""
    return 2 * model.parameters / (machine.network * machine.moving)


def load_seconds(model, machine):
    """From host memory to the GPUs of a rank, or back, each over its own link."""
    return 2 * model.parameters / model.searcher_gpus / (machine.host * machine.moving)


def at_most(model, machine, work):
    """Completions that a searcher decodes at once where nothing asks for fewer."""
    return min(work.at_once, completions_that_fit(model, machine, work))


def trainer_seconds(model, machine, work):
    """Of one update: GPU-seconds of the trainers, sums left out."""
    return 1.5 * backward_seconds(model, machine, work, 1) * model.trainer_gpus


def searcher_seconds(model, machine, work):
    """Of one update: GPU-seconds of the searchers, pulls left out."""
    at_once = at_most(model, machine, work)
    return sample_seconds(model, machine, work, at_once) * work.batch / at_once * model.searcher_gpus


def trainers_that_hide(model, machine, work):
    """Most trainers whose sum is over when the backward pass is."""
    most = work.batch // work.group
    return next((trainers - 1 for trainers in range(2, most + 1) if all_reduce_seconds(model, machine, trainers) >
                 backward_seconds(model, machine, work, trainers)), most)


COSTS = [  # name, value(model, machine, work)
    ("parameters", lambda m, _, w: m.parameters),
    ("training, flops", lambda m, _, w: 3 * forward_flops(m, w) * w.batch * w.tokens()),
    ("sampling and reference, flops", lambda m, _, w: forward_flops(m, w) * w.batch *
     (2 * w.completion + 2 * w.prompt / w.group)),
    ("gradient to sum, float32, bytes per trainer", lambda m, _, w: 4 * m.parameters),
    ("weights to pull, bfloat16, bytes per searcher", lambda m, _, w: 2 * m.parameters),
    ("records, bytes of all", lambda m, _, w: w.batch * (64 + 8 + 8 + 4 * w.completion)),
    ("key and value cache, bytes per completion", lambda m, _, w: cache_bytes(m, w)),
    ("completions that a searcher decodes at once", lambda m, k, w: at_most(m, k, w)),
    ("its batch, s", lambda m, k, w: sample_seconds(m, k, w, at_most(m, k, w))),
    ("trainers, GPU-seconds", trainer_seconds),
    ("searchers, GPU-seconds", searcher_seconds),
    ("searchers per trainer", lambda m, k, w: searcher_seconds(m, k, w) / m.searcher_gpus /
     (trainer_seconds(m, k, w) / m.trainer_gpus)),
    ("pull through one port with nobody in the way, s", lambda m, k, _: pull_seconds(m, k)),
    ("updates/s that one port's pulls allow", lambda m, k, w: at_most(m, k, w) / pull_seconds(m, k) / w.batch),
    ("sum over 64 trainers, s", lambda m, k, _: all_reduce_seconds(m, k, 64)),
    ("trainers whose sum hides behind the backward pass, at most", trainers_that_hide),
]


@dataclasses.dataclass
class Plan:
    trainers: int
    searchers: int
    at_once: int
    sample: float   # seconds of a batch
    fetch: float    # seconds of a pull with nobody in its way
    pulls: float    # at once at full speed
    update: float
    publish: float
    rate: float     # updates/s
    limit: str


def plan(model, machine, work, gpus, sources, sharing):
    """The split that makes the most updates per second with the fewest GPUs, or None where nothing fits."""
    best = None
    for trainers in range(1, min(gpus // model.trainer_gpus, work.batch // work.group) + 1):
        most = (gpus - trainers * model.trainer_gpus) // model.searcher_gpus
        if trainer_memory(model, trainers) > 0.9 * machine.memory:
            continue
        for searchers in sizes(most):
            candidate = plan_of(model, machine, work, trainers, searchers, sources, sharing)
            if best is None or candidate.rate > best.rate * 1.001:
                best = candidate
    return best


def sizes(most):
    """Numbers up to `most`, about a twentieth apart, ascending."""
    found = []
    while most >= 1:
        found.append(most)
        most = min(most - 1, int(most * 0.95))
    return reversed(found)


def plan_of(model, machine, work, trainers, searchers, sources, sharing):
    """In flight are searchers x at_once completions: by Little's law they are that / batch updates old when drawn."""
    most = at_most(model, machine, work)
    fresh = int(work.staleness * work.batch / searchers)
    at_once = max(1, min(most, fresh))
    load, pull = load_seconds(model, machine), pull_seconds(model, machine)
    pulls = sources * min(sharing, machine.node // model.searcher_gpus)
    sample = sample_seconds(model, machine, work, at_once) + load
    update = update_seconds(model, machine, work, trainers)
    rates = {
        "training": 1 / (update + load),
        "sampling": searchers * at_once / (sample + pull) / work.batch,
        "pulls": pulls / pull * at_once / work.batch,
    }
    limit = min(rates, key=rates.get)
    name = limit
    if limit == "training" and trainers == work.batch // work.group:
        name = "groups"
    if limit == "sampling" and at_once == fresh < most:
        name = "staleness"
    if limit == "training" and all_reduce_seconds(model, machine, trainers) > \
            backward_seconds(model, machine, work, trainers):
        name = "all-reduce"
    return Plan(trainers, searchers, at_once, sample, pull, pulls, update, load, rates[limit], name)
