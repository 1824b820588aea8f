// Which clips are chosen: filters over the columns of data/clips.js, in the address of the page, and as DuckDB's SQL.
"use strict";

(function (own) {
  // All that one filters by, by name. `kind` is pick (values of a list), class (labels seen), range or text.
  own.columnsOf = function (data) {
    const columns = new Map();
    columns.set("q", { name: "q", kind: "text" });
    for (const one of data.facets) columns.set(one.name, { ...one, kind: "pick", said: one.values.map(sayValue) });
    for (const one of data.status) {
      columns.set(`status.${one.name}`, { ...one, name: `status.${one.name}`, kind: "pick", status: true,
        said: one.values.map(([status, reason]) => status ? (reason ? `${status}: ${reason}` : status) : "not asked") });
    }
    for (const group of ["move", "view"]) {
      if (data.labels[group].length) {
        columns.set(group, { name: group, kind: "class", counts: data.labels[group], sql: `actions.${group}` });
      }
    }
    for (const one of data.figures) if (!columns.has(one.name)) columns.set(one.name, { ...one, kind: "range" });
    return columns;
  };

  function sayValue(value) {
    if (value === null) return "(none)";
    if (value === true) return "yes";
    if (value === false) return "no";
    return value === "" ? "(not stated)" : value;
  }

  // Filters: a Map from a column's name to {picked: Set} | {lo, hi, open} | {text}.
  own.parseFilters = function (columns, pairs) {
    const filters = new Map();
    for (const [name, text] of pairs) {
      const column = columns.get(name);
      if (!column || text === "") continue;
      if (column.kind === "text") filters.set(name, { text });
      if (column.kind === "range") {
        const found = /^(-?[\d.eE+-]*)\.\.(<?)(-?[\d.eE+-]*)$/.exec(text);
        const bound = (part) => (part === "" || !Number.isFinite(Number(part)) ? null : Number(part));
        if (found && (bound(found[1]) !== null || bound(found[3]) !== null)) {
          filters.set(name, { lo: bound(found[1]), hi: bound(found[3]), open: found[2] === "<" });
        }
      }
      if (column.kind === "pick" || column.kind === "class") {
        const number = column.kind === "pick" ? column.said.indexOf(text) : /^[0-9]$/.test(text) ? Number(text) : -1;
        if (number < 0) continue;
        if (!filters.has(name)) filters.set(name, { picked: new Set() });
        filters.get(name).picked.add(number);
      }
    }
    return filters;
  };

  own.formatFilters = function (columns, filters) {
    const pairs = [];
    for (const [name, filter] of filters) {
      const column = columns.get(name);
      if (column.kind === "text") pairs.push([name, filter.text]);
      if (column.kind === "range") pairs.push([name, own.rangeText(filter)]);
      if (column.kind === "pick") for (const number of filter.picked) pairs.push([name, column.said[number]]);
      if (column.kind === "class") for (const number of filter.picked) pairs.push([name, String(number)]);
    }
    return pairs;
  };

  own.rangeText = ({ lo, hi, open }) => `${lo ?? ""}..${open ? "<" : ""}${hi ?? ""}`;

  const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  // A function of a row's number for one filter.
  function testOf(data, column, filter) {
    if (column.kind === "pick") return (row) => filter.picked.has(column.codes[row]);
    if (column.kind === "class") {
      const counts = [...filter.picked].map((number) => column.counts[number]);
      return (row) => counts.some((one) => one[row] > 0);
    }
    if (column.kind === "range") {
      const { lo, hi, open } = filter, values = column.values;
      return (row) => {
        const value = values[row];
        return value !== null && (lo === null || value >= lo) && (hi === null || (open ? value < hi : value <= hi));
      };
    }
    const hits = wordsOf(filter.text).map((word) => {
      const found = data.texts.map((one) => one.values.map((text) => text !== null && text.toLowerCase().includes(word)));
      return (row) => found.some((one, number) => one[data.texts[number].codes[row]]);
    });
    return (row) => hits.every((hit) => hit(row));
  }

  // How many filters each row fails, and which was the last: a row that fails one alone still counts for that one.
  own.applyFilters = function (data, columns, filters) {
    const fails = new Uint8Array(data.count), blame = new Uint8Array(data.count);
    const names = [...filters.keys()];
    names.forEach((name, number) => {
      const passes = testOf(data, columns.get(name), filters.get(name));
      for (let row = 0; row < data.count; row++) if (!passes(row)) { fails[row]++; blame[row] = number; }
    });
    return {
      passes: (row) => fails[row] === 0,
      without(name) {
        const number = names.indexOf(name);
        return number < 0 ? (row) => fails[row] === 0 : (row) => fails[row] === 0 || (fails[row] === 1 && blame[row] === number);
      },
    };
  };

  const text = (value) => `'${value.replace(/'/g, "''")}'`;

  // The same as a condition over the catalog; empty where nothing is filtered.
  own.whereOf = function (data, columns, filters) {
    const parts = [];
    for (const [name, filter] of filters) {
      const column = columns.get(name);
      if (column.kind === "text") {
        for (const word of wordsOf(filter.text)) {
          parts.push("(" + data.texts.map((one) => `contains(lower(${one.sql}), ${text(word)})`).join(" OR ") + ")");
        }
      }
      if (column.kind === "range") {
        if (filter.lo !== null) parts.push(`${column.sql} >= ${filter.lo}`);
        if (filter.hi !== null) parts.push(`${column.sql} ${filter.open ? "<" : "<="} ${filter.hi}`);
      }
      if (column.kind === "class") {
        const some = [...filter.picked].sort().map((number) => `${column.sql}[${number + 1}] > 0`);
        parts.push(some.length > 1 ? `(${some.join(" OR ")})` : some[0]);
      }
      if (column.kind === "pick") {
        const picked = [...filter.picked].map((number) => column.values[number]);
        const some = column.status ? picked.map((end) => statusSql(column.sql, end)) : pickedSql(column.sql, picked);
        parts.push(some.length > 1 ? `(${some.join(" OR ")})` : some[0]);
      }
    }
    return parts.join(" AND ");
  };

  function statusSql(sql, [status, reason]) {
    if (!status) return `${sql}.status IS NULL`;
    const ended = `${sql}.status = ${text(status)}`;
    return status === "ok" ? ended : `(${ended} AND ${sql}.reason = ${text(reason)})`;
  }

  function pickedSql(sql, picked) {
    const words = picked.filter((value) => typeof value === "string");
    const some = [];
    if (words.length === 1) some.push(`${sql} = ${text(words[0])}`);
    if (words.length > 1) some.push(`${sql} IN (${words.map(text).join(", ")})`);
    if (picked.includes(true)) some.push(sql);
    if (picked.includes(false)) some.push(`NOT (${sql})`);
    if (picked.includes(null)) some.push(`${sql} IS NULL`);
    return some;
  }

  // Numbers of rows in an order; rows without a value come last either way.
  own.sorted = function (data, columns, rows, name, down) {
    const column = columns.get(name);
    const values = column && column.kind === "range" ? column.values : null;
    const words = !values && column && column.kind === "pick" ? column : null;
    const nameOf = (row) => data.name.values[data.name.codes[row]];
    const chosen = Array.from(rows);
    const sign = down ? -1 : 1;
    if (values) {
      chosen.sort((a, b) => {
        const x = values[a], y = values[b];
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        return sign * (x - y) || a - b;
      });
    } else if (words) {
      chosen.sort((a, b) => sign * words.said[words.codes[a]].localeCompare(words.said[words.codes[b]]) || a - b);
    } else if (name === "name") {
      const order = new Map([...data.name.values].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).map((one, i) => [one, i]));
      chosen.sort((a, b) => sign * (order.get(nameOf(a)) - order.get(nameOf(b))) || a - b);
    } else if (down) {
      chosen.reverse();
    }
    return chosen;
  };
})(window.worldloom);
