#!/usr/bin/env python3
"""The simulation of bench/ against answers that can be worked out by hand."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import cost_model
from event_model import Job, Simulation, Times
from events import Clock, Shared


def run(job, **times):
    return Simulation(job, Times(nap=1e-6, **times)).run().between(job.updates // 2, job.updates)


class Sharing(unittest.TestCase):
    def ends(self, units, jobs):
        """When jobs (start, seconds) end that share so many units."""
        clock, ends = Clock(), {}
        shared = Shared(clock, units)
        for number, (start, seconds) in enumerate(jobs):
            clock.after(start, lambda n=number, s=seconds: shared.use(s)(lambda: ends.update({n: clock.now})))
        clock.run(lambda: False)
        return [round(ends[number], 9) for number in range(len(jobs))]

    def test_a_unit_each(self):
        self.assertEqual(self.ends(2, [(0, 1), (0, 3)]), [1, 3])

    def test_two_share_one(self):
        self.assertEqual(self.ends(1, [(0, 1), (0, 2)]), [2, 3])

    def test_one_comes_late(self):
        self.assertEqual(self.ends(1, [(0, 2), (1, 2)]), [3, 4])

    def test_three_on_two(self):
        self.assertEqual(self.ends(2, [(0, 1), (0, 1), (0, 1)]), [1.5, 1.5, 1.5])


class Pipeline(unittest.TestCase):
    def test_the_trainer_is_the_limit(self):
        found = run(Job(batch=16, updates=200, samples_per_insert=1, lane_records=16),
                    sample=0.1, update=1.0, publish=0.2, drain=0.01)
        self.assertAlmostEqual(found["updates/s"], 1 / (1.0 + 0.2 + 16 * 0.01), delta=1e-3)
        self.assertLess(found["trainer idle"], 1e-3)
        self.assertAlmostEqual(found["searcher idle"], 1 - 0.1 * found["updates/s"], delta=0.01)

    def test_the_searchers_are_the_limit(self):
        found = run(Job(searchers=3, batch=16, updates=300, samples_per_insert=1), sample=1.5, fetch=0.5, update=0.1)
        self.assertAlmostEqual(found["updates/s"], 3 / 2.0, delta=0.02)  # all three fetch for each batch
        self.assertLess(found["searcher idle"], 1e-3)
        self.assertAlmostEqual(found["trainer idle"], 1 - 0.1 * 1.5, delta=0.01)

    def test_each_record_drawn_twice(self):
        found = run(Job(batch=16, updates=300, samples_per_insert=2), sample=1.0, update=0.1)
        self.assertAlmostEqual(found["updates/s"], 2.0, delta=0.02)

    def test_staleness_is_what_is_in_flight(self):
        """Ten searchers with a batch each, one batch an update: Little's law, and the newest in the store is drawn."""
        job = Job(searchers=10, batch=16, updates=400, samples_per_insert=1, lane_records=16, store_records=16)
        found = Simulation(job, Times(sample=10.0, update=0.01, nap=1e-6), staggered=True).run().between(200, 400)
        self.assertAlmostEqual(found["updates/s"], 1.0, delta=0.02)
        self.assertAlmostEqual(found["staleness"], 9.5, delta=0.6)

    def test_weights_through_one_port(self):
        """Eight fetch together for eight seconds, then sample together for one."""
        job = Job(searchers=8, batch=16, updates=400, samples_per_insert=1, lane_records=16)
        simulation = Simulation(job, Times(sample=1.0, fetch=1.0, update=0.01, nap=1e-6), pulls=1).run()
        self.assertAlmostEqual(simulation.between(200, 400)["updates/s"], 8 / 9, delta=0.01)

    def test_trainers_share_an_update(self):
        found = run(Job(trainers=2, searchers=2, batch=16, updates=200, samples_per_insert=1, queries=4), sample=0.1,
                    update=1.0)
        self.assertAlmostEqual(found["updates/s"], 1.0, delta=0.01)


class Costs(unittest.TestCase):
    machine = cost_model.Machine(moving=1, training=1, decoding=1)
    model = cost_model.Model(1e9, 10, 1000, 100, 1, 1)

    def test_sum_within_a_node_and_across(self):
        within = 2 * 7 / 8 * 4e9 / 450e9
        self.assertAlmostEqual(cost_model.all_reduce_seconds(self.model, self.machine, 8), within)
        across = 2 * 1 / 2 * 4e9 / 8 / 50e9
        self.assertAlmostEqual(cost_model.all_reduce_seconds(self.model, self.machine, 16), within + across)
        self.assertEqual(cost_model.all_reduce_seconds(self.model, self.machine, 1), 0)

    def test_cache(self):
        work = cost_model.Work(prompt=100, completion=100)
        self.assertEqual(cost_model.cache_bytes(self.model, work), 2 * 2 * 10 * 100 * 200)  # k, v; 2 bytes

    def test_a_plan_keeps_within_its_gpus(self):
        for gpus in (8, 64, 512):
            for model in cost_model.MODELS.values():
                plan = cost_model.plan(model, cost_model.MACHINE, cost_model.Work(), gpus, 1, 1)
                if plan:
                    self.assertLessEqual(plan.trainers * model.trainer_gpus + plan.searchers * model.searcher_gpus,
                                         gpus)


if __name__ == "__main__":
    unittest.main()
