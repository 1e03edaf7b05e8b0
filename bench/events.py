"""Discrete events: a clock, processes that wait, signals, resources that jobs share."""
import heapq
import math


class Clock:
    """Events in order of time."""

    def __init__(self):
        self.now, self.events, self.count = 0.0, [], 0

    def after(self, seconds, action):
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, action))

    def run(self, done):
        while self.events and not done():
            self.now, _, action = heapq.heappop(self.events)
            action()

    def start(self, process):
        """A process is a generator of waits: functions that take what to call when the wait is over."""
        def resume():
            wait = next(process, None)
            if wait:
                wait(resume)
        self.after(0, resume)

    def delay(self, seconds):
        return lambda resume: self.after(seconds, resume)


class Signal:
    """Wakes who waits, at the next look of a rank that looks every `nap` seconds."""

    def __init__(self, clock, nap):
        self.clock, self.nap, self.waiting = clock, nap, []

    def wait(self, resume):
        self.waiting.append((self.clock.now, resume))

    def fire(self):
        waiting, self.waiting = self.waiting, []
        for since, resume in waiting:
            waited = self.clock.now - since
            self.clock.after(max(math.floor(waited / self.nap) + 1, 1) * self.nap - waited, resume)


class Shared:
    """A resource of so many units (of transfers at full speed) that jobs of one unit each share evenly."""

    def __init__(self, clock, units):
        self.clock, self.units = clock, units
        self.progress, self.seen, self.turn, self.jobs, self.busy = 0.0, 0.0, 0, [], 0.0

    def use(self, seconds):
        def wait(resume):
            self.advance()
            self.turn += 1
            heapq.heappush(self.jobs, (self.progress + seconds, self.turn, resume))
            self.schedule()
        return wait

    def advance(self):
        passed = self.clock.now - self.seen
        self.busy += passed * min(len(self.jobs), self.units)
        self.progress += passed * self.rate()
        self.seen = self.clock.now

    def rate(self):
        return min(1.0, self.units / len(self.jobs)) if self.jobs else 0.0

    def schedule(self):
        self.turn += 1
        turn = self.turn

        def finish():
            if turn != self.turn:
                return  # the jobs have changed since
            self.advance()
            _, _, resume = heapq.heappop(self.jobs)
            self.schedule()
            resume()
        if self.jobs:
            self.clock.after(max(self.jobs[0][0] - self.progress, 0.0) / self.rate(), finish)
