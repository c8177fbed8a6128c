// The picture, and on it a button for each face.

import { percent } from "./faces.js";

const view = document.getElementById("view");
const boxes = document.getElementById("boxes");

export const photo = document.getElementById("photo");
export const film = document.getElementById("film");

let address = "";

function show(element) {
  document.getElementById("invite").hidden = true;
  document.getElementById("drop").classList.add("full");
  view.hidden = false;
  for (const one of [photo, film]) one.hidden = one !== element;
  view.classList.remove("mirror");
}

function point(element, blob) {
  forget();
  address = URL.createObjectURL(blob);
  element.src = address;
}

export function forget() {
  film.pause();
  film.removeAttribute("src");
  film.srcObject = null;
  photo.removeAttribute("src");
  boxes.replaceChildren();
  if (address) URL.revokeObjectURL(address);
  address = "";
}

export function showPhoto(blob, name) {
  point(photo, blob);
  photo.alt = name ? `The picture ${name}` : "The picture";
  show(photo);
}

export function showFilm(blob) {
  point(film, blob);
  show(film);
}

export function showStream(stream) {
  forget();
  film.srcObject = stream;
  show(film);
  view.classList.add("mirror");
  return film.play();
}

// faces: records with boxes in pixels of a width x height picture
export function drawBoxes(faces, width, height, names, chosen, onChoose) {
  const known = new Map([...boxes.children].map((child) => [child.dataset.key, child]));
  const kept = [];
  faces.forEach((face, place) => {
    if (!face.box) return;
    const key = String(face.track ?? place + 1);
    let button = known.get(key);
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "box";
      button.dataset.key = key;
      button.append(document.createElement("span"));
      boxes.append(button);
    }
    const [x, y, w, h] = face.box;
    button.style.left = `${(100 * x) / width}%`;
    button.style.top = `${(100 * y) / height}%`;
    button.style.width = `${(100 * w) / width}%`;
    button.style.height = `${(100 * h) / height}%`;
    const text = `${face.label} ${percent(face.confidence)}`;
    button.firstChild.textContent = text;
    button.setAttribute("aria-label", `${names[place]}: ${text}`);
    button.setAttribute("aria-pressed", String(place === chosen));
    button.onclick = () => onChoose(place);
    kept.push(button);
  });
  for (const child of [...boxes.children]) if (!kept.includes(child)) child.remove();
  placeLabels(kept);
}

// Below the box, else above it, where no other face is covered; the chosen face's label comes first, and one without
// a place is shown when its box is chosen or pointed at.
function placeLabels(buttons) {
  const area = boxes.getBoundingClientRect();
  const rects = buttons.map((button) => ({
    x: button.offsetLeft, y: button.offsetTop, w: button.offsetWidth, h: button.offsetHeight,
  }));
  const taken = [];
  const meets = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
  const order = buttons.map((_, k) => k).sort((a, b) => pressed(buttons[b]) - pressed(buttons[a]));
  for (const k of order) {
    const [box, label] = [rects[k], buttons[k].firstChild];
    const [w, h] = [label.offsetWidth, label.offsetHeight];
    const x = Math.min(box.x, Math.max(area.width - w, 0));
    const spots = [box.y + box.h + 3, box.y - h - 3].map((y) => ({ x, y, w, h }));
    const free = spots.find((spot) =>
      spot.y >= 0 && spot.y + h <= area.height &&
      !rects.some((other, place) => place !== k && meets(spot, other)) && !taken.some((other) => meets(spot, other)));
    const inside = { x, y: Math.min(box.y + box.h + 3, area.height - h), w, h };
    const spot = free ?? inside;
    label.style.left = `${spot.x - box.x - 2}px`;
    label.style.top = `${spot.y - box.y - 2}px`;
    buttons[k].classList.toggle("crowded", !free);
    if (free || pressed(buttons[k])) taken.push(spot);
  }
}

const pressed = (button) => Number(button.getAttribute("aria-pressed") === "true");
