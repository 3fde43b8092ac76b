#!/usr/bin/env python3
"""The fleet simulation: that its parts do what they say, and that docs/fleet.md and holdfast's own numbers
are those that it was made with."""
import dataclasses
import math
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "fleet"),
                os.path.join(ROOT, "tests", "bench")]
import fleet  # noqa: E402
import harness  # noqa: E402
import measured  # noqa: E402
import scenarios  # noqa: E402
import shipped  # noqa: E402
from simulator import Bucket, Durations, Policy, Quota, Scenario, batches, least, simulate  # noqa: E402


def small(policy=shipped.SHIPPED, n_secrets=10, rate=40, **more):
    return Scenario(batches(n_secrets, 10), Quota(rate, rate), policy=policy, n_instances=200, **more)


class Parts(unittest.TestCase):
    def test_a_bucket_holds_its_burst_and_fills_at_its_rate(self):
        bucket = Bucket(Quota(10, 5))
        self.assertTrue(bucket.has(0, 5))
        bucket.take(5)
        self.assertFalse(bucket.has(0, 1))
        self.assertAlmostEqual(bucket.next(0, 3), 0.3)
        self.assertTrue(bucket.has(0.1, 1))
        self.assertFalse(bucket.has(100, 6))

    def test_calls_of_ten(self):
        self.assertEqual(batches(25, 10).decrypts, (10, 10, 5))
        self.assertEqual(batches(3, 1).decrypts, (1, 1, 1))

    def test_the_same_seed_is_the_same_fleet(self):
        self.assertEqual(simulate(small(seed=3)), simulate(small(seed=3)))
        self.assertNotEqual(simulate(small(seed=3)).waits, simulate(small(seed=4)).waits)

    def test_without_a_quota_everybody_takes_what_the_calls_take(self):
        scenario = small(n_secrets=100, rate=math.inf, durations=Durations(0.03, 0.01, 0.01))
        result = simulate(scenario)
        self.assertEqual(result.wasted_each, 0)
        # Ten calls over four connections: three turns, and a handshake.
        self.assertAlmostEqual(result.waits[0], 0.07, places=6)
        self.assertAlmostEqual(result.waits[-1], 0.07, places=6)

    def test_pages_follow_one_another(self):
        work = batches(100, 10, is_sequential=True)
        result = simulate(Scenario(work, Quota(math.inf, math.inf), n_instances=1))
        self.assertAlmostEqual(result.waits[0], 0.03 + 0.01 + 10 * 0.01, places=6)

    def test_kms_throttles_behind_the_service(self):
        # Five decryptions a second, ten for each call: nobody is served, whatever the calls' quota.
        result = simulate(Scenario(batches(10, 10), Quota(100, 100), Quota(5, 5), n_instances=2, horizon=60))
        self.assertEqual(len(result.ready), 0)
        self.assertGreater(result.n_throttled, 0)

    def test_nobody_beats_the_least(self):
        for policy in (shipped.SHIPPED, Policy(), Policy(jitter="none")):
            scenario = small(policy, 30, rate=4)
            result, bound = simulate(scenario), least(scenario)
            self.assertGreaterEqual(result.all_ready, bound.all_ready)
            self.assertGreater(result.n_throttled, 0)

    def test_a_run_that_ends_early_loses_what_it_has(self):
        scenario = small(Policy(run_deadline=5), 30, rate=4, horizon=600)
        self.assertGreater(simulate(scenario).n_lost, 0)

    def test_a_smaller_fleet_with_a_smaller_quota_is_the_same(self):
        scenario = Scenario(batches(10, 10), Quota(40, 40), policy=shipped.SHIPPED, n_instances=4000)
        whole, tenth = simulate(scenario), simulate(scenario.scaled(0.1))
        self.assertAlmostEqual(whole.all_ready / tenth.all_ready, 1, delta=0.1)
        self.assertAlmostEqual(whole.wasted_each / tenth.wasted_each, 1, delta=0.15)


    def test_a_batch_with_another_way_takes_it_at_once(self):
        """Two batches a second, and single calls without an end: nobody waits for the batches."""
        scenario = Scenario(batches(30, 20), Quota(2, 2), policy=shipped.SHIPPED, n_instances=20, boot=1.0,
                            singles=Quota(1000, 1000))
        result = simulate(scenario)
        self.assertLess(result.all_ready, 2)
        self.assertEqual(result.n_lost, 0)
        self.assertLessEqual(result.n_throttled, 40, "each batch once")
        self.assertGreater(result.n_throttled, 30)
        self.assertGreater(simulate(dataclasses.replace(scenario, singles=None)).all_ready, 15)
        self.assertLessEqual(least(scenario).all_ready, result.all_ready)

    def test_what_was_measured_is_what_is_simulated(self):
        for name in ("start", "handshake", "call", "end"):
            self.assertGreater(getattr(measured.MEASURED, name), 0)
        self.assertGreater(measured.MEASURED.call, 0.008, "what the service takes is in it")
        for table in scenarios.TABLES.values():
            self.assertTrue(all(scenario.durations is measured.MEASURED for _, scenario, _ in table.values()))
        with open(fleet.DOCUMENT, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(measured.DATE, text)
        self.assertIn(f"{measured.MEASURED.call * 1000:.1f} ms", text)


class Shipped(unittest.TestCase):
    def test_the_numbers_are_in_the_sources(self):
        self.assertEqual(shipped.SHIPPED.connections, 4)
        self.assertEqual(shipped.NAMES_PER_CALL, 10)
        with self.assertRaises(ValueError):
            shipped.constant("secrets/pace.h", "PACE_OF_NOTHING")

    def test_the_document_is_what_the_simulation_says(self):
        with open(fleet.DOCUMENT, encoding="utf-8") as f:
            text = f.read()
        for table, key in (("how", "names-1"), ("tier", "asm-one")):
            line, _, _ = fleet.row(*scenarios.TABLES[table][key])
            self.assertIn(line, text, "run python3 tests/bench/fleet.py --write")

    def test_it_comes_near_to_the_least(self):
        _, scenario, _ = scenarios.HOW["names-30"]
        scenario = scenario.scaled(0.05)
        self.assertLess(simulate(scenario).all_ready / least(scenario).all_ready, 1.1)


if __name__ == "__main__":
    harness.main()
