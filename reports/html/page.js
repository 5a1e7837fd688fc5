"use strict";
// What every view is built from: figures read out of the document, tables, sections. Text reaches the page only as text
// nodes, so that names from configurations stay names.

const report = JSON.parse(document.getElementById("data").textContent);
const doc = report.document;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null && child !== ""));
  return node;
}

// The value of the document at a JSON pointer.
function at(path) {
  return path.split("/").slice(1).reduce((value, key) => (value === undefined || value === null ? undefined : value[key]), doc);
}

// Digits in groups of three. Intl would load its tables first, a tenth of a second.
function fixed(value, digits) {
  const [whole, part] = value.toFixed(digits).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
}

// A unit: how many of the document's are one of the shown, and what is written behind it.
const units = {
  count: {scale: 1, digits: 0, unit: ""},
  plain: {scale: 1, digits: 2, unit: ""},
  seconds: {scale: 1, digits: 3, unit: " s"},
  milliseconds: {scale: 1e-3, digits: 2, unit: " ms"},
  microseconds: {scale: 1e-6, digits: 1, unit: " µs"},
  gib: {scale: 1024 ** 3, digits: 1, unit: " GiB"},
  percent: {scale: 0.01, digits: 1, unit: " %"},
  dollars: {scale: 1, digits: 0, unit: "", before: "$"},
  millions: {scale: 1e6, digits: 3, unit: "M", before: "$"},
  billions: {scale: 1e9, digits: 1, unit: "B"},
  thousands: {scale: 1e3, digits: 0, unit: "K"},
  days: {scale: 1, digits: 1, unit: " days"},
  tflops: {scale: 1, digits: 1, unit: " TFLOP/s"},
  megabytes: {scale: 1e6, digits: 1, unit: " MB"},
};

const seconds_unit = (value) => units[value >= 1 ? "seconds" : value >= 1e-3 ? "milliseconds" : "microseconds"];

function shown(value, unit) {
  if (value === undefined || value === null) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (unit.dash && value === 0) return "–";
  return (unit.before || "") + fixed(value / unit.scale, unit.digits) + unit.unit;
}

// A figure of the document as text that says where it is from, so that it can be checked against the JSON.
function figure(path, unit, tag = "span") {
  const value = at(path);
  const node = element(tag, {"data-path": path, "data-scale": unit ? unit.scale : 1}, unit ? shown(value, unit) : shown(value, units.plain));
  if (typeof value === "number" && !unit) node.textContent = significant(value);
  return node;
}

// Six significant digits, as the text output has them.
const significant = (value) => (value === 0 ? "0" : String(Number(value.toPrecision(6))));

function section(title, note, {wide = false, id} = {}) {
  const node = element("section", {class: wide ? "wide" : "", id, "aria-label": title}, element("h2", {}, title));
  if (note) node.append(element("p", {class: "note"}, note));
  document.getElementById("main").append(node);
  return node;
}

// entries: [label, path, unit, remark]
function figures(title, entries) {
  const list = element("dl", {class: "figures"});
  for (const [label, path, unit, remark, bad] of entries) {
    if (at(path) === undefined) continue;
    const value = figure(path, unit, "span");
    if (bad) value.className = "bad";
    list.append(element("div", {}, element("dt", {}, label), element("dd", {}, value, remark ? element("small", {}, remark) : "")));
  }
  const node = element("section", {class: "wide", "aria-label": title}, list);
  document.getElementById("main").append(node);
  return node;
}

// columns: [heading, key in the row or function(row), unit, prose]; base: JSON pointer of the list, so that its cells
// say where they are from.
function table(base, columns, {rows = at(base), chosen} = {}) {
  const head = element("tr", {}, ...columns.map(([heading, , , prose]) => element("th", {scope: "col", class: prose && "prose"}, heading)));
  const body = element("tbody");
  rows.forEach((row, i) => {
    const line = element("tr", {class: chosen && chosen(row) ? "chosen" : null});
    columns.forEach(([, key, unit, prose]) => {
      if (typeof key === "function") {
        line.append(element("td", {class: prose && "prose"}, String(key(row))));
      } else if (base) {
        const cell = figure(`${base}/${i}/${key}`, unit, "td");
        if (prose) cell.className = "prose";
        line.append(cell);
      } else {
        line.append(element("td", {class: prose && "prose"}, shown(row[key], unit || units.plain)));
      }
    });
    body.append(line);
  });
  return element("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "table"}, element("table", {}, element("thead", {}, head), body));
}

const folded = (summary, ...content) => element("details", {}, element("summary", {}, summary), ...content);
// The same, made when it is opened.
function folded_later(summary, make) {
  const node = folded(summary);
  node.addEventListener("toggle", () => node.append(make()), {once: true});
  return node;
}

// Colours of the style sheet, for canvas and Plot. Paper is light whatever the screen.
let on_paper = false;
const paper = {"--card": "#ffffff", "--ink": "#1b1e23", "--soft": "#5b626d", "--line": "#d9dbd7", "--idle": "#ececea", "--accent": "#0b62a4",
  "--forward": "#e69f00", "--input": "#009e73", "--weight": "#0072b2", "--full": "#56b4e9", "--optimizer": "#cc79a7", "--exposed": "#d55e00",
  "--on-forward": "#1b1e23", "--on-input": "#ffffff", "--on-weight": "#ffffff", "--on-full": "#1b1e23", "--critical": "#c4005a"};
const colours_now = new Map();
function colour(name) {
  if (!colours_now.has(name)) {
    colours_now.set(name, (on_paper && paper[name]) || getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  }
  return colours_now.get(name);
}

const night = () => !on_paper && matchMedia("(prefers-color-scheme: dark)").matches;

// Between two colours written as #rrggbb.
function mixed(from, to, share) {
  const parts = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const [a, b] = [parts(from), parts(to)];
  return `rgb(${a.map((part, i) => Math.round(part + (b[i] - part) * share)).join(", ")})`;
}

// In the order of the first of each.
function grouped(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    const name = key(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return [...groups];
}
const sum_of = (rows, value) => rows.reduce((sum, row) => sum + value(row), 0);
const index_of_largest = (rows, value) => rows.reduce((best, row, i) => (value(row) > value(rows[best]) ? i : best), 0);

// Canvas and Plot grow with the page's own letters.
const scale = () => (on_paper ? 1 : Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 14.5));

// Whatever must be drawn again when width or colours change. What can wait is drawn for the first time when the page
// already answers: what is in the window before the rest, one after the other while nobody asks for anything else, so
// that a key or a finger waits for one panel at most; all at once if the page is printed first.
const redraws = [], waiting = [];
function drawn(host, draw, can_wait = true) {
  let last = 0;
  const again = (force) => {
    const width = Math.floor(host.clientWidth);
    if (width === 0 || (width === last && force !== true)) return;
    last = width;
    draw(width);
  };
  redraws.push(() => again(true));
  const begin = () => {
    again(true);
    new ResizeObserver(() => again(false)).observe(host);
  };
  if (can_wait) waiting.push({host, begin});
  else begin();
}
// Sections below the first window, in their order.
const later = (make) => waiting.push({begin: make});
const when_idle = window.requestIdleCallback ? (work) => requestIdleCallback(work, {timeout: 500}) : (work) => setTimeout(work, 0);
// D3 and Plot, each in a task of its own.
const libraries = [...document.querySelectorAll("script.library")];
function run_library() {
  const text = libraries.shift();
  text.replaceWith(element("script", {}, text.textContent));
}
function draw_waiting() {
  if (libraries.length > 0) {
    run_library();
  } else if (waiting.length > 0) {
    const seen = waiting.findIndex(({host}) => {
      if (!host) return false;
      const box = host.getBoundingClientRect();
      return box.bottom >= 0 && box.top <= innerHeight;
    });
    waiting.splice(Math.max(seen, 0), 1)[0].begin();
  }
  if (libraries.length + waiting.length > 0) when_idle(draw_waiting);
  else document.documentElement.dataset.ready = "yes";
}
function draw_all_waiting() {
  while (libraries.length > 0) run_library();
  while (waiting.length > 0) waiting.shift().begin();
}
function redraw_all() {
  colours_now.clear();
  redraws.forEach((draw) => draw());
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw_all);
for (const [event, value] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    on_paper = value;
    draw_all_waiting();
    redraw_all();
  });
}

function provenance() {
  const p = doc.provenance;
  const shell = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  const foot = document.getElementById("provenance");
  foot.append(
    element("p", {}, "Made by ", element("code", {}, p.argv.map(shell).join(" "))),
    element("p", {}, `Hourglass ${p.version}, commit ${p.git_commit}${p.git_dirty ? " with local changes" : ""}; result schema ${doc.schema_version}` +
      (p.profile ? `; profile ${p.profile}` : "")),
  );
  if (p.inputs.length > 0) {
    foot.append(folded("input files", table("/provenance/inputs", [["file", "path"], ["FNV-1a", "fnv1a"]])));
  }
  foot.append(element("p", {}, "Drawn with Observable Plot and D3 (ISC licence, texts in this file). Every figure is read from the JSON of the same command, which this file carries: ",
    element("button", {type: "button", onclick: save_json}, "save JSON")));
}

function save_json() {
  const link = element("a", {href: URL.createObjectURL(new Blob([JSON.stringify(doc, null, 2) + "\n"], {type: "application/json"})), download: `${report.kind}.json`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
