#!/usr/bin/env python3
"""clang-tidy (.clang-tidy) on what has changed: tidy.py [--all] [--base COMMIT] [--most N]

Without --all it looks at the lines that differ from the commit where this branch left main, or from the commit before;
HOURGLASS_BASE names another. Of many changed files only the N most changed are looked at, and it says so; --all looks
at every line of every file, for an hour or so.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

from check_alone import files_of, flags, root


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def default_base():
    head = git("rev-parse", "HEAD")
    for main in ("origin/main", "main"):
        base = git("merge-base", "HEAD", main)
        if base and base != head:
            return base
    return git("rev-parse", "HEAD~1")


def changed_lines(base):
    """{source or header: [[first, last], ...]} of what differs from `base`."""
    lines, name = {}, None
    for line in git("diff", "-U0", "--diff-filter=d", base, "--", "*.cpp", "*.h").splitlines():
        if line.startswith("+++ b/"):
            name = line[6:]
        elif found := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(found[1]), int(found[2] or 1)
            if count:
                lines.setdefault(name, []).append([first, first + count - 1])
    return lines


def tidy(path, build, line_filter):
    command = ["clang-tidy", "--quiet", "--warnings-as-errors=*", str(path.relative_to(root))]
    if line_filter:
        command.append("--line-filter=" + line_filter)
    done = subprocess.run([*command, "--", *flags(build)], cwd=root, capture_output=True, text=True)
    return done.returncode, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--base", default=os.environ.get("HOURGLASS_BASE"))
    parser.add_argument("--most", type=int, default=24)
    parser.add_argument("--build", type=pathlib.Path, default=root / "build/release")
    options = parser.parse_args()
    paths, line_filter = files_of("*.cpp"), None
    if not options.all:
        base = options.base or default_base()
        if not base:
            print("skipped: there is no commit to compare with (a shallow clone?); name one in HOURGLASS_BASE")
            return 77
        lines = changed_lines(base)
        line_filter = json.dumps([{"name": name, "lines": ranges} for name, ranges in lines.items()])

        def changed(path):  # a header is seen through its source
            names = [str(path.relative_to(root)), str(path.relative_to(root).with_suffix(".h"))]
            return sum(last - first + 1 for name in names for first, last in lines.get(name, []))

        paths = sorted((path for path in paths if changed(path)), key=changed, reverse=True)
        if len(paths) > options.most:
            print(f"the {options.most} most changed of {len(paths)} changed files; all: .ci/run --tidy-all")
            paths = paths[:options.most]
    faults = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for code, text in pool.map(lambda path: tidy(path, options.build, line_filter), paths):
            faults += code != 0
            print(text, end="")
    print(f"clang-tidy: {len(paths)} files, {faults} with warnings")
    return 1 if faults else 0


sys.exit(main())
