// Clips that two collections do not share, and those that became other, filtered and a page at a time.
"use strict";

(function (own) {
  const data = window.worldloomData.compare;
  const by = (id) => document.getElementById(id);
  const SHOWN = 100;
  const TITLES = [["changed", "changed"], ["here", "only here"], ["there", "only there"]];
  const MOST = 8;

  function line(row) {
    const name = row.page ? own.make("a", { href: row.page }, row.name) : own.make("b", {}, row.name);
    const what = own.make("td", { class: "plain" });
    const said = row.what || [];
    const chips = (some) => what.append(...some.map(([kind, text]) => own.make("span", { class: `chip ${kind === "bytes" || kind === "status" ? "failed" : kind === "labels" || kind === "events" ? "dropped" : "absent"}` }, text)));
    chips(said.slice(0, MOST));
    if (said.length > MOST) {
      const more = own.make("button", { type: "button", class: "more" }, `${said.length - MOST} more`);
      more.addEventListener("click", () => { more.remove(); chips(said.slice(MOST)); });
      what.append(more);
    }
    return own.make("tr", {}, own.make("td", { class: "plain" }, name, own.make("br"), own.make("span", { class: "key" }, row.key)),
      own.make("td", { "data-name": "source" }, `${row.source}, ${own.figure(row.seconds)} s`), what);
  }

  function update() {
    const list = by("list").value, kind = by("kind").value;
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data[list].filter((row) => (!kind || list !== "changed" || row.what.some(([one]) => one === kind))
      && words.every((word) => `${row.key} ${row.name} ${row.source} ${(row.what || []).map(([, said]) => said).join(" ")}`.toLowerCase().includes(word)));
    const body = own.make("tbody");
    const more = own.make("button", { type: "button", class: "more" });
    let shown = 0;
    const grow = () => {
      body.append(...rows.slice(shown, shown + SHOWN).map(line));
      shown = Math.min(rows.length, shown + SHOWN);
      more.textContent = `${own.count(rows.length - shown)} more`;
      more.hidden = shown >= rows.length;
    };
    more.addEventListener("click", grow);
    grow();
    by("compared").replaceChildren(rows.length ? own.make("table", { class: "stack" }, body) : own.make("div", { class: "empty" }, "No clip here."), more);
    by("count").textContent = `${own.count(rows.length)} of ${own.count(data[list].length)} clips`;
    by("kind").parentElement.hidden = list !== "changed";
    const pairs = [["show", list === "changed" ? "" : list], ["kind", kind], ["q", by("search").value.trim()]].filter(([, value]) => value);
    own.writeHash(pairs);
  }

  function readAddress() {
    const pairs = new Map(own.readHash(location.hash));
    const first = TITLES.find(([name]) => data[name].length) || TITLES[0];
    by("list").value = TITLES.some(([name]) => name === pairs.get("show")) ? pairs.get("show") : first[0];
    by("kind").value = [...by("kind").options].some((one) => one.value === pairs.get("kind")) ? pairs.get("kind") : "";
    by("search").value = pairs.get("q") || "";
    update();
  }

  own.start();
  by("list").append(...TITLES.map(([value, said]) => own.make("option", { value }, `${said} (${own.count(data[value].length)})`)));
  const kinds = new Set(data.changed.flatMap((row) => row.what.map(([kind]) => kind)));
  by("kind").append(...[...kinds].sort().map((value) => own.make("option", { value }, value)));
  for (const id of ["list", "kind"]) by(id).addEventListener("change", update);
  by("search").addEventListener("input", update);
  addEventListener("hashchange", readAddress);
  addEventListener("keydown", (event) => {
    if (!own.plain(event)) return;
    if (event.key === "Escape" && own.typing(event)) event.target.blur();
    else if (event.key === "Escape") { by("search").value = ""; by("kind").value = ""; update(); }
    else if (event.key === "/" && !own.typing(event)) { event.preventDefault(); by("search").focus(); by("search").select(); }
  });
  readAddress();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})(window.worldloom);
