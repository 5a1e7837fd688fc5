#!/usr/bin/env python3
"""The installed program alone: what the build (or a .deb) installs goes into an empty root, the source tree is hidden, and
every command of the README runs from / and does what its golden test says: the same exit code, and the same output where the
command names no path.

  installed.py BUILD_FOLDER [--package FILE.deb]

Paths of tests/ and configs/ in a command lead to copies. Hiding the source tree takes a mount namespace; where the system
allows none, the test says so and goes on.
"""
import argparse
import concurrent.futures
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(root / "tests/cli"))
faults = []


def fault(what, text=""):
    faults.append(what)
    print(f"{what}\n{text}".rstrip())


def install(options, target):
    if options.package:
        subprocess.run(["dpkg", "-x", options.package, target], check=True)
        return
    done = subprocess.run(["cmake", "--install", options.build, "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(target)},
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cmake --install failed:\n{done.stdout}{done.stderr}")


def copies(scratch):
    """What the README's commands name by path, and their golden outputs."""
    for folder in ("tests/cli/data", "configs/plans", "configs/models", "configs/clusters", "configs/profiles", "configs/measurements", "tests/cli/golden"):
        shutil.copytree(root / folder, scratch / folder)
    shutil.copy(root / "README.md", scratch)
    for script in ("cli/run_golden.py", "package/installed.py"):
        (scratch / "tests" / script).parent.mkdir(exist_ok=True)
        shutil.copy(root / "tests" / script, scratch / "tests" / script)


def hidden_prefix(scratch):
    """What a command begins with to run where the source tree is an empty folder."""
    for namespace in (["unshare", "-m"], ["unshare", "-rm"]):
        prefix = namespace + ["sh", "-c", f'mount -t tmpfs none "{root}" && cd / && exec "$@"', "sh"]
        if shutil.which("unshare") and subprocess.run(prefix + ["true"], capture_output=True).returncode == 0:
            return prefix
    print("this system allows no mount namespace: the source tree is not hidden")
    return []


def expected_outputs(scratch):
    pages = {}
    for path in (scratch / "tests/cli/golden").glob("*.txt"):
        first, _, text = path.read_text().partition("\n")
        pages[first.removeprefix("$ ")] = text
    return pages


def check_commands(golden, program, scratch):
    """From inside: every README command."""
    expected = expected_outputs(scratch)

    def one(command):
        absolute = re.sub(r"(?<![\w/.-])(tests|configs)/", lambda found: f"{scratch}/{found[1]}/", command)
        shown = golden.run(str(program), absolute, "/").replace(f"{scratch}/", "")
        return shown.replace(f"{program.parent.parent}/share/hourglass/configs", "configs")

    commands = golden.readme_commands()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for command, actual in zip(commands, pool.map(one, commands)):
            wanted = golden.scrub(expected[command])
            if re.search(r"\b(tests|configs)/", command):
                codes = [re.search(r"\[exit \d+\]\n\Z", text) for text in (wanted, actual)]
                same = (codes[0] and codes[0][0]) == (codes[1] and codes[1][0])
            else:
                same = actual == wanted
            if not same:
                fault(f"installed: {command}", "".join(difflib.unified_diff(wanted.splitlines(True), actual.splitlines(True), "golden", "installed")))
    print(f"{len(commands)} README commands from /")


def check_others(program, scratch):
    """From inside: a binary copied alone, the environment, the files beside the program."""
    def run(arguments, **environment):
        return subprocess.run([str(each) for each in arguments], cwd="/", capture_output=True, text=True, env={**os.environ, **environment})

    alone = scratch / "alone"
    shutil.copy(program, alone)
    for arguments in (["model", "deepseek-v3"], ["topology"], ["import", "kineto", scratch / "tests/cli/data/trace.json"], ["run", "1f1b", "--ranks", "2", "--micro-batches", "2"]):
        done = run([alone, *arguments])
        if done.returncode:
            fault(f"a copied binary: {arguments}", done.stderr)
    if "built-in:/models/deepseek-v3.json" not in run([alone, "model", "deepseek-v3", "--format", "json"]).stdout:
        fault("a copied binary does not read what is built in")
    shipped = program.parent.parent / "share/hourglass/configs"
    if str(shipped / "models/deepseek-v3.json") not in run([program, "model", "deepseek-v3", "--format", "json"]).stdout:
        fault("the installed program does not read what is installed beside it")
    own = scratch / "own/clusters"
    own.mkdir(parents=True)
    shutil.copy(scratch / "configs/clusters/h100.json", own / "mine.json")
    done = run([program, "plan", "deepseek-v3", "--set", "plan.cluster=mine"], HOURGLASS_CONFIGS=str(own.parent))
    if done.returncode:
        fault("a cluster of HOURGLASS_CONFIGS", done.stderr)
    plan = (scratch / "configs/plans/deepseek-v3.json").read_text().replace("../models/deepseek-v3.json", "deepseek-v3").replace("../clusters/h800.json", "h800")
    done = subprocess.run([program, "simulate", "/dev/stdin"], input=plan, cwd="/", capture_output=True, text=True)
    if done.returncode:
        fault("a plan with names from a pipe", done.stderr)
    for arguments, code, words, environment in (
            (["plan", "deepseek-v3"], 1, "HOURGLASS_CONFIGS=/nowhere: is no folder", {"HOURGLASS_CONFIGS": "/nowhere"}),
            (["numerics"], 2, "HOURGLASS_CPU=v5: is no level", {"HOURGLASS_CPU": "v5"}), (["completion", "fish"], 2, "unknown shell", {})):
        done = run([program, *arguments], **environment)
        if done.returncode != code or words not in done.stderr or len(done.stderr.splitlines()) != 1 or done.stdout:
            fault(f"bad input: {arguments} {environment}", done.stdout + done.stderr)
    share = program.parent.parent / "share"
    manual = (share / "man/man1/hourglass.1").read_text()
    for words in (".SS plan", ".SS schedule synthesize", "\\-\\-tune\\-overlap", "HOURGLASS_CONFIGS"):
        if words not in manual:
            fault(f"the manual page lacks {words}")
    for file in ("doc/hourglass/LICENSE", "doc/hourglass/licences/d3.LICENSE", "zsh/site-functions/_hourglass"):
        if not (share / file).exists():
            fault(f"not installed: {file}")
    complete = share / "bash-completion/completions/hourglass"
    for line, wanted in (("hourglass simul", "simulate"), ("hourglass plan deeps", "deepseek-v3"), ("hourglass plan x --form", "--format"),
                         ("hourglass plan x --format mark", "markdown"), ("hourglass topology --cluster h2", "h200"), ("hourglass run dualpipe", "dualpipe dualpipev"),
                         ("hourglass schedule synthesize --memory", "--memory-cap")):
        words = line.split(" ")
        script = f'. {complete}; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _hourglass; echo "${{COMPREPLY[*]}}"'
        done = run(["bash", "-c", script])
        if done.stdout.strip() != wanted or done.stderr:
            fault(f"completion of '{line}': {done.stdout}{done.stderr}")


def check_levels(program, scratch, golden):
    """Every level of the processor that was built gives the same bits of FP8."""
    text = golden.scrub(expected_outputs(scratch)["hourglass numerics"])
    built = ["baseline"] + [each for each in ("v3", "v4") if (program.parent.parent / f"lib/hourglass/hourglass-x86-64-{each}").exists()]
    for level in built:
        os.environ["HOURGLASS_CPU"] = level
        actual = golden.run(str(program), "hourglass numerics", "/")
        if "no such instructions" in actual:
            print(f"this processor does not know {level}")
        elif actual != text:
            fault(f"numerics at level {level}", actual)
    del os.environ["HOURGLASS_CPU"]
    print(f"levels: {', '.join(built)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--package")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        import run_golden as golden
        program, scratch = map(pathlib.Path, options.inside)
        check_commands(golden, program, scratch)
        check_others(program, scratch)
        check_levels(program, scratch, golden)
        return 1 if faults else 0
    with tempfile.TemporaryDirectory(prefix="hourglass-package-") as folder:
        scratch, target = pathlib.Path(folder) / "copies", pathlib.Path(folder) / "root"
        scratch.mkdir()
        copies(scratch)
        install(options, target)
        inside = [sys.executable, scratch / "tests/package/installed.py", options.build, "--inside", target / "usr/bin/hourglass", scratch]
        return subprocess.run(hidden_prefix(scratch) + [str(each) for each in inside]).returncode


sys.exit(main())
