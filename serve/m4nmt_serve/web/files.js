// A file that is dropped or picked: checked, sent, and offered for download when it is translated.

let formats = [], maxFile = Infinity;
let sending = null;

const ending = (name) => (name.includes(".") ? name.slice(name.lastIndexOf(".")).toLowerCase() : "");
const megabytes = (bytes) => `${(bytes / 1048576).toLocaleString(ui, { maximumFractionDigits: 1 })} MB`;

async function translateFile(file) {
  sending?.abort();
  warn("");
  $("got").hidden = true;
  if (formats.length && !formats.includes(ending(file.name))) {
    warn(t("{file} cannot be translated here. What can: {formats}.", { file: file.name, formats: formats.join(", ") }));
    return;
  }
  if (file.size > maxFile) {
    warn(t("{file} has {size}; this server takes at most {most}.", { file: file.name, size: megabytes(file.size), most: megabytes(maxFile) }));
    return;
  }
  const mine = (sending = new AbortController());
  showCancel();
  say(t("Translating {file} …", { file: file.name }), true);
  const form = new FormData();
  form.set("file", file);
  form.set("source", source.code);
  form.set("target", target.code);
  try {
    const { translatedFileUrl } = await (await request("translate_file", { method: "POST", body: form }, mine.signal)).json();
    await fetchFile(file.name, translatedFileUrl, mine.signal);
    say("");
  } catch (error) {
    say("");
    if (error.name !== "AbortError") warn(`${file.name}: ${error.message}`);
  } finally {
    if (sending === mine) { sending = null; showCancel(); }
  }
}
/** Wait for the file. The path is taken relative to this page, which may stand behind a proxy. */
async function fetchFile(name, url, signal) {
  const path = `download_file/${url.split("download_file/")[1]}`;
  const later = { tries: Infinity, message: () => t("Translating {file} …", { file: name }) };
  const blob = await (await request(path, {}, signal, later)).blob();
  got(name, decodeURIComponent(path.split("/").pop()), blob);
}
function got(name, translated, blob) {
  URL.revokeObjectURL($("got").querySelector("a")?.href);
  const link = make("a", { href: URL.createObjectURL(blob), download: translated }, t("Download {file}", { file: translated }));
  $("got").replaceChildren(make("span", {}, ...around("{file} in {language} is ready.", { file: isolated(name), language: nameOf(target) })), link);
  $("got").hidden = false;
  announce(t("{file} is translated. The link to it is below the two texts.", { file: name }));
}
function wireFiles() {
  const hasFile = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  let depth = 0; // dragenter and dragleave come for every child
  const over = (is) => { depth = is ? depth : 0; $("drop").hidden = !is; };
  addEventListener("dragenter", (event) => { if (hasFile(event) && formats.length) { depth++; over(true); } });
  addEventListener("dragleave", () => { if (--depth <= 0) over(false); });
  addEventListener("dragover", (event) => { if (hasFile(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault(); // a file dropped beside the board must not replace the page
    over(false);
    if (!formats.length) warn(t("This server does not translate files."));
    else if (event.dataTransfer.files.length > 1) warn(t("One file at a time, please."));
    else translateFile(event.dataTransfer.files[0]);
  });
  $("pickfile").onclick = () => $("file").click();
  $("file").onchange = () => {
    if ($("file").files.length) translateFile($("file").files[0]);
    $("file").value = "";
  };
}
