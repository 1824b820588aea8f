// The overview: filters, histograms and gallery on the columns of data/clips.js, the state in the address.
"use strict";

(function (own) {
  const data = window.worldloomData.clips;
  const by = (id) => document.getElementById(id);
  const columns = own.columnsOf(data);
  const all = Uint32Array.from({ length: data.count }, (_, row) => row);
  let filters = new Map(), sort = "key", down = false;
  const histograms = [], bars = [], lists = [];

  function change(name, filter) {
    if (filter) filters.set(name, filter); else filters.delete(name);
    update();
  }

  function toggle(name, number) {
    const picked = new Set(filters.has(name) ? filters.get(name).picked : []);
    if (!picked.delete(number)) picked.add(number);
    change(name, picked.size ? { picked } : null);
  }

  function readAddress() {
    const pairs = own.readHash(location.hash);
    const found = pairs.find(([name]) => name === "sort");
    if (found) { down = found[1].startsWith("-"); sort = found[1].replace(/^-/, ""); }
    if (sort !== "key" && sort !== "name" && !columns.has(sort)) sort = "key";
    filters = own.parseFilters(columns, pairs);
  }

  function writeAddress() {
    const pairs = own.formatFilters(columns, filters);
    if (sort !== "key" || down) pairs.push(["sort", (down ? "-" : "") + sort]);
    own.writeHash(pairs);
  }

  function update() {
    const applied = own.applyFilters(data, columns, filters);
    const chosen = own.sorted(data, columns, all.filter(applied.passes), sort, down);
    for (const one of histograms) one.update(applied.without(one.column.name), filters.get(one.column.name));
    for (const one of bars) one.update(applied.without(one.column.name), filters.get(one.column.name));
    for (const one of lists) one.update(applied);
    let seconds = 0;
    for (const row of chosen) seconds += data.seconds[row];
    by("count").textContent = `${own.count(chosen.length)} of ${own.count(data.count)} clips · ${own.hours(seconds)}`;
    const search = filters.get("q");
    if (document.activeElement !== by("search")) by("search").value = search ? search.text : "";
    const where = own.whereOf(data, columns, filters);
    by("where").textContent = where;
    by("where").parentElement.hidden = !where;
    by("where").parentElement.classList.toggle("packed", filters.has("split"));
    by("clear").disabled = !filters.size;
    by("order").textContent = down ? "↓" : "↑";
    by("sort").value = sort;
    drawChips();
    writeAddress();
    gallery.show(chosen);
    by("gallery").classList.toggle("nothing", !chosen.length);
  }

  function drawChips() {
    const chips = [];
    for (const [name, filter] of filters) {
      const column = columns.get(name), picked = [...(filter.picked || [])];
      const says = column.kind === "range" ? [own.rangeText(filter).replace("..", " to ").replace("<", "below ")]
        : column.kind === "text" ? [filter.text]
        : column.kind === "class" ? picked.map((number) => own.labelWord(name, number)) : picked.map((number) => column.said[number]);
      says.forEach((said, number) => {
        const chip = own.make("button", { type: "button", class: "chip filter", title: "let go" }, `${name === "q" ? "search" : name.replace(/^status\./, "")}: ${said}`, own.make("b", { "aria-hidden": "true" }, " ×"));
        chip.addEventListener("click", () => (filter.picked ? toggle(name, picked[number]) : change(name, null)));
        chips.push(chip);
      });
    }
    by("chips").replaceChildren(...chips);
  }

  // A list of values with how many clips each would leave; long lists show the commonest first.
  function pickList(column, open) {
    const SHOWN = 8;
    const rows = column.said.map((said, number) => {
      const box = own.make("input", { type: "checkbox" });
      const count = own.make("span", { class: "num" });
      box.addEventListener("change", () => toggle(column.name, number));
      return { box, count, line: own.make("label", { title: said }, box, own.make("span", { class: "said" }, said), count) };
    });
    const more = own.make("button", { type: "button", class: "more" }, `${rows.length - SHOWN} more`);
    const part = own.make("details", { open }, own.make("summary", {}, column.name.replace(/^status\./, "")), ...rows.map((row) => row.line), rows.length > SHOWN ? more : null);
    const cut = (hide) => rows.slice(SHOWN).forEach((row) => { row.line.hidden = hide && !row.box.checked; });
    more.addEventListener("click", () => { cut(false); more.remove(); });
    cut(rows.length > SHOWN);
    return {
      part,
      update(applied) {
        const passes = applied.without(column.name), counts = new Array(rows.length).fill(0);
        for (let row = 0; row < data.count; row++) if (passes(row)) counts[column.codes[row]]++;
        const picked = filters.has(column.name) ? filters.get(column.name).picked : new Set();
        rows.forEach(({ box, count, line }, number) => {
          box.checked = picked.has(number);
          count.textContent = own.count(counts[number]);
          line.classList.toggle("none", !counts[number]);
          if (picked.has(number)) { line.hidden = false; part.open = true; }
        });
      },
    };
  }

  function build() {
    const side = by("side");
    const groups = [["Where they come from", data.facets.map((one) => one.name), 4], ["Annotations", data.status.map((one) => `status.${one.name}`), 99]];
    for (const [title, names, opened] of groups) {
      if (names.length) side.append(own.make("h3", {}, title));
      names.forEach((name, number) => {
        const column = columns.get(name);
        const list = pickList(column, number < opened && column.values.length > 1);
        lists.push(list);
        side.append(list.part);
      });
    }
    for (const group of ["move", "view"]) {
      if (!columns.has(group)) continue;
      const one = new own.LabelBars(columns.get(group), (number) => toggle(group, number));
      bars.push(one);
      by("figures").append(one.box);
    }
    for (const one of data.figures) {
      if (columns.get(one.name).kind !== "range") continue;
      const histogram = new own.Histogram(columns.get(one.name), (range) => change(one.name, range));
      histograms.push(histogram);
    }
    const first = 4;
    by("figures").append(...histograms.slice(0, first).map((one) => one.box));
    if (histograms.length > first) {
      const rest = own.make("div", { class: "rest" }, ...histograms.slice(first).map((one) => one.box));
      const more = own.make("details", { class: "all-figures" }, own.make("summary", {}, `${histograms.length - first} more figures`), rest);
      if (histograms.slice(first).some((one) => filters.has(one.column.name))) more.open = true;
      by("figures").append(more);
    }
    const options = [["key", "key"], ["name", "name"], ...[...columns.values()].filter((one) => one.kind === "range" || one.kind === "pick").map((one) => [one.name, one.name.replace(/^status\./, "")])];
    by("sort").append(...options.map(([value, said]) => own.make("option", { value }, said)));
  }

  function open(row) {
    const dialog = by("unmade"), key = own.keyOf(data, row);
    dialog.querySelector("h3").textContent = data.name.values[data.name.codes[row]];
    by("make").textContent = `${by("clips").dataset.command} ${key}`;
    dialog.showModal();
  }

  function keys(event) {
    if (document.querySelector("dialog[open]") || !own.plain(event)) return;
    const search = by("search");
    if (event.key === "Escape") {
      if (document.activeElement === search || own.typing(event)) document.activeElement.blur();
      else if (filters.size) { filters = new Map(); search.value = ""; update(); }
      return;
    }
    if (own.typing(event)) {
      if (event.key === "Enter" && event.target === search) { search.blur(); gallery.mark(0); }
      return;
    }
    const arrow = event.key.startsWith("Arrow") && gallery.current >= 0 && by("gallery").contains(document.activeElement);
    if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
    else if (event.key === "?") by("keys").showModal();
    else if (event.key === "j" || event.key === "k" || arrow) { event.preventDefault(); gallery.step(event.key); }
  }

  own.start();
  readAddress();
  build();
  const gallery = new own.Gallery(by("gallery"), data, open);
  let typed = 0;
  by("search").addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => change("q", by("search").value.trim() ? { text: by("search").value.trim() } : null), data.count > 2000 ? 120 : 0);
  });
  by("sort").addEventListener("change", () => { sort = by("sort").value; update(); });
  by("order").addEventListener("click", () => { down = !down; update(); });
  by("clear").addEventListener("click", () => { filters = new Map(); by("search").value = ""; update(); });
  by("help").addEventListener("click", () => by("keys").showModal());
  by("panels").addEventListener("click", () => {
    const shown = by("clips").classList.toggle("folded");
    by("panels").setAttribute("aria-expanded", String(!shown));
  });
  addEventListener("hashchange", () => {
    if (location.hash && !location.hash.includes("=")) return writeAddress();  // a place in this page, no filters
    readAddress();
    update();
    if (filters.size) by("clips").scrollIntoView();
  });
  addEventListener("keydown", keys);
  if (matchMedia("(max-width: 900px)").matches) by("panels").click();
  update();
  own.gallery = gallery;
  if (filters.size) by("clips").scrollIntoView();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})(window.worldloom);
