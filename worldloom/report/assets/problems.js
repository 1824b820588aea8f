// The quarantine: rows in groups of one stage and reason, filtered in the page, a few of each shown at a time.
"use strict";

(function (own) {
  const rows = window.worldloomData.problems;
  const by = (id) => document.getElementById(id);
  const SHOWN = 20, MORE = 200;
  const ids = ["stage", "reason"];

  function fill(id) {
    const counts = new Map();
    for (const row of rows) counts.set(row[id], (counts.get(row[id]) || 0) + 1);
    for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) {
      by(id).append(own.make("option", { value }, `${value} (${own.count(count)})`));
    }
  }

  function line(row) {
    const item = row.page ? own.make("a", { href: row.page }, row.item)
      : row.key && row.listed ? own.make("a", { href: `index.html#q=${encodeURIComponent(row.key)}` }, row.item) : row.item;
    const why = own.make("td", { class: "plain" }, row.said || "nothing was said");
    if (row.words) why.append(own.make("details", {}, own.make("summary", {}, "last words"), own.make("pre", {}, row.words)));
    const again = own.make("td", { "data-name": "again" });
    if (row.command) again.append(own.make("code", {}, row.command), " ", own.make("button", { class: "copy", type: "button", "data-text": row.command }, "copy"));
    const spent = row.seconds >= 0.05 ? own.make("span", { class: "small" }, ` ${row.seconds.toFixed(1)} s`) : null;
    return own.make("tr", {}, own.make("td", { "data-name": "item", class: "item" }, item), why,
      own.make("td", { class: "num", "data-name": "tries" }, row.attempts ? String(row.attempts) : "", spent), again);
  }

  function group(name, found) {
    const body = own.make("tbody");
    const more = own.make("button", { type: "button", class: "more" });
    let shown = 0;
    const grow = (by_) => {
      body.append(...found.slice(shown, shown + by_).map(line));
      shown = Math.min(found.length, shown + by_);
      more.textContent = `${own.count(found.length - shown)} more`;
      more.hidden = shown >= found.length;
    };
    more.addEventListener("click", () => grow(MORE));
    grow(SHOWN);
    const one = found[0];
    const says = own.make("span", { class: `chip ${one.status}` }, `${one.status}: ${one.reason} `, own.make("b", {}, own.count(found.length)));
    const retry = one.retry ? own.make("button", { class: "copy", type: "button", "data-text": one.retry, title: one.retry }, "copy the command for all") : null;
    return own.make("section", { class: "group" }, own.make("h3", {}, `${one.stage} `, says, " ", retry),
      own.make("table", { class: "stack problems" },
        own.make("thead", {}, own.make("tr", {}, ...["item", "why", "tries", "again"].map((word) => own.make("th", { class: word === "tries" && "num" }, word)))), body), more);
  }

  function update() {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const picked = ids.map((id) => by(id).value);
    const chosen = rows.filter((row) => ids.every((id, number) => !picked[number] || row[id] === picked[number])
      && words.every((word) => [row.item, row.said, row.words, row.reason].some((text) => text.toLowerCase().includes(word))));
    const groups = new Map();
    for (const row of chosen) {
      const name = JSON.stringify([row.stage, row.status, row.reason]);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(row);
    }
    by("problems").replaceChildren(...[...groups].map(([name, found]) => group(name, found)));
    if (!chosen.length) by("problems").append(own.make("div", { class: "empty" }, "No row matches."));
    by("count").textContent = `${own.count(chosen.length)} of ${own.count(rows.length)} rows`;
    by("clear").disabled = !(words.length || picked.some(Boolean));
    const pairs = ids.map((id, number) => [id, picked[number]]).filter(([, value]) => value);
    if (words.length) pairs.push(["q", by("search").value.trim()]);
    own.writeHash(pairs);
  }

  function readAddress() {
    const pairs = new Map(own.readHash(location.hash));
    for (const id of ids) by(id).value = [...by(id).options].some((one) => one.value === pairs.get(id)) ? pairs.get(id) : "";
    by("search").value = pairs.get("q") || "";
    update();
  }

  function clear() {
    for (const id of [...ids, "search"]) by(id).value = "";
    update();
  }

  own.start();
  ids.forEach(fill);
  ids.forEach((id) => by(id).addEventListener("change", update));
  by("search").addEventListener("input", update);
  by("clear").addEventListener("click", clear);
  addEventListener("hashchange", readAddress);
  addEventListener("keydown", (event) => {
    if (!own.plain(event)) return;
    if (event.key === "Escape") { if (own.typing(event)) event.target.blur(); else clear(); }
    else if (event.key === "/" && !own.typing(event)) { event.preventDefault(); by("search").focus(); by("search").select(); }
  });
  readAddress();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})(window.worldloom);
