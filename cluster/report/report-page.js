/* ---- the rest of the page ---- */

function fact(title, ...children) {
  return make("div", { cls: "fact" }, make("h2", {}, title), ...children);
}

function pairs(list) {
  return make("dl", { cls: "pairs" }, ...list.flatMap(([name, value, cls, dot]) => [
    make("dt", { cls: cls || "" }, dot ? make("span", { cls: `dot ${dot}`, "aria-hidden": "true" }) : null, name),
    make("dd", { cls: cls || "" }, value),
  ]));
}

function bars(list) {
  const whole = list.reduce((sum, it) => sum + it[1], 0);
  const bar = make("div", { cls: "bars", "aria-hidden": "true" });
  for (const [, value, cls] of list.filter((it) => it[1])) {
    const part = bar.appendChild(make("span", { cls }));
    part.style.width = `${100 * value / whole}%`;
  }
  return bar;
}

function paidFor() {
  const bill = report.bill;
  const cost = bill.unpriced.length && bill.cost !== null ? `${dollars(bill.cost)} + ?` : dollars(bill.cost);
  const attempts = bill.attempts === bill.calls ? [] : [["Attempts", number(bill.attempts)]];
  return fact("Bill", pairs([
    ["Calls", number(bill.calls)], ...attempts, ["Tokens read", number(bill.input_tokens)],
    ["Tokens written", number(bill.output_tokens)], ["Time", duration(report.seconds)], ["Cost", cost, "sum"],
  ]));
}

function accounts() {
  const count = report.accounting;
  const list = [["Summarised", count.summarised, "summarised"], ["Packed", count.packed, "packed"], ["Failed", count.failed, "failed"]];
  const rows = list.filter((it) => it[1]).map(([name, value, cls]) => [name, number(value), "", cls]);
  const skipped = count.skipped ? [["Skipped paths", number(count.skipped), "", "skipped"]] : [];
  return fact("Every file accounted for", bars([...list, ["", count.skipped, "skipped"]]), pairs([...rows, ["Text files", number(count.text_files), "sum"], ...skipped]));
}

function languages() {
  const all = report.languages;
  const rest = all.slice(7);
  const list = all.slice(0, 7).map((it, place) => [it.name, it.tokens, `c${place + 1}`]);
  if (rest.length) list.push([plural(rest.length, "other"), rest.reduce((sum, it) => sum + it.tokens, 0), "c8"]);
  return fact("Languages, by tokens", bars(list), pairs(list.map(([name, tokens, cls]) => [name, share(tokens, report.tokens), "", cls])));
}

function foldable(id, title, count, open, ...children) {
  const element = make("details", { cls: "fold", id }, make("summary", {}, `${title} `, make("span", {}, count)), ...children);
  element.open = open;
  return element;
}

function listed(items, shape) {
  const list = make("ul", {});
  const grow = (from) => {
    list.append(...items.slice(from, from + BATCH).map(shape));
    if (items.length <= from + BATCH) return;
    const more = make("button", { type: "button" }, `Show more of ${number(items.length)}`);
    more.addEventListener("click", () => { more.parentElement.remove(); grow(from + BATCH); });
    list.append(make("li", {}, more));
  };
  grow(0);
  return list;
}

function failures() {
  if (!report.failures.length) return [];
  const known = (path) => [path, path.replace(/ \(lines \d+-\d+\)$/, "")].find((it) => byPath.has(it));
  const shape = (it) => make("li", {}, known(it.path) ? reference(known(it.path), it.path) : make("code", {}, it.path), make("span", {}, ` ${it.cause}`));
  return [foldable("failures", "Failures", plural(report.failures.length, "cause"), true, listed(report.failures, shape))];
}

function left() {
  if (!report.skipped.length) return [];
  const groups = Object.entries(report.accounting.reasons).flatMap(([reason, count]) => [
    make("h3", {}, `${reason} `, make("span", { cls: "size" }, number(count))),
    listed(report.skipped.filter((it) => it.reason === reason), (it) => make("li", {}, make("code", {}, it.path), it.detail ? make("span", {}, ` ${it.detail}`) : "")),
  ]);
  return [foldable("skipped", "Skipped", Object.entries(report.accounting.reasons).map(([reason, count]) => `${number(count)} ${reason}`).join(", "), false, ...groups)];
}

function cells(tag, values) { return make("tr", {}, ...values.map((value) => make(tag, tag === "th" ? { scope: "col" } : {}, value))); }

function bill() {
  const bill = report.bill;
  const line = (it, name) => [name, number(it.calls), number(it.attempts), number(it.input_tokens), number(it.output_tokens), it.cost === null ? "?" : `$${it.cost}`];
  const table = make("table", {}, make("thead", {}, cells("th", ["Model", "Calls", "Attempts", "Tokens read", "Tokens written", "Cost"])),
    make("tbody", {}, ...bill.models.map((it) => cells("td", line(it, it.model)))), make("tfoot", {}, cells("td", line(bill, "Total"))));
  const unknown = bill.unpriced.length ? make("p", { cls: "small" }, `No price is known for ${bill.unpriced.join(", ")}: not in the total.`) : null;
  const hedges = bill.hedges ? make("p", { cls: "small" }, `${number(bill.hedges)} of the attempts were second requests beside a late first one.`) : null;
  const open = Number(bill.open_cost) ? make("p", { cls: "small" }, `Requests whose reply was never seen to its end may have cost ${dollars(bill.open_cost)} besides.`) : null;
  return foldable("bill", "Bill by model", plural(bill.models.length, "model"), false, make("div", { cls: "scroll" }, table), unknown, hedges, open);
}

function notes() {
  const list = [];
  if (report.notice) list.push(make("span", { cls: "note" }, report.notice));
  if (report.cancelled) list.push(make("span", { cls: "note bad" }, "Stopped before it was finished"));
  if (report.failures.length) list.push(make("a", { cls: "note bad", href: "#failures" }, `${plural(report.failures.length, "failure")}: see the causes`));
  $("notes").append(...list);
}

function head() {
  $("title").textContent = report.title;
  const day = new Date(report.started);
  const when = isNaN(day) ? report.started : day.toLocaleString("en", { dateStyle: "long", timeStyle: "short" });
  $("meta").textContent = [plural(report.accounting.text_files, "file"), plural(report.lines, "line"), plural(report.tokens, "token"), when].join(" · ");
  $("foot").textContent = `Made by understudy ${report.version} from ${report.root} in ${duration(report.seconds)}. report.json holds the same as data.`;
  notes();
}

function lead() {
  const text = report.summary ? prose(report.summary) : make("p", { cls: "error" }, `There is no ${report.question === null ? "summary of the whole" : "answer"}: ${entries[0].error || "no answer came"}`);
  const title = report.question === null ? [make("h2", {}, "Summary")] : [make("h2", {}, "Question"), make("p", { cls: "question" }, report.question)];
  $("summary").append(...title, text);
}

function tree() {
  const root = row(0, entries[0].path === "./" ? `${report.title}/` : entries[0].path);
  rows.set(0, root);
  const body = make("div", { cls: "body" });
  batch(body, ordered(entries[0]), 0, 0);
  root.append(body);
  root.open = true;
  $("tree").append(root);
}

function themes() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => { try { return value ? localStorage.setItem("understudy-theme", value) : localStorage.getItem("understudy-theme"); } catch { return null; } };
  const apply = (theme) => {
    root.dataset.theme = theme;
    $("theme").textContent = theme === "dark" ? "Light" : "Dark";
    $("theme").setAttribute("aria-pressed", String(theme === "dark"));
  };
  const wanted = () => ["light", "dark"].includes(kept()) ? kept() : system.matches ? "dark" : "light";
  apply(wanted());
  system.addEventListener("change", () => apply(wanted()));
  $("theme").addEventListener("click", () => { const next = root.dataset.theme === "dark" ? "light" : "dark"; kept(next); apply(next); });
}

function keys(event) {
  const typing = event.target.closest && event.target.closest("input");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); $("search").focus(); }
  if (event.key === "Escape" && typing) clearSearch();
}

themes();
head();
lead();
$("facts").append(paidFor(), accounts(), languages());
tree();
$("more").append(...failures(), ...left(), bill());
$("search").addEventListener("input", search);
$("unfold").addEventListener("click", unfold);
$("fold").addEventListener("click", fold);
$("tree").addEventListener("keydown", walk);
$("results").addEventListener("keydown", walk);
document.addEventListener("keydown", keys);
