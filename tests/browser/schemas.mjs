// What the program writes is what configs/schema says, stored results of earlier versions are still read and still
// valid, the shipped inputs match their schemas, and the kept libraries are the published files, byte for byte.
//   node tests/browser/schemas.mjs [PROGRAM]
import {createHash} from "node:crypto";
import {readFileSync, readdirSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {check, finish, hourglass, read, root, scratch, skip} from "./browser.mjs";

const vendored = {  // npm: d3 7.9.2, @observablehq/plot 0.6.17
  "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
  "d3.LICENSE": "2a6d2d5f32ba0b755ddbc1c833f766e30cdbe6ebe9a6d4e3e24427721f0b63d3",
  "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
  "plot.LICENSE": "4b295e011e0e046170041b5b46f1349393aeceb95797793a55bd21dbb543363a",
};
for (const [name, sum] of Object.entries(vendored)) {
  const found = createHash("sha256").update(readFileSync(join(root, "reports/vendor", name))).digest("hex");
  check(found === sum, `reports/vendor/${name} has sha256 ${found}`);
}

let Ajv;
try {
  Ajv = (await import("ajv")).default;
} catch {
  skip("the npm packages are not installed; scripts/test does that");
}
const ajv = new Ajv({allErrors: true, strict: false});
const folder = join(root, "configs/schema");
const schemas = Object.fromEntries(readdirSync(folder).map((file) => [file.replace(".schema.json", ""), ajv.compile(JSON.parse(read(join(folder, file))))]));

function valid(kind, document, what) {
  const holds = schemas[kind](document);
  check(holds, `${what} is no ${kind}: ${ajv.errorsText(schemas[kind].errors).slice(0, 500)}`);
}

const plan = "configs/plans/deepseek-v3.json";
const commands = {
  simulate: [["simulate", plan], ["simulate", "configs/plans/llama-3.1-405b.json"], ["simulate", plan, "--set", 'plan.network={"failed":["plane3"],"expert_skew":0.2}']],
  plan: [["plan", plan], ["plan", "configs/plans/llama-3.1-405b.json"]],
  compare: [["compare", plan], ["compare", "--ranks", "8", "--micro-batches", "32", "--schedules", "all"]],
  sweep: [["compare", "--ranks", "8", "--sweep", "micro_batches=16:32:16"]],
  validate: [["validate"]],
  search: [["search", "configs/plans/llama-3.1-405b.json", "--set", "plan.gpus=512", "--set", "plan.global_batch=64"]],
  model: [["model", "configs/models/deepseek-v3.json"], ["model", "configs/models/llama-3.1-8b.json"]],
  collective: [["collective", "moe-dispatch", "--ranks", "64"], ["collective", "all-reduce", "--ranks", "64", "--bytes", "1e9"]],
  topology: [["topology"]],
  calibrate: [["calibrate", "--cluster", "configs/clusters/h100.json", "--base", "configs/profiles/h100.json", "configs/measurements/h100_nccl_one_node.json"]],
  diff: [["diff", "tests/browser/stored/simulate-1.0.0.json", "tests/browser/stored/simulate-1.0.0.json"]],
  "input-schedule": [["schedule", "dualpipe", "--ranks", "4", "--micro-batches", "8"]],
};
const csv_cells = (line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].slice(0, -1).map((m) => m[1].replace(/^"|"$/g, "").replaceAll('""', '"'));
for (const [kind, lines] of Object.entries(commands)) {
  for (const words of lines) {
    const text = hourglass(...words, "--format", "json");
    const document = JSON.parse(text);
    valid(kind, document, words.join(" "));
    if (kind === "input-schedule" || kind === "compare" || kind === "sweep") continue;
    // The table formats have the same rows with the same numbers.
    const objects = hourglass(...words, "--format", "jsonl").trimEnd().split("\n").map((line) => JSON.parse(line));
    const [heading, ...rows] = hourglass(...words, "--format", "csv").trimEnd().split("\n");
    check(rows.length === objects.length, `${kind}: ${rows.length} rows of CSV, ${objects.length} of JSON Lines`);
    const columns = csv_cells(heading + ",");
    objects.slice(0, 50).forEach((object, i) => {
      const cells = csv_cells(rows[i] + ",");
      for (const [key, value] of Object.entries(object)) {
        const cell = cells[columns.indexOf(key)];
        check(typeof value === "number" ? Number(cell) === value : cell === String(value), `${kind}: row ${i}, ${key}: CSV has ${cell}, JSON Lines ${value}`);
      }
    });
    const list = {simulate: "ranks", plan: "stages", validate: "rows", search: "front", calibrate: "classes", diff: "differences"}[kind];
    check(objects.length === (list ? document[list].length : 1), `${kind}: ${objects.length} lines`);
    const first = list ? document[list][0] : document;
    if (first) for (const [key, value] of Object.entries(first)) {
      if (typeof value === "number") check(objects[0][key] === value, `${kind}: ${key} is ${objects[0][key]} in JSON Lines, ${value} in JSON`);
    }
    check(/^\|( ---:?| ---:)/m.test(hourglass(...words, "--format", "markdown")), `${kind}: no Markdown table`);
  }
}

// Results and schedules of earlier versions.
const stored = join(root, "tests/browser/stored");
for (const file of readdirSync(stored)) {
  const kind = file.split("-")[0], path = join(stored, file);
  valid(kind === "schedule" ? "input-schedule" : kind, JSON.parse(read(path)), `stored ${file}`);
  if (kind === "schedule") check(hourglass("schedule", "--validate", path).startsWith("valid"), `${file} is not read`);
  else check(hourglass("diff", path, path).includes("numbers are equal"), `${file} is not read`);
}
const result = JSON.parse(read(join(stored, "simulate-1.0.0.json")));
delete result.step_time_s;
check(!schemas.simulate(result), "a step without step_time_s passes");
check(!schemas.simulate({...JSON.parse(read(join(stored, "simulate-1.0.0.json"))), schema_version: "2.0.0"}), "schema 2 passes as 1");

// Inputs as shipped, and with a slip of the pen.
for (const [kind, name] of [["input-plan", "plans"], ["input-cluster", "clusters"], ["input-profile", "profiles"], ["input-samples", "measurements"]]) {
  for (const file of readdirSync(join(root, "configs", name))) valid(kind, JSON.parse(read(join(root, "configs", name, file))), `${name}/${file}`);
}
check(!schemas["input-plan"]({...JSON.parse(read(join(root, plan))), pipeline_paralel: 16}), "an unknown key of a plan passes");
writeFileSync(join(scratch, "two.json"), JSON.stringify({...result, schema_version: "2.0.0"}));
try {
  hourglass("diff", join(scratch, "two.json"), join(scratch, "two.json"));
  check(false, "a result of schema 2 is read");
} catch (error) {
  check(error.status === 1 && /schema 2\.0\.0/.test(error.stderr), `schema 2: ${error.stderr}`);
}
finish();
