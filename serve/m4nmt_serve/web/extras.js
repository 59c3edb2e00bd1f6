// A better translation, the same request from a program, light and dark, the API key.

// --- suggest ---
function openSuggestion() {
  if (!shown) return;
  $("mine").value = shown.text;
  $("better").hidden = false;
  $("right").classList.add("editing");
  $("mine").focus();
}
function closeSuggestion(focus = true) {
  $("better").hidden = true;
  $("right").classList.remove("editing");
  if (focus) $("suggest").focus();
}
async function sendSuggestion() {
  const translation = $("mine").value.trim();
  if (!translation) { warn(t("The better translation is empty.")); $("mine").focus(); return; }
  $("send").disabled = true;
  try {
    await post("v1/suggestions", {
      text: shown.input, translation, source: spoken().code, target: target.code, machine: shown.machine,
    });
    warn("");
    closeSuggestion();
    say(t("Thank you: your translation is kept on this server."));
  } catch (error) {
    warn(error.message);
  } finally {
    $("send").disabled = false;
  }
}

// --- the same request from a program ---
const SNIPPET_LIMIT = 300;
let way = "curl";

function drawSnippet() {
  const text = [...wellFormed($("q").value)];
  const q = text.length > SNIPPET_LIMIT ? `${text.slice(0, SNIPPET_LIMIT).join("")}…` : text.join("") || "Hello, world.";
  const body = JSON.stringify({ text: q, source: source.code, target: target.code });
  const url = new URL("v1/translate", document.baseURI).href;
  const key = $("keybox").hidden ? "" : "YOUR_KEY";
  $("snippet").textContent = way === "curl" ? inCurl(url, body, key) : inPython(url, body, key);
}
const inCurl = (url, body, key) => [
  `curl ${url}`, "-H 'Content-Type: application/json'", ...(key ? [`-H 'Authorization: Bearer ${key}'`] : []),
  `-d '${body.replaceAll("'", "'\\''")}'`,
].join(" \\\n  ");
const inPython = (url, body, key) => [
  "import json", "from urllib.request import Request, urlopen", "",
  `ask = ${body}`, // of texts alone, JSON is Python too
  `headers = {"Content-Type": "application/json"${key ? `, "Authorization": "Bearer ${key}"` : ""}}`,
  `request = Request("${url}", json.dumps(ask).encode(), headers)`,
  "with urlopen(request) as response:",
  "    answer = json.load(response)",
  'print(answer["translations"][0]["options"][0]["text"])',
].join("\n");
function showWay(id) {
  way = id;
  for (const tab of ["curl", "python"]) {
    $(tab).setAttribute("aria-selected", tab === id);
    $(tab).tabIndex = tab === id ? 0 : -1;
  }
  $("snippet").setAttribute("aria-labelledby", id);
  drawSnippet();
}

// --- light and dark: the system's way until the switch is used, and again when it agrees ---
const system = matchMedia("(prefers-color-scheme: dark)");

function drawTheme() {
  const choice = kept.get("theme");
  if (choice === "dark" || choice === "light") document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
  const dark = (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  $("theme").setAttribute("aria-pressed", dark);
  $("theme").title = dark ? t("Dark mode is on") : t("Dark mode");
}
function switchTheme() {
  const dark = $("theme").getAttribute("aria-pressed") !== "true";
  kept.set("theme", dark === system.matches ? null : dark ? "dark" : "light");
  if (kept.get("theme") === null && dark !== system.matches) { // nothing can be kept: for this page
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    $("theme").setAttribute("aria-pressed", dark);
    return;
  }
  drawTheme();
}

function wireExtras() {
  $("suggest").onclick = openSuggestion;
  $("nosend").onclick = () => closeSuggestion();
  $("send").onclick = sendSuggestion;
  $("better").onkeydown = (event) => {
    if (event.key === "Escape") closeSuggestion();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) sendSuggestion();
  };
  for (const id of ["curl", "python"]) {
    $(id).onclick = () => showWay(id);
    $(id).onkeydown = (event) => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      const other = id === "curl" ? "python" : "curl";
      showWay(other);
      $(other).focus();
    };
  }
  $("copysnippet").onclick = () => copyText($("copysnippet"), $("snippet").textContent);
  $("theme").onclick = switchTheme;
  system.onchange = drawTheme;
  const saved = () => { useKey($("key").value.trim()); warn(""); if (target) translate(true); else location.reload(); };
  $("keysave").onclick = saved;
  $("key").onkeydown = (event) => { if (event.key === "Enter") saved(); };
  $("key").value = secret;
}
