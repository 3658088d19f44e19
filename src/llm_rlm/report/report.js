"use strict";
// What the page does beyond showing: a timeline, a list of calls, a search. All text is put in as text.
(() => {
const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const data = JSON.parse($("#data").textContent);
const COLUMNS = ["id", "run", "cell", "kind", "state", "occurrence", "prompt", "system", "schema", "payload", "attachments", "response",
  "error", "told", "model", "child", "input", "output", "cachedInput", "cost", "attempts", "unsettled", "started", "ended"];
const C = Object.fromEntries(COLUMNS.map((name, at) => [name, at]));
const TEXTS = ["prompt", "system", "schema", "payload", "attachments", "response", "error", "told", "model"].map((name) => C[name]);
const SIGNS = { answered: "✓", cached: "↺", failed: "✕", refused: "⊘", unknown: "?", sent: "…" };
const { runs, calls } = data;

// Texts are parsed some at a time, when they are first needed.
const chunks = all("script.texts");
const parsed = [];
const chunk = (at) => (parsed[at] ??= JSON.parse(chunks[at].textContent));
function text(number) {
  if (number === null || number === undefined) return "";
  let low = 0, high = data.firsts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (data.firsts[middle] <= number) low = middle; else high = middle - 1;
  }
  return chunk(low)[number - data.firsts[low]];
}

function make(tag, name, content, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (content !== undefined && content !== null) element.textContent = content;
  element.append(...children);
  return element;
}
const count = (number) => number.toLocaleString("en");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const two = (number) => String(number).padStart(2, "0");
function duration(ms) {
  if (ms === null || ms === undefined) return "no end";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s` : `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
}
function clock(ms) { // on an axis, where minutes alone may be too coarse
  if (ms < 60000) return duration(ms);
  const seconds = Math.round(ms / 1000);
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, two(seconds % 60)];
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}
const took = (call) => (call[C.ended] === null ? null : call[C.ended] - call[C.started]);
function money(usd) { // as `errors.amount` has it
  if (usd === null) return "";
  const rounded = Number(usd.toPrecision(2));
  if (!rounded || rounded >= 0.1) return `$${usd.toFixed(2)}`;
  return rounded < 1e-6 ? "under $0.000001" : `$${rounded}`;
}
const line = (number, most) => text(number).slice(0, most).replace(/\s+/g, " ");
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const behavior = calm ? "auto" : "smooth";

for (const element of all(".scripted, .search, .buttons, .to-calls")) element.hidden = false;
if (!calls.length) for (const element of all("#calls, a[href='#calls']")) element.hidden = true;

// The dialog of one call

const dialog = $("#call");
let shown = -1; // where in the list
function part(title, number, kind = "") {
  const value = text(number);
  return value ? [make("h5", "", title), make("pre", `text ${kind}`, value)] : [];
}
function fact(title, value) {
  return value === "" || value === null ? [] : [make("div", "", null, make("dt", "", title), make("dd", "", value))];
}
function fill(call) {
  const facts = make("dl", "facts");
  const sent = call[C.input] !== null ? `${count(call[C.input])} in, ${count(call[C.output] ?? 0)} out` : "";
  facts.append(
    ...fact("State", `${SIGNS[call[C.state]] ?? ""} ${call[C.state]}`), ...fact("Model", text(call[C.model])), ...fact("Tokens", sent),
    ...fact("Cached input", call[C.cachedInput] ? count(call[C.cachedInput]) : ""),
    ...fact("Cost", call[C.cost] === null ? (sent ? "not known" : "") : money(call[C.cost])),
    ...fact("Time", `${duration(took(call))}, from ${duration(call[C.started])}`),
    ...fact("Retries", call[C.attempts] > 1 ? count(call[C.attempts] - 1) : ""),
    ...fact("Attempts that may have been paid", call[C.unsettled] ? count(call[C.unsettled]) : ""),
    ...fact("The same call", call[C.occurrence] > 1 ? `number ${call[C.occurrence]} in this run` : ""));
  const body = $(".dialog-body", dialog);
  body.replaceChildren(facts,
    ...part(["answered", "cached"].includes(call[C.state]) ? "What went wrong on the way" : "What went wrong", call[C.error]), ...part("What the cell was told", call[C.told]),
    ...part("System prompt", call[C.system]), ...part(call[C.kind] === "run" ? "Question" : call[C.kind] === "function" ? "Function" : "Prompt", call[C.prompt]),
    ...part(call[C.kind] === "run" ? "Context" : "Arguments", call[C.payload]), ...part("Schema", call[C.schema], "code"),
    ...part("Attachments", call[C.attachments]), ...part("Response", call[C.response], "said"));
  for (const pre of all("pre", body)) pre.dir = "auto";
  if (call[C.child] !== null) {
    const open = make("button", "", "Show its steps");
    open.type = "button";
    open.addEventListener("click", () => { dialog.close(); reveal($(`#run-${call[C.child]}`)); });
    facts.after(open);
  }
  body.scrollTop = 0;
}
function openCall(at) {
  if (at < 0 || at >= list.found.length) return;
  shown = at;
  const call = calls[list.found[at]];
  $("#call-title").textContent = `Call ${count(at + 1)} of ${count(list.found.length)} · ${whereOf(call)}`;
  fill(call);
  list.select(at);
  if (!dialog.open) dialog.showModal();
  $("#call-title").focus();
}
const whereOf = (call) => (call[C.run] ? `run ${call[C.run]}, ` : "") + (call[C.cell] === null ? "no cell" : `cell ${call[C.cell]}`);
for (const each of all("dialog")) {
  each.addEventListener("click", (event) => {
    if (event.target === each || event.target.closest("[data-close]")) each.close();
    const step = event.target.closest("[data-step]");
    if (step) openCall(shown + Number(step.dataset.step));
  });
}
dialog.addEventListener("close", () => list.box.focus({ preventScroll: true }));

function reveal(element) {
  if (!element) return;
  for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  element.scrollIntoView({ behavior, block: "start" });
  ($("summary", element) ?? element).focus({ preventScroll: true });
}

// The list of calls: only the rows that are seen are there.

const list = {
  box: $(".list"), rows: $(".rows"), found: calls.map((_, at) => at), at: -1, matches: null, height: 44,
  filters: { run: "", cell: "", state: "", model: "", sort: "" },

  begin() {
    const bar = $(".filters");
    const distinct = (column) => [...new Set(calls.map((call) => call[column]))];
    if (runs.length > 1) this.choice(bar, "run", "Run", runs.map((run, at) => [at, at ? `${at}: ${line(run.question, 40)}` : "0: this run"]));
    const cells = distinct(C.cell).filter((cell) => cell !== null).sort((a, b) => a - b);
    this.choice(bar, "cell", "Cell", cells.map((cell) => [cell, cell]));
    this.choice(bar, "state", "State", distinct(C.state).map((state) => [state, state]));
    const models = distinct(C.model);
    if (models.length > 1) this.choice(bar, "model", "Model", models.map((model) => [model, line(model, 60)]));
    this.choice(bar, "sort", "Order", [["time", "slowest first"], ["cost", "dearest first"], ["tokens", "most tokens first"]], "as asked");
    this.box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    new ResizeObserver(() => this.measure()).observe(this.box);
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) openCall(Number(row.dataset.at));
    });
    this.filter();
  },
  choice(bar, name, title, options, none = "all") {
    const select = make("select");
    select.append(new Option(none, ""), ...options.map(([value, label]) => new Option(label, value)));
    select.addEventListener("change", () => { this.filters[name] = select.value; this.filter(); });
    select.name = name;
    bar.append(make("label", "", title, select));
  },
  set(changes) {
    Object.assign(this.filters, changes);
    for (const select of all(".filters select")) select.value = this.filters[select.name];
    this.filter();
  },
  filter() {
    const f = this.filters;
    const has = (call, at) => (f.run === "" || call[C.run] === Number(f.run)) && (f.cell === "" || call[C.cell] === Number(f.cell))
      && (f.state === "" || call[C.state] === f.state) && (f.model === "" || call[C.model] === Number(f.model)) && (!this.matches || this.matches.has(at));
    this.found = calls.flatMap((call, at) => (has(call, at) ? [at] : []));
    const keys = { time: (call) => took(call) ?? 0, cost: (call) => call[C.cost] ?? 0, tokens: (call) => (call[C.input] ?? 0) + (call[C.output] ?? 0) };
    if (f.sort) this.found.sort((a, b) => keys[f.sort](calls[b]) - keys[f.sort](calls[a]) || a - b);
    $("#how-many").textContent = this.found.length === calls.length ? count(calls.length) : `${count(this.found.length)} of ${count(calls.length)}`;
    this.at = -1;
    this.box.scrollTop = 0;
    this.measure();
  },
  measure() {
    this.height = matchMedia("(max-width: 640px)").matches ? 64 : 44;
    this.rows.style.height = `${this.found.length * this.height}px`;
    this.draw();
  },
  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - 6);
    const last = Math.min(this.found.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height) + 6);
    const made = [];
    for (let at = first; at < last; at++) made.push(this.row(at));
    this.rows.replaceChildren(...made);
    if (this.at >= first && this.at < last) this.box.setAttribute("aria-activedescendant", `row-${this.at}`);
    else this.box.removeAttribute("aria-activedescendant");
  },
  row(at) {
    const call = calls[this.found[at]];
    const row = make("div", "row", null,
      make("span", `state-of s-${call[C.state]}`, SIGNS[call[C.state]] ?? "·"), make("span", "where", whereOf(call)),
      make("span", "text-of", line(call[C.prompt], 240) || "(empty)"), make("span", "model", text(call[C.model])),
      make("span", "n tokens", call[C.input] === null ? "" : `${count(call[C.input])} → ${count(call[C.output] ?? 0)}`),
      make("span", "n money", money(call[C.cost])), make("span", "n time", duration(took(call))));
    row.id = `row-${at}`;
    row.dataset.at = at;
    row.style.top = `${at * this.height}px`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", at === this.at);
    row.setAttribute("aria-posinset", at + 1);
    row.setAttribute("aria-setsize", this.found.length);
    row.firstChild.title = call[C.state];
    return row;
  },
  select(at) {
    if (!this.found.length) return;
    this.at = Math.max(0, Math.min(this.found.length - 1, at));
    const top = this.at * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.height - this.box.clientHeight;
    this.draw();
  },
  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.select(this.at < 0 && steps[event.key] === 1 ? 0 : this.at + steps[event.key]);
    else if (event.key === "Enter" && this.at >= 0) openCall(this.at);
    else return false;
    return true;
  },
};
for (const button of all(".to-calls")) {
  button.addEventListener("click", () => {
    list.set({ run: button.dataset.run, cell: button.dataset.cell });
    $("#calls").scrollIntoView({ behavior, block: "start" });
    list.box.focus({ preventScroll: true });
  });
}

// The timeline

const DAY = 86_400_000;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, DAY];

const chart = {
  box: $(".chart"), canvas: $(".chart canvas"), spacer: $(".chart .spacer"), tip: $("#tip"),
  rows: [], items: [], byRow: [], view: [0, 1], at: null, size: 1, drag: null, axis: 22, gutter: 58, queued: false,

  begin() {
    this.childrenOf = runs.map(() => []);
    this.callsOf = runs.map(() => []);
    for (let at = 0; at < calls.length; at++) {
      this.callsOf[calls[at][C.run]].push(at);
      if (calls[at][C.child] !== null) this.childrenOf[calls[at][C.run]].push(calls[at][C.child]);
    }
    this.breaks();
    const block = this.block(0);
    this.rows = block.rows;
    this.items = block.items;
    let top = this.axis + 4;
    for (const row of this.rows) { row.top = top; top += row.height + row.gap; }
    this.spacer.style.height = `${top + 6}px`;
    this.total = top + 6;
    this.byRow = this.rows.map(() => []);
    for (const item of this.items) this.byRow[item.row].push(item);
    for (const row of this.byRow) row.sort((a, b) => a.from - b.from);
    this.fit();
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.listen();
  },

  // Long pauses in which nothing goes on, as before a run is resumed, are drawn short.
  breaks() {
    const spans = calls.map((call) => [call[C.started], call[C.ended] ?? call[C.started]]);
    for (const run of runs) {
      for (const turn of run.turns) spans.push([turn[1], turn[2] ?? turn[1]]);
      for (const cell of run.cells) spans.push([cell[1], cell[2] ?? cell[1]]);
    }
    const busy = union(spans);
    const active = busy.reduce((sum, [from, to]) => sum + to - from, 0);
    this.pauses = [];
    let until = 0;
    for (const [from, to] of busy) {
      if (from - until > Math.max(5000, active / 2)) this.pauses.push([until, from, Math.max(active / 40, 50)]);
      until = to;
    }
    this.size = Math.max(1, this.place(Math.max(data.last ?? 1, until, 1)));
  },
  place(ms) { // where a moment is, in ms without the pauses
    let left = ms;
    for (const [from, to, kept] of this.pauses) {
      if (ms <= from) break;
      left -= Math.min(ms, to) - from - (kept * (Math.min(ms, to) - from)) / (to - from);
    }
    return left;
  },
  moment(at) { // the moment that is there
    for (const [from, to, kept] of this.pauses) {
      const begins = this.place(from);
      if (at <= begins) break;
      if (at < begins + kept) return from + ((at - begins) / kept) * (to - from);
    }
    return this.pauses.reduce((ms, [from, to, kept]) => (ms > from ? ms + to - from - kept : ms), at);
  },

  // The rows of a run: turns, cells, its calls side by side, and its child runs below.
  block(number) {
    const run = runs[number];
    const label = number ? `run ${number}` : "turns";
    const rows = [{ height: 14, gap: 3, label }, { height: 14, gap: 4, label: "cells" }];
    const items = [];
    // What has no end goes on, or was given up when its process went.
    const end = (started, ended) => ended ?? (run.state === "running" ? data.last : this.pauses.find(([from]) => from >= started)?.[0] ?? run.ended);
    for (const turn of run.turns) items.push({ row: 0, from: turn[1], to: end(turn[1], turn[2]), kind: "turn", run: number, number: turn[0], faint: turn[3] });
    const waits = new Map();
    for (const at of this.callsOf[number]) {
      const span = [calls[at][C.started], end(calls[at][C.started], calls[at][C.ended])];
      waits.has(calls[at][C.cell]) ? waits.get(calls[at][C.cell]).push(span) : waits.set(calls[at][C.cell], [span]);
    }
    for (const cell of run.cells) {
      items.push({ row: 1, from: cell[1], to: end(cell[1], cell[2]), kind: "cell", run: number, number: cell[0], waits: union(waits.get(cell[0]) ?? []), ran: cell[3], faint: cell[5] });
    }
    const lanes = [];
    for (const at of [...this.callsOf[number]].sort((a, b) => calls[a][C.started] - calls[b][C.started])) {
      const call = calls[at];
      const to = end(call[C.started], call[C.ended]);
      let lane = lanes.findIndex((ends) => ends <= call[C.started]);
      if (lane < 0) lane = lanes.push(0) - 1;
      lanes[lane] = to;
      const kind = call[C.child] !== null || call[C.kind] === "run" ? "child" : call[C.state] === "cached" ? "cached" : ["failed", "refused", "unknown"].includes(call[C.state]) ? "failed" : "call";
      items.push({ row: 2 + lane, from: call[C.started], to, kind, call: at, open: call[C.ended] === null });
    }
    const height = lanes.length > 64 ? 3 : lanes.length > 24 ? 5 : 9;
    for (let lane = 0; lane < lanes.length; lane++) rows.push({ height, gap: height > 4 ? 2 : 1, label: lane ? "" : "calls" });
    const shelves = []; // child runs one after another stand in the same rows
    for (const child of [...this.childrenOf[number]].sort((a, b) => runs[a].started - runs[b].started)) {
      const block = this.block(child);
      let shelf = shelves.find((each) => each.until <= runs[child].started);
      if (!shelf) shelves.push((shelf = { until: 0, rows: [], blocks: [] }));
      shelf.until = runs[child].ended ?? data.last;
      shelf.blocks.push(block);
      block.rows.forEach((row, at) => { if (!shelf.rows[at]) shelf.rows[at] = { ...row, label: row.label === "cells" || row.label === "calls" ? "" : "child", child: true }; });
    }
    for (const shelf of shelves) {
      rows[rows.length - 1].gap += 6;
      const below = rows.length;
      rows.push(...shelf.rows);
      for (const block of shelf.blocks) for (const item of block.items) { item.row += below; items.push(item); }
    }
    return { rows, items };
  },

  fit() { this.view = [-this.size * 0.01, this.size * 1.02]; this.draw(); },
  zoom(factor, around = (this.view[0] + this.view[1]) / 2) {
    const least = Math.max(this.size / 5e5, 1);
    const span = Math.max(least, Math.min(this.size * 1.5, (this.view[1] - this.view[0]) * factor));
    const share = (around - this.view[0]) / (this.view[1] - this.view[0]);
    this.view = [around - span * share, around + span * (1 - share)];
    this.draw();
  },
  pan(share) {
    const by = (this.view[1] - this.view[0]) * share;
    this.view = [this.view[0] + by, this.view[1] + by];
    this.draw();
  },
  x(ms) { return this.gutter + ((this.place(ms) - this.view[0]) / (this.view[1] - this.view[0])) * (this.width - this.gutter); },
  at_(x) { return this.view[0] + ((x - this.gutter) / (this.width - this.gutter)) * (this.view[1] - this.view[0]); },

  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.paint(); });
  },
  colours() {
    const of = (name) => getComputedStyle($(`.k-${name}`)).backgroundColor;
    const style = getComputedStyle(this.box);
    return { turn: of("turn"), cell: of("running"), waiting: of("waiting"), call: of("call"), cached: of("cached"), failed: of("failed"), child: of("child"), ink: style.color, paper: style.backgroundColor, line: style.borderTopColor, soft: getComputedStyle($("#at")).color };
  },
  paint() {
    this.width = this.box.clientWidth;
    const height = Math.min(this.total, this.box.clientHeight || this.total);
    if (!this.width || !height) return;
    const scale = devicePixelRatio || 1;
    const { canvas } = this;
    if (canvas.width !== Math.round(this.width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(this.width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
      canvas.style.marginBottom = `-${height}px`;
    }
    const ctx = canvas.getContext("2d");
    const ink = this.colours();
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.clearRect(0, 0, this.width, height);
    ctx.font = "11px system-ui, sans-serif";
    this.grid(ctx, ink, height);
    const scroll = this.box.scrollTop;
    ctx.save();
    ctx.beginPath();
    ctx.rect(this.gutter, this.axis, this.width - this.gutter, height - this.axis);
    ctx.clip();
    this.rows.forEach((row, number) => {
      const top = row.top - scroll;
      if (top + row.height < this.axis || top > height) return;
      let painted = -1; // what falls on the same pixel is drawn once
      let kind = "";
      for (const item of this.byRow[number]) {
        const from = Math.max(this.x(item.from), this.gutter - 3);
        if (from > this.width) break;
        const to = Math.min(this.x(item.to), this.width + 3);
        if (to < this.gutter - 2 || (to <= painted && item.kind === kind && item !== this.at)) continue;
        painted = Math.max(from + 1.5, to);
        ({ kind } = item);
        this.bar(ctx, ink, item, from, Math.max(1.5, to - from - 0.5), top, row.height);
      }
    });
    ctx.restore();
    ctx.fillStyle = ink.soft;
    ctx.textBaseline = "top";
    for (const row of this.rows) {
      const top = row.top - scroll;
      if (row.label && top > this.axis - 4 && top < height) ctx.fillText(row.label, 8 + (row.child ? 6 : 0), top + Math.max(0, row.height - 11) / 2);
    }
  },
  bar(ctx, ink, item, x, width, y, height) {
    ctx.globalAlpha = item.faint ? 0.35 : 1;
    ctx.fillStyle = ink[item.kind];
    ctx.fillRect(x, y, width, height);
    for (const [from, to] of item.waits ?? []) {
      const left = Math.max(this.x(from), this.gutter), right = Math.min(this.x(to), this.width);
      if (right - left > 0.5) this.hatch(ctx, ink, left, y, right - left, height);
    }
    if (item.open) { ctx.strokeStyle = ink.ink; ctx.setLineDash([2, 2]); ctx.strokeRect(x + 0.5, y + 0.5, width, height - 1); ctx.setLineDash([]); }
    if (item.kind === "failed" && width > 6 && height > 6) { ctx.fillStyle = ink.paper; ctx.fillRect(x + 2, y + height / 2 - 0.75, Math.min(width - 4, 8), 1.5); }
    ctx.globalAlpha = 1;
    if (item === this.at) { ctx.strokeStyle = ink.ink; ctx.lineWidth = 2; ctx.strokeRect(x - 1, y - 1, width + 2, height + 2); ctx.lineWidth = 1; }
  },
  hatch(ctx, ink, x, y, width, height) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, width, height);
    ctx.clip();
    ctx.fillStyle = ink.waiting;
    ctx.fillRect(x, y, width, height);
    ctx.strokeStyle = ink.cell;
    ctx.beginPath();
    for (let at = Math.floor(x / 6) * 6 - height; at < x + width; at += 6) { ctx.moveTo(at, y + height); ctx.lineTo(at + height, y); }
    ctx.stroke();
    ctx.restore();
  },
  grid(ctx, ink, height) {
    const span = this.view[1] - this.view[0];
    const rough = (span / Math.max(2, this.width - this.gutter)) * 90;
    const step = STEPS.find((each) => each >= rough) ?? DAY * Math.ceil(rough / DAY);
    ctx.strokeStyle = ink.line;
    ctx.fillStyle = ink.soft;
    ctx.textBaseline = "top";
    ctx.beginPath();
    for (let at = Math.max(0, Math.ceil(this.view[0] / step) * step); at <= Math.min(this.view[1], this.size * 1.02); at += step) {
      const x = Math.round(this.gutter + ((at - this.view[0]) / span) * (this.width - this.gutter)) + 0.5;
      ctx.moveTo(x, this.axis);
      ctx.lineTo(x, height);
      const label = at ? clock(this.moment(at)) : "0";
      if (x + 6 + ctx.measureText(label).width < this.width) ctx.fillText(label, x + 3, 6);
    }
    ctx.stroke();
    for (const [from, to] of this.pauses) {
      const left = this.x(from), right = this.x(to);
      ctx.fillStyle = ink.line;
      ctx.fillRect(left, this.axis, right - left, height);
      ctx.fillStyle = ink.soft;
      ctx.fillText(`⋯ ${duration(to - from)}`, left + 2, this.axis + 2);
    }
  },

  describe(item) {
    const span = duration(item.to - item.from);
    if (item.kind === "turn") return `${item.run ? `Run ${item.run}, ` : ""}turn ${item.number}: the root model took ${span}`;
    if (item.kind === "cell") {
      const waited = item.waits.reduce((sum, [from, to]) => sum + to - from, 0);
      return `${item.run ? `Run ${item.run}, ` : ""}cell ${item.number}: ${span}` + (waited ? `, of which it waited ${duration(waited)} for calls` : "");
    }
    const call = calls[item.call];
    return `${call[C.kind] === "run" ? "Child run" : "Call"}, ${whereOf(call)}, ${call[C.state]}, ${span}: ${line(call[C.prompt], 160)}`;
  },
  hit(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const x = event.clientX - bounds.left, y = event.clientY - bounds.top + this.box.scrollTop;
    if (x < this.gutter) return null;
    const number = this.rows.findIndex((row) => y >= row.top - 1 && y <= row.top + row.height + 1);
    if (number < 0) return null;
    return this.byRow[number].findLast((item) => this.x(item.from) - 2 <= x && Math.max(this.x(item.to), this.x(item.from) + 2) + 1 >= x) ?? null;
  },
  open(item) {
    if (!item) return;
    if (item.call === undefined) { reveal($(`#${item.kind}-${item.run}-${item.number}`)); return; }
    let at = list.found.indexOf(item.call);
    if (at < 0) { list.matches = null; list.set({ run: "", cell: "", state: "", model: "" }); at = list.found.indexOf(item.call); }
    openCall(at);
  },
  choose(item) {
    if (!item) return;
    this.at = item;
    $("#at").textContent = this.describe(item);
    const [from, to] = [this.place(item.from), this.place(item.to)];
    const span = this.view[1] - this.view[0];
    if (to < this.view[0] || from > this.view[1]) this.view = [from - span * 0.1, from + span * 0.9];
    const row = this.rows[item.row];
    if (row.top < this.box.scrollTop + this.axis) this.box.scrollTop = row.top - this.axis - 4;
    else if (row.top + row.height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = row.top + row.height - this.box.clientHeight + 4;
    this.draw();
  },
  key(event) {
    const { at } = this;
    const beside = (step) => { const row = this.byRow[at.row]; return row[row.indexOf(at) + step]; };
    const above = (step) => {
      for (let row = at.row + step; row >= 0 && row < this.rows.length; row += step) {
        const [first] = [...this.byRow[row]].sort((a, b) => Math.abs(a.from - at.from) - Math.abs(b.from - at.from));
        if (first) return first;
      }
      return null;
    };
    const moves = { ArrowRight: () => beside(1), ArrowLeft: () => beside(-1), ArrowDown: () => above(1), ArrowUp: () => above(-1) };
    const views = { "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1.6), 0: () => this.fit(), h: () => this.pan(-0.25), l: () => this.pan(0.25) };
    if (event.key in moves) this.choose(at ? moves[event.key]() : this.byRow.find((row) => row.length)?.[0]);
    else if (event.key in views) views[event.key]();
    else if (event.key === "Enter") this.open(at);
    else return false;
    return true;
  },
  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => { this.drag = { x: event.clientX, view: this.view, moved: false }; });
    canvas.addEventListener("pointermove", (event) => {
      if (this.drag && event.buttons) {
        const by = event.clientX - this.drag.x;
        if (Math.abs(by) > 4 && !this.drag.moved) { this.drag.moved = true; canvas.setPointerCapture(event.pointerId); }
        if (!this.drag.moved) return;
        const move = (by / (this.width - this.gutter)) * (this.drag.view[1] - this.drag.view[0]);
        this.view = this.drag.view.map((each) => each - move);
        this.tip.hidden = true;
        this.draw();
        return;
      }
      const item = this.hit(event);
      canvas.style.cursor = item ? "pointer" : "crosshair";
      this.tip.hidden = !item;
      if (!item) return;
      this.tip.textContent = this.describe(item);
      this.tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - this.tip.offsetWidth - 8))}px`;
      this.tip.style.top = `${event.clientY + 18 + this.tip.offsetHeight > innerHeight ? event.clientY - 12 - this.tip.offsetHeight : event.clientY + 18}px`;
    });
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("click", (event) => {
      const moved = this.drag?.moved;
      this.drag = null;
      if (!moved) this.open(this.hit(event));
    });
    canvas.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
      if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, this.at_(event.clientX - canvas.getBoundingClientRect().left));
      else if (sideways) this.pan(sideways / 1000);
      else return;
      event.preventDefault();
    }, { passive: false });
    for (const button of all("[data-zoom]")) button.addEventListener("click", () => ({ in: () => this.zoom(0.6), out: () => this.zoom(1.6), fit: () => this.fit() })[button.dataset.zoom]());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  },
};
function union(spans) {
  const joined = [];
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    const last = joined[joined.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], to); else joined.push([from, to]);
  }
  return joined;
}

// Search: in what the page shows, and in the texts of all calls, some at a time.

const search = {
  field: $("#search"), line: $("#found"), blocks: null, token: 0, timer: 0, opened: [],

  begin() {
    this.field.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.run(), 150); });
    this.field.form.addEventListener("submit", (event) => { event.preventDefault(); this.first(); });
  },
  clear() {
    for (const details of this.opened) details.open = false;
    this.opened = [];
    for (const element of all(".dimmed")) element.classList.remove("dimmed");
    globalThis.CSS?.highlights?.delete("found");
  },
  async run() {
    const token = ++this.token;
    const wanted = this.field.value.trim().toLowerCase();
    this.clear();
    this.line.hidden = !wanted;
    if (!wanted) { list.matches = null; list.filter(); return; }
    this.blocks ??= all("main .found").map((element) => [element, element.textContent.toLowerCase()]);
    let steps = 0;
    const ranges = [];
    for (const [element, content] of this.blocks) {
      const has = content.includes(wanted);
      element.classList.toggle("dimmed", !has);
      const inner = has && !this.blocks.some(([other, its]) => other !== element && element.contains(other) && its.includes(wanted));
      if (!inner) continue;
      steps += 1;
      if (steps <= 200) this.show(element, wanted, ranges);
    }
    if (globalThis.CSS?.highlights) CSS.highlights.set("found", new Highlight(...ranges));
    this.line.textContent = `${plural(steps, "step")}; looking through the calls …`;
    const matching = new Uint8Array(data.firsts.length ? data.firsts[data.firsts.length - 1] + chunk(data.firsts.length - 1).length : 0);
    for (let at = 0; at < data.firsts.length; at++) {
      chunk(at).forEach((content, number) => { if (content.toLowerCase().includes(wanted)) matching[data.firsts[at] + number] = 1; });
      await new Promise((resolve) => { setTimeout(resolve); });
      if (token !== this.token) return;
    }
    list.matches = new Set(calls.flatMap((call, at) => (TEXTS.some((column) => call[column] !== null && matching[call[column]]) ? [at] : [])));
    list.filter();
    this.line.textContent = `${plural(steps, "step")} and ${plural(list.matches.size, "call")} with “${this.field.value.trim().slice(0, 80)}”`;
  },
  show(element, wanted, ranges) {
    for (let at = element; at && at.id !== "main"; at = at.parentElement) {
      if (at.tagName === "DETAILS" && !at.open) { at.open = true; this.opened.push(at); }
    }
    for (const inner of all("details:not([open])", element)) {
      if (!inner.classList.contains("dimmed") && inner.textContent.toLowerCase().includes(wanted)) { inner.open = true; this.opened.push(inner); }
    }
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && ranges.length < 2000) {
      const content = walker.currentNode.data.toLowerCase();
      for (let at = content.indexOf(wanted); at >= 0 && ranges.length < 2000; at = content.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(walker.currentNode, Math.min(at, walker.currentNode.length));
        range.setEnd(walker.currentNode, Math.min(at + wanted.length, walker.currentNode.length));
        ranges.push(range);
      }
    }
  },
  first() {
    const element = all("main .found:not(.dimmed) summary, main .turn:not(.dimmed) h4")[0] ?? (list.found.length ? list.box : null);
    element?.scrollIntoView({ behavior, block: "center" });
    if (element === list.box) { list.box.focus({ preventScroll: true }); list.select(0); } else element?.focus({ preventScroll: true });
  },
};

// Keys

function step(by) {
  const stops = all("main summary, main .list").filter((element) => element.offsetParent !== null && element.checkVisibility?.() !== false);
  const at = stops.indexOf(document.activeElement);
  const next = at >= 0 ? stops[at + by] : by > 0 ? stops.find((stop) => stop.getBoundingClientRect().top > 60) : stops.findLast((stop) => stop.getBoundingClientRect().top < innerHeight);
  if (!next) return;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ behavior, block: "nearest" });
}
const go = (element, focused) => { element.scrollIntoView({ behavior, block: "start" }); focused.focus({ preventScroll: true }); };
const KEYS = { "/": () => { search.field.focus(); search.field.select(); }, "?": () => $("#help").showModal(), j: () => step(1), k: () => step(-1), t: () => go($("#time"), chart.canvas), c: () => go($("#calls"), list.box) };
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  if (target === search.field) {
    if (event.key === "Escape") { search.field.value = ""; search.run(); search.field.blur(); }
    return;
  }
  if (target.closest("select, input")) return;
  if (dialog.open) {
    const steps = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 };
    if (event.key in steps) { openCall(shown + steps[event.key]); event.preventDefault(); }
    return;
  }
  if ($("#help").open) return;
  const handled = (target === list.box && list.key(event)) || (target === chart.canvas && chart.key(event));
  if (handled) event.preventDefault();
  else if (event.key === "Escape" && search.field.value) { search.field.value = ""; search.run(); }
  else if (Object.hasOwn(KEYS, event.key)) { KEYS[event.key](); event.preventDefault(); }
});
$("#keys").addEventListener("click", () => $("#help").showModal());
$("#theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  chart.draw();
});
let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details.matters:not([open])");
  for (const details of folded) details.open = true;
  chart.paint();
});
addEventListener("afterprint", () => { for (const details of folded) details.open = false; });

list.begin();
chart.begin();
search.begin();
document.documentElement.dataset.ready = "";
})();
