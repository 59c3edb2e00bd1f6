// Talking to the server: JSON, event streams, keys, waiting where it is busy or away.

const BUSY = { tries: 5, message: (n) => t("The server is busy; asking again in {n} s …", { n: number(n) }) };
let secret = ""; // the API key; kept for this tab only
try { secret = sessionStorage.getItem("m4nmt.key") || ""; } catch { /* not kept */ }

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

function useKey(key) {
  secret = key;
  try { sessionStorage.setItem("m4nmt.key", key); } catch { /* for this page only */ }
}

/** A request that waits and asks again while the server is busy (429, 503) or does not answer. */
async function request(path, options = {}, signal = undefined, later = BUSY) {
  const headers = { ...options.headers };
  if (secret) headers.Authorization = `Bearer ${secret}`;
  let attempt = 0, away = 0;
  for (;;) {
    let response;
    try {
      response = await fetch(path, { ...options, headers, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      const seconds = Math.min(2 ** away++, 15);
      say(navigator.onLine ? t("The server does not answer; asking again in {n} s …", { n: number(seconds) }) : t("There is no network; asking again when there is …"), true);
      await pause(1000 * seconds, signal);
      continue;
    }
    if (response.ok) {
      if (attempt || away) say("");
      return response;
    }
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    if ((response.status === 429 || response.status === 503) && attempt++ < later.tries) {
      say(later.message(seconds), true);
      await pause(1000 * seconds, signal);
      continue;
    }
    throw await refusal(response);
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const { status } = response;
  if (status === 401 || status === 403) $("keybox").hidden = false;
  return new Refused(status, refusalText(status, typeof body.error === "string" ? body.error : ""));
}
/** Servers speak English: what they say is quoted to others only where the status does not tell it. */
function refusalText(status, said) {
  if (said && ui === "en") return said;
  const known = {
    401: t("This server needs an API key."),
    403: t("The API key is wrong, or its characters are used up."),
    413: t("The text is too long for this server."),
    429: t("The server is busy; try again in a moment."),
    504: t("The translation took too long; try a shorter text."),
  };
  return known[status] || (said ? t("The server refuses: {message}", { message: said }) : t("The server answered {status}.", { status }));
}

const asJson = (body) => ({
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
});

async function post(path, body, signal) {
  return (await request(path, asJson(body), signal)).json();
}

/** Server-sent events of a POST: `heard(event, data)` for each. */
async function stream(path, body, signal, heard) {
  const response = await request(path, asJson(body), signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      buffer += (value || "").replaceAll("\r", "");
      const events = buffer.split("\n\n");
      buffer = events.pop();
      for (const lines of events) hear(lines.split("\n"), heard);
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // whatever is left is not wanted
  }
}

function hear(lines, heard) {
  const field = (name) => lines.filter((line) => line.startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).replace(/^ /, "")).join("\n");
  if (field("data")) heard(field("event") || "message", JSON.parse(field("data")));
}
