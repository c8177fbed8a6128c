// The circumplex plane: valence to the right, arousal upwards, the classes at their published places.

const SVG = "http://www.w3.org/2000/svg";
const plane = document.getElementById("plane");
const note = document.getElementById("plane-note");
const at = (value) => 130 + 104 * value;

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

let points;
let svg;

export function makePlane(places) {
  plane.replaceChildren();
  svg = add(plane, "svg", { viewBox: "-14 0 288 262", role: "img" });
  add(svg, "circle", { class: "ring", cx: at(0), cy: at(0), r: 104 });
  add(svg, "path", { class: "axis", d: `M${at(-1)} 130H${at(1)}M130 ${at(-1)}V${at(1)}` });
  add(svg, "text", { x: 130, y: 18, "text-anchor": "middle" }, "aroused");
  add(svg, "text", { x: 130, y: 250, "text-anchor": "middle" }, "calm");
  add(svg, "text", { x: at(1) + 4, y: 146, "text-anchor": "middle" }, "pleasant");
  add(svg, "text", { x: at(-1) - 4, y: 146, "text-anchor": "middle" }, "unpleasant");
  const taken = [];
  for (const [name, [valence, arousal]] of Object.entries(places)) {
    const x = at(valence);
    add(svg, "circle", { class: "place", cx: x, cy: at(-arousal), r: 2.5 });
    // outwards where many lie close to each other; names on the same side are moved apart
    const left = valence < -0.52 || valence > 0.6;
    let y = at(-arousal) + 4;
    while (taken.some(([side, across, down]) => side === left && Math.abs(across - x) < 60 && Math.abs(down - y) < 12)) y += 4;
    taken.push([left, x, y]);
    add(svg, "text", { class: "name", x: x + (left ? -10 : 10), y, "text-anchor": left ? "end" : "start" }, name);
  }
  points = add(svg, "g", {});
}

export function drawPlane(faces, chosen) {
  const face = faces[chosen];
  document.getElementById("affect").hidden = face?.valence === undefined;
  if (face?.valence === undefined) return;
  const sorted = faces.map((one, place) => [one, place === chosen]).sort((a, b) => a[1] - b[1]);
  while (points.children.length > sorted.length) points.lastChild.remove();
  sorted.forEach(([one, mine], place) => {
    const dot = points.children[place] ?? add(points, "circle", {});
    dot.setAttribute("class", mine ? "point" : "other");
    dot.setAttribute("r", mine ? 7 : 4);
    dot.setAttribute("cx", at(one.valence ?? 0));
    dot.setAttribute("cy", at(-(one.arousal ?? 0)));
  });
  const sign = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  const where = `valence ${sign(face.valence)}, arousal ${sign(face.arousal)}`;
  svg.setAttribute("aria-label", `Circumplex plane: ${where}`);
  note.textContent = face.projection
    ? `${where[0].toUpperCase()}${where.slice(1)}. This is a projection: the distribution's mean over the places of the classes, no measurement of its own.`
    : `${where[0].toUpperCase()}${where.slice(1)}, answered by the model itself.`;
}
