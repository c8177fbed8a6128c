// Talks to the service: one upload, its answer whole or line by line, errors as sentences.

export class Trouble extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function trouble(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // a proxy may answer with something else than JSON
  }
  const text = [error.message ?? `the service answered with status ${response.status}`, error.hint].filter(Boolean);
  return new Trouble(text.join(" – "), response.status, Number(response.headers.get("Retry-After")) || 1);
}

export async function about() {
  const response = await fetch("about");
  if (!response.ok) throw await trouble(response);
  return response.json();
}

async function post(blob, query, accept, signal) {
  try {
    return await fetch(`predict?${new URLSearchParams(query)}`, {
      method: "POST",
      body: blob,
      headers: { "Content-Type": "application/octet-stream", Accept: accept },
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("the service can't be reached", 0, 2);
  }
}

export async function photo(blob, query, signal) {
  const response = await post(blob, query, "application/json", signal);
  if (!response.ok) throw await trouble(response);
  return response.json();
}

// Whatever the upload turns out to be: a photograph's document, or a video's, whose parts are told as they come.
export async function anything(blob, query, onPart, signal) {
  const response = await post(blob, query, "application/x-ndjson", signal);
  if (!response.ok) throw await trouble(response);
  if (!response.headers.get("Content-Type").startsWith("application/x-ndjson")) return response.json();
  const film = { frames: [] };
  const take = (line) => {
    const part = JSON.parse(line);
    if (part.error) throw new Trouble(part.error.message, 503, part.error.retry_after ?? 1);
    if ("frame" in part) film.frames.push(part);
    else Object.assign(film, part);
    onPart(film);
  };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
  if (!("tracks" in film)) throw new Trouble("the connection broke off", 0, 1);
  return film;
}
