// The gallery: as many cards in the page as one can see, however many clips are chosen.
"use strict";

(function (own) {
  const GAP = 16, LEAST_WIDTH = 300, BEYOND = 2, PRINTED = 60;

  // Stretches of labels, "c12aj3", as [first, length, label].
  function stretches(text) {
    const found = [];
    let at = 0;
    for (const [, letter, length] of text.matchAll(/([a-j])(\d*)/g)) {
      const long = Number(length || 1);
      found.push([at, long, letter.charCodeAt(0) - 97]);
      at += long;
    }
    return { found, total: at || 1 };
  }

  own.lanes = function (data, row) {
    const svg = own.make("svg", { class: "lanes", viewBox: "0 0 1000 24", preserveAspectRatio: "none", "aria-hidden": "true" });
    ["move", "view"].forEach((group, lane) => {
      const { found, total } = stretches(data[group][row]);
      if (!found.length) svg.append(own.make("rect", { class: "unlabelled", x: 0, width: 1000, y: 9 * lane + 3.5, height: 1 }));
      for (const [first, long, label] of found) {
        svg.append(own.make("rect", { class: `a${label}`, x: (1000 * first) / total, width: (1000 * long) / total, y: 9 * lane, height: 8 }));
      }
    });
    for (const [kind, first, end] of data.events[row]) {
      svg.append(own.make("rect", { class: `e-${kind}`, x: Math.min(first, 994), width: Math.max(6, end - first), y: 19, height: 5 }));
    }
    return svg;
  };

  const listed = (column, row) => column.values[column.codes[row]];

  own.keyOf = (data, row) => listed(data.texts[0], row);

  own.pageOf = (data, row) => `clips/${data.files ? data.files[row] : own.keyOf(data, row)}.html`;

  function badgesOf(data, row) {
    const badges = own.make("span", { class: "badges" });
    const order = { failed: 0, absent: 1, ok: 2 };  // what is missing is seen first, where not all of them fit
    const found = data.status.map((one) => [one, ...listed(one, row)]).sort((a, b) => (order[a[1]] ?? 1) - (order[b[1]] ?? 1));
    for (const [one, status, reason] of found) {
      if (status) badges.append(own.make("span", { class: `badge ${status}`, title: reason ? `${one.name} ${status}: ${reason}` : `${one.name} ${status}` }, one.name));
    }
    return badges;
  }

  own.card = function (data, row) {
    const key = own.keyOf(data, row), name = listed(data.name, row), strip = data.strip[row];
    const shown = strip
      ? own.make("img", { src: `thumbs/${strip}`, alt: `frames of ${name}`, decoding: "async", width: 480, height: 90 })
      : own.make("span", { class: "no-strip" }, listed(data.trouble, row) || "no frames");
    const link = own.make("a", { href: data.page[row] ? own.pageOf(data, row) : "#", "data-row": row },
      shown, own.lanes(data, row),
      own.make("span", { class: "line" }, own.make("b", {}, name), own.make("span", {}, `${data.seconds[row].toFixed(1)} s`)),
      own.make("span", { class: "key" }, key),
      own.make("span", { class: "line" }, own.make("span", {}, `${listed(data.source, row)} · ${listed(data.size, row)}`)),
      badgesOf(data, row));
    return own.make("article", { class: "clip", role: "listitem" }, link);
  };

  own.Gallery = class {
    // `open(row)` is called for a clip without a page of its own.
    constructor(box, data, open) {
      Object.assign(this, { box, data, open, rows: [], cards: new Map(), current: -1 });
      box.textContent = "";
      box.classList.add("virtual");
      this.height = 0;
      const soon = () => { if (!this.waiting) { this.waiting = true; requestAnimationFrame(() => { this.waiting = false; this.draw(); }); } };
      addEventListener("scroll", soon, { passive: true });
      new ResizeObserver(() => { this.cards.forEach((card) => card.remove()); this.cards.clear(); this.height = 0; soon(); }).observe(box.parentElement);
      box.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-row]");
        if (!link) return;
        this.mark(this.rows.indexOf(Number(link.dataset.row)), false);
        if (link.getAttribute("href") === "#") { event.preventDefault(); this.open(Number(link.dataset.row)); }
      });
      box.addEventListener("focusin", (event) => {
        const link = event.target.closest("a[data-row]");
        if (link) this.mark(this.rows.indexOf(Number(link.dataset.row)), false);
      });
      addEventListener("beforeprint", () => this.draw(PRINTED));
      addEventListener("afterprint", () => this.draw());
    }

    show(rows) {
      const kept = this.current >= 0 ? this.rows[this.current] : null;
      this.rows = rows;
      this.current = kept === null ? -1 : rows.indexOf(kept);
      this.cards.forEach((card) => card.remove());
      this.cards.clear();
      this.draw();
    }

    measure() {
      const width = this.box.clientWidth;
      this.columns = Math.max(1, Math.floor((width + GAP) / (LEAST_WIDTH + GAP)));
      this.width = (width - GAP * (this.columns - 1)) / this.columns;
      if (!this.height && this.rows.length) {
        const probe = own.card(this.data, this.rows[0]);
        probe.style.width = `${this.width}px`;
        probe.style.visibility = "hidden";
        this.box.append(probe);
        this.height = probe.getBoundingClientRect().height + GAP;
        probe.remove();
      }
    }

    draw(least = 0) {
      this.measure();
      const { rows, columns, width, height } = this;
      this.box.style.height = `${Math.ceil(rows.length / columns) * height}px`;
      const above = -this.box.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(above / height) - BEYOND) * columns;
      const end = Math.min(rows.length, Math.max(least, (Math.ceil((above + innerHeight) / height) + BEYOND) * columns));
      const wanted = new Set();
      for (let place = least ? 0 : first; place < end; place++) wanted.add(place);
      if (this.current >= 0) wanted.add(this.current);  // what has the focus stays
      for (const [place, card] of this.cards) if (!wanted.has(place)) { card.remove(); this.cards.delete(place); }
      for (const place of [...wanted].sort((a, b) => a - b)) {
        let card = this.cards.get(place);
        if (!card) {
          card = own.card(this.data, rows[place]);
          card.setAttribute("aria-setsize", rows.length);
          card.setAttribute("aria-posinset", place + 1);
          this.cards.set(place, card);
          this.box.append(card);
        }
        card.style.width = `${width}px`;
        card.style.transform = `translate(${(place % columns) * (width + GAP)}px, ${Math.floor(place / columns) * height}px)`;
        card.classList.toggle("current", place === this.current);
      }
    }

    // Mark the clip at a place of the chosen ones; bring it into view and focus it.
    mark(place, focus = true) {
      if (!this.rows.length) return;
      this.current = Math.min(this.rows.length - 1, Math.max(0, place));
      if (focus) {
        const top = this.box.getBoundingClientRect().top + scrollY + Math.floor(this.current / this.columns) * this.height;
        const free = 120;  // below the bar that stays at the top
        if (top < scrollY + free) scrollTo({ top: top - free, behavior: "instant" });
        if (top + this.height > scrollY + innerHeight) scrollTo({ top: top + this.height - innerHeight, behavior: "instant" });
      }
      this.draw();
      if (focus) this.cards.get(this.current).querySelector("a").focus({ preventScroll: true });
    }

    step(key) {
      const by = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[key];
      if (this.current < 0) this.mark(0); else this.mark(this.current + by);
    }
  };
})(window.worldloom);
