#!/usr/bin/env python3
"""Checks that every header compiles alone, as the only include of a file: check_alone.py [BUILD]

With --sources every source too, without the batches and precompiled headers of the build, which hide a missing include,
and with assertions, as the debug preset has them. A header that a source includes before all else is seen with it.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
rooms = ["base", "model", "hardware", "schedules", "sim", "planner", "reports", "kernels", "cli"]


def flags(build):
    """What the build compiles a file with, but for code generation."""
    database = build / "compile_commands.json"
    compiled = database.read_text() if database.exists() else ""
    libraries = [word for folder in sorted(set(re.findall(r"-isystem (\S+)", compiled))) for word in ("-isystem", folder)]
    return ["-std=c++20", "-fopenmp", '-DHOURGLASS_SOURCE_DIR="."', "-I", str(root), "-I", str(build / "generated"), *libraries]


def files_of(pattern):
    """The product's files. What nvcc compiles, or needs its headers for, is only compiled by it."""
    return sorted(path for room in rooms for path in (root / room).rglob(pattern) if not {"cuda", "nccl"} & set(path.parts))


def first_include(source):
    found = re.search(r'^#include "([^"]+)"', source.read_text(), re.M)
    return root / found[1] if found and "#include <" not in source.read_text()[:found.start()] else None


def compile_alone(path, build):
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
    if path.suffix == ".cpp":
        return subprocess.run(["g++", *flags(build), *warnings, "-fsyntax-only", str(path)], capture_output=True, text=True)
    unit = build / "headers" / (str(path.relative_to(root)).replace("/", "_") + ".cpp")
    unit.parent.mkdir(parents=True, exist_ok=True)
    text = f'#include "{path.relative_to(root)}"\n'
    if not unit.exists() or unit.read_text() != text:
        unit.write_text(text)
    launcher = ["ccache"] if shutil.which("ccache") else []
    command = [*launcher, "g++", *flags(build), *warnings, "-c", str(unit), "-o", str(unit.with_suffix(".o"))]
    return subprocess.run(command, capture_output=True, text=True)


def main():
    sources = files_of("*.cpp") if "--sources" in sys.argv else []
    build = pathlib.Path(next((word for word in sys.argv[1:] if not word.startswith("--")), root / "build/release"))
    seen = {first_include(source) for source in sources}
    paths = sources + [header for header in files_of("*.h") if header not in seen]
    faults = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, done in zip(paths, pool.map(lambda path: compile_alone(path, build), paths)):
            if done.returncode != 0:
                print(f"{path.relative_to(root)} does not compile alone:\n{done.stderr}")
                faults += 1
    print(f"{len(paths)} files compiled alone, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
