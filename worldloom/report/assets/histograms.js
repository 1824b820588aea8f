// Histograms of figures that one drags over, and bars of labels that one clicks; both show all clips behind the chosen.
"use strict";

(function (own) {
  const BINS = 24, WIDTH = 240, HEIGHT = 64;

  // Edges at round numbers; what lies far beyond the rest is gathered in a last bin without an end.
  own.binsOf = function (values) {
    const known = values.filter((value) => value !== null).sort((a, b) => a - b);
    const least = known[0], most = known[known.length - 1];
    const late = known[Math.floor(0.99 * (known.length - 1))];
    const far = known.length >= 50 && late > least && most - late > 2 * (late - least);
    const whole = known.every(Number.isInteger);
    const span = (far ? late : most) - least || 1;
    let step = 10 ** Math.floor(Math.log10(span / BINS));
    for (const factor of [1, 2, 2.5, 5, 10, 20]) {
      if (span / (step * factor) <= BINS) { step *= factor; break; }
    }
    if (whole) step = Math.max(1, Math.ceil(step));
    const round = (value) => Number(value.toPrecision(12));
    const edges = [round(Math.floor(least / step) * step)];
    const reached = (edge) => (whole || far ? edge > (far ? late : most) : edge >= most);  // a whole number has a bin of its own
    while (!reached(edges[edges.length - 1]) && edges.length <= BINS + 2) edges.push(round(edges[0] + edges.length * step));
    if (edges.length < 2) edges.push(round(edges[0] + step));
    const bins = far ? edges.length : edges.length - 1;
    const codes = values.map((value) => (value === null ? -1 : Math.min(bins - 1, Math.max(0, binAt(edges, value)))));
    return { edges, bins, far, codes };
  };

  function binAt(edges, value) {
    let low = 0, high = edges.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (value >= edges[middle]) low = middle; else high = middle;
    }
    return low;
  }

  // One histogram. `chosen(filter | null)` is called with what a person drags over.
  own.Histogram = class {
    constructor(column, chosen) {
      this.column = column;
      this.chosen = chosen;
      Object.assign(this, own.binsOf(column.values));
      this.all = this.counted(() => true);
      this.from = null;
      this.svg = own.make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "histogram" });
      this.back = [], this.front = [];
      const wide = WIDTH / this.bins;
      for (let bin = 0; bin < this.bins; bin++) {
        const place = { x: (bin * wide).toFixed(2), width: Math.max(1, wide - 1).toFixed(2) };
        this.back.push(own.make("rect", { ...place, class: "all" }));
        this.front.push(own.make("rect", { ...place, class: "chosen" }));
      }
      this.mark = own.make("rect", { class: "brush", y: 0, height: HEIGHT, width: 0 });
      this.svg.append(...this.back, this.mark, ...this.front);
      this.range = ["lo", "hi"].map((end) => own.make("input", { type: "number", step: "any", inputmode: "decimal", "aria-label": `${column.name}, ${end === "lo" ? "least" : "most"}` }));
      const first = this.edges[0], last = this.far ? `≥ ${own.figure(this.edges[this.bins - 1])}` : own.figure(this.edges[this.bins]);
      this.box = own.make("div", { class: "figure" },
        own.make("h4", {}, column.name), this.svg,
        own.make("div", { class: "axis" }, own.make("span", {}, own.figure(first)), own.make("span", {}, last)),
        own.make("div", { class: "bounds" }, this.range[0], own.make("span", {}, "to"), this.range[1]));
      this.listen();
    }

    counted(passes) {
      const counts = new Array(this.bins).fill(0);
      for (let row = 0; row < this.codes.length; row++) if (this.codes[row] >= 0 && passes(row)) counts[this.codes[row]]++;
      return counts;
    }

    listen() {
      const at = (event) => {
        const box = this.svg.getBoundingClientRect();
        return Math.min(this.bins - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * this.bins)));
      };
      this.svg.addEventListener("pointerdown", (event) => {
        this.from = at(event);
        this.svg.setPointerCapture(event.pointerId);
        this.show(this.from, this.from);
      });
      this.svg.addEventListener("pointermove", (event) => {
        if (this.from !== null) this.show(Math.min(this.from, at(event)), Math.max(this.from, at(event)));
      });
      this.svg.addEventListener("pointerup", (event) => {
        if (this.from === null) return;
        const [low, high] = [Math.min(this.from, at(event)), Math.max(this.from, at(event))];
        this.from = null;
        const range = this.rangeOf(low, high);
        const same = this.filter && own.rangeText(range) === own.rangeText(this.filter);
        this.chosen(same ? null : range);
      });
      this.svg.addEventListener("pointercancel", () => { this.from = null; });
      for (const input of this.range) {
        input.addEventListener("change", () => {
          const [lo, hi] = this.range.map((one) => (one.value === "" ? null : Number(one.value)));
          this.chosen(lo === null && hi === null ? null : { lo, hi, open: false });
        });
      }
    }

    rangeOf(low, high) {
      const last = high === this.bins - 1;
      return { lo: this.edges[low], hi: last ? (this.far ? null : this.edges[this.bins]) : this.edges[high + 1], open: !last };
    }

    show(low, high) {
      this.mark.setAttribute("x", (low * WIDTH) / this.bins);
      this.mark.setAttribute("width", low > high ? 0 : ((high - low + 1) * WIDTH) / this.bins);
    }

    update(passes, filter) {
      this.filter = filter || null;
      const counts = this.counted(passes), most = Math.max(1, ...this.all);
      const height = (count) => (count ? Math.max(1.5, ((HEIGHT - 4) * count) / most) : 0);
      for (let bin = 0; bin < this.bins; bin++) {
        for (const [bars, count] of [[this.back, this.all[bin]], [this.front, counts[bin]]]) {
          bars[bin].setAttribute("y", (HEIGHT - height(count)).toFixed(2));
          bars[bin].setAttribute("height", height(count).toFixed(2));
        }
      }
      const { lo, hi } = this.filter || { lo: null, hi: null };
      this.range[0].value = lo ?? "";
      this.range[1].value = hi ?? "";
      if (this.filter) {
        const low = lo === null ? 0 : Math.max(0, binAt(this.edges, lo));
        const inside = this.filter.open ? this.edges.findIndex((edge) => edge >= hi) - 1 : binAt(this.edges, hi ?? Infinity);
        const beside = (hi !== null && hi < this.edges[0]) || (!this.far && lo !== null && lo > this.edges[this.bins]);
        if (beside) this.show(1, 0);
        else this.show(low, Math.min(this.bins - 1, hi === null || inside < -1 ? this.bins - 1 : inside));
      } else {
        this.show(1, 0);
      }
      this.box.classList.toggle("active", Boolean(this.filter));
      const total = counts.reduce((sum, one) => sum + one, 0);
      this.svg.setAttribute("aria-label", `${this.column.name}: ${total} clips from ${own.figure(this.edges[0])} to ${own.figure(this.edges[this.edges.length - 1])}`);
    }
  };

  const ARROWS = ["·", "↑", "↓", "←", "→", "↖", "↗", "↙", "↘", "?"];
  const WORDS = {
    move: ["none", "forward", "back", "left", "right", "forward left", "forward right", "back left", "back right", "uncertain"],
    view: ["none", "up", "down", "left", "right", "up left", "up right", "down left", "down right", "uncertain"],
  };
  own.labelWord = (group, number) => WORDS[group][number];

  // Share of frames per label over the chosen clips; a click chooses clips in which it occurs.
  own.LabelBars = class {
    constructor(column, toggled) {
      this.column = column;
      this.bars = WORDS[column.name].map((word, number) => {
        const fill = own.make("rect", { class: `a${number}`, x: 0, y: 40, width: 10, height: 0 });
        const share = own.make("span", { class: "share-of" });
        const button = own.make("button", { type: "button", class: "label-bar", "aria-pressed": "false", title: `clips with ${column.name} ${word}` },
          share, own.make("svg", { viewBox: "0 0 10 40", preserveAspectRatio: "none", "aria-hidden": "true" }, fill),
          own.make("span", { class: "arrow", "aria-hidden": "true" }, ARROWS[number]), own.make("span", { class: "word" }, word));
        button.addEventListener("click", () => toggled(number));
        return { button, fill, share };
      });
      this.box = own.make("div", { class: "figure labels" }, own.make("h4", {}, column.name, own.make("span", {}, " % of frames")), own.make("div", { class: "label-bars" }, ...this.bars.map((bar) => bar.button)));
    }

    update(passes, filter) {
      const sums = this.column.counts.map((counts) => {
        let sum = 0;
        for (let row = 0; row < counts.length; row++) if (counts[row] && passes(row)) sum += counts[row];
        return sum;
      });
      const total = sums.reduce((sum, one) => sum + one, 0) || 1, most = Math.max(...sums) || 1;
      this.bars.forEach(({ button, fill, share }, number) => {
        const height = sums[number] ? Math.max(1, (38 * sums[number]) / most) : 0;
        fill.setAttribute("y", (40 - height).toFixed(2));
        fill.setAttribute("height", height.toFixed(2));
        const part = (100 * sums[number]) / total;
        share.textContent = sums[number] === 0 ? "" : part < 1 ? "<1" : String(Math.round(part));
        button.setAttribute("aria-pressed", String(Boolean(filter && filter.picked.has(number))));
      });
    }
  };
})(window.worldloom);
