"""A Debian machine's tree with real services in it, made once below build/image/real and then only read.

fetch() extracts the packages (mmdebstrap; never installed, so nothing starts and no maintainer script
runs); make() turns them into the root of an image: it does what the packages' scripts would have
done there (accounts, owners, copied configuration files, a database cluster), adds the tests' own
configuration where a package ships none, and leaves every unit file as it came.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

import harness

BUILD = f"{harness.ROOT}/build/image/real"
PACKAGES = f"{BUILD}/packages"
TREE = f"{BUILD}/root"
SUITE = "bookworm"
UNITS = "/usr/lib/systemd/system"
INSIDE = f"{harness.ROOT}/tests/inside.py"
WANTED = ("base-files base-passwd bash coreutils dash dpkg perl sed nginx redis-server php8.2-fpm "
          "haproxy prometheus-node-exporter memcached mosquitto chrony postgresql-15 "
          "postgresql-common dbus cron nodejs").split()
# What adduser would have been asked for: name, uid, home.
ACCOUNTS = (("redis", 980, "/var/lib/redis"), ("haproxy", 981, "/var/lib/haproxy"),
            ("prometheus", 982, "/var/lib/prometheus"), ("memcache", 983, "/nonexistent"),
            ("mosquitto", 984, "/var/lib/mosquitto"), ("_chrony", 985, "/var/lib/chrony"),
            ("postgres", 986, "/var/lib/postgresql"), ("messagebus", 987, "/nonexistent"),
            ("node", 988, "/nonexistent"))
# Folders that the packages' scripts make, or give away: path, owner, group, mode.
FOLDERS = (("/var/lib/redis", "redis", "redis", 0o750), ("/var/log/redis", "redis", "adm", 0o2750),
           ("/var/lib/mosquitto", "mosquitto", "mosquitto", 0o755),
           ("/var/log/nginx", "root", "adm", 0o755), ("/var/lib/nginx", "root", "root", 0o755),
           ("/var/lib/haproxy", "root", "root", 0o755),
           ("/var/lib/postgresql", "postgres", "postgres", 0o755),
           ("/var/log/postgresql", "root", "postgres", 0o1775),
           ("/var/spool/cron/crontabs", "root", "root", 0o1730),
           ("/etc/holdfast/units", "root", "root", 0o755))
# Configuration files that those scripts copy into place.
COPIES = (("/usr/lib/php/8.2/php.ini-production", "/etc/php/8.2/fpm/php.ini"),
          ("/usr/share/memcached/memcached.conf.default", "/etc/memcached.conf"),
          ("/usr/share/chrony/chrony.conf", "/etc/chrony/chrony.conf"))
STRICT_FOLDER = "/etc/holdfast/strict"  # with UnitPath=: the strict sandbox for Debian's units
# What each needs then beside the three words: where it writes that it does not declare; no helper
# that is a shell script, and no wrapper that starts the server by one.
STRICT = {
    "nginx": "ReadWritePaths=/run\n",
    "php8.2-fpm": "ReadWritePaths=/run/php\nExecStartPost=\nExecStopPost=\n",
    "redis-server": "",
    "postgresql@15-main":
        "Type=notify\nUser=postgres\nPIDFile=\nRuntimeDirectory=postgresql\n"
        "ReadWritePaths=/var/lib/postgresql\nKillSignal=SIGINT\nKillMode=mixed\nExecStop=\n"
        "ExecStart=\nExecStart=/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main "
        "-c config_file=/etc/postgresql/15/main/postgresql.conf -c logging_collector=on "
        "-c log_directory=/var/log/postgresql -c log_filename=postgresql-15-main.log\n",
}
SLOW_BYTES = 48 << 10  # more than what nginx sends in its first second at 32k
# What a user of these packages writes into the image.
FILES = {
    "/etc/nginx/sites-enabled/default":
        "server {\n\tlisten 127.0.0.1:80;\n\troot /srv;\n"
        "\tlocation = /slow { limit_rate 32k; }\n"
        "\tlocation ~ \\.php$ { include fastcgi.conf; "
        "fastcgi_pass unix:/run/php/php8.2-fpm.sock; }\n}\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/srv/hello": "hello from nginx\n",
    "/srv/slow": "x" * SLOW_BYTES,
    "/srv/index.php": "<?php echo 'hello from ' . PHP_SAPI;\n",
    "/srv/server.js":
        "const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');\n"
        "const fs = require('fs'), crypto = require('crypto');\n"
        "if (!isMainThread) {\n"
        "  parentPort.postMessage(crypto.createHash('sha256').update(workerData).digest('hex'));\n"
        "  return;\n}\n"
        "// What a server does: threads, files, the pool, sockets, compiled code.\n"
        "const work = async () => {\n"
        "  const one = (data) => new Promise((done, failed) => new Worker(__filename, "
        "{ workerData: data }).on('message', done).on('error', failed));\n"
        "  const text = await fs.promises.readFile('/srv/hello');\n"
        "  const sums = await Promise.all([one(text), one(text), one(text)]);\n"
        "  const key = await new Promise((done, failed) => crypto.pbkdf2('a', 'b', 1000, 16, "
        "'sha256', (e, k) => e ? failed(e) : done(k)));\n"
        "  let hot = 0; for (let i = 0; i < 1e6; i++) hot = (hot + i * i) % 65521;\n"
        "  return JSON.stringify({ sums, key: key.toString('hex'), hot });\n};\n"
        "const server = require('http').createServer((q, r) => q.url === '/work'\n"
        "  ? work().then((t) => r.end(t), (e) => { r.statusCode = 500; r.end(String(e)); })\n"
        "  : r.end('hello from node\\n'));\n"
        "server.listen(3000, '127.0.0.1', () => console.log('listening'));\n"
        "process.on('SIGTERM', () => server.close(() => console.log('bye')));\n",
    "/etc/holdfast/units/node.service":
        "[Service]\nExecStart=/usr/bin/node /srv/server.js\nUser=node\nRestart=on-failure\n",
    "/etc/haproxy/haproxy.cfg.add":
        "frontend tests\n\tbind 127.0.0.1:8000\n\thttp-request return status 200 "
        "content-type text/plain string \"hello from haproxy\"\n",
    "/etc/default/prometheus-node-exporter":
        "# Words are split, quotes are kept together.\n"
        "ARGS=\"--web.listen-address=127.0.0.1:9100 \\\n"
        "  --no-collector.wifi --web.disable-exporter-metrics\"\n",
    # The clock is the machine's that runs the tests: it is not to be touched (-x).
    "/etc/default/chrony": "DAEMON_OPTS=\"-F 1 -x\"\n",
    "/etc/mosquitto/conf.d/tests.conf": "listener 1883 127.0.0.1\nallow_anonymous true\n",
    "/srv/work.php": "<?php $f = tempnam('/tmp', 'w'); file_put_contents($f, 'kept');\n"
                     "$s = stream_socket_client('tcp://127.0.0.1:6379'); fwrite($s, \"PING\\r\\n\");\n"
                     "echo hash('sha256', 'x'), ' ', file_get_contents($f), ' ', trim(fgets($s));\n",
    **{f"{STRICT_FOLDER}/{name}.service.d/strict.conf":
       f"[Service]\n{keys}[X-Holdfast]\nSandbox=strict\n" for name, keys in STRICT.items()},
}


def _inside(*argv):
    """Runs a program of the tree in it, as the step of an image's build would."""
    mount_point = f"{BUILD}/mount"
    os.makedirs(mount_point, exist_ok=True)
    done = subprocess.run([sys.executable, INSIDE, "--over", TREE, "--writable", "--runtime",
                           mount_point, "--", *argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False,
                          env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"}, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout.decode()}")


def _fetch():
    stamp, wanted = f"{BUILD}/packages.stamp", "\n".join([SUITE, *WANTED])
    if os.path.exists(stamp) and _read(stamp) == wanted:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    os.makedirs(BUILD, exist_ok=True)
    subprocess.run(["mmdebstrap", "--quiet", "--variant=extract",
                    "--include=" + ",".join(WANTED), SUITE, PACKAGES], check=True)
    _write(stamp, wanted)


def _read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def _write(path, text):
    """Never in place: files are shared with the extracted packages (hard links)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def _merge_usr():
    """/bin, /sbin, /lib are links into /usr, as on every Debian since bookworm."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"{TREE}/{name}"):
            continue
        subprocess.run(["cp", "-al", "--remove-destination", f"{TREE}/{name}", f"{TREE}/usr/"],
                       check=True)
        shutil.rmtree(f"{TREE}/{name}")
        os.symlink(f"usr/{name}", f"{TREE}/{name}")


def _make_accounts():
    for kind in ("passwd", "group"):
        entries = _read(f"{TREE}/usr/share/base-passwd/{kind}.master").splitlines()
        for name, number, home in ACCOUNTS:
            entries.append(f"{name}:x:{number}:{number}::{home}:/usr/sbin/nologin"
                           if kind == "passwd" else f"{name}:x:{number}:")
        _write(f"{TREE}/etc/{kind}", "\n".join([*entries, ""]).replace(":*:", ":x:"))


def _number(name, kind):
    for line in _read(f"{TREE}/etc/{kind}").splitlines():
        if line.split(":")[0] == name:
            return int(line.split(":")[2])
    raise KeyError(name)


def _make():
    shutil.rmtree(TREE, ignore_errors=True)
    subprocess.run(["cp", "-al", PACKAGES, TREE], check=True)
    _merge_usr()
    _make_accounts()
    for source, target in COPIES:
        _write(f"{TREE}{target}", _read(f"{TREE}{source}"))
    for path, text in FILES.items():
        if path.endswith(".add"):
            path = path.removesuffix(".add")
            text = _read(f"{TREE}{path}") + text
        _write(f"{TREE}{path}", text)
    _write(f"{TREE}/etc/redis/redis.conf", _read(f"{TREE}/etc/redis/redis.conf"))
    os.chmod(f"{TREE}/etc/redis/redis.conf", 0o644)
    for path, owner, group, mode in FOLDERS:
        os.makedirs(f"{TREE}{path}", exist_ok=True)
        os.chown(f"{TREE}{path}", _number(owner, "passwd"), _number(group, "group"))
        os.chmod(f"{TREE}{path}", mode)
    os.rmdir(f"{TREE}/var/run")
    os.symlink("/run", f"{TREE}/var/run")
    for program in harness.PROGRAMS:
        _write(f"{TREE}/usr/lib/holdfast/{program}", "")
    _write(f"{TREE}/etc/holdfast/holdfast.conf", "")
    _inside("/usr/bin/pg_createcluster", "15", "main")


def tree():
    """The path of the tree, made when it is not there as this file says."""
    os.makedirs(BUILD, exist_ok=True)
    with open(f"{BUILD}/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch()
        stamp, source = f"{BUILD}/root.stamp", hashlib.sha256(_read(__file__).encode()).hexdigest()
        if not os.path.exists(stamp) or _read(stamp) != source:
            _make()
            _write(stamp, source)
    return TREE
