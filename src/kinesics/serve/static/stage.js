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
    button.classList.toggle("low", (y + h) / height > 0.86);
    button.classList.toggle("end", x / width > 0.7);
    const text = `${face.label} ${percent(face.confidence)}`;
    button.firstChild.textContent = faces.length > 6 ? names[place].replace(/^\D+/, "") : text;
    button.setAttribute("aria-label", `${names[place]}: ${text}`);
    button.setAttribute("aria-pressed", String(place === chosen));
    button.onclick = () => onChoose(place);
    kept.push(button);
  });
  for (const child of [...boxes.children]) if (!kept.includes(child)) child.remove();
}
