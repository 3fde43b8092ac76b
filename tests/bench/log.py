#!/usr/bin/env python3
"""holdfast-log's throughput beside cat's: the same bytes from a pipe to a pipe that is read to its
end. Prints MB of input a second, CPU seconds a GB, and both as ratios to cat; then the same with 10
and 1000 secrets to look for, none of which is in the lines, as ratios to none.
"""
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import logbed

TOTAL = 256 << 20
PLAIN = b"2026-01-01 12:00:00 INFO  handled GET /api/orders/12345 in 12.3 ms with status 200 for client 10\n"
STRUCTURED = b'{"level":"info","msg":"handled","method":"GET","path":"/api/orders/12345","status":200,"ms":12.3}\n'
ESCAPED = b'{"level":"info","msg":"said \\"handled\\"","path":"\\/api\\/orders","trace":"a\\n\\tb\\n\\tc"}\n'


def write_chunks(fd, line, total):
    chunk = line * (65536 // len(line))
    for _ in range(total // len(chunk)):
        data = chunk
        while data:
            data = data[os.write(fd, data):]


def drain(fd, until):
    """Reads until the needle came; how many bytes that were."""
    total, last = 0, b""
    while True:
        data = os.read(fd, 1 << 20)
        total += len(data)
        if until in last + data or not data:
            return total
        last = data[-len(until):]


def cpu_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(write_fd, read_fd, pid, line):
    start = time.monotonic()
    writer = threading.Thread(target=lambda: (write_chunks(write_fd, line, TOTAL),
                                              os.write(write_fd, b"the end\n")))
    writer.start()
    total = drain(read_fd, b"the end")
    seconds = time.monotonic() - start
    writer.join()
    return TOTAL / seconds / 1e6, cpu_of(pid) * 1e9 / TOTAL, total


def measure_cat(line):
    (from_read, from_write), (to_read, to_write) = os.pipe(), os.pipe()
    cat = subprocess.Popen(["cat"], stdin=from_read, stdout=to_write)
    os.close(from_read)
    result = measure(from_write, to_read, cat.pid, line)
    for fd in (from_write, to_read, to_write):
        os.close(fd)
    cat.wait()
    return result


def measure_log(line, log_format, n_secrets=0):
    with tempfile.TemporaryDirectory() as directory:
        bed = logbed.Bed(directory, log_format=log_format, ring_bytes=8 << 20, n_secrets=n_secrets)
        bed.start()
        result = measure(bed.unit(0), bed.output_read, bed.log.pid, line)
        dropped = bed.emission()["n_dropped"]
        bed.close()
        return result, dropped


def main():
    print(f"{'':28}{'MB/s':>8}{'CPU s/GB':>10}{'x cat':>8}{'CPU x':>8}  out MB  dropped")
    for name, line in (("plain lines", PLAIN), ("JSON lines", STRUCTURED)):
        speed, cpu, total = base = measure_cat(line)
        print(f"{'cat, ' + name:28}{speed:8.0f}{cpu:10.2f}{1:8.2f}{1:8.1f}{total / 1e6:8.0f}")
        for log_format in ("json", "plain", "raw"):
            (speed, cpu, total), dropped = measure_log(line, log_format)
            print(f"{log_format + ', ' + name:28}{speed:8.0f}{cpu:10.2f}{speed / base[0]:8.2f}"
                  f"{cpu / max(base[1], 0.01):8.1f}{total / 1e6:8.0f}{dropped:9}")
    print(f"\n{'':28}{'MB/s':>8}{'CPU s/GB':>10}{'x none':>8}{'CPU x':>8}")
    for name, line in (("plain lines", PLAIN), ("JSON lines", STRUCTURED), ("escaped JSON", ESCAPED)):
        base = None
        for n_secrets in (0, 10, 1000):
            # In turns with others on the machine: the best of three.
            (speed, cpu, _), _ = max(measure_log(line, "json", n_secrets) for _ in range(3))
            base = base or (speed, cpu)
            label = f"{n_secrets} secrets, {name}"
            print(f"{label:28}{speed:8.0f}{cpu:10.2f}{speed / base[0]:8.2f}{cpu / base[1]:8.2f}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"largest child: {peak} kB resident")


if __name__ == "__main__":
    main()
