#!/usr/bin/env python3
"""The architecture and the style as tests. Each rule is a function that yields complaints."""
import concurrent.futures
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.chdir(ROOT)

# Which folders a folder may include from; lib/ includes nothing of ours but lib/.
MAY_INCLUDE = {
    "lib": {"lib", "gen/lib"},
    "units": {"lib", "units"},
    "init/pid1": {"lib", "init/pid1"},
    "init/boot": {"lib", "units", "init/boot"},
    "init/refuse": set(),
    "init/initramfs": {"lib", "init/initramfs"},
    "supervisor": {"lib", "supervisor", "gen/supervisor"},
    "log": {"lib", "log", "gen/log"},
    "network": {"lib", "network", "gen/network"},
    "health": {"lib", "health", "gen/health"},
    "gate": {"lib", "gate", "gen/gate"},
    "secrets": {"lib", "secrets", "gen/secrets"},
    "ctl": {"lib", "ctl"},
    "tools": {"lib", "units", "tools"},
}

# The shared libraries that each program may need: none in the image.
NEEDED = {
    "build/release/bin/holdfast": set(),
    "build/release/bin/holdfast-boot": set(),
    "build/release/bin/holdfast-supervisor": set(),
    "build/release/bin/holdfast-log": set(),
    "build/release/bin/holdfast-health": set(),
    "build/release/bin/holdfast-gate": set(),
    "build/release/bin/holdfast-secrets": set(),
    "build/release/bin/holdfastctl": set(),
    "build/release/bin/holdfast-lease": set(),
    "build/release/bin/holdfast-refuse": set(),
    "build/release/bin/holdfast-initramfs": set(),
    # Beside the image's, for units with secrets of a service: TLS, HTTP and JSON.
    "build/release/bin/holdfast-secrets-remote": {"libc.so.6", "libcurl.so.4", "libssl.so.3", "libcrypto.so.3",
                                              "libcjson.so.1"},
    "build/host/bin/holdfast-check": {"libc.so.6", "libarchive.so.13", "libcjson.so.1"},
    "build/host/bin/holdfast-explain": {"libc.so.6", "libcjson.so.1"},
}


def tracked(*suffixes):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True,
                         text=True, check=True).stdout.split("\n")
    return [f for f in out if f.endswith(suffixes) and os.path.exists(f)]


def sources():
    return [f for f in tracked(".c", ".h") if f.split("/")[0] in
            ("lib", "units", "init", "supervisor", "log", "health", "gate", "secrets", "ctl", "network", "tools")]


def rule_includes_point_down():
    for path in sources():
        folder = os.path.dirname(path)
        allowed = MAY_INCLUDE.get(folder)
        if allowed is None:
            yield f"{path}: {folder}/ is not in the table of folders"
            continue
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                found = re.match(r'#include "(.+)/[^/]+"', line)
                if found and found.group(1) not in allowed:
                    yield f"{path}:{n}: {folder}/ may not include from {found.group(1)}/"
                if re.match(r'#include "[^/]+"', line):
                    yield f"{path}:{n}: an include carries its folder"


def circles(graph):
    """The groups of two and more that can all be reached from each other (Tarjan's components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def rule_modules_form_no_circle():
    """A module is x.c with x.h: who includes whom, by either file, points one way."""
    if circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) != [["b", "c"]]:
        yield "tests/lint/run.py: circles() does not find one"
    graph = {}
    for path in sources():
        module = path[:-2]
        with open(path, encoding="utf-8") as f:
            included = set(re.findall(r'^#include "(.+)\.h"', f.read(), re.M)) - {module}
        graph.setdefault(module, set()).update(included)
    for group in circles(graph):
        steps = (f"{a} -> {', '.join(sorted(graph[a] & set(group)))}" for a in group)
        yield f"these include each other: {'; '.join(steps)}"


def rule_wall_clock_is_read_in_one_place():
    """What jumps (CLOCK_REALTIME) is for people to read: no deadline and no timer may stand on it."""
    for path in sources():
        if path == "lib/clock.c":
            continue
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                if re.search(r"\bCLOCK_(REALTIME|TAI)\w*|\bgettimeofday\(|\btime\(NULL\)|"
                             r"\bsem_timedwait\(|\bpthread_cond_timedwait\(", line):
                    yield f"{path}:{n}: the wall clock is lib/clock.c's alone"


def rule_own_header_first():
    for path in sources():
        if not path.endswith(".c") or not os.path.exists(path[:-2] + ".h"):
            continue
        with open(path, encoding="utf-8") as f:
            first = next((l for l in f if l.startswith("#include")), "")
        if first.strip() != f'#include "{path[:-2]}.h"':
            yield f"{path}: its own header comes first"


def rule_needed_libraries():
    for path, allowed in NEEDED.items():
        if not os.path.exists(path):
            yield f"{path}: not built"
            continue
        out = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", out))
        for extra in needed - allowed:
            yield f"{path}: needs {extra}, which its list does not have"


def rule_no_stray_marks():
    for path in tracked(".c", ".h", ".py", ".sh", "Makefile", ".md"):
        if path == "tests/lint/run.py":
            continue
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                    yield f"{path}:{n}: unfinished"
                if path.endswith((".c", ".h")) and line.rstrip("\n") != line.rstrip():
                    yield f"{path}:{n}: trailing white space"


def rule_functions_fit_a_screen():
    for path in sources():
        if not path.endswith(".c"):
            continue
        start = 0
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                if line.startswith("{"):
                    start = n
                if line.startswith("}") and start:
                    if n - start > 100:
                        yield f"{path}:{start}: a function of {n - start} lines"
                    start = 0


def run_on_sources(command, complaint):
    """Runs command on each source file, as many at once as there are processors."""
    def one(path):
        out = subprocess.run([*command(path)], capture_output=True, text=True, check=False)
        return [line.replace(ROOT + "/", "") for line in (out.stdout + out.stderr).splitlines()
                if complaint.search(line)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines in pool.map(one, [f for f in sources() if f.endswith(".c")]):
            yield from lines


def rule_sources_are_formatted():
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *tracked(".c", ".h")],
                          capture_output=True, text=True, check=False)
    files = {line.split(":")[0] for line in done.stderr.splitlines() if ": error:" in line}
    yield from (f"{path}: clang-format -i would change it" for path in sorted(files))
    if done.returncode and not files:
        yield done.stderr.strip()


def rule_clang_has_no_warning():
    out = subprocess.run(["make", "-s", "-k", "clang"], capture_output=True, text=True, check=False)
    if out.returncode:
        yield from (line for line in out.stderr.splitlines() if "error" in line)


def rule_clang_tidy_has_nothing_to_say():
    flags = ["-I.", "-Ibuild", "-D_GNU_SOURCE", "-std=gnu17", '-DHOLDFAST_VERSION="0"']
    yield from run_on_sources(lambda path: ["clang-tidy", "--quiet", path, "--", *flags],
                              re.compile(r": (error|warning): "))


def rule_cppcheck_has_nothing_to_say():
    folders = sorted({path.split("/")[0] for path in sources()})
    out = subprocess.run(["cppcheck", "--quiet", "--enable=warning,performance,portability",
                          "--inline-suppr", "--suppress=missingInclude", "-I.", "-Ibuild",
                          "--std=c11", "-D_GNU_SOURCE", *folders],
                         capture_output=True, text=True, check=False)
    yield from (line for line in out.stderr.splitlines()
                if re.search(r": (error|warning|performance|portability): ", line))


# Whose --help names options that which page has to have.
USAGES = {
    "build/release/bin/holdfast": "docs/man/holdfast.1",
    "build/release/bin/holdfastctl": "docs/man/holdfastctl.1",
    "build/host/bin/holdfast-check": "docs/man/holdfast-check.1",
}


def macro_arguments(path, *macros):
    """The words behind these macros of an mdoc page, wherever in a line they stand."""
    with open(path, encoding="utf-8") as f:
        text = f.read().replace("\\\n", "")
    words = set()
    for line in text.splitlines():
        if line.startswith("."):
            for part in re.split(r"(?:^\.|\s)(?=[A-Z][a-z]\s)", line):
                macro, _, rest = part.partition(" ")
                if macro.lstrip(".") in macros:
                    words.update(rest.split())
    return words


def rule_manuals_are_sound():
    for path in tracked(*(f".{n}" for n in range(1, 9))):
        out = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True,
                             text=True, check=False)
        yield from (out.stdout + out.stderr).splitlines()


def rule_manuals_have_every_option():
    for program, page in USAGES.items():
        out = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
        options = set(re.findall(r"(?<![\w-])-(-[a-z][a-z-]+|[a-z])(?![a-z])", out))
        if not options:
            yield f"{program} --help: no option found"
        for option in sorted(options - macro_arguments(page, "Fl")):
            yield f"{page}: lacks -{option}"


def rule_manuals_have_every_directive():
    """docs/directives.md is the table of units/schema.c: a test compares them."""
    page = "docs/man/holdfast.unit.5"
    words = macro_arguments(page, "Ic")
    with open("docs/directives.md", encoding="utf-8") as f:
        keys = re.findall(r"^\| [\w, -]+ \| (\w+)= \| (?:honoured|checked, never used) \|$", f.read(), re.M)
    if not keys:
        yield "docs/directives.md: no directive found"
    for key in keys:
        if not {key, re.sub("^(Condition|Assert)", "", key)} & words:
            yield f"{page}: lacks {key}="


def rule_manuals_have_every_key_and_variable():
    page = "docs/man/holdfast.conf.5"
    for source, pattern, macro in (
            ("units/conf.c", r'\{"(?:Holdfast|Health|Log)", "(\w+)", parse', "Ic"),
            ("units/conf_secrets.c", r'\{"([A-Z]\w+)", (?:"|NULL)', "Ic"),
            ("units/conf_network.c", r'\{"([A-Z]\w+)", apply_', "Ic"),
            ("init/boot/request.c", r'\{"(HOLDFAST_\w+)", "', "Ev")):
        with open(source, encoding="utf-8") as f:
            names = set(re.findall(pattern, f.read()))
        if not names:
            yield f"{source}: no name found"
        for name in sorted(names - macro_arguments(page, macro)):
            yield f"{page}: lacks {name}"


def rule_tests_that_a_document_names_are_there():
    """`file::test` in a row of a table."""
    for page in tracked(".md"):
        with open(page, encoding="utf-8") as f:
            rows = [line for line in f if line.startswith("|")]
        for file, test in sorted(set(re.findall(r"`(\w+)::(\w+)`", "".join(rows)))):
            places = (f"/{file}.py", f"/test_{file}.c", f"/test_secrets_{file}.c")
            texts = []
            for path in (p for p in tracked(*places) if p.startswith("tests/")):
                with open(path, encoding="utf-8") as f:
                    texts.append(f.read())
            if not any(re.search(rf"\b(test_)?{test}\(", text) for text in texts):
                yield f"{page}: {file}::{test} is no test"


def main():
    failed = 0
    rules = [(name, rule) for name, rule in sorted(globals().items()) if name.startswith("rule_")]
    for name, rule in rules:
        complaints = list(rule())
        for complaint in complaints:
            print(f"{name[5:]}: {complaint}")
        failed += bool(complaints)
    print(f"{len(rules) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
