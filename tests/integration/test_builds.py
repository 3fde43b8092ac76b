#!/usr/bin/env python3
"""An image whose programs are of two builds, which may have two layouts of the memory that they share:
each says so and ends."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import instance

SAID = "it is of another build than the holdfast that started it"


def of_another_build(program):
    """The program, with another number for its build wherever it has it."""
    with open(f"{harness.ROOT}/build/gen/lib/build.h", encoding="utf-8") as f:
        number = int(re.search(r"0x([0-9a-f]{8})", f.read())[1], 16)
    with open(f"{harness.BIN}/{program}", "rb") as f:
        content = f.read()
    found = number.to_bytes(4, sys.byteorder)
    assert found in content, program
    return content.replace(found, (number ^ 1).to_bytes(4, sys.byteorder))


class Builds(instance.Case):
    def start_with(self, program):
        folder = f"{self.dir}/root/usr/lib/holdfast"
        os.makedirs(folder)
        with open(f"{folder}/{program}", "wb") as f:
            f.write(of_another_build(program))
        os.chmod(f"{folder}/{program}", 0o755)
        return self.instance({"a.service": "[Service]\nExecStart=/usr/bin/service a\n"}, ["a.service"],
                             rung=instance.EVERYTHING, health=True)

    def test_boot_ends_at_once(self):
        run = self.start_with("holdfast-boot")
        run.wait_for(SAID)
        self.assertEqual(run.wait(), 70)

    def test_the_supervisor_ends_the_instance(self):
        run = self.start_with("holdfast-supervisor")
        run.wait_for(SAID)
        self.assertEqual(run.wait(), 70)

    def test_log_ends_the_instance(self):
        """What it writes is read by nobody."""
        run = self.start_with("holdfast-log")
        run.wait_for("holdfast-log cannot be kept alive: it died 5 times in 10 s, at last with status 78")
        self.assertEqual(run.wait(), 70)

    def test_without_health_the_instance_goes_on(self):
        run = self.start_with("holdfast-health")
        run.wait_for(SAID)
        run.wait_running()
        self.assertEqual(run.stop(), 0)


if __name__ == "__main__":
    harness.main()
