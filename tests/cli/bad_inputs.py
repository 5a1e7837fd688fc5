#!/usr/bin/env python3
"""Every kind of bad input gives exactly one clear line on stderr, nothing on stdout, and exit code 1 or 2.

Each case is a command, the exit code, and words that the line must contain; PLAN, CLUSTER, PROFILE and MODEL in a command
are paths of copies of the shipped files, changed by `edit` first.
"""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
program = sys.argv[1]

# Cases run beside each other; what is wrong with each is printed at the end, in their order.
pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
cases = []
scratch = tempfile.TemporaryDirectory(prefix="hourglass-bad-")


def workspace():
    """A copy of configs/ to spoil."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch.name))
    for kind in ("models", "clusters", "profiles", "plans"):
        (folder / kind).mkdir()
        for path in (root / "configs" / kind).glob("*.json"):
            (folder / kind / path.name).write_bytes(path.read_bytes())
    return folder


def check(what, arguments, code, *words, edit=None):
    cases.append(pool.submit(fault_of, what, arguments, code, words, edit))


def fault_of(what, arguments, code, words, edit):
    """What is wrong with a case; None if nothing is."""
    folder = workspace()
    paths = {"PLAN": folder / "plans/deepseek-v3.json", "CLUSTER": folder / "clusters/h800.json",
             "PROFILE": folder / "profiles/h800.json", "MODEL": folder / "models/deepseek-v3.json", "FOLDER": folder, "ORDER": folder / "order.json"}
    if edit:
        edit(paths)
    command = [program] + [str(paths.get(word, word)) for word in arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, errors="replace")
    lines = done.stderr.splitlines()
    problems = []
    if done.returncode != code:
        problems.append(f"exit code {done.returncode}, not {code}")
    if len(lines) != 1 or not lines[0].startswith("error: "):
        problems.append(f"{len(lines)} lines on stderr: {done.stderr[:2000]}")
    if done.stdout:
        problems.append("something on stdout")
    problems += [f"'{word}' is not said" for word in words if word not in done.stderr]
    return f"{what}: {'; '.join(problems)}\n  {' '.join(command)}\n  {done.stderr.strip()[:500]}" if problems else None


def change(which, **values):
    def edit(paths):
        document = json.loads(paths[which].read_text())
        for key, value in values.items():
            document[key] = value
        paths[which].write_text(json.dumps(document))
    return edit


def remove(which, key):
    def edit(paths):
        document = json.loads(paths[which].read_text())
        del document[key]
        paths[which].write_text(json.dumps(document))
    return edit


def text(which, content):
    return lambda paths: paths[which].write_bytes(content if isinstance(content, bytes) else content.encode())


def replaced(which, old, new):
    return lambda paths: paths[which].write_text(paths[which].read_text().replace(old, new, 1))


plan = ["plan", "PLAN"]
simulate = ["simulate", "PLAN"]
shape = ["--ranks", "8", "--micro-batches", "32"]

# The command line.
check("no command", [], 2, "command")
check("unknown command", ["plam"], 2, "did you mean 'plan'")
check("unknown option", plan + ["--formt", "json"], 2, "--formt", "did you mean '--format'")
check("guessed option", plan + ["--form", "json"], 2, "--form")
check("a list that is drawn", ["schedule", "--list", "--format", "svg"], 2, "svg", "csv")
check("a solution that is drawn", plan + ["--solve", "gpus", "--max-days", "60", "--format", "svg"], 2, "svg", "csv")
check("samples in two formats", ["import", "deepgemm", str(root / "tests/cli/data/deepgemm.txt"), "--format", "csv", "-o", "FOLDER"], 2, "--format", "--output")
check("samples as text", ["import", "deepgemm", str(root / "tests/cli/data/deepgemm.txt"), "--format", "text"], 2, "text", "json")
check("unknown format", plan + ["--format", "jsn"], 2, "jsn", "did you mean 'json'")
check("missing argument", ["plan"], 2, "PLAN")
check("too many arguments", plan + ["another.json"], 2, "too many")
check("option without value", plan + ["--set"], 2, "--set")
check("override of nothing", plan + ["--set", "plam.gpus=4"], 2, "plam", "did you mean 'plan'")
check("override without value", plan + ["--set", "plan.gpus"], 2, "plan.gpus")
check("override of an unknown key", plan + ["--set", "plan.gpu=4"], 1, "gpu")
check("rank count as a word", ["schedule", "1f1b", "--ranks", "eight", "--micro-batches", "8"], 2, "eight")
check("missing shape", ["schedule", "1f1b", "--ranks", "8"], 2, "--micro-batches")
check("unknown schedule", ["schedule", "dualpip", "--ranks", "8", "--micro-batches", "16"], 1, "did you mean 'dualpipe'")
check("illegal shape", ["schedule", "dualpipe", "--ranks", "8", "--micro-batches", "13"], 1,
      "dualpipe needs an even number of micro-batches, at least 2p = 16; got 13")
check("negative ranks", ["schedule", "1f1b", "--ranks=-8", "--micro-batches", "8"], 1, "-8")
check("too many ranks", ["schedule", "1f1b", "--ranks", "100000", "--micro-batches", "8"], 1, "100000")
check("overflowing count", ["schedule", "1f1b", "--ranks", "99999999999999999999", "--micro-batches", "8"], 2, "99999999999999999999")
check("cost that is no number", ["compare"] + shape + ["--costs", "F=one"], 2, "one")
check("unknown cost", ["compare"] + shape + ["--costs", "G=1"], 2, "G")
check("negative cost", ["compare"] + shape + ["--costs", "F=-1"], 2, "-1")
check("cost given twice", ["compare"] + shape + ["--costs", "F=1,F=2"], 2, "twice")
check("infinite cost", ["compare"] + shape + ["--costs", "F=inf"], 2, "inf")
check("plan and abstract costs", ["compare", "PLAN", "--costs", "F=1"], 2, "--costs")
check("unknown schedule in a list", ["compare"] + shape + ["--schedules", "1f1b,zbh1"], 2, "zbh1", "zb-h1")
check("no schedule under the cap", ["compare"] + shape + ["--memory-cap", "0.1"], 1, "cap")
check("sequence length of zero", ["model", "MODEL", "--sequence-length", "0"], 2, "0")

check("unknown sweep", ["compare", "--ranks", "8", "--sweep", "micro_batch=8:16"], 2, "did you mean 'micro_batches'")
check("backward sweep", ["compare", "--ranks", "8", "--sweep", "micro_batches=16:8"], 2, "16")
check("sweep that nothing can run", ["compare", "--ranks", "7", "--sweep", "micro_batches=8:9", "--schedules", "dualpipe"], 1, "dualpipe")
check("cap that no order keeps", ["schedule", "synthesize"] + shape + ["--memory-cap", "0.1", "--rounds", "5"], 1, "cap")
check("cap that the schedule breaks", ["schedule", "gpipe"] + shape + ["--memory-cap", "8"], 1, "rank 0")
check("two directions for PyTorch", ["schedule", "dualpipe"] + shape + ["--format", "pytorch"], 1, "dualpipev")
check("absent schedule file", ["schedule", "--validate", "FOLDER/nowhere.csv"], 1, "nowhere.csv")
check("a folder as schedule", ["schedule", "--validate", "FOLDER"], 1, "file")
check("a plan as schedule", ["schedule", "--validate", "PLAN"], 1, "deepseek-v3.json")
check("an unknown cell", ["schedule", "--validate", "PLAN"], 1, "row 1 column 2", "0F0x", edit=text("PLAN", "0F0,0F0x\n"))
check("a stage on two ranks", ["schedule", "--validate", "PLAN"], 1, "stage 0", edit=text("PLAN", "0F0,0B0\n0F1,0B1\n"))
check("an order that deadlocks", ["schedule", "--validate", "PLAN"], 1, "waits", edit=text("PLAN", "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n"))
check("a schedule given twice", ["schedule", "1f1b", "--validate", "PLAN"], 2, "--validate")

calibrate = ["calibrate", "--cluster", "CLUSTER", "--base", "PROFILE"]
check("nothing to calibrate on", calibrate, 2, "samples")
check("no cluster to calibrate", ["calibrate", "PLAN"], 2, "--cluster")
check("a plan as samples", calibrate + ["PLAN"], 1, "deepseek-v3.json")
check("samples without a citation", calibrate + ["PLAN"], 1, "source",
      edit=text("PLAN", '{"schema": "1.0.0", "device": {"name": "H800 SXM5"}, "source": "", "samples": []}'))
check("no usable sample", calibrate + ["PLAN"], 1, "no sample",
      edit=text("PLAN", '{"schema": "1.0.0", "device": {"name": "H800 SXM5"}, "source": "me", "samples": []}'))
check("an output that cannot be written", calibrate + [str(root / "configs/measurements/h800_deepgemm.json"), "-o", "/nowhere/p.json"], 1, "/nowhere/p.json")

check("a folder without figures", ["validate", "--configs", "FOLDER"], 1, "zero_bubble_rates.json")
check("samples without a profile", ["validate", "--samples", "PLAN"], 2, "--profile")
check("a CSV of unknown columns", ["validate", "--samples", str(root / "tests/cli/data/gemm.csv"), "--profile", "PROFILE"], 1, "no known table")
check("a collective without its name", ["collective"], 2, "NAME")
check("an unknown collective", ["collective", "all-gatter", "--bytes", "1e9"], 2, "all-gather")
check("a collective without bytes", ["collective", "all-reduce", "--cluster", "CLUSTER"], 2, "--bytes")
check("a group larger than the cluster", ["collective", "moe-dispatch", "--ranks", "4096", "--cluster", "CLUSTER", "--experts", "4096"], 1, "2048")
check("ranks that do not divide the experts", ["collective", "moe-dispatch", "--ranks", "48", "--cluster", "CLUSTER"], 1, "experts")
check("a bandwidth of nothing", ["collective", "all-reduce", "--bytes", "1e9", "--cluster", "CLUSTER", "--set", "cluster.nic_GBps=0"], 1, "nic_GBps")
check("a part of the network that is not there", ["topology", "--cluster", "CLUSTER", "--fail", "plane99"], 1, "plane99")
check("a routing that names a missing expert", ["collective", "moe-dispatch", "--ranks", "2", "--cluster", "CLUSTER", "--loads", "PLAN"], 1,
      "rank 1", "expert 4", edit=text("PLAN", '{"experts": 4, "tokens": [[[0, 1]], [[0, 4]]]}'))
check("a routing of other ranks", ["collective", "moe-dispatch", "--ranks", "4", "--cluster", "CLUSTER", "--loads", "PLAN"], 1, "2 ranks",
      edit=text("PLAN", '{"experts": 4, "tokens": [[[0, 1]], [[0, 3]]]}'))
check("a network with no way left", ["collective", "all-to-all", "--bytes", "1e9", "--ranks", "16", "--cluster", "CLUSTER"]
      + [word for plane in range(8) for word in ("--fail", f"plane{plane}")], 1, "no way", "plane or rail")
check("loads of too few experts", ["simulate", "PLAN", "--set", 'plan.network={"expert_loads":[1,2]}'], 1, "256 experts")
check("loads and skew together", ["simulate", "PLAN", "--set", 'plan.network={"expert_loads":[1,2],"expert_skew":0.1}'], 1, "expert_skew")
check("a table as a drawing", ["topology", "--cluster", "CLUSTER", "--table", "--format", "dot"], 2, "--format")
check("a fabric too small", ["topology", "--cluster", "CLUSTER", "--set", "cluster.fabric.switch_ports=8"], 1, "switches")
check("a network that is not known", ["simulate", "PLAN", "--set", 'plan.network={"routing":"random"}'], 1, "ecmp")
check("a trace that cannot be written", ["simulate", "PLAN", "--trace", "/nowhere/t.json.gz"], 1, "/nowhere/t.json.gz")
check("a CSV that is not there", ["validate", "--samples", "none.csv", "--profile", "PROFILE"], 1, "none.csv")
check("an FP8 recipe that is not known", ["plan", "PLAN", "--set", "plan.precision=fp8_row"], 1, "fp8_tensor")
check("a plan to validate", ["validate", "--samples", "PLAN", "--cluster", "CLUSTER", "--profile", "PROFILE"], 1, "deepseek-v3.json")

check("unknown log format", ["import", "ncl-tests", "PLAN"], 2, "did you mean 'nccl-tests'")
check("a plan as a log", ["import", "nccl-tests", "PLAN", "--device", "H800 SXM5"], 1, "deepseek-v3.json")
check("a log without a measurement", ["import", "deepgemm", "PLAN", "--device", "H800 SXM5"], 1, edit=text("PLAN", "hello\n" * 1000))
flags = "--hidden-size 512 --num-attention-heads 8 --seq-length 512 --micro-batch-size 1 --global-batch-size 64 "
check("a whole input replaced", ["plan", "PLAN", "--set", "cluster=h800"], 2, "plan.cluster=")
check("a network of no experts", ["simulate", "PLAN", "--set", 'plan.network={"failed":["plane3"]}'], 1, "this model has none", edit=change("PLAN", model="../models/llama-3.1-405b.json", expert_parallel=1, mtp=False, layers_per_stage="balanced"))
check("more experts a token than there are", ["collective", "moe-dispatch", "--top-k", "300"], 2, "--top-k", "between 1 and 256")
check("a cap of nothing", ["schedule", "1f1b", "--ranks", "4", "--micro-batches", "8", "--memory-cap", "0"], 2, "--memory-cap")
check("a plan as a table", ["import", "megatron", "--num-layers 4", "--format", "csv"], 2, "--format")
check("a device that is full", ["plan", "PLAN", "--html", "/dev/full"], 1, "/dev/full", "cannot be written")
check("flags without a model", ["import", "megatron", flags, "--gpus", "8"], 1, "--num-layers", "is missing")
check("flags without GPUs", ["import", "megatron", flags + "--num-layers 4"], 1, "--gpus N")
check("a flag that is no count", ["import", "megatron", flags + "--num-layers four", "--gpus", "8"], 1, "--num-layers", "'four'")
check("a flag without its value", ["import", "megatron", flags + "--num-layers", "--gpus", "8"], 1, "--num-layers")
check("flags that do not divide", ["import", "megatron", flags + "--num-layers 4 --tensor-model-parallel-size 3", "--gpus", "8"], 1, "8 GPUs are not a multiple")
check("a pipeline of nothing", ["import", "megatron", flags + "--num-layers 4 --pipeline-model-parallel-size 0", "--gpus", "8"], 1, "1 x 0 x 1")
check("virtual stages that do not fit", ["import", "megatron", flags + "--num-layers 4 --pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 3", "--gpus", "8"], 1, "do not fill")
check("a script that is not there", ["import", "megatron", "FOLDER/run.sh", "--gpus", "8"], 1, "cannot be opened")
check("a script without flags", ["import", "megatron", "PLAN", "--gpus", "8"], 1, "holds no flags", edit=text("PLAN", "echo hello\n"))
check("flags for no cluster", ["import", "megatron", flags + "--num-layers 4", "--gpus", "8", "--cluster", "h900"], 1, "h900")
check("a log's option with flags", ["import", "megatron", flags + "--num-layers 4", "--gpus", "8", "--op", "gemm"], 2, "--op", "means nothing for megatron")
check("a csv without an operator", ["import", "csv", "PLAN", "--device", "H800 SXM5"], 2, edit=text("PLAN", "m,n,k,us\n1,2,3,4\n"))
check("an unreadable column map", ["import", "csv", "PLAN", "--map", "m"], 2, "m", edit=text("PLAN", "m,n,k,us\n1,2,3,4\n"))
check("a plan as a trace", ["import", "kineto", "PLAN"], 1, "deepseek-v3.json")
check("an absent trace", ["import", "kineto", "FOLDER/nowhere.json.gz"], 1, "nowhere")
check("a mapping that is none", ["import", "kineto", "PLAN", "--kernels", "PLAN"], 1, "deepseek-v3.json")
check("an absent log", ["import", "deepep", "FOLDER/nowhere"], 1, "nowhere")

check("search without a plan", ["search"], 2, "PLAN")
check("search under an unknown schedule", ["search", "PLAN", "--schedules", "dualpip"], 2, "did you mean 'dualpipe'")
check("headroom of everything", ["search", "PLAN", "--memory-headroom", "1"], 2, "--memory-headroom")
check("a batch of no number", ["search", "PLAN", "--global-batch", "many"], 2, "many")

check("a run without a schedule", ["run"], 2, "SCHEDULE")
check("a run of an unknown schedule", ["run", "dualpip"] + shape, 1, "did you mean 'dualpipe'")
check("a run without a shape", ["run", "1f1b", "--ranks", "2"], 2, "--micro-batches")
check("a run of a file with a shape", ["run", str(root / "tests/cli/data/dualpipev.csv"), "--ranks", "2"], 2, "--ranks")
check("a run of an absent file", ["run", "FOLDER/nowhere.csv"], 1, "nowhere.csv")
check("a run on an unknown backend", ["run", "1f1b", "--ranks", "2", "--micro-batches", "2", "--backend", "tpu"], 2, "tpu")
check("a run of an unknown attention", ["run", "1f1b", "--ranks", "2", "--micro-batches", "2", "--attention", "mha"], 2, "mla")
check("layers for other stages", ["run", "1f1b", "--ranks", "2", "--micro-batches", "2", "--layers", "1,2,3"], 2, "3 numbers for 2 stages")
check("layers that are no numbers", ["run", "1f1b", "--ranks", "2", "--micro-batches", "2", "--layers", "1,two"], 2, "two")
check("a run too large for this machine", ["run", "1f1b", "--ranks", "1000", "--micro-batches", "2"], 1, "1000 ranks")
check("a sequence of nothing", ["run", "1f1b", "--ranks", "2", "--micro-batches", "2", "--sequence-length", "0"], 2, "0")
check("a run of an order that deadlocks", ["run", str(root / "tests/cli/data/deadlock.csv")], 1, "rank 0 waits")
check("a deadlock found while running", ["run", str(root / "tests/cli/data/deadlock.csv"), "--unchecked"], 1, "rank 0 waits at BW0@0", "rank 1 waits at F1@1")
check("a trace of a run that cannot be written", ["run", "1f1b", "--ranks", "1", "--micro-batches", "1", "--trace", "/nowhere/t.json"], 1, "/nowhere/t.json")

# Files.
check("absent file", ["plan", "FOLDER/nowhere.json"], 1, "nowhere.json")
check("a folder", ["plan", "FOLDER"], 1, "folder")
check("an empty file", plan, 1, "deepseek-v3.json", edit=text("PLAN", ""))
check("not JSON", plan, 1, "deepseek-v3.json", edit=text("PLAN", "gpus: 2048"))
check("cut off", plan, 1, "deepseek-v3.json", edit=lambda p: p["PLAN"].write_text(p["PLAN"].read_text()[:300]))
check("binary", plan, 1, "deepseek-v3.json", edit=text("PLAN", bytes(range(256)) * 8))
check("10 MB", plan, 1, "MiB", edit=text("PLAN", "[" + "1," * 5_000_000 + "1]"))
check("deep nesting", plan, 1, "deep", edit=text("PLAN", "[" * 100_000))
check("a list, not an object", plan, 1, "deepseek-v3.json", edit=text("PLAN", "[1, 2]"))
check("duplicate key", plan, 1, "gpus", edit=replaced("PLAN", '"gpus": 2048', '"gpus": 2048, "gpus": 1024'))
check("a number too large for a double", plan, 1, edit=replaced("PLAN", '"gpus": 2048', '"gpus": 1e999'))
check("NaN", plan, 1, edit=replaced("PLAN", '"gpus": 2048', '"gpus": NaN'))

# Plans.
check("unknown key", plan, 1, "pipeline_paralel", "did you mean 'pipeline_parallel'", edit=change("PLAN", pipeline_paralel=16))
check("missing key", plan, 1, "gpus", edit=remove("PLAN", "gpus"))
check("several missing keys", plan, 1, "model, cluster, gpus, sequence_length, global_batch and precision are missing", edit=text("PLAN", '{"name": "a"}'))
check("help of no key", ["help", "plan.recompte"], 2, "there is no key", "did you mean 'plan.recompute'")
check("help of nothing near", ["help", "qwertyuiop"], 2, "there is no key", "hourglass help plan")
check("wrong type", plan, 1, "gpus", edit=change("PLAN", gpus="2048"))
check("negative", plan, 1, "gpus", edit=change("PLAN", gpus=-2048))
check("fractional", plan, 1, "gpus", edit=change("PLAN", gpus=2048.5))
check("too many GPUs", plan, 1, "4096", edit=change("PLAN", gpus=4096))
check("indivisible GPUs", plan, 1, "multiple", edit=change("PLAN", gpus=2000))
check("indivisible batch", plan, 1, "global_batch", edit=change("PLAN", global_batch=15361))
check("indivisible experts", plan, 1, "experts", edit=change("PLAN", expert_parallel=96))
check("unknown recompute", plan, 1, "swigl", "did you mean 'swiglu'", edit=change("PLAN", recompute=["swigl"]))
check("unknown precision", plan, 1, "fp8", edit=change("PLAN", precision="fp8"))
check("layers that do not add up", simulate, 1, "61", edit=change("PLAN", layers_per_stage=[4] * 16))
check("too few micro-batches", simulate + ["--set", "plan.global_batch=512"], 1, "dualpipe", "micro-batches")
check("no stages", plan, 1, "stages", edit=change("PLAN", stages=[]))
check("a stage with two lengths", plan, 1, "exactly one", edit=change("PLAN", stages=[{"name": "a", "tokens": 1e12, "steps": 5}]))
check("model elsewhere", plan, 1, "missing.json", edit=change("PLAN", model="missing.json"))
check("MTP without a module", plan + ["--set", "plan.model=../models/deepseek-v2.json", "--set", "plan.expert_parallel=32"], 1, "multi-token")
check("a ramp above the batch", plan + ["--set", "plan.global_batch=4096", "--set", "plan.stages.0.batch_ramp.first_batch=8192"], 1, "ramp", "8192")
check("FP8 on an A100", plan + ["--set", "plan.cluster=../clusters/a100.json"], 1, "FP8")

# Failures, energy, prices, further runs.
block = lambda name, value: change("PLAN", **{name: value})
check("an unknown key of reliability", plan, 1, "/reliability", "did you mean 'restart_min'", edit=block("reliability", {"restart_mins": 5}))
check("a negative failure rate", plan, 1, "failures_per_gpu_day", edit=block("reliability", {"failures_per_gpu_day": -1}))
check("failures too often to get on", plan, 1, "would not end", edit=block("reliability", {"failures_per_gpu_day": 1}))
check("half a spare node", plan, 1, "spare_nodes", edit=block("reliability", {"spare_nodes": 0.5}))
check("storage of no bandwidth", plan, 1, "storage_GBps_per_gpu", edit=block("reliability", {"storage_GBps_per_gpu": 0}))
check("a site that uses less than its computers", plan, 1, "pue", edit=block("energy", {"pue": 0.9}))
check("a currency that is none", plan, 1, "Euro", edit=block("prices_per_gpu_hour", {"Euro": 2}))
check("dollars twice", plan, 1, "price_USD_per_gpu_hour", edit=block("prices_per_gpu_hour", {"USD": 2}))
check("quantiles that fall", plan, 1, "p10 <= p50", edit=block("uncertainty", {"expert_imbalance": {"p10": 1.2, "p50": 1.1, "p90": 1.3}}))
check("too few draws", plan, 1, "samples", edit=block("uncertainty", {"samples": 1}))
check("a run of nothing", plan, 1, "exactly one", edit=block("runs", [{"name": "a"}]))
check("a run of an unknown stage", plan, 1, "did you mean 'pre-training'", edit=block("runs", [{"name": "a", "stage": "pretraining", "share": 0.1}]))
check("a run of a stage without a size", plan, 1, "tokens or share", edit=block("runs", [{"name": "a", "stage": "pre-training"}]))
check("a run of an absent plan", plan, 1, "nowhere.json", edit=block("runs", [{"name": "a", "plan": "nowhere.json"}]))
check("a run that is the plan itself", plan, 1, "runs of its own", edit=block("runs", [{"name": "a", "plan": "deepseek-v3.json"}]))
check("tokens of a stage in hours", plan, 1, "share", edit=block("runs", [{"name": "a", "stage": "post-training", "tokens": 1e9}]))

# What if, how many, where.
solve = plan + ["--solve", "gpus", "--max-days"]
check("a deadline without a question", plan + ["--max-days", "60"], 2, "--solve")
check("a question without a deadline", plan + ["--solve", "gpus"], 2, "--max-days")
check("solving for something else", plan + ["--solve", "gpu", "--max-days", "60"], 2, "did you mean 'gpus'")
check("a deadline of no time", solve + ["0"], 2, "--max-days")
check("a deadline that no cluster meets", solve + ["5"], 1, "even 2048 GPUs take")
check("a batch that no GPU count divides", solve + ["60", "--set", "plan.global_batch=15361"], 1, "global_batch")
check("sensitivity without a plan", ["sensitivity"], 2, "PLAN")
check("a change of nothing", ["sensitivity", "PLAN", "--change", "0"], 2, "--change")
check("clusters without a plan", ["compare", "--clusters", "h800"], 2, "PLAN")
check("an absent cluster", ["compare", "PLAN", "--clusters", "h800,h900"], 1, "h900")
check("clusters and schedules at once", ["compare", "PLAN", "--clusters", "h800", "--schedules", "1f1b"], 2, "--schedules")
check("clusters that cannot run the plan", ["compare", "PLAN", "--clusters", "a100"], 1, "FP8")

# Names: a shipped one or a path, the same answer everywhere.
for arguments, kind in [(["plan", "h900"], "plan"), (["simulate", "deepseekv3"], "plan"), (["search", "h900"], "plan"), (["compare", "h900"], "plan"),
                        (["sensitivity", "h900"], "plan"), (["compare", "h900", "--clusters", "h800"], "plan"), (["model", "deepseek-v4"], "model"),
                        (["topology", "--cluster", "h900"], "cluster"), (["collective", "all-reduce", "--bytes", "1e9", "--cluster", "h900"], "cluster"),
                        (["collective", "all-reduce", "--bytes", "1e9", "--profile", "h900"], "profile"), (["numerics", "--cluster", "h900"], "cluster"),
                        (["numerics", "--profile", "h900"], "profile"), (["calibrate", "--cluster", "h900", "--base", "h800", "PLAN"], "cluster"),
                        (["calibrate", "--cluster", "h800", "--base", "h900", "PLAN"], "profile"), (["validate", "--samples", "PLAN", "--profile", "h900"], "profile"),
                        (["search", "PLAN", "--clusters", "h900"], "cluster"), (plan + ["--set", "plan.cluster=h900"], "cluster"),
                        (plan + ["--set", "plan.model=deepseek"], "model"), (plan + ["--set", "plan.profile=h900"], "profile"),
                        (plan + ["--set", "plan.profile=null", "--set", "cluster.profile=h900"], "profile")]:
    check(f"no such name: {' '.join(arguments)}", arguments, 1, f"there is no {kind} '", "a path has a '/'")
check("no such name in a file", plan, 1, "deepseek-v3.json /cluster", "there is no cluster 'h80'", "did you mean 'h800'?", edit=change("PLAN", cluster="h80"))
check("a path in a file that leads nowhere", plan, 1, "nowhere/h800.json", edit=change("PLAN", cluster="nowhere/h800.json"))
check("a path on the command line that leads nowhere", ["plan", "nowhere/p.json"], 1, "nowhere/p.json: no such file")
check("a pipe read for every cluster", ["compare", "/dev/stdin", "--clusters", "h800,h100"], 1, "/dev/stdin", "a pipe")

# Models, clusters, profiles.
check("unknown family", ["model", "MODEL"], 1, "deepseek_v3", edit=change("MODEL", model_type="deepsek_v3"))
check("no layers", ["model", "MODEL"], 1, "num_hidden_layers", edit=change("MODEL", num_hidden_layers=0))
check("more experts a token than experts", ["model", "MODEL"], 1, "num_experts_per_tok", edit=change("MODEL", num_experts_per_tok=512))
check("cluster without a citation", plan, 1, "sources", edit=change("CLUSTER", sources={}))
check("unknown profile key", plan, 1, "gemmm", edit=change("PROFILE", gemmm={}))
check("profile without in_situ", plan, 1, "in_situ", edit=remove("PROFILE", "in_situ"))
check("zero bandwidth", plan + ["--set", "cluster.nic_GBps=0"], 1, "nic_GBps")

# Measuring and numerics.
def check_suite(what, content, code, *words):
    check(what, ["bench", "--suite", "MODEL"], code, *words, edit=text("MODEL", content))


check("unknown backend", ["bench", "--backend", "abacus"], 2, "abacus", "cpu, cuda, nccl")
check("unknown suite", ["bench", "--suite", "slow"], 2, "slow", "deepseek-v3")
check("no time to measure", ["bench", "--seconds", "0"], 2, "--seconds")
check("impossible noise", ["bench", "--noise", "2"], 2, "--noise")
check("negative threads", ["bench", "--threads=-1"], 2, "--threads")
check("a profile without its cluster", ["bench", "--profile", "PROFILE"], 2, "--cluster")
check("a layer as a sample", ["bench", "--layer", "64", "-o", "FOLDER"], 2, "--layer")
check("a layer too short", ["bench", "--layer", "1"], 2, "--layer")
check("no suite there", ["bench", "--suite", "missing.json"], 1, "missing.json")
check_suite("a suite without cases", '{"schema": "1.0.0", "cases": []}', 1, "no cases")
check_suite("a suite of another version", '{"schema": "2.0.0", "cases": []}', 1, "2.0.0")
check_suite("an unknown kernel", '{"schema": "1.0.0", "cases": [{"kernel": "gem", "m": 1}]}', 1, "did you mean 'gemm'")
check_suite("a case without its shape", '{"schema": "1.0.0", "cases": [{"kernel": "gemm", "m": 1, "n": 1}]}', 1, "k")
check_suite("a key of another kernel", '{"schema": "1.0.0", "cases": [{"kernel": "copy", "bytes": 64, "rows": 1}]}', 1, "rows")
check_suite("an unknown pass", '{"schema": "1.0.0", "cases": [{"kernel": "copy", "bytes": 64, "pass": "back"}]}', 1, "back")
if shutil.which("nvidia-smi") is None:
    check("CUDA without a GPU", ["bench", "--backend", "cuda"], 1, "CUDA")
    check("NCCL without a GPU", ["bench", "--backend", "nccl"], 1, "NCCL")
check("unknown data", ["numerics", "--data", "gauss"], 2, "gauss")
check("an empty sum", ["numerics", "--k", "0"], 2, "--k")
check("too many bits", ["numerics", "--bits", "64"], 2, "--bits")
check("too many results", ["numerics", "--outputs", "4096"], 2, "--outputs")
check("numerics without FP8", ["numerics", "--profile", "PROFILE"], 1, "FP8", edit=remove("PROFILE", "gemm_fp8"))

# What makes GPUs differ, and orders of an overlapped pair.
def order(*steps):
    return lambda paths: paths["ORDER"].write_text(json.dumps({"name": "mine", "order": list(steps)}))


sound = ["combine(B)", "attention(F)", "dispatch(F)", "mlp(B)", "dispatch(B)", "mlp(W)", "mlp(F)", "attention(B)",
         "attention(W)", "combine(F)"]
check("slow GPU that is not there", ["simulate", "PLAN"], 1, "/variation/slow_gpus/0/gpu",
      edit=change("PLAN", variation={"slow_gpus": [{"gpu": 2048, "factor": 2}]}))
check("GPU faster than priced", ["simulate", "PLAN"], 1, "/variation/slow_gpus/0/factor",
      edit=change("PLAN", variation={"slow_gpus": [{"gpu": 1, "factor": 0.5}]}))
check("NIC that is never up", ["simulate", "PLAN"], 1, "never be up",
      edit=change("PLAN", variation={"flapping_nics": [{"gpu": 1, "every_s": 1, "down_s": 1}]}))
check("loads of too few experts", ["simulate", "PLAN"], 1, "256 routed experts",
      edit=change("PLAN", variation={"expert_loads": [1, 2, 3]}))
check("unknown variation", ["simulate", "PLAN"], 1, "slow_gpu", edit=change("PLAN", variation={"slow_gpu": []}))
check("folding GPUs that differ", ["simulate", "PLAN", "--fold", "on"], 1, "GPU 3 is slow",
      edit=change("PLAN", variation={"slow_gpus": [{"gpu": 3, "factor": 2}]}))
check("unknown folding", ["simulate", "PLAN", "--fold", "maybe"], 2, "'maybe'")
check("more GPUs than memory", ["simulate", "PLAN", "--fold", "off", "--set", "plan.gpus=1000000", "--set",
                                "plan.pipeline_parallel=32", "--set", "plan.expert_parallel=1", "--set",
                                "cluster.gpus=1000000", "--set", "plan.global_batch=2000000", "--set",
                                "plan.schedule=1f1b"], 1, "GiB of memory")
check("order that does not exist", ["simulate", "PLAN", "--overlap-order", "ORDER"], 1, "order.json")
check("order with an unknown step", ["simulate", "PLAN", "--overlap-order", "ORDER"], 1, "'mlp(X)'",
      edit=order("mlp(X)"))
check("order without a step", ["simulate", "PLAN", "--overlap-order", "ORDER"], 1, "stands 0 times",
      edit=order(*sound[:-1]))
check("order against the data", ["simulate", "PLAN", "--overlap-order", "ORDER"], 1, "stands before",
      edit=order(sound[2], *sound[:2], *sound[3:]))
check("tuning a schedule without pairs", ["simulate", "PLAN", "--tune-overlap", "--set", "plan.schedule=1f1b"], 1,
      "no overlapped pairs")
# Reports and traces.
old = str(root / "tests/browser/stored/compare-1.0.0.json")
check("html of a sweep", ["compare", "--ranks", "4", "--sweep", "micro_batches=8:16:8", "--html", "x.html"], 2, "--html")
check("html where nothing can be written", ["model", "MODEL", "--html", "x"], 2, "unknown option")
check("html in no folder", ["compare", "--ranks", "4", "--micro-batches", "8", "--html", "/no/such/folder/x.html"], 1, "/no/such/folder/x.html")
check("arrows without a trace", ["simulate", "PLAN", "--trace-flows"], 2, "--trace-flows", "--trace FILE")
check("operators without a trace", ["simulate", "PLAN", "--trace-operators"], 2, "--trace-operators")
check("nothing to compare with", ["diff", old], 2, "second file")
check("diff of a file that is not there", ["diff", old, "/no/such/file"], 1, "/no/such/file")
check("diff of a folder", ["diff", "FOLDER", old], 1, "is a folder")
check("diff of a trace and a result", ["diff", old, str(root / "tests/cli/data/trace.json")], 1, "one is a trace")
check("diff of two kinds of result", ["diff", old, old.replace("compare", "plan")], 1, "plan", "compare")
check("diff of no trace", ["diff", "MODEL", "MODEL"], 1, "traceEvents")
check("kernels for results", ["diff", old, old, "--kernels", "x"], 2, "--kernels")
simulated, measured = (str(root / f"tests/cli/data/pairs_{kind}.json") for kind in ("simulated", "measured"))
check("blocks of results", ["diff", old, old, "--blocks", "pairs"], 2, "--blocks")
check("unknown blocks", ["diff", simulated, measured, "--blocks", "pair"], 2, "did you mean 'pairs'")
check("blocks of traces that state none", ["diff", measured, measured, "--blocks", "pairs"], 2, "neither trace")
check("unknown format of diff", ["diff", old, old, "--format", "svg"], 2, "csv")

faults = [fault for fault in (case.result() for case in cases) if fault]
for fault in faults:
    print(fault)
print(f"{len(cases)} kinds of bad input, {len(faults)} faults")
sys.exit(1 if faults else 0)
