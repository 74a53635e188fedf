"use strict";
/* Everything is made with textContent and createElement: no text of the digest is ever read as markup. */
const report = JSON.parse(document.getElementById("data").textContent);
const entries = report.entries;
const byPath = new Map(entries.map((entry, place) => [entry.path, place]));
const parentOf = new Map();
entries.forEach((entry, place) => entry.children.forEach((child) => parentOf.set(child, place)));
const rows = new Map(); /* place -> its <details> in the tree, once it was built */
const BATCH = 200;

const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const plural = (value, one, many) => `${number(value)} ${value === 1 ? one : many || one + "s"}`;
const short = (value) => value < 1000 ? String(value) : value < 1e6 ? `${(value / 1e3).toFixed(value < 1e4 ? 1 : 0)}k` : `${(value / 1e6).toFixed(1)}M`;
const share = (part, whole) => whole ? `${(100 * part / whole).toFixed(part / whole < 0.1 ? 1 : 0)}%` : "0%";
const dollars = (cost) => cost === null ? "?" : `$${cost.includes(".") && cost.split(".")[1].length > 4 && Number(cost) >= 0.0001 ? Number(cost).toFixed(4) : cost}`;
const duration = (s) => s < 60 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : `${Math.floor(s / 60)} min ${String(Math.round(s % 60)).padStart(2, "0")} s`;

function make(tag, options, ...children) {
  const { cls, ...attributes } = options || {};
  const element = document.createElement(tag);
  if (cls) element.className = cls;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/* ---- text: a little Markdown ---- */

let base = ""; /* path of the folder whose text is being rendered */

function reference(path, shown, cls) {
  const link = make("a", { href: "#files", cls: cls || "ref" }, shown);
  link.addEventListener("click", (event) => { event.preventDefault(); reveal(byPath.get(path)); });
  return link;
}

function named(element) { /* a path in `code` or **bold** leads to its place in the tree */
  const text = element.textContent;
  const path = [base + text, text, `${base}${text}/`].find((it) => byPath.get(it));
  if (path) element.replaceChildren(reference(path, text, "quiet"));
  return element;
}

function linked(text, into) {
  const pattern = /([^\s`()[\]<>"',;]+?):(\d+)(?:[-–]\d+)?/g;
  let last = 0;
  for (const found of text.matchAll(pattern)) {
    if (!byPath.has(found[1])) continue;
    into.append(text.slice(last, found.index), reference(found[1], found[0]));
    last = found.index + found[0].length;
  }
  into.append(text.slice(last));
  return into;
}

function inline(text, into) {
  const pattern = /(`+)(.+?)\1|\*\*(\S(?:.*?\S)?)\*\*/g;
  let last = 0;
  for (const found of text.matchAll(pattern)) {
    linked(text.slice(last, found.index), into);
    into.append(named(found[1] ? linked(found[2].trim(), make("code")) : inline(found[3], make("strong"))));
    last = found.index + found[0].length;
  }
  return linked(text.slice(last), into);
}

const PASSAGE = /^(?:[-*] )?\[\d+(?:\.\d+)?\] (.+?):(\d+): ?(.*)$/;

function prose(text, path) {
  base = !path || path === "./" ? "" : path.slice(0, path.lastIndexOf("/") + 1);
  const out = make("div", { cls: "text" });
  let list = null, paragraph = null, code = null, passage = null;
  const close = () => { list = paragraph = passage = null; };
  for (const line of text.split(/\r?\n/)) {
    const hit = PASSAGE.exec(line);
    const item = /^(\s*)(?:[-*+•]|(\d+)[.)])\s+(.*)$/.exec(line);
    const heading = /^#{1,6}\s+(.*)$/.exec(line);
    if (/^\s*```/.test(line)) {
      close();
      code = code ? null : out.appendChild(make("pre"));
    } else if (code) {
      code.append(code.textContent ? "\n" : "", line);
    } else if (hit) {
      close();
      passage = make("pre", {}, hit[3]);
      const where = `${hit[1]}:${hit[2]}`;
      out.append(make("div", { cls: "passage" }, byPath.has(hit[1]) ? reference(hit[1], where) : make("span", { cls: "ref" }, where), passage));
    } else if (passage && line.trim()) {
      passage.append("\n" + line);
    } else if (!line.trim()) {
      close();
    } else if (heading) {
      close();
      out.append(inline(heading[1], make("p", { cls: "sub" })));
    } else if (item) {
      const tag = item[2] ? "ol" : "ul";
      if (!list || list.localName !== tag) list = out.appendChild(make(tag));
      paragraph = list.appendChild(make("li", item[1].length > 1 ? { cls: "in" } : {}));
      if (item[2]) paragraph.value = Number(item[2]);
      inline(item[3], paragraph);
    } else if (paragraph) {
      inline(" " + line.trim(), paragraph);
    } else {
      list = null;
      paragraph = out.appendChild(inline(line.trim(), make("p")));
    }
  }
  return out;
}

function gist(entry) {
  if (entry.error && !entry.text) return entry.error;
  const line = entry.text.split("\n").find((it) => it.trim() && !it.startsWith("#") && !it.startsWith("```")) || "";
  return line.slice(0, 300).replace(/^\[[\d.]+\] /, "").replace(/^\s*[-*] /, "").replace(/`+|\*\*/g, "");
}

/* ---- the tree ---- */

function chain(place) { /* folders with one folder in them are one row: src/main/java/ */
  while (entries[place].state === "passed" && entries[place].children.length === 1 && entries[entries[place].children[0]].kind === "folder") place = entries[place].children[0];
  return place;
}

function label(place, above) {
  const path = entries[place].path;
  if (path === "./") return "./";
  const base = above === undefined || entries[above].path === "./" ? "" : entries[above].path;
  return path.startsWith(base) ? path.slice(base.length) : path;
}

function details(entry) {
  const parts = [entry.language, entry.kind === "folder" ? plural(entry.files, "file") : "", plural(entry.lines, "line"), plural(entry.tokens, "token"),
    entry.parts > 1 ? plural(entry.parts, "part") : "", entry.state === "packed" ? "answered in one call with its neighbours" : "", entry.model];
  return make("p", { cls: "small" }, parts.filter(Boolean).join(" · "));
}

function row(place, name, marked) {
  const entry = entries[place];
  const folder = entry.kind === "folder";
  const failed = entry.state === "failed" ? "failed" : entry.failed ? `${number(entry.failed)} failed` : entry.error ? "incomplete" : "";
  const size = make("span", { cls: "size" }, folder ? plural(entry.files, "file") : `${short(entry.tokens)} tok`);
  if (!folder) size.title = plural(entry.tokens, "token");
  if (failed) size.prepend(make("span", { cls: "flag" }, failed), " ");
  const summary = make("summary", {}, marked || make("span", { cls: "name" }, name), make("span", { cls: "gist" }, gist(entry)), size);
  const element = make("details", { cls: `row ${entry.kind}` }, summary);
  element.addEventListener("toggle", () => { if (element.open) fill(element, place); });
  return element;
}

function fill(element, place) {
  if (element.childElementCount > 1) return;
  const entry = entries[place];
  const body = make("div", { cls: "body" });
  if (entry.error) body.append(make("p", { cls: "error" }, entry.error));
  if (entry.text && entry.state !== "passed") body.append(prose(entry.text, entry.path));
  if (entry.kind === "file" || entry.path !== "./") body.append(details(entry));
  batch(body, ordered(entry), 0, place);
  element.append(body);
}

function ordered(entry) { /* folders first: a folder of many files shouldn't hide them */
  return [...entry.children].sort((a, b) => (entries[a].kind === "file") - (entries[b].kind === "file"));
}

function batch(into, children, from, above) {
  for (const child of children.slice(from, from + BATCH)) {
    const end = entries[child].kind === "folder" ? chain(child) : child;
    const element = row(end, label(end, above));
    for (let place = end; place !== above; place = parentOf.get(place)) rows.set(place, element);
    into.append(element);
  }
  if (children.length <= from + BATCH) return;
  const more = make("button", { type: "button" }, `Show ${number(Math.min(BATCH, children.length - from - BATCH))} more of ${number(children.length)}`);
  more.addEventListener("click", () => { more.remove(); batch(into, children, from + BATCH, above); });
  into.append(more);
}

function reveal(place) {
  clearSearch();
  const path = [];
  for (let at = place; at !== undefined; at = parentOf.get(at)) path.unshift(at);
  for (const at of path) {
    let element = rows.get(at);
    while (!element) { /* further than the first batch of a large folder */
      const more = rows.get(parentOf.get(at)).querySelector(":scope > .body > button");
      if (!more) return;
      more.click();
      element = rows.get(at);
    }
    element.open = true;
    fill(element, chain(at));
  }
  const summary = rows.get(place).firstElementChild;
  summary.scrollIntoView({ block: "center" });
  summary.focus({ preventScroll: true });
}

function unfold() {
  const folders = entries.map((entry, place) => place).filter((place) => entries[place].kind === "folder");
  for (const place of folders.slice(0, 500)) {
    const element = rows.get(place);
    if (element) { element.open = true; fill(element, chain(place)); }
  }
}

function fold() {
  for (const element of $("tree").querySelectorAll("details[open]")) element.open = false;
  rows.get(0).open = true;
}

function walk(event) { /* arrow keys, as in a file manager; Tab and Enter work by themselves */
  const here = event.target.closest("summary");
  if (!here || event.altKey || event.ctrlKey || event.metaKey) return;
  const box = here.parentElement;
  const seen = () => [...event.currentTarget.querySelectorAll(".row > summary")].filter((it) => it.checkVisibility ? it.checkVisibility() : it.offsetParent);
  const step = (by) => { const all = seen(); (all[all.indexOf(here) + by] || here).focus(); };
  const act = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    ArrowRight: () => box.open ? step(1) : (box.open = true),
    ArrowLeft: () => box.open ? (box.open = false) : box.parentElement.closest("details") && box.parentElement.closest("details").firstElementChild.focus(),
    Home: () => seen()[0].focus(),
    End: () => seen().at(-1).focus(),
  }[event.key];
  if (act) { event.preventDefault(); act(); }
}

/* ---- search ---- */

let index = null;

function find(words) {
  index = index || entries.map((entry) => [entry.path.toLowerCase(), entry.state === "passed" ? "" : entry.text.toLowerCase()]);
  const found = [];
  index.forEach(([path, text], place) => {
    if (entries[place].path === "./") return;
    let rank = 0;
    for (const word of words) {
      if (path.includes(word)) rank += path.lastIndexOf(word) > path.lastIndexOf("/", path.length - 2) ? 0 : 1;
      else if (text.includes(word)) rank += 2;
      else return;
    }
    found.push([rank, place]);
  });
  return found.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((it) => it[1]);
}

function marked(text, words, into) {
  const low = text.toLowerCase();
  if (low.length !== text.length) { into.append(text); return into; }
  let at = 0;
  while (at < text.length) {
    const next = words.map((word) => [low.indexOf(word, at), word.length]).filter((it) => it[0] >= 0).sort((a, b) => a[0] - b[0] || b[1] - a[1])[0];
    if (!next) break;
    into.append(text.slice(at, next[0]), make("mark", {}, text.slice(next[0], next[0] + next[1])));
    at = next[0] + next[1];
  }
  into.append(text.slice(at));
  return into;
}

function result(place, words) {
  const entry = entries[place];
  const element = row(place, "", marked(entry.path, words, make("span", { cls: "name" })));
  const text = entry.text.replace(/`+|\*\*/g, "").replace(/\s+/g, " ");
  const at = Math.min(...words.map((word) => text.toLowerCase().indexOf(word)).filter((it) => it >= 0));
  if (at !== Infinity) {
    const from = Math.max(0, at - 40);
    element.querySelector(".gist").replaceChildren(marked((from ? "…" : "") + text.slice(from, from + 200), words, document.createDocumentFragment()));
  }
  return element;
}

function show(found, words, from) {
  $("results").append(...found.slice(from, from + 60).map((place) => result(place, words)));
  if (found.length <= from + 60) return;
  const more = make("button", { type: "button" }, `Show more of ${number(found.length)}`);
  more.addEventListener("click", () => { more.remove(); show(found, words, from + 60); });
  $("results").append(more);
}

function search() {
  const words = [...new Set($("search").value.toLowerCase().split(/\s+/).filter(Boolean))];
  $("results").replaceChildren();
  $("results").hidden = !words.length;
  $("tree").hidden = Boolean(words.length);
  const found = words.length ? find(words) : [];
  $("count").textContent = !words.length ? "" : found.length ? plural(found.length, "match", "matches") : "Nothing matches. Try fewer or shorter words.";
  show(found, words, 0);
}

function clearSearch() {
  if ($("search").value) { $("search").value = ""; search(); }
}
