// The card of the chosen face: label, numbers, bars; and the row of faces to choose from.

const chips = document.getElementById("chips");
const card = document.getElementById("card");
const bars = document.getElementById("bars");
const nothing = document.getElementById("nothing");

export const percent = (share) => `${Math.round(100 * share)} %`;
export const colour = (place) => `var(--c${place % 8})`;
export const nameOf = (face, place) => (face.track ? `Person ${face.track}` : `Face ${place + 1}`);

export function drawChips(faces, classes, chosen, onChoose) {
  chips.hidden = faces.length < 2;
  const focused = chips.contains(document.activeElement);
  chips.replaceChildren(
    ...faces.map((face, place) => {
      const button = document.createElement("button");
      const mark = document.createElement("i");
      mark.style.background = colour(Math.max(classes.indexOf(face.label), 0));
      button.type = "button";
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", String(place === chosen));
      button.tabIndex = place === chosen ? 0 : -1;
      button.append(mark, `${nameOf(face, place)} · ${face.label}`);
      button.onclick = () => onChoose(place);
      button.onkeydown = (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        onChoose((place + step + faces.length) % faces.length);
        chips.querySelector("[aria-checked=true]")?.focus();
      };
      return button;
    }),
  );
  if (focused) chips.querySelector("[aria-checked=true]")?.focus();
}

export function drawCard(face, place, classes, message) {
  card.hidden = !face;
  nothing.hidden = Boolean(face);
  if (!face) {
    if (message) nothing.textContent = message;
    return;
  }
  document.getElementById("label").textContent = face.label;
  document.getElementById("who").textContent = nameOf(face, place);
  document.getElementById("confidence").textContent = percent(face.confidence);
  document.getElementById("uncertainty").textContent = `${Math.round(100 * face.uncertainty)} of 100`;
  // the classes keep their rows, so that bars don't jump about in a video
  classes.forEach((name, row) => {
    const share = face.distribution[name] ?? 0;
    const item = bars.children[row] ?? makeRow(name, row);
    item.querySelector(".fill").style.width = `${100 * share}%`;
    item.querySelector("b").textContent = percent(share);
  });
}

function makeRow(name, row) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = name;
  const track = document.createElement("span");
  track.className = "track";
  const fill = document.createElement("span");
  fill.className = "fill";
  fill.style.background = colour(row);
  track.append(fill);
  item.append(text, track, document.createElement("b"));
  bars.append(item);
  return item;
}
