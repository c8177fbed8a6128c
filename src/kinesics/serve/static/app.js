// Puts the page together: what was dropped, chosen, pasted or filmed goes out, the answer comes on the screen.

import { Camera } from "./camera.js";
import { drawCard, drawChips, nameOf } from "./faces.js";
import { drawPlane, makePlane } from "./plane.js";
import { about, anything } from "./service.js";
import * as stage from "./stage.js";
import { drawTimeline, hideTimeline, moveCursor, nearest } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const facts = { classes: [], limits: {} };
// what is on the screen: the answer, the frame shown, the chosen face (a track's number in videos)
let answer = null;
let shown = 0;
let chosen = 0;
let work = null;
let camera = null;

// the same text again would be read out again
function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}
function complain(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

function draw() {
  if (!answer) return;
  const moving = answer.kind === "video";
  const frame = moving ? answer.frames[shown] : answer;
  const faces = frame?.faces ?? [];
  let place = moving ? faces.findIndex((face) => (face.track ?? 1) === chosen) : Math.min(chosen, faces.length - 1);
  if (place < 0 && faces.length) place = 0;
  const choose = (next) => {
    chosen = moving ? (faces[next].track ?? 1) : next;
    draw();
  };
  const names = faces.map(nameOf);
  const [width, height] = [frame?.width ?? answer.width, frame?.height ?? answer.height];
  stage.drawBoxes(faces, width, height, names, place, choose);
  drawChips(faces, facts.classes, place, choose);
  const none = moving ? "No face in this frame." : "No face was found. Small, turned or covered faces are missed at times.";
  drawCard(faces[place], place, facts.classes, none);
  drawPlane(faces, place);
}

function seek(place) {
  shown = place;
  moveCursor(place);
  draw();
  if (stage.film.src && stage.film.duration) {
    stage.film.pause();
    // into the frame, not onto its edge
    stage.film.currentTime = Math.min(answer.frames[place].time + 0.001, stage.film.duration);
  }
}

function follow() {
  if (answer?.kind !== "video" || !answer.frames.length || !stage.film.src) return;
  const place = nearest(answer.frames.map((frame) => frame.time), stage.film.currentTime);
  if (place === shown) return;
  shown = place;
  moveCursor(place);
  draw();
}

function begin() {
  work?.abort();
  stopCamera();
  work = new AbortController();
  answer = null;
  shown = chosen = 0;
  complain("");
  hideTimeline();
  for (const id of ["save", "play"]) $(id).hidden = true;
  $("stop").hidden = false;
  $("progress").hidden = false;
  $("progress").removeAttribute("value");
  return work;
}

function end(mine) {
  if (mine !== work) return;
  $("stop").hidden = $("progress").hidden = true;
}

async function send(file) {
  const mine = begin();
  const film = file.type.startsWith("video/");
  if (film) stage.showFilm(file);
  else stage.showPhoto(file, file.name);
  drawCard(null, 0, facts.classes, "Working …");
  drawChips([], [], 0);
  try {
    if (file.size > facts.limits.megabytes * 2 ** 20) {
      throw new Error(`the file has ${(file.size / 2 ** 20).toFixed(0)} MiB, the service takes ${facts.limits.megabytes}`);
    }
    say(film ? "Sending the video …" : "Looking for faces …");
    const query = $("rate").value ? { fps: $("rate").value } : {};
    let last = 0;
    const document = await anything(file, query, (part) => {
      if (mine !== work) return;
      progress(part);
      // a strip that grows with every frame would take longer and longer
      if (part.frames.length && performance.now() - last > 500) {
        last = performance.now();
        answer = part;
        drawTimeline(part, facts.classes, seek);
        draw();
      }
    }, mine.signal);
    if (mine !== work) return;
    answer = document;
    finish(document, film);
  } catch (error) {
    if (mine !== work || error.name === "AbortError") return;
    say("");
    complain(error.message[0].toUpperCase() + error.message.slice(1) + ".");
    drawCard(null, 0, facts.classes, "There is no answer.");
  } finally {
    end(mine);
  }
}

function progress(part) {
  const time = part.frames.at(-1)?.time ?? 0;
  if (part.duration) $("progress").value = Math.min(time / part.duration, 1);
  say(`${part.frames.length} frames, ${time.toFixed(1)} s${part.duration ? ` of ${part.duration.toFixed(1)} s` : ""}`);
}

function finish(document, film) {
  $("save").hidden = false;
  if (document.kind === "video") {
    drawTimeline(document, facts.classes, seek);
    $("play").hidden = !film;
    const people = document.tracks.length;
    say(`${document.frames.length} frames, ${people} ${people === 1 ? "person" : "people"}` +
      (document.truncated ? `. Ended early: ${document.truncated}.` : "."));
  } else {
    const count = document.faces.length;
    say(count === 0 ? "No face was found." : `${count} ${count === 1 ? "face" : "faces"}.`);
  }
  draw();
}

async function startCamera() {
  begin();
  $("progress").hidden = true;
  try {
    camera = new Camera(stage.film, (document) => {
      complain("");
      answer = document;
      const count = document.faces.length;
      say(count === 1 ? "Camera: 1 face." : `Camera: ${count} faces.`);
      draw();
    }, complain);
    const opened = camera;
    const stream = await opened.open();
    if (camera !== opened) return opened.close();
    await stage.showStream(stream);
    $("camera").setAttribute("aria-pressed", "true");
    say("Camera: looking for faces …");
    camera.run();
  } catch (error) {
    stopCamera();
    $("stop").hidden = true;
    complain(`The camera can't be used: ${error.message}`);
  }
}

function stopCamera() {
  if (!camera) return;
  camera.close();
  camera = null;
  stage.film.pause();
  $("camera").setAttribute("aria-pressed", "false");
}

function stop() {
  work?.abort();
  stopCamera();
  $("stop").hidden = $("progress").hidden = true;
  say("Stopped.");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 1)], { type: "application/json" }));
  link.download = "kinesics.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function listen() {
  const drop = $("drop");
  const over = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, over);
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });
  // a file dropped beside the frame would replace the page
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  window.addEventListener("paste", (event) => event.clipboardData.files[0] && send(event.clipboardData.files[0]));
  $("file").addEventListener("change", (event) => {
    if (event.target.files[0]) send(event.target.files[0]);
    event.target.value = "";
  });
  $("camera").addEventListener("click", () => (camera ? stop() : startCamera()));
  $("stop").addEventListener("click", stop);
  $("save").addEventListener("click", save);
  $("play").addEventListener("click", () => (stage.film.paused ? stage.film.play() : stage.film.pause()));
  for (const name of ["play", "pause", "ended"]) {
    stage.film.addEventListener(name, () => ($("play").textContent = stage.film.paused ? "Play" : "Pause"));
  }
  // labels are placed by the picture's size on the screen
  window.addEventListener("resize", draw);
  stage.photo.addEventListener("load", draw);
  stage.film.addEventListener("loadedmetadata", draw);
  for (const name of ["timeupdate", "seeked"]) stage.film.addEventListener(name, follow);
  const tick = () => {
    if (!stage.film.paused) follow();
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

listen();
try {
  Object.assign(facts, await about());
  $("model").textContent = `Expressions of the faces in a picture or a video, as distributions. Model: ${facts.model}.`;
  makePlane(facts.circumplex);
  document.body.dataset.ready = "yes";
} catch (error) {
  complain(error.message);
}
