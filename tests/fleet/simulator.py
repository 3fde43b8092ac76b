"""A fleet that boots against an account's quotas, event by event.

Each instance is what holdfast is: a supervisor that starts a helper, and a helper that makes its calls
over few connections, waits when it is throttled, and gives up at a deadline of which the supervisor
makes a retry. The service is token buckets: a call that finds too little in one of its buckets is
throttled, takes nothing, and says so after a round trip.

All of it follows from the scenario and its seed; nothing looks at a clock.
"""
import dataclasses
import heapq
import math
import random


@dataclasses.dataclass(frozen=True)
class Quota:
    """A token bucket: rate a second, and burst of them at most at once."""
    rate: float
    burst: float


@dataclasses.dataclass(frozen=True)
class Policy:
    """How one instance asks. Seconds."""
    connections: int = 4
    backoff_base: float = 1.0   # the wait after the first failure is below base, then twice that, …
    backoff_cap: float = 20.0
    cap_after: float = math.inf  # the same once something was answered: who has begun is to finish
    jitter: str = "full"        # "full": rand(0, wait); "none": wait
    is_paced: bool = False      # one backoff for the whole run, and one call at a time after it
    attempts_max: float = math.inf    # of one call in one run
    run_deadline: float = math.inf    # of one helper
    fetch_deadline: float = math.inf  # of all of them for one start of the unit
    retry_base: float = 1.0     # the supervisor's own backoff between helpers
    retry_cap: float = 20.0
    restart: float = 10.0       # after the fetch deadline: until somebody starts the unit again
    splay: float = 0.0          # before the first call: rand(0, splay)


@dataclasses.dataclass(frozen=True)
class Durations:
    """What things take where nobody is throttled. Seconds. tests/fleet/measured.py has those of the
    helper."""
    start: float = 0.03       # of the helper, to its first connection
    handshake: float = 0.01   # of a new connection, to its first request
    call: float = 0.01        # from one request to the next over a connection
    end: float = 0.0          # from the last answer to the helper's end: the values are there


@dataclasses.dataclass(frozen=True)
class Work:
    """What an instance has to ask: calls of so many decryptions each (0: nothing encrypted)."""
    decrypts: tuple
    is_sequential: bool = False  # each call needs the answer before it (pages)


def batches(n_secrets, size, is_sequential=False):
    """The calls for n_secrets encrypted parameters, at most size in one."""
    sizes = [min(size, n_secrets - first) for first in range(0, n_secrets, size)]
    return Work(tuple(sizes), is_sequential)


@dataclasses.dataclass(frozen=True)
class Scenario:
    work: Work
    calls: Quota                 # of the operation
    decrypts: Quota = Quota(math.inf, math.inf)
    singles: Quota = None        # a throttled call gives way to a call for each of its secrets, at once
    policy: Policy = Policy()
    durations: Durations = Durations()
    n_instances: int = 10_000
    boot: float = 60.0           # all boot within
    waves: int = 0               # 0: evenly at random; else in so many waves, each at once
    seed: int = 1
    horizon: float = 3600.0      # watched so long

    def boots(self, rng):
        if not self.waves:
            return [rng.uniform(0, self.boot) for _ in range(self.n_instances)]
        gap = self.boot / self.waves
        return [gap * (i % self.waves) for i in range(self.n_instances)]

    def scaled(self, factor):
        """The same at a fraction of its size: instances and quotas shrink together."""
        return dataclasses.replace(
            self, n_instances=max(1, round(self.n_instances * factor)),
            calls=Quota(self.calls.rate * factor, self.calls.burst * factor),
            decrypts=Quota(self.decrypts.rate * factor, self.decrypts.burst * factor),
            singles=self.singles and Quota(self.singles.rate * factor, self.singles.burst * factor))


@dataclasses.dataclass
class Result:
    n_instances: int
    waits: list        # sorted: of each instance that got there, from its boot to its secrets
    ready: list        # sorted: when, from the first boot
    n_throttled: int
    n_lost: int        # answers that were thrown away with a run that failed
    n_failed: int      # starts of a unit that came to the fetch deadline

    @property
    def all_ready(self):
        """From the first boot; infinity when the horizon came first."""
        return self.ready[-1] if len(self.ready) == self.n_instances else math.inf

    def quantile(self, q):
        rank = math.ceil(q * self.n_instances)
        return self.waits[rank - 1] if rank <= len(self.waits) else math.inf

    @property
    def wasted_each(self):
        return (self.n_throttled + self.n_lost) / self.n_instances


class Bucket:
    def __init__(self, quota):
        self.rate, self.burst = quota.rate, quota.burst
        self.level, self.at = quota.burst, 0.0

    def refill(self, now):
        if self.rate == math.inf:
            return
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now

    def has(self, now, count):
        self.refill(now)
        # What was computed from rates falls short by roundings alone.
        return self.level + 1e-9 >= count

    def take(self, count):
        self.level -= count

    def next(self, now, count):
        """The earliest time, not before now, at which it has count."""
        if self.has(now, count):
            return now
        return now + (count - self.level) / self.rate


class Service:
    def __init__(self, scenario):
        self.calls, self.decrypts = Bucket(scenario.calls), Bucket(scenario.decrypts)
        self.singles = scenario.singles and Bucket(scenario.singles)

    def call(self, now, n_decrypts, is_single):
        """Whether it is answered. KMS is asked behind the service, whose token is gone by then."""
        bucket = self.singles if is_single else self.calls
        if not bucket.has(now, 1):
            return False
        bucket.take(1)
        if not self.decrypts.has(now, n_decrypts):
            return False
        self.decrypts.take(n_decrypts)
        return True


class Instance:
    """The supervisor's side is fetch_*, the helper's run_*."""

    def __init__(self, sim, boot):
        self.sim, self.boot = sim, boot
        self.ready_at = None
        self.epoch = 0  # of the run: events of one that ended mean nothing

    # ---- the supervisor

    def fetch_begin(self, now):
        self.fetch_end = now + self.sim.policy.fetch_deadline
        self.fetch_tries = 0
        self.run_begin(now)

    def fetch_failed(self, now):
        policy = self.sim.policy
        self.fetch_tries += 1
        again = now + self.sim.draw(policy.retry_base, policy.retry_cap, self.fetch_tries)
        if again < self.fetch_end:
            self.sim.at(again, self.run_begin)
            return
        self.sim.n_failed += 1
        self.sim.at(now + policy.restart, self.fetch_begin)

    # ---- the helper

    def run_begin(self, now):
        policy, work = self.sim.policy, self.sim.scenario.work
        self.epoch += 1
        self.run_end = min(now + policy.run_deadline, self.fetch_end)
        self.todo = [(n_decrypts, 0, False) for n_decrypts in reversed(work.decrypts)]
        self.n_left = self.n_calls = len(work.decrypts)
        self.n_answered = self.n_flying = self.n_open = 0
        self.n_throttled = 0     # in a row, when the whole run has one backoff
        self.quiet_until = 0.0
        self.window = self.window_max = 1 if work.is_sequential else policy.connections
        self.sim.at(now + self.sim.durations.start, self.run_pump, self.epoch)

    def run_pump(self, now, epoch):
        if epoch != self.epoch or now < self.quiet_until:
            return
        while self.todo and self.n_flying < self.window:
            self.run_send(now, *self.todo.pop())

    def run_send(self, now, n_decrypts, tries, is_single):
        durations = self.sim.durations
        self.n_flying += 1
        if self.n_flying > self.n_open:
            self.n_open = self.n_flying
            now += durations.handshake
        self.sim.at(now + durations.call / 2, self.run_arrive, self.epoch, (n_decrypts, tries + 1, is_single))

    def run_arrive(self, now, epoch, call):
        """At the service; what follows happens when the answer is back."""
        if epoch != self.epoch:
            return  # its client is gone, and closed the connection
        n_decrypts, _, is_single = call
        is_answered = self.sim.service.call(now, n_decrypts, is_single)
        back = now + self.sim.durations.call / 2
        self.n_flying -= 1
        if is_answered:
            self.run_answered(back)
            return
        self.sim.n_throttled += 1
        if self.sim.service.singles and not is_single:
            self.run_gives_way(back, n_decrypts)
        elif self.sim.policy.is_paced:
            self.run_throttled_paced(back, call)
        else:
            self.run_throttled(back, call)

    def run_gives_way(self, now, n_decrypts):
        """A batch that has another way takes it at once (secrets/asm.c)."""
        self.n_left += n_decrypts - 1
        self.n_calls += n_decrypts - 1
        self.todo += [(1, 0, True)] * n_decrypts
        self.run_pump(now, self.epoch)

    def run_answered(self, now):
        self.n_answered += 1
        self.n_throttled = 0
        self.window = min(self.window_max, self.window + 1)
        self.run_ended(now)

    def run_wait(self, now, failures, tries):
        """When to try again, or None: there is no time left for it."""
        policy = self.sim.policy
        cap = policy.cap_after if self.n_answered else math.inf
        again = now + self.sim.draw(policy.backoff_base, min(policy.backoff_cap, cap), failures)
        return again if again < self.run_end and tries < policy.attempts_max else None

    def run_throttled(self, now, call):
        """Each call waits for itself; others use the connections meanwhile."""
        again = self.run_wait(now, call[1], call[1])
        if again is None:
            self.run_ended(now)
            return
        self.sim.at(again, self.run_due, self.epoch, call)
        self.run_pump(now, self.epoch)

    def run_due(self, now, epoch, call):
        if epoch == self.epoch:
            self.todo.append(call)
            self.run_pump(now, epoch)

    def run_throttled_paced(self, now, call):
        """All of the run waits, and comes back with one call. Those that were under way together with
        one that was throttled already say nothing new."""
        self.todo.append(call)
        if now <= self.quiet_until:
            return
        self.n_throttled += 1
        self.window = 1
        again = self.run_wait(now, self.n_throttled, call[1])
        if again is None:
            self.run_failed(now)
        else:
            self.quiet_until = again
            self.sim.at(again, self.run_pump, self.epoch)

    def run_ended(self, now):
        """One call more is answered or given up; the run goes on to the last."""
        self.n_left -= 1
        if self.n_left > 0:
            self.run_pump(now, self.epoch)
        elif self.n_answered < self.n_calls:
            self.run_failed(now)
        else:
            self.epoch += 1
            self.ready_at = now + self.sim.durations.end

    def run_failed(self, now):
        """All or nothing: what it has is lost."""
        self.sim.n_lost += self.n_answered
        self.epoch += 1
        self.sim.at(now, self.fetch_failed)


class Simulation:
    def __init__(self, scenario):
        self.scenario, self.policy, self.durations = scenario, scenario.policy, scenario.durations
        self.service = Service(scenario)
        self.rng = random.Random(scenario.seed)
        self.queue, self.n_events = [], 0
        self.n_throttled = self.n_lost = self.n_failed = 0

    def at(self, when, function, *args):
        # The number keeps equal times in the order in which they were asked for.
        self.n_events += 1
        heapq.heappush(self.queue, (when, self.n_events, function, args))

    def draw(self, base, cap, tries):
        """The wait after so many failures in a row."""
        wait = min(cap, base * 2.0 ** min(tries - 1, 30))
        return self.rng.uniform(0, wait) if self.policy.jitter == "full" else wait

    def run(self):
        instances = [Instance(self, boot) for boot in self.scenario.boots(self.rng)]
        for instance in instances:
            self.at(instance.boot + self.rng.uniform(0, self.policy.splay), instance.fetch_begin)
        while self.queue and self.queue[0][0] <= self.scenario.horizon:
            now, _, function, args = heapq.heappop(self.queue)
            function(now, *args)
        return result_of(instances, self)


def result_of(instances, sim):
    done = [i for i in instances if i.ready_at is not None]
    return Result(n_instances=len(instances), waits=sorted(i.ready_at - i.boot for i in done),
                  ready=sorted(i.ready_at for i in done), n_throttled=sim.n_throttled,
                  n_lost=sim.n_lost, n_failed=sim.n_failed)


def simulate(scenario):
    return Simulation(scenario).run()


def take_earliest(service, now, n_decrypts):
    """When one call for so many secrets is answered at best, in one piece or in single ones."""
    ways = [(service.calls.next(now, 1), service.calls, 1)]
    if service.singles:
        ways.append((service.singles.next(now, n_decrypts), service.singles, n_decrypts))
    now, bucket, n_tokens = min(ways, key=lambda way: way[0])
    now = service.decrypts.next(now, n_decrypts)
    bucket.refill(now)
    bucket.take(n_tokens)
    service.decrypts.take(n_decrypts)
    return now


def least(scenario):
    """What no client can beat: one queue that knows the buckets, serves whoever booted first to the
    end, and wastes no call."""
    service = Service(scenario)
    rng = random.Random(scenario.seed)
    durations = scenario.durations
    now, waits, ready = 0.0, [], []
    for boot in sorted(scenario.boots(rng)):
        now = max(now, boot + durations.start + durations.handshake)
        for n_decrypts in scenario.work.decrypts:
            now = take_earliest(service, now, n_decrypts)
        done = now + durations.call + durations.end
        waits.append(done - boot)
        ready.append(done)
    return Result(len(waits), sorted(waits), sorted(ready), 0, 0, 0)
