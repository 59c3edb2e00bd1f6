// The course of things: typing, translating, starting.

const PAUSE = 450; // milliseconds without a key before a text is translated by itself
const CHOICES = 3; // translations asked for
const READ_OUT = 400; // characters of a translation that are read out as a whole
let running = null, timer = 0, lastAsked = "", mostChoices = CHOICES;

function typed() {
  clearTimeout(timer);
  drawText();
  drawSnippet();
  setLink(); // a text in the link would no longer be this one
  timer = setTimeout(translate, PAUSE);
}
function stop() {
  clearTimeout(timer);
  running?.abort();
  running = null;
  busy(false);
}
function busy(is) {
  $("right").classList.toggle("busy", is);
  $("right").classList.remove("coming");
  $("out").setAttribute("aria-busy", is);
  if (is) $("took").textContent = "";
  showCancel();
}
function showCancel() {
  const hidden = !running && !sending;
  if (hidden && document.activeElement === $("cancel")) $("q").focus();
  $("cancel").hidden = hidden;
}
function cancel() {
  if (!running && !sending) return;
  sending?.abort();
  stop();
  $("took").textContent = "";
  if (shown) display(shown);
  else $("out").replaceChildren();
  say(t("Cancelled."));
  $("q").focus();
}

async function translate(again = false) {
  stop();
  closeWords();
  drawSnippet();
  const text = $("q").value;
  const asked = [source.code, target.code, text].join("\n");
  if (!text.trim()) {
    lastAsked = "";
    detected = null;
    clearResult();
    say("");
    warn("");
    drawLanguages();
    return;
  }
  if (asked === lastAsked && again !== true) return;
  warn("");
  if (count(text) > limit) {
    warn(t("The text is longer than the {n} characters that this server takes. Shorten it, or translate it in parts.", { n: number(limit) }));
    return;
  }
  const mine = (running = new AbortController());
  busy(true);
  say(t("Translating …"), true);
  try {
    await ask(text, asked, mine);
  } catch (error) {
    if (error.name === "AbortError" || running !== mine) return;
    lastAsked = "";
    say("");
    $("out").replaceChildren();
    clearResult();
    warn(error instanceof Refused ? error.message : t("The answer broke off."), t("Try again"), () => translate(true));
  } finally {
    if (running === mine) { running = null; busy(false); }
  }
}

/** One request; sentences are shown as they come, the rest when all is there. */
async function ask(text, asked, mine) {
  const begun = performance.now(), sentences = [];
  let whole = null;
  await stream("v1/translate", {
    texts: [text], source: source.code, target: target.code, n: mostChoices, align: true, token_scores: true, stream: true,
  }, mine.signal, (event, data) => {
    if (running !== mine) return;
    if (event === "error") throw new Refused(data.status, refusalText(data.status, data.error));
    if (event === "done") whole = data;
    if (event !== "sentence") return;
    sentences.push(data);
    sentences.sort((a, b) => a.sentence - b.sentence);
    if (sentences.length === 1) $("right").classList.add("coming");
    displaySoFar(sentences, text);
    $("took").textContent = t("Sentences so far: {n}", { n: number(sentences.length) });
  });
  if (running !== mine) return;
  if (!whole) throw new Error("no end");
  lastAsked = asked;
  finish(whole.translations[0], text, sentences, performance.now() - begun);
}
function finish(translation, text, sentences, milliseconds) {
  const language = translation.detected && byAnyCode(translation.detected.language);
  detected = source === AUTO && language ? { language, confidence: translation.detected.confidence } : null;
  drawLanguages();
  rememberPair();
  undos = [];
  choices = translation.options;
  $("right").classList.remove("busy", "coming");
  display(compose(choices[0], text, sentences));
  drawChoices(text);
  closeSuggestion(false);
  $("took").textContent = t("{n} s", { n: number(milliseconds / 1000, 1) });
  say("");
  const { length } = shown.text;
  announce(length <= READ_OUT ? `${nameOf(target)}: ${shown.text}` : t("The translation is ready. Number of sentences: {n}", { n: number(shown.parts.length) }));
}

// --- start ---
async function ready() {
  for (;;) {
    const answer = await fetch("ready").catch(() => null);
    if (answer?.ok) return;
    say(answer ? t("The model is being loaded …") : t("The server does not answer; asking again …"), true);
    await pause(1000);
  }
}
async function start() {
  say(t("Loading …"), true);
  await ready();
  const [list, settings] = await Promise.all(["v1/languages", "frontend/settings"].map(async (path) => (await request(path)).json()));
  languages = sorted(list);
  applySettings(settings);
  const [recent] = recentPairs();
  if (recent) [source, target] = recent;
  else target = likely(settings.language || {});
  readLink();
  drawAbout();
  say("");
  drawLanguages();
  drawText();
  drawSnippet();
  if ($("q").value) translate();
  else setLink();
}
function applySettings(settings) {
  limit = settings.charLimit > 0 ? settings.charLimit : Infinity;
  formats = settings.supportedFilesFormat || [];
  maxFile = settings.maxFile || Infinity;
  if (settings.maxAlternatives >= 0) mostChoices = Math.min(CHOICES, 1 + settings.maxAlternatives);
  $("keybox").hidden = !settings.keyRequired;
  $("suggest").hidden = !settings.suggestions;
  $("pickfile").hidden = !formats.length;
  $("file").accept = formats.join(",");
  drawPlaceholder();
}
function wire() {
  $("q").oninput = typed;
  $("q").onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); translate(true); }
    if (event.key === "Escape") cancel();
  };
  $("skip").onclick = (event) => { event.preventDefault(); $("q").focus(); }; // the hash holds languages
  $("go").onclick = () => translate(true);
  $("cancel").onclick = cancel;
  $("clear").onclick = () => { fillSource(""); setLink(); translate(); $("q").focus(); };
  $("copy").onclick = () => copyText($("copy"), shown.text);
  $("undo").onclick = undo;
  $("share").onclick = shareLink;
  addEventListener("online", () => { if (running) translate(true); });
  addEventListener("hashchange", () => { if (target) { readLink(); drawLanguages(); drawText(); translate(); } });
  wireLanguages();
  wireHover();
  wireWords();
  wireFiles();
  wireExtras();
}
wireTexts();
drawTheme();
drawText();
wire();
start().catch((error) => {
  say("");
  warn(error instanceof Refused ? error.message : t("The page could not start. Reload it."));
});
