"use strict";
const data = JSON.parse(document.getElementById("content").textContent);
const served = document.documentElement.dataset.server === "yes";
const at = (id) => document.getElementById(id);
const letters = "123456789bcdefghilmnoqstvwxyz";  // none of the keys that mean something else
const decisions = new Map();  // position -> {decision, label, when}
const past = [];  // [position, what was decided before], the latest last
const cards = [];
const unsaved = new Set();  // positions whose decision the server does not have yet
let sending = Promise.resolve();  // one after the other, so that the last decision on a sample is the one that stays
let shown = [];
let now = 0;  // place in shown

function make(kind, name, text) {
  const element = document.createElement(kind);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

function say(text, bad) {
  at("message").textContent = text;
  at("message").className = bad ? "bad" : "";
}

// -- keeping decisions ---------------------------------------------------------------------------------------------

function row(i) {
  const known = decisions.get(i);
  return {path: data.items[i].path, decision: known.decision, label: known.label, when: known.when};
}

// What the browser has of these labels, samples that this page does not show included.
function kept() {
  return JSON.parse(localStorage.getItem(data.key) || "[]");
}

// Everything that was decided on: the browser's decisions on samples that are not shown, and this page's own.
function plain() {
  const here = [...decisions.keys()].map(row);
  if (served) return here;
  const paths = new Set(data.items.map((item) => item.path));
  try {
    return [...kept().filter((known) => !paths.has(known.path)), ...here];
  } catch (error) {
    return here;
  }
}

// One decision at a time, into what the browser has by now: another page of the same labels may be open.
function remember(position) {
  try {
    const rows = kept().filter((known) => known.path !== data.items[position].path);
    if (decisions.has(position)) rows.push(row(position));
    localStorage.setItem(data.key, JSON.stringify(rows));
  } catch (error) {
    say("This browser keeps nothing for this page: export before you close it.", true);
  }
}

async function send(position) {
  const known = decisions.get(position);
  const body = {position, path: data.items[position].path, decision: known ? known.decision : "none",
    label: known ? known.label : ""};
  const answer = await fetch("decision", {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body)});
  if (!answer.ok) throw new Error(await answer.text());
}

// Send everything that is not saved, what failed before included.
async function save() {
  let fault = null;
  for (const position of [...unsaved]) {
    unsaved.delete(position);  // before it is sent: decided again meanwhile, it is sent again
    try {
      await send(position);
    } catch (error) {
      unsaved.add(position);
      fault = error;
      if (error instanceof TypeError) break;  // no answer at all: the others would get none either
    }
  }
  at("unsaved").textContent = fault ? `${unsaved.size} not saved` : "";
  say(fault ? `Not saved: ${fault.message}. The next decision tries again.` : "saved", Boolean(fault));
}

// Take decisions over. Returns the positions they are on, and those on samples that are not shown.
function adopt(rows) {
  const place = new Map(data.items.map((item, i) => [item.path, i]));
  const positions = [], elsewhere = [];
  for (const {path, decision, label, when} of rows) {
    const fits = decision === "keep" || decision === "drop" || (decision === "relabel" && data.classes.includes(label));
    if (!fits || !path) continue;
    const known = {decision, label: decision === "relabel" ? label : "", when: when || ""};
    if (!place.has(path)) { elsewhere.push({path, ...known}); continue; }
    decisions.set(place.get(path), known);
    positions.push(place.get(path));
  }
  return [positions, elsewhere];
}

// Keep decisions on samples that are not shown for the export. Returns how many were kept.
function keepElsewhere(rows) {
  const byPath = new Map(rows.map((one) => [one.path, one]));
  try {
    const others = kept().filter((known) => !byPath.has(known.path));
    localStorage.setItem(data.key, JSON.stringify([...others, ...byPath.values()]));
    return byPath.size;
  } catch (error) {
    return 0;
  }
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) || cell !== cell.trim() ? '"' + cell.replaceAll('"', '""') + '"' : cell;
}

function toCsv(rows) {
  const lines = rows.map((r) => [r.path, r.decision, r.label, r.when].map(quoted).join(","));
  return ["path,decision,label,when", ...lines].join("\n") + "\n";
}

function fromCsv(text) {
  const rows = [];
  let row = [], cell = "", inside = false;
  const source = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n") + "\n";
  for (let i = 0; i < source.length; i += 1) {
    const c = source[i];
    if (inside) {
      if (c !== '"') cell += c;
      else if (source[i + 1] === '"') { cell += '"'; i += 1; } else inside = false;
    } else if (c === '"') inside = true;
    else if (c === ",") { row.push(cell); cell = ""; } else if (c === "\n") {
      row.push(cell);
      if (row.length > 1 || row[0]) rows.push(row);
      row = []; cell = "";
    } else cell += c;
  }
  const head = (rows.shift() || []).map((name) => name.trim());
  return rows.map((cells) => Object.fromEntries(head.map((name, i) => [name, cells[i] || ""])));
}

// -- deciding ------------------------------------------------------------------------------------------------------

function decide(position, decision, label) {
  past.push([position, decisions.get(position)]);
  decisions.set(position, {decision, label: label || "", when: new Date().toISOString().slice(0, 19) + "+00:00"});
  settle(position);
  const before = shown.indexOf(position);
  filter(before, true);
}

function relabel(position, number) {
  if (number === data.items[position].label) decide(position, "keep");
  else decide(position, "relabel", data.classes[number]);
}

function undo() {
  if (!past.length) return say("nothing to undo");
  const [position, before] = past.pop();
  if (before) decisions.set(position, before); else decisions.delete(position);
  settle(position);
  filter(0, false);
  const place = shown.indexOf(position);
  if (place >= 0) go(place);
}

function settle(position) {
  paint(position);
  if (!served) { say(""); remember(position); return; }
  unsaved.add(position);
  sending = sending.then(save);
}

function chosenClass(position) {
  const known = decisions.get(position);
  if (!known || known.decision === "drop") return -1;
  return known.decision === "keep" ? data.items[position].label : data.classes.indexOf(known.label);
}

// -- showing -------------------------------------------------------------------------------------------------------

function card(item, position) {
  const box = make("article");
  box.tabIndex = -1;
  box.setAttribute("aria-label", `${item.path}: ${data.classes[item.label]}`);
  const top = box.appendChild(make("div", "top"));
  const face = top.appendChild(make("img", "face"));
  face.src = data.images[item.image];
  face.alt = `labelled ${data.classes[item.label]}`;
  const bars = top.appendChild(make("div", "bars"));
  data.classes.forEach((name, i) => {
    const marks = (i === item.label ? " given" : "") + (i === item.proposed ? " proposed" : "");
    const bar = bars.appendChild(make("button", "bar" + marks));
    bar.type = "button";
    bar.title = `relabel: ${name}`;
    bar.appendChild(make("kbd", "", letters[i] || ""));
    bar.appendChild(make("span", "name", name));
    const share = bar.appendChild(make("span")).appendChild(make("span", "share"));
    share.style.width = `${Math.round(100 * item.p[i])}%`;
    share.style.display = "block";
    bar.appendChild(make("span", "value", `${Math.round(100 * item.p[i])}%`));
    bar.addEventListener("click", () => { point(position); relabel(position, i); });
  });
  const verdict = box.appendChild(make("p", "verdict"));
  verdict.append("given ", make("span", "was", data.classes[item.label]), ", proposed ",
    make("span", "is", data.classes[item.proposed]), `, doubt ${Math.round(100 * item.doubt)}%`);
  const facts = Object.entries(item.signals).map(([name, value]) => `${name.replaceAll("_", " ")} ${value.toFixed(2)}`);
  box.appendChild(make("p", "facts", `line ${item.line}, ${item.path}`));
  const detail = box.appendChild(make("p", "facts", facts.join(", ")));
  detail.title = Object.entries(data.signals).map(([name, text]) => `${name}: ${text}`).join("\n");
  const near = box.appendChild(make("div", "near"));
  near.appendChild(make("p", "note", item.against.length ? "Neighbours that speak against it"
    : "No near neighbour carries another label"));
  for (const other of item.against) {
    const figure = near.appendChild(make("figure"));
    figure.title = `${data.classes[other.label]}: ${other.path}`;
    const picture = figure.appendChild(make("img"));
    picture.src = data.images[other.image];
    picture.alt = `neighbour labelled ${data.classes[other.label]}`;
    figure.appendChild(make("figcaption", "", data.classes[other.label]));
  }
  const acts = box.appendChild(make("div", "acts"));
  const buttons = [["keep", "Keep", "a", () => decide(position, "keep")],
    ["relabel", `Take ${data.classes[item.proposed]}`, "p", () => relabel(position, item.proposed)],
    ["drop", "Drop", "r", () => decide(position, "drop")]];
  for (const [kind, text, key, act] of buttons) {
    const button = acts.appendChild(make("button", "", `${text} `));
    button.type = "button";
    button.dataset.kind = kind;
    button.appendChild(make("kbd", "", key));
    button.addEventListener("click", () => { point(position); act(); });
  }
  return box;
}

function paint(position) {
  const known = decisions.get(position);
  const box = cards[position];
  box.classList.remove("keep", "drop", "relabel");
  if (known) box.classList.add(known.decision);
  const chosen = chosenClass(position);
  box.querySelectorAll(".bar").forEach((bar, i) => {
    bar.classList.toggle("chosen", i === chosen);
    bar.setAttribute("aria-pressed", String(i === chosen));
  });
  box.querySelectorAll(".acts button").forEach((button) => {
    const proposal = known && known.decision === "relabel" && known.label === data.classes[data.items[position].proposed];
    const on = Boolean(known) && button.dataset.kind === known.decision && (button.dataset.kind !== "relabel" || proposal);
    button.classList.toggle("on", on);
    button.setAttribute("aria-pressed", String(on));
  });
}

function pairOf(item) {
  return `${item.label}-${item.proposed}`;
}

function matches(position) {
  const pair = at("pair").value, status = at("status").value, known = decisions.get(position);
  if (pair !== "all" && pairOf(data.items[position]) !== pair) return false;
  if (status === "open") return !known;
  if (status === "decided") return Boolean(known);
  return status === "all" || Boolean(known && known.decision === status);
}

const orders = {
  doubt: (a, b) => a - b,  // the items come so
  certain: (a, b) => b - a,
  label: (a, b) => data.items[a].label - data.items[b].label || a - b,
  proposed: (a, b) => data.items[a].proposed - data.items[b].proposed || a - b,
  line: (a, b) => data.items[a].line - data.items[b].line,
};

// Show what the filters let through; `place` stays the current one, or with `onward` the next undecided after it.
function filter(place, onward) {
  const current = shown[place];
  const before = shown;
  shown = data.items.map((_, i) => i).filter(matches).sort(orders[at("sort").value]);
  if (shown.length !== before.length || shown.some((position, i) => position !== before[i])) {
    at("list").replaceChildren(...shown.map((position) => cards[position]));
  }
  at("none").hidden = shown.length > 0;
  count();
  if (!shown.length) return;
  const still = shown.indexOf(current);
  let next = still >= 0 ? still : Math.min(place, shown.length - 1);
  if (onward && still >= 0) {
    const after = shown.findIndex((position, i) => i > still && !decisions.has(position));
    next = after >= 0 ? after : Math.min(still + 1, shown.length - 1);
  }
  go(next);
}

function point(position) {
  now = Math.max(shown.indexOf(position), 0);
}

function go(place) {
  if (!shown.length) return;
  cards.forEach((box) => { box.classList.remove("now"); box.tabIndex = -1; });
  now = Math.min(Math.max(place, 0), shown.length - 1);
  const box = cards[shown[now]];
  box.classList.add("now");
  box.tabIndex = 0;
  box.focus({preventScroll: true});
  box.scrollIntoView({block: "nearest"});
}

function count() {
  const kinds = {keep: 0, drop: 0, relabel: 0};
  for (const known of decisions.values()) kinds[known.decision] += 1;
  at("meter").max = data.items.length || 1;
  at("meter").value = decisions.size;
  at("count").textContent = `${decisions.size} of ${data.items.length} decided: ${kinds.keep} kept, `
    + `${kinds.relabel} relabelled, ${kinds.drop} dropped; ${shown.length} shown`;
}

function pairs() {
  const numbers = new Map();
  for (const item of data.items) numbers.set(pairOf(item), (numbers.get(pairOf(item)) || 0) + 1);
  const select = at("pair");
  const add = (value, text) => { select.appendChild(make("option", "", text)).value = value; };
  add("all", `all (${data.items.length})`);
  for (const [key, number] of [...numbers].sort((a, b) => b[1] - a[1])) {
    const [from, to] = key.split("-").map((i) => data.classes[i]);
    add(key, `${from} → ${to} (${number})`);
  }
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (at("keys").open) {
    if (event.key === "?") { at("keys").close(); event.preventDefault(); }
    return;
  }
  if (event.target.tagName === "SELECT" || event.target.tagName === "INPUT") return;
  if (event.key === "?") at("keys").showModal();
  else if (event.key === "u") undo();
  else if (["j", "ArrowRight", "ArrowDown"].includes(event.key)) go(now + 1);
  else if (["k", "ArrowLeft", "ArrowUp"].includes(event.key)) go(now - 1);
  else if (!shown.length) return;
  else if (event.key === "a") decide(shown[now], "keep");
  else if (event.key === "r") decide(shown[now], "drop");
  else if (event.key === "p") relabel(shown[now], data.items[shown[now]].proposed);
  else {
    const number = event.key.length === 1 ? letters.indexOf(event.key) : -1;
    if (number < 0 || number >= data.classes.length) return;
    relabel(shown[now], number);
  }
  event.preventDefault();
}

function download() {
  const link = make("a");
  const rows = plain();
  link.href = URL.createObjectURL(new Blob([toCsv(rows)], {type: "text/csv"}));
  link.download = "decisions.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  const elsewhere = rows.length - decisions.size;
  say(`${rows.length} decisions exported` + (elsewhere ? `, ${elsewhere} of them on samples that are not shown` : ""));
}

async function load(event) {
  const file = event.target.files[0];
  if (!file) return;
  const rows = fromCsv(await file.text());
  const [positions, elsewhere] = adopt(rows);
  // A file that knows none of the samples shown is of other labels; a server has a place for what is shown alone.
  const more = served || !positions.length || !elsewhere.length ? 0 : keepElsewhere(elsewhere);
  event.target.value = "";
  positions.forEach(settle);
  filter(now, false);
  say(`${positions.length} of ${rows.length} decisions taken over`
    + (more ? `, ${more} more kept for samples that are not shown` : ""), positions.length + more < rows.length);
}

async function start() {
  at("about").textContent = `The ${data.items.length} most doubtful of ${data.total} training labels of ${data.manifest}, `
    + `by the run ${data.run}. About ${Math.round(data.expected_wrong)} labels are expected to be wrong`
    + (data.expected_wrong > data.total / 2 ? ": so many speak of a model that knows too little. Go by the order alone." : ".");
  at("foot").textContent = served
    ? "Each decision is saved beside the manifest at once. kinesics data apply-review writes the corrected manifest."
    : "Decisions stay in this browser until they are exported. kinesics data apply-review MANIFEST decisions.csv OUT.csv "
      + "writes the corrected manifest.";
  at("digits").append(...data.classes.flatMap((name, i) => [make("kbd", "", letters[i] || "-"), ` ${name} `]));
  data.items.forEach((item, i) => cards.push(card(item, i)));
  pairs();
  try {
    if (served) {
      const answer = await fetch("decisions.csv");
      if (!answer.ok) throw new Error(await answer.text());
      adopt(fromCsv(await answer.text()));
    } else adopt(kept());
  } catch (error) {
    say("Earlier decisions could not be read: " + error.message, true);
  }
  data.items.forEach((_, i) => paint(i));
  for (const id of ["pair", "status", "sort"]) {
    at(id).addEventListener("change", () => { filter(now, false); });
  }
  at("export").addEventListener("click", download);
  at("import").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", load);
  at("undo").addEventListener("click", undo);
  at("help").addEventListener("click", () => at("keys").showModal());
  at("close").addEventListener("click", () => at("keys").close());
  document.addEventListener("keydown", key);
  window.addEventListener("beforeunload", (event) => { if (unsaved.size) event.preventDefault(); });
  filter(0, false);
  window.scrollTo(0, 0);
  document.documentElement.dataset.ready = "yes";
}

start();
