// What the other parts share: elements, messages, what is remembered, positions in texts.
"use strict";

const $ = (id) => document.getElementById(id);

/** An element with properties and children. User text only ever becomes text nodes. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** localStorage, or nothing where it is closed (private windows). */
const kept = {
  get(name) {
    try { return JSON.parse(localStorage.getItem(`m4nmt.${name}`)); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem(`m4nmt.${name}`, JSON.stringify(value)); } catch { /* not kept */ }
  },
};

/** What goes on, in the quiet line below the board. */
function say(message, busy = false) {
  $("state").replaceChildren();
  if (busy) $("state").append(make("span", { className: "spin" }));
  $("state").append(message);
}

/** What went wrong, with what to do about it; "" takes it away. */
function warn(message, label = "", action = null) {
  $("alert").replaceChildren();
  if (!message) return;
  const told = capital(message);
  $("alert").append(make("span", {}, /[.!?。।؟]$/.test(told) ? told : `${told}.`));
  if (action) $("alert").append(make("button", { type: "button", onclick: action }, label));
}

/** For screen readers alone. */
function announce(message) { $("live").textContent = message; }

const isolated = (text) => make("bdi", {}, text);
const count = (text) => { let n = 0; for (const _ of text) n++; return n; };
const number = (n, digits = 0) => n.toLocaleString(ui, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (share) => share.toLocaleString(ui, { style: "percent" });

/** The server counts characters, JavaScript UTF-16 units: from the first to the second. */
function units(text) {
  if (!/[\ud800-\udfff]/.test(text)) return (n) => n;
  const starts = [];
  let at = 0;
  for (const character of text) { starts.push(at); at += character.length; }
  return (n) => starts[n] ?? at;
}

/** The words of a text: [{begin, end}], in UTF-16 units. */
function wordsOf(text, code) {
  const found = [];
  if (!Intl.Segmenter) {
    for (const m of text.matchAll(/[\p{L}\p{M}\p{N}]+/gu)) found.push({ begin: m.index, end: m.index + m[0].length });
    return found;
  }
  let segmenter;
  try { segmenter = new Intl.Segmenter(code || "en", { granularity: "word" }); } catch { segmenter = new Intl.Segmenter("en", { granularity: "word" }); }
  for (const { segment, index, isWordLike } of segmenter.segment(text)) {
    if (isWordLike) found.push({ begin: index, end: index + segment.length });
  }
  return found;
}

/** The range [first, last) of those ordered words that overlap [begin, end). */
function overlapping(words, begin, end) {
  let low = 0, high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].end <= begin) low = middle + 1; else high = middle;
  }
  let last = low;
  while (last < words.length && words[last].begin < end) last++;
  return [low, last];
}

function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const stop = () => { clearTimeout(timer); fail(new DOMException("", "AbortError")); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); done(); }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

async function copyText(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // the clipboard needs https: a selection does not
    const area = make("textarea", { value: text, readOnly: true, className: "hidden" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  if (before === t("Copied")) return;
  button.textContent = t("Copied");
  announce(t("Copied"));
  setTimeout(() => { button.textContent = before; }, 1500);
}
