// The language of the page itself. Its texts stand in the sources in English; texts/*.json have them
// in other languages. What a file lacks is said in English.

const TEXTS = /* texts */ {};
let ui = "en";

/** A text in the page's language, with {names} replaced. */
function t(text, values = {}) {
  return around(text, values).join("");
}
/** The same as nodes, for values that are elements. */
function around(text, values) {
  const said = TEXTS[ui]?.texts[text] || text;
  return said.split(/(\{\w+\})/).filter(Boolean).map((part) => {
    const name = part.slice(1, -1);
    if (part[0] !== "{" || !(name in values)) return part;
    // a name in another script must not turn the words around it
    return TEXTS[ui]?.rtl && typeof values[name] === "string" && /\p{L}/u.test(values[name]) ? `\u2068${values[name]}\u2069` : values[name];
  });
}
const onward = () => (TEXTS[ui]?.rtl ? "←" : "→");
const backward = () => (TEXTS[ui]?.rtl ? "→" : "←");
const capital = (text) => text.charAt(0).toLocaleUpperCase(ui) + text.slice(1);

// --- names of languages: the browser knows those of the usual ones in its own languages ---
let names = null;

function nameOf(language) {
  if (language === AUTO) return t("Detect language");
  const name = names?.of(language.code);
  return name ? capital(name) : language.name;
}
function namesIn(code) {
  if (code === "en" || !Intl.DisplayNames?.supportedLocalesOf(code).length) return null;
  return new Intl.DisplayNames(code, { type: "language", fallback: "none" });
}

// --- what stands in the page from the start ---
const standing = []; // [element, attribute or "" for its text, English]

function collect() {
  for (const element of document.body.querySelectorAll("*:not(script, noscript)")) {
    const only = element.childNodes.length === 1 && element.firstChild.nodeType === Node.TEXT_NODE;
    if (only) standing.push([element, "", element.textContent]);
    for (const attribute of ["aria-label", "title", "placeholder"]) {
      if (element.hasAttribute(attribute)) standing.push([element, attribute, element.getAttribute(attribute)]);
    }
  }
}
/** Say everything in this language. */
function speak(code) {
  ui = code;
  names = namesIn(code);
  document.documentElement.lang = code;
  document.documentElement.dir = TEXTS[code]?.rtl ? "rtl" : "ltr";
  $("ui").value = code;
  for (const [element, attribute, english] of standing) {
    const here = attribute ? element.getAttribute(attribute) : element.textContent;
    const said = t(english);
    if (said === here) continue;
    if (attribute) element.setAttribute(attribute, said); else element.textContent = said;
  }
  drawTheme();
  drawText();
  if (!target) return;
  languages = sorted(languages);
  drawAbout();
  drawPlaceholder();
  drawLanguages();
  if (shown) display(shown);
  if (running) return;
  say("");
  $("took").textContent = "";
}
function drawAbout() {
  const to = languages.filter((x) => x.target).length, from = languages.filter((x) => x.source).length;
  $("about").textContent = from === to ? t("Translates between {n} languages", { n: number(to) }) : t("Translates {from} into {to} languages", { from: number(from), to: number(to) });
}
function drawPlaceholder() {
  $("q").placeholder = formats.length ? t("Type or paste text, or drop a file") : t("Type or paste text");
}
/** The language of the page: the one chosen here before, else the browser's, else English. */
function spokenHere() {
  const wanted = [kept.get("ui"), ...navigator.languages].filter((code) => typeof code === "string");
  const codes = wanted.flatMap((code) => [code, code.split("-")[0]]);
  return codes.find((code) => code === "en" || Object.hasOwn(TEXTS, code)) || "en";
}
function wireTexts() {
  const choices = Object.entries(TEXTS).map(([code, { name }]) => [code, name]).concat([["en", "English"]]);
  choices.sort((a, b) => a[1].localeCompare(b[1]));
  collect();
  $("ui").append(...choices.map(([value, name]) => make("option", { value, lang: value }, name)));
  $("ui").hidden = choices.length === 1;
  $("ui").onchange = () => { kept.set("ui", $("ui").value); speak($("ui").value); };
  speak(spokenHere());
}
