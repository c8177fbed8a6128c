// Stacked distributions over time, one strip a person; each strip is a slider over the video's frames.

import { colour, percent } from "./faces.js";

const SVG = "http://www.w3.org/2000/svg";
const section = document.getElementById("time");
const strips = document.getElementById("tracks");
const MOST = 12;

let state = null;

export function hideTimeline() {
  section.hidden = true;
  strips.replaceChildren();
  state = null;
}

// film: the answer so far; onSeek is told a frame's place in film.frames
export function drawTimeline(film, classes, onSeek) {
  section.hidden = false;
  drawLegend(classes);
  const times = film.frames.map((frame) => frame.time);
  const first = times[0] ?? 0;
  const last = Math.max(times.at(-1) ?? 0, "tracks" in film ? 0 : film.duration, first + 0.001);
  const people = new Map();
  film.frames.forEach((frame, place) => {
    for (const face of frame.faces) {
      const number = face.track ?? 1;
      if (!people.has(number)) people.set(number, []);
      people.get(number).push([place, face]);
    }
  });
  const shown = [...people].sort((a, b) => b[1].length - a[1].length).slice(0, MOST).sort((a, b) => a[0] - b[0]);
  state = { film, first, last, onSeek, place: Math.min(state?.place ?? 0, times.length - 1) };
  strips.replaceChildren(...shown.map(([number, seen]) => strip(number, seen, classes, times)));
  const left = people.size - shown.length;
  if (left > 0) {
    const more = document.createElement("p");
    more.className = "quiet small";
    more.textContent = `${left} more, seen in fewer frames, are in the table.`;
    strips.append(more);
  }
  moveCursor(state.place);
  drawTable(film, classes);
}

function drawLegend(classes) {
  document.getElementById("legend").replaceChildren(
    ...classes.map((name, place) => {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.style.background = colour(place);
      item.append(mark, name);
      return item;
    }),
  );
}

function strip(number, seen, classes, times) {
  const lane = document.createElement("div");
  lane.className = "lane";
  const head = document.createElement("p");
  head.id = `lane-${number}`;
  head.textContent = `Person ${number}`;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "slider", tabindex: "0",
    "aria-labelledby": head.id, "aria-valuemin": "0", "aria-valuemax": String(times.length - 1),
  })) svg.setAttribute(key, value);
  const across = (time) => (1000 * (time - state.first)) / (state.last - state.first);
  // a gap where the person is not seen ends an area
  const step = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : 0.04;
  for (const run of runs(seen)) {
    const floor = run.map(() => 0);
    classes.forEach((name, row) => {
      const lower = run.map(([place], k) => `${across(times[place]).toFixed(1)} ${(100 - 100 * floor[k]).toFixed(1)}`);
      run.forEach(([, face], k) => (floor[k] += face.distribution[name] ?? 0));
      const upper = run.map(([place], k) => `${across(times[place]).toFixed(1)} ${(100 - 100 * floor[k]).toFixed(1)}`);
      const path = document.createElementNS(SVG, "path");
      // the last frame lasts until the next one
      const end = Math.min(across(times[run.at(-1)[0]] + step), 1000).toFixed(1);
      const last = (points) => [...points, `${end} ${points.at(-1).split(" ")[1]}`];
      path.setAttribute("d", `M${last(upper).join("L")}L${last(lower).reverse().join("L")}Z`);
      path.style.fill = colour(row);
      svg.append(path);
    });
  }
  const cursor = document.createElementNS(SVG, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100");
  svg.append(cursor);
  listen(svg, times);
  const ticks = document.createElement("div");
  ticks.className = "ticks";
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const tick = document.createElement("span");
    tick.textContent = `${(state.first + share * (state.last - state.first)).toFixed(1)} s`;
    ticks.append(tick);
  }
  lane.append(head, svg, ticks);
  return lane;
}

function runs(seen) {
  const found = [];
  seen.forEach(([place, face], k) => {
    if (k === 0 || place !== seen[k - 1][0] + 1) found.push([]);
    found.at(-1).push([place, face]);
  });
  return found;
}

function listen(svg, times) {
  const seek = (event) => {
    const area = svg.getBoundingClientRect();
    const time = state.first + ((event.clientX - area.left) / area.width) * (state.last - state.first);
    state.onSeek(nearest(times, time));
  };
  svg.onpointerdown = (event) => {
    svg.setPointerCapture(event.pointerId);
    seek(event);
  };
  svg.onpointermove = (event) => event.buttons && seek(event);
  svg.onkeydown = (event) => {
    const far = times.length - 1;
    const goal = {
      ArrowLeft: state.place - 1, ArrowDown: state.place - 1, ArrowRight: state.place + 1, ArrowUp: state.place + 1,
      PageDown: state.place - 10, PageUp: state.place + 10, Home: 0, End: far,
    }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    state.onSeek(Math.min(Math.max(goal, 0), far));
  };
}

// the place of the last frame that is not after `time`
export function nearest(times, time) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + 1e-4) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function moveCursor(place) {
  if (!state || place < 0) return;
  state.place = place;
  const frame = state.film.frames[place];
  const x = (1000 * (frame.time - state.first)) / (state.last - state.first);
  for (const svg of strips.querySelectorAll("svg")) {
    const cursor = svg.querySelector(".cursor");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const number = Number(svg.getAttribute("aria-labelledby").slice(5));
    const face = frame.faces.find((one) => (one.track ?? 1) === number);
    const said = face ? `${face.label} ${percent(face.confidence)}` : "not seen";
    svg.setAttribute("aria-valuenow", String(place));
    svg.setAttribute("aria-valuetext", `${frame.time.toFixed(2)} seconds: ${said}`);
    svg.closest(".lane").querySelector("p").textContent = `Person ${number} · ${said}`;
  }
}

function drawTable(film, classes) {
  const table = document.createElement("table");
  const heads = ["person", "from", "to", "frames", "label", ...classes];
  const row = table.createTHead().insertRow();
  for (const head of heads) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = head;
    row.append(cell);
  }
  const body = table.createTBody();
  for (const track of film.tracks ?? []) {
    const cells = [
      track.track, `${track.start.toFixed(1)} s`, `${track.end.toFixed(1)} s`, track.frames, track.label,
      ...classes.map((name) => percent(track.distribution[name] ?? 0)),
    ];
    const line = body.insertRow();
    cells.forEach((text) => (line.insertCell().textContent = text));
  }
  document.getElementById("table").replaceChildren(table);
}
