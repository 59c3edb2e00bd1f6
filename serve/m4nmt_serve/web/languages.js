// Which languages: the two buttons, the list that is searched (a combobox in a dialog), recent pairs.

const AUTO = { code: "auto", name: "", native: "", rtl: false, source: true, target: false };
const RECENT = 5; // pairs
const MANY = 12; // languages from which recent ones are listed first
let languages = [];
let source = AUTO, target = null;
let detected = null; // {language, confidence 0 to 1}
let choosing = "source", at = 0;

const known = (code, role) => languages.find((x) => x.code === code && x[role]);
const byAnyCode = (code) => languages.find((x) => x.code === code || x.flores === code);
const ownName = (language) => (language.native !== nameOf(language) && language.native !== language.flores ? language.native : "");
const heading = (language) => (language.rtl ? "rtl" : "ltr");
/** The language that the source is in, as far as one knows; AUTO where one does not. */
const spoken = () => (source === AUTO ? detected?.language ?? AUTO : source);

/** Those with a name first, in the order of the page's language. */
function sorted(list) {
  const named = (x) => x.name !== x.flores;
  return list.sort((a, b) => named(b) - named(a) || nameOf(a).localeCompare(nameOf(b), ui));
}
/** What a person who comes for the first time would have: the language of the browser, if another
 * than the one that most texts are in. */
function likely({ source: usual, target: other }) {
  const wanted = navigator.languages.map((code) => known(code, "target") || known(code.split("-")[0], "target"));
  return wanted.find((x) => x && x.code !== usual?.code) || known(other?.code, "target") || languages.find((x) => x.target);
}

function labelled(button, role, language, note) {
  const text = button.firstElementChild;
  text.replaceChildren(nameOf(language));
  if (note) text.append(" ", make("small", {}, isolated(note)));
  button.setAttribute("aria-label", `${role}: ${nameOf(language)}${note ? `, ${note}` : ""}`);
}

/** Bring all that depends on the languages up to date. */
function drawLanguages() {
  const from = spoken();
  labelled($("source"), t("Source language"), from, source === AUTO && detected ? t("detected, {percent}", { percent: percent(detected.confidence) }) : ownName(source));
  labelled($("target"), t("Target language"), target, ownName(target));
  for (const id of ["q", "behind"]) {
    $(id).dir = from === AUTO ? "auto" : heading(from);
    $(id).lang = from === AUTO ? "" : from.code;
  }
  for (const id of ["out", "more", "mine", "wordlist"]) {
    $(id).dir = heading(target);
    $(id).lang = target.code;
  }
  $("swap").disabled = from === AUTO || !known(target.code, "source") || !known(from.code, "target");
  drawRecent();
}

// --- recent pairs ---
function recentPairs() {
  const pairs = kept.get("pairs");
  if (!Array.isArray(pairs)) return [];
  return pairs.filter(Array.isArray)
    .map(([from, to]) => [from === "auto" ? AUTO : known(from, "source"), known(to, "target")])
    .filter(([from, to]) => from && to);
}
function rememberPair() {
  const mine = [source, target];
  const others = recentPairs().filter((pair) => pair[0] !== mine[0] || pair[1] !== mine[1]);
  kept.set("pairs", [mine, ...others].slice(0, RECENT).map((pair) => pair.map((x) => x.code)));
}
function drawRecent() {
  const others = recentPairs().filter((pair) => pair[0] !== source || pair[1] !== target);
  $("recent").hidden = !others.length;
  $("recent").replaceChildren(make("span", {}, t("Recent")), ...others.map(([from, to]) => make("button", {
    type: "button", onclick: () => take(from, to),
  }, `${nameOf(from)} ${onward()} ${nameOf(to)}`)));
}

/** Use these languages, and translate. */
function take(from, to) {
  if (from !== source) detected = null;
  [source, target] = [from, to];
  rememberPair();
  drawLanguages();
  setLink();
  translate();
}
function swap() {
  const from = spoken(), text = shown?.text;
  if (text) fillSource(text);
  take(known(target.code, "source"), known(from.code, "target"));
}

// --- the list ---
function choose(role) {
  choosing = role;
  $("find").value = "";
  $("dialog").setAttribute("aria-label", role === "source" ? t("Choose the source language") : t("Choose the target language"));
  $("dialog").showModal();
  fillList();
  $("find").focus();
}
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function rank(language, wanted) {
  const names = [nameOf(language), language.name, language.native, language.code, language.flores || ""].map(plain);
  if (names.includes(wanted)) return 3;
  if (names.some((name) => name.startsWith(wanted))) return 2;
  return names.some((name) => name.includes(wanted)) ? 1 : 0;
}
function fillList() {
  const wanted = plain($("find").value.trim());
  const all = (choosing === "source" ? [AUTO] : []).concat(languages.filter((x) => x[choosing]));
  const current = choosing === "source" ? source : target;
  const groups = wanted ? searched(all, wanted) : unsearched(all);
  let n = 0;
  $("list").replaceChildren(...groups.filter(([, members]) => members.length).map(([name, members]) => {
    const group = make("div");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    if (!wanted && groups[0][1].length) group.append(make("h3", { ariaHidden: "true" }, name));
    group.append(...members.map((x) => option(x, n++, x === current && group.ariaLabel !== t("Recent"))));
    return group;
  }));
  if (!n) $("list").append(make("p", {}, t("No language of this model has that name.")));
  $("found").textContent = wanted ? t("Languages found: {n}", { n: number(n) }) : "";
  const items = options();
  move(wanted ? 0 : Math.max(0, items.findLastIndex((item) => item.language === current)));
}
const searched = (all, wanted) => {
  const ranked = all.map((x) => [rank(x, wanted), x]).filter(([r]) => r).sort((a, b) => b[0] - a[0]);
  return [[t("Found"), ranked.map(([, x]) => x)]];
};
const unsearched = (all) => {
  const recent = all.length <= MANY ? [] : new Set(recentPairs().map((pair) => pair[choosing === "source" ? 0 : 1]).filter((x) => x !== AUTO));
  return [[t("Recent"), [...recent]], [t("All languages"), all]];
};
function option(language, n, selected) {
  const native = language === AUTO ? t("from the text") : ownName(language) || language.code;
  const item = make("div", { id: `option${n}`, onclick: () => picked(language), language }, nameOf(language), make("small", {}, isolated(native)));
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", selected);
  return item;
}
const options = () => [...$("list").querySelectorAll("[role=option]")];

function move(to) {
  const items = options();
  $("list").querySelector(".here")?.classList.remove("here");
  $("find").removeAttribute("aria-activedescendant");
  if (!items.length) return;
  at = Math.max(0, Math.min(items.length - 1, to));
  items[at].classList.add("here");
  items[at].scrollIntoView({ block: "nearest" });
  $("find").setAttribute("aria-activedescendant", items[at].id);
}
function picked(language) {
  $("dialog").close(); // the focus goes back to the button
  if (choosing === "source") take(language, target); else take(source, language);
}
function wireLanguages() {
  $("source").onclick = () => choose("source");
  $("target").onclick = () => choose("target");
  $("swap").onclick = swap;
  $("close").onclick = () => $("dialog").close();
  $("dialog").onclick = (event) => { if (event.target === $("dialog")) $("dialog").close(); };
  $("find").oninput = fillList;
  $("find").onkeydown = (event) => {
    const last = options().length - 1;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
      event.preventDefault();
      move(step === 1 && at === last ? 0 : step === -1 && at === 0 ? last : at + step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const item = options()[at];
      if (item) picked(item.language);
    }
  };
}
