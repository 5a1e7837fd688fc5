#!/usr/bin/env python3
"""Runs every golden test: a file in golden/ whose first line is '$ hourglass ...' and whose rest is what that prints.

A last line '[exit N]' states an exit code other than 0; lines of stderr are marked '! '. With --update the files are
rewritten from what the program prints now, to be reviewed in the diff. Commands run in the root of the repository.
"""
import argparse
import concurrent.futures
import difflib
import os
import pathlib
import re
import shlex
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent


def scrub(text):
    """What changes from commit to commit and from version to version."""
    text = re.sub(r'"git_commit": "[^"]*"', '"git_commit": "..."', text)
    text = re.sub(r'"version": "[^"]*"', '"version": "..."', text)
    text = re.sub(r"\(version [^,]*, commit [\w.]+\)", "(version ..., commit ...)", text)
    text = re.sub(r"\Ahourglass \d[\w.]*\n\Z", "hourglass ...\n", text)
    return re.sub(r'"git_dirty": \w+', '"git_dirty": ...', text)


def run(program, command, folder=root):
    words = shlex.split(command)
    assert words[0] == "hourglass", command
    done = subprocess.run([program] + words[1:], cwd=folder, capture_output=True, text=True, timeout=600)
    text = scrub(done.stdout).replace(f'"{program}"', '"hourglass"')
    text += "".join(f"! {line}\n" for line in done.stderr.splitlines())
    return text + (f"[exit {done.returncode}]\n" if done.returncode else "")


def readme_commands():
    """Commands that the README shows in its code blocks."""
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", (root / "README.md").read_text(), re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    commands = [re.sub(r"^\$ ", "", line) for line in lines]
    commands = [re.sub(r"^(\./)?scripts/run ", "hourglass ", command) for command in commands]
    return [re.sub(r"\s+#.*", "", command) for command in commands if command.startswith("hourglass ")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    paths = sorted((here / "golden").glob("*.txt"))
    texts = [path.read_text().partition("\n") for path in paths]
    commands = [first.removeprefix("$ ") for first, _, _ in texts]
    faults, seen = 0, set(commands)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(lambda command: run(options.program, command), commands))
    for path, (first, _, expected), command, actual in zip(paths, texts, commands, outputs):
        if options.update:
            path.write_text(f"{first}\n{actual}")
        elif actual != scrub(expected):
            faults += 1
            sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), actual.splitlines(True), str(path), command))
    for command in readme_commands():
        if command not in seen:
            faults += 1
            print(f"the README shows '{command}', but no golden test runs it")
    print(f"{len(seen)} golden tests, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
