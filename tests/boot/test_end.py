#!/usr/bin/env python3
"""How a machine ends: by whom it was asked, in which order, and whatever hangs."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu
from qemu import harness
import instance

POWER_OFF, RESTART, HALT = "reboot: Power down", "reboot: Restarting system", "reboot: System halted"
# PID 1 can be crashed there, and does not wait a quarter of an hour for boot.
CRASH_BIN = f"{harness.ROOT}/build/crash/bin"
MODULES = (*qemu.MODULES, "loop", "button", "softdog")


def make_image(folder):
    """An ext4 with another one in a file."""
    os.makedirs(f"{folder}/lower")
    for source, path, size in ((None, "lower/upper.img", "512k"), ("lower", "lower.img", "3m")):
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", f"{folder}/{path}", size,
                        *(["-d", f"{folder}/{source}"] if source else [])], check=True,
                       stdout=subprocess.DEVNULL)
    return f"{folder}/lower.img"


class Shared:
    """What all tests use and none changes: made once. A disk for each list of words is made where it
    is asked for."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-test-")
        self.image = make_image(f"{self.dir}/image")
        self.snapshot = qemu.Snapshot(self.dir, MODULES)


SHARED = []


def setUpModule():
    SHARED.append(Shared())


def tearDownModule():
    shutil.rmtree(SHARED.pop().dir)


class Case(qemu.Case):

    n_disks = 0

    def make_disk(self, words, conf="", service="", bin_dir=harness.BIN):
        """A root with one service that does these words, as root and in no sandbox."""
        self.n_disks += 1
        tree = f"{self.dir}/tree{self.n_disks}"
        os.makedirs(tree)
        root = instance.make_tree(tree, bin_dir, apps=("bootend",))
        os.makedirs(f"{root}/usr/share", exist_ok=True)
        shutil.copy(SHARED[0].image, f"{root}/usr/share")
        for path, text in (
                ("holdfast.conf", f"[Holdfast]\nUnits=app.service\nLogFormat=json\n{conf}\n[Health]\nListen=\n"),
                ("units/app.service", f"[Service]\nExecStart=/usr/bin/bootend {words}\n{service}\n"
                                      "[X-Holdfast]\nEssential=yes\nSandbox=none\n")):
            with open(f"{root}/etc/holdfast/{path}", "w", encoding="utf-8") as f:
                f.write(text)
        return qemu.Disk(f"{self.dir}/disk{self.n_disks}", root)

    def boot(self, words, conf="", service="", modules=None, bin_dir=harness.BIN):
        """modules: those alone are loaded."""
        disk = self.make_disk(words, conf, service, bin_dir)
        files = {"/modules": qemu.module_list(modules)} if modules else {}
        return self.restored(SHARED[0].snapshot, disk.path, disk.words(), files)

    def assert_end(self, machine, event, *said):
        """It ended with the word of the kernel, and holdfast had said why."""
        text = machine.wait_off()
        self.assertIn(event, text)
        for part in said:
            self.assertIn(part, text)
        self.assertNotIn("Kernel panic", text)
        self.assertNotIn("end-forced", text)
        return text


class Asked(Case):

    def test_signals_say_what_becomes_of_the_machine(self):
        for number, end, said in ((15, POWER_OFF, "the machine powers off"),
                                  (2, RESTART, "the machine restarts"),
                                  (38, POWER_OFF, "the machine powers off"),
                                  (39, RESTART, "the machine restarts")):
            with self.subTest(number):
                self.assert_end(self.boot(f"signal {number} wait"), end, said, "stopping: ")

    def test_halt(self):
        machine = self.boot("signal 37 wait")
        machine.wait_for(HALT, qemu.DEADLINE)
        self.assertIn("the machine halts", machine.text)


class FileSystems(Case):

    def test_what_lies_on_another_goes_first(self):
        text = self.assert_end(self.boot("stack signal 15 wait"), POWER_OFF, '"event":"detached"')
        self.assertIn('"loops":2,"mapped":1', text)
        for left in ("mount-left", "device-left", "hangs"):
            self.assertNotIn(left, text)

    def test_a_disk_that_takes_nothing_any_more_keeps_nobody(self):
        text = self.assert_end(self.boot("stack freeze signal 39 wait"), RESTART, "sync-hangs",
                               "detach-hangs", "mount-left", '"event":"detached"')
        self.assertNotIn("end-deadline", text)

    def test_swap_is_turned_off_before_what_it_lies_on(self):
        text = self.assert_end(self.boot("stack swap signal 15 wait"), POWER_OFF,
                               '"swaps":1,"loops":2,"mapped":1')
        for left in ("mount-left", "device-left", "hangs"):
            self.assertNotIn(left, text)


class Deadline(Case):
    """What hangs keeps nobody: not a driver, not PID 1 itself."""

    def test_a_root_disk_that_answers_no_more_and_its_driver(self):
        """What was not in memory stays on it; who asks the driver waits for ever, reboot(2) too."""
        machine = self.boot("deaf drop say waiting unbind-root", "StopTimeoutSec=6s", "TimeoutStopSec=1s")
        machine.wait_for('"msg":"waiting"', qemu.DEADLINE)
        machine.stall(0)
        machine.wait_for('"msg":"stuck"', qemu.DEADLINE)
        machine.ask("system_powerdown")
        text = machine.wait_off()
        for part in ("the machine powers off", '"event":"end-forced"', "sysrq: Resetting"):
            self.assertIn(part, text)
        for part in ("end-deadline", POWER_OFF, RESTART, "Kernel panic"):
            self.assertNotIn(part, text)

    def test_a_frozen_init_does_not_keep_the_machine(self):
        # Without a watchdog, which would be faster.
        machine = self.boot("freeze-init-late signal 39 wait", service="KillMode=process",
                            modules=qemu.MODULES, bin_dir=CRASH_BIN)
        text = self.assert_end(machine, RESTART, "and the machine restarts without it")
        self.assertEqual([e["by"] for e in machine.events("end-deadline")], ["holdfast"])
        self.assertNotIn('"event":"machine-ends"', text)


class PowerButton(Case):
    """How a hypervisor asks for a stop."""

    def test_it_powers_off_in_order(self):
        machine = self.boot("say waiting wait")
        machine.wait_for('"msg":"waiting"', qemu.DEADLINE)
        machine.ask("system_powerdown")
        text = self.assert_end(machine, POWER_OFF, '"event":"power-button"', "app.service is down",
                               "the machine powers off")
        self.assertIn("power-button: powers the machine off", text)
        self.assertNotIn('"type":"dump"', text)

    def test_what_it_finds_deaf_is_in_a_dump(self):
        machine = self.boot("deaf say waiting wait", "StopTimeoutSec=6s", "TimeoutStopSec=1s")
        machine.wait_for('"msg":"waiting"', qemu.DEADLINE)
        machine.ask("system_powerdown")
        self.assert_end(machine, POWER_OFF, '"event":"power-button"', '{"type":"dump"', '"type":"end"')

    def test_without_the_module_its_absence_is_said(self):
        machine = self.boot("exit 0", modules=qemu.MODULES)
        self.assert_end(machine, POWER_OFF, "power-button: not heard; the kernel's module",
                        "watchdog: none; nothing resets a machine that hangs")


class Watchdog(Case):
    """softdog: the kernel's own, which needs no hardware."""
    CONF = "RuntimeWatchdogSec=9s"

    def test_a_frozen_init_is_reset(self):
        machine = self.boot("say waiting freeze-init wait", self.CONF)
        text = machine.wait_off()
        self.assertIn("watchdog: 9 s, Software Watchdog", text)
        self.assertIn("softdog: Initiating system reboot", text)

    def test_a_supervisor_that_hangs_is_replaced_and_the_machine_goes_on(self):
        # Longer than the timeout: the successor answers, and the watchdog is fed again.
        machine = self.boot("stop-supervisor sleep 12 signal 39 wait", self.CONF)
        text = self.assert_end(machine, RESTART, "does not answer the watchdog's question",
                               "holdfast-supervisor has died with 9")
        self.assertNotIn("softdog: Init", text)

    def test_an_end_that_stands_still_is_reset_too(self):
        machine = self.boot("freeze-init-late signal 39 wait", self.CONF, "KillMode=process")
        text = machine.wait_off()
        self.assertIn("everything is down", text)
        self.assertIn("softdog: Initiating system reboot", text)
        self.assertNotIn("end-deadline", text)


class Failed(Case):
    """A digest on the console, and then what FailedBoot= says."""

    def assert_digest(self, machine, *types):
        lines = [json.loads(line) for line in machine.text.splitlines() if line.startswith('{"type":')]
        self.assertEqual([line["type"] for line in lines[:2]], ["dump", "cause"])
        self.assertEqual(lines[-1]["type"], "end")
        self.assertEqual((lines[-1]["lines"], lines[-1]["left_out"]), (len(lines), 0))
        self.assertLess(sum(len(json.dumps(line)) for line in lines), 48 << 10)
        for kind in types:
            self.assertIn(kind, [line["type"] for line in lines])
        return lines

    def test_an_essential_unit_that_fails_for_good(self):
        machine = self.boot("say broken exit 3")
        self.assert_end(machine, POWER_OFF, "powers off: FailedBoot=slot, and there is no other slot")
        lines = self.assert_digest(machine, "image", "unit", "log", "event", "kernel")
        self.assertIn("app.service ended the instance", lines[1]["msg"])
        self.assertIn("broken", [line.get("msg") for line in lines if line["type"] == "log"])

    def test_a_boot_that_is_refused(self):
        machine = self.boot("wait", "FailedBoot=reboot", "User=nobody-there")
        self.assert_end(machine, RESTART, "the machine restarts: FailedBoot=reboot")
        lines = self.assert_digest(machine, "kernel")
        self.assertIn("nobody-there", lines[1]["msg"])

    def test_a_boot_that_does_not_end(self):
        """An interface that never comes is waited for longer than this flavour waits for boot."""
        machine = self.boot("wait", "FailedBoot=reboot\n[Network]\nAddress=eth7 192.0.2.1/24",
                            bin_dir=CRASH_BIN)
        self.assert_end(machine, RESTART, '"event":"boot-timeout"', "the machine restarts: FailedBoot=reboot")
        lines = self.assert_digest(machine, "kernel")
        self.assertIn("holdfast-boot did not finish in 5 seconds", lines[1]["msg"])

    def test_a_unit_that_succeeds_is_no_failure(self):
        machine = self.boot("exit 0", "FailedBoot=reboot")
        self.assertNotIn('{"type":"dump"', self.assert_end(machine, POWER_OFF, "the machine powers off"))


class Crash(Case):

    def test_the_last_line_of_init_and_then_the_panic(self):
        machine = self.boot("say waiting crash-init wait", bin_dir=CRASH_BIN)
        text = machine.wait_off()
        event = machine.events("panic")[0]
        self.assertEqual((event["by"], event["signal"]), ("holdfast", "BUS"))
        self.assertIn("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007", text)

    def test_after_the_restart_the_next_boot_tells_of_it(self):
        """ramoops: a piece of memory that the kernel leaves alone and the machine's reset, too."""
        disk = self.make_disk("say waiting crash-init wait", bin_dir=CRASH_BIN)
        initrd = f"{self.dir}/initrd"
        ramoops = ("ramoops mem_address=0xe000000 mem_size=0x100000 record_size=0x20000 "
                   "console_size=0 ftrace_size=0 pmsg_size=0")
        with open(initrd, "wb") as f:
            f.write(qemu.initramfs.build(qemu.kernel.find().modules, (*qemu.MODULES, ramoops),
                                         cmdline=disk.words()))
        machine = qemu.Machine(self._folder(), initrd, [disk.path], "memmap=1M$0xe000000",
                               more=("-action", "reboot=reset"))
        self.addCleanup(machine.close)
        machine.wait_for("the last boot of this machine ended by a panic: PID 1 crashed by BUS",
                         2 * qemu.DEADLINE)
        told = [e["msg"] for e in machine.events("previous-panic")]
        self.assertTrue(any("Attempted to kill init" in m for m in told), told)


if __name__ == "__main__":
    harness.main()
