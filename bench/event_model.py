"""A run as a discrete-event simulation: searchers, lanes, stores, limiter, weight board, trainers.

Ranks have one role each and work asynchronously (run.mode = async, bounded lanes).  What is simulated is what
src/run/searcher.cpp, src/run/trainer.cpp and src/learn/replay_index.cpp do, record by record; what a step costs comes
in as a fixed time.  Left out: rewards (softmax draws are uniform here), duplicates, evaluations of their own, row
writing, checkpoints.
"""
import bisect
import collections
import dataclasses
import itertools
import math
import random

from events import Clock, Shared, Signal


@dataclasses.dataclass
class Job:
    """The part of a deck that the simulation knows; records are trajectories."""
    trainers: int = 1
    searchers: int = 1
    updates: int = 100
    batch: int = 16              # records per update, over all trainers
    group: int = 1               # K
    publish_every: int = 1       # updates
    searcher_batch: int = 16     # records that a searcher samples at once
    samples_per_query: int = 1   # S
    keep_per_query: int = 0      # records of these; 0 = all
    queries: int = 1
    lane_records: int = 1000     # room of one lane
    store_records: int = 10**9   # of one store
    capacity_per_query: int = 0  # 0 = no bound
    recent_fraction: float = 1
    recent_window: int = 16      # updates
    minimum: int = 0
    samples_per_insert: float = 0
    maximum_staleness: int = 0


@dataclasses.dataclass
class Times:
    """Seconds of one step of one rank with nobody in its way."""
    sample: float = 0   # a searcher's batch, with all that surrounds it but the fetch
    fetch: float = 0    # newer weights from the board
    drain: float = 0    # a record from a lane into the store
    update: float = 0   # draw, score, differentiate, sum, step
    publish: float = 0  # trainer 0
    nap: float = 75e-6  # between two looks of a rank that has nothing to do: 20 us, and what Linux adds to a sleep


class Store:
    """What one trainer's index keeps of its records: version and query."""

    def __init__(self, job, share, chance):
        self.job, self.share, self.chance = job, share, chance  # share: records of an update that are drawn here
        self.versions = {}                # query -> its records' versions, ascending
        self.order = collections.deque()  # queries, in the order of their records
        self.arrived, self.drawn, self.demand, self.newest = 0, 0, 0, -1
        self.pending = ([], [])           # queries still to come in an epoch: recent ones, all
        self.place = ({}, {})             # in these

    def insert(self, query, version):
        job = self.job
        own = self.versions.setdefault(query, [])
        bisect.insort(own, version)
        if job.capacity_per_query and len(own) > job.capacity_per_query:
            own.pop(0)
        else:
            self.order.append(query)
            if len(self.order) > job.store_records:
                self.evict()
        for kind in (0, 1):
            self.join(kind, query)
        self.arrived += 1
        self.newest = max(self.newest, version)

    def evict(self):
        query = self.order.popleft()
        own = self.versions[query]
        own.pop(0)
        if not own:
            del self.versions[query]

    def can_draw(self, step):
        job = self.job
        self.demand = max(self.demand, self.share)
        if not self.versions or self.arrived < job.minimum:
            return False
        if job.samples_per_insert and self.drawn + self.share > job.samples_per_insert * self.arrived:
            return False
        return self.newest >= self.oldest_allowed(step)

    def has_room(self):
        job = self.job
        if not job.samples_per_insert or not self.versions:
            return True
        ahead = job.samples_per_insert * self.arrived - self.drawn
        return ahead < max(job.samples_per_insert * job.minimum, self.demand)

    def oldest_allowed(self, step):
        return step - self.job.maximum_staleness if self.job.maximum_staleness else -1

    def draw(self, step):
        """Versions of the records of one update."""
        job, allowed = self.job, self.oldest_allowed(step)
        oldest = (max(self.newest - job.recent_window, allowed), allowed)
        groups = collections.Counter()
        for _ in range(self.share // job.group):
            kind = 0 if self.chance.random() < job.recent_fraction else 1
            groups[self.next_query(kind, oldest[kind]), kind] += 1
        drawn = []
        for (query, kind), count in groups.items():
            own = self.versions[query]
            first = bisect.bisect_left(own, oldest[kind])
            rounds, rest = divmod(count * job.group, len(own) - first)
            drawn += own[first:] * rounds + self.chance.sample(own[first:], rest)
        self.drawn += len(drawn)
        return drawn

    def next_query(self, kind, oldest):
        pending = self.pending[kind]
        while True:
            if not pending:
                for query, own in self.versions.items():
                    if own[-1] >= oldest:
                        self.join(kind, query)
            place = self.chance.randrange(len(pending))
            if self.count(pending[place], oldest) == 0:
                self.cross_off(kind, pending[place])
                continue
            order = itertools.chain(range(place, len(pending)), range(place))
            place = next((at for at in order if self.count(pending[at], oldest) >= self.job.group), place)
            query = pending[place]
            for each in (0, 1):
                self.cross_off(each, query)
            return query

    def count(self, query, oldest):
        own = self.versions.get(query, ())
        return len(own) - bisect.bisect_left(own, oldest)

    def join(self, kind, query):
        if query not in self.place[kind]:
            self.place[kind][query] = len(self.pending[kind])
            self.pending[kind].append(query)

    def cross_off(self, kind, query):
        pending, place = self.pending[kind], self.place[kind].pop(query, None)
        if place is not None:
            last = pending.pop()
            if place < len(pending):
                pending[place] = last
                self.place[kind][last] = place


class Simulation:
    """times: for the whole run, or a list of (update from which they hold, times).  pulls: transfers of weights at full
    speed at once.  staggered: searchers begin at a random point of a batch, as they would be after some time."""

    def __init__(self, job, times, pulls=math.inf, staggered=False, seed=1):
        self.job, self.staggered = job, staggered
        self.later = collections.deque(times if isinstance(times, list) else [(0, times)])
        _, self.times = self.later.popleft()
        self.clock = Clock()
        self.board = Shared(self.clock, pulls)
        self.chance = random.Random(seed)
        groups = job.batch // job.group
        shares = [(groups * (t + 1) // job.trainers - groups * t // job.trainers) * job.group
                  for t in range(job.trainers)]
        self.stores = [Store(job, share, self.chance) for share in shares]
        self.lanes = [[collections.deque() for _ in range(job.searchers)] for _ in range(job.trainers)]
        self.filled = [collections.deque() for _ in range(job.trainers)]  # searchers whose lane there is not empty
        self.arrival = Signal(self.clock, self.times.nap)
        self.room = [Signal(self.clock, self.times.nap) for _ in range(job.searchers)]
        self.version, self.step, self.batches, self.fetches = 0, 0, 0, 0
        self.searcher_idle, self.trainer_idle = 0.0, 0.0  # seconds so far, over all
        self.rows = []  # after each update: time, searcher_idle, trainer_idle, sum of staleness, records drawn

    def run(self):
        self.clock.start(self.train())
        for searcher in range(self.job.searchers):
            self.clock.start(self.search(searcher))
        self.clock.run(lambda: len(self.rows) >= self.job.updates)
        self.board.advance()
        return self

    def between(self, first, last):
        """What happened from update `first` to update `last`, as metrics.h5 has it."""
        a, b = self.rows[first - 1] if first else (0.0,) * 5, self.rows[last - 1]
        seconds, idle, waited, stale, drawn = (y - x for x, y in zip(a, b))
        return {"updates/s": (last - first) / seconds, "searcher idle": idle / seconds / self.job.searchers,
                "trainer idle": waited / seconds / self.job.trainers, "staleness": stale / drawn}

    def search(self, searcher):
        job, have, unit, outbox = self.job, -1, searcher, [[] for _ in range(self.job.trainers)]
        if self.staggered:
            yield self.clock.delay(self.chance.random() * self.times.sample)
        while True:
            if have < self.version:
                found = self.version
                yield self.board.use(self.times.fetch)
                have = found
                self.fetches += 1
            yield self.clock.delay(self.times.sample)
            self.batches += 1
            for _ in range(job.searcher_batch // job.samples_per_query):
                query = unit % job.queries
                for k in range(job.keep_per_query or job.samples_per_query):
                    owner = query if job.queries >= job.trainers else unit * job.samples_per_query + k
                    outbox[owner % job.trainers].append((query, have))
                unit += job.searchers
            since = self.clock.now
            while not self.send(searcher, outbox):
                yield self.room[searcher].wait
            self.searcher_idle += self.clock.now - since

    def send(self, searcher, outbox):
        """False where something is left for want of room."""
        sent, left = False, False
        for trainer, records in enumerate(outbox):
            lane = self.lanes[trainer][searcher]
            fit = self.job.lane_records - len(lane)
            if not lane and records:
                self.filled[trainer].append(searcher)
            lane.extend(records[:fit])
            sent = sent or bool(records[:fit])
            del records[:fit]
            left = left or bool(records)
        if sent:
            self.arrival.fire()
        return not left

    def train(self):
        job, stale, drawn, lacking = self.job, 0.0, 0, [False] * self.job.trainers
        while True:
            moved = max(self.drain(trainer, lacking[trainer]) for trainer in range(job.trainers))
            if moved:
                yield self.clock.delay(moved * self.times.drain)
            ready = [store.can_draw(self.step) for store in self.stores]
            lacking = [can and not all(ready) for can in ready]
            if not all(ready):
                since = self.clock.now
                if not moved:
                    yield self.arrival.wait
                self.trainer_idle += (self.clock.now - since) * job.trainers
                continue
            versions = [version for store in self.stores for version in store.draw(self.step)]
            yield self.clock.delay(self.times.update)
            stale += sum(self.step - version for version in versions)
            drawn += len(versions)
            self.step += 1
            if self.later and self.step >= self.later[0][0]:
                _, self.times = self.later.popleft()
            if self.step % job.publish_every == 0:
                yield self.clock.delay(self.times.publish)
                self.version = self.step
            self.rows.append((self.clock.now, self.searcher_idle, self.trainer_idle, stale, drawn))

    def drain(self, trainer, lacking):
        """Lanes in turn, a batch at a time; the number of records moved."""
        job, store, filled = self.job, self.stores[trainer], self.filled[trainer]
        moved = 0
        while filled and moved < 1024 and (lacking or store.has_room()):
            searcher = filled.popleft()
            lane = self.lanes[trainer][searcher]
            taken = min(len(lane), job.batch)
            for _ in range(taken):
                store.insert(*lane.popleft())
            moved += taken
            if lane:
                filled.append(searcher)
            self.room[searcher].fire()
        return moved
