// Small things that every page needs: elements, copying, dialogs. No page loads anything from elsewhere.
"use strict";
window.worldloom = window.worldloom || {};

(function (own) {
  // An element with attributes and children; texts become text nodes, so nothing in the data is ever markup.
  own.make = function (name, attributes, ...children) {
    const svg = ["svg", "rect", "path", "line", "text", "g", "title"].includes(name);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === false || value === null || value === undefined) continue;
      element.setAttribute(key, value === true ? "" : String(value));
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  own.count = (number) => number.toLocaleString("en-US");

  own.figure = function (value) {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return Math.abs(value) < 1e6 ? String(value) : own.count(value);
    return Math.abs(value) < 1000 ? String(Number(value.toPrecision(3))) : own.count(Math.round(value));
  };

  own.hours = function (seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
  };

  own.copy = function (text, button) {
    const said = button.textContent;
    const done = (word) => {
      button.textContent = word;
      setTimeout(() => { button.textContent = said; }, 1200);
    };
    const area = own.make("textarea", { class: "off-screen", "aria-hidden": "true" });
    const beside = button.closest("dialog") || document.body;  // outside an open dialog nothing takes the focus
    area.value = text;
    beside.append(area);
    area.select();
    const copied = document.execCommand("copy");  // works from file:// too, where the clipboard interface may not
    area.remove();
    button.focus();
    done(copied ? "copied" : "not copied");
  };

  own.typing = (event) => /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);

  own.plain = (event) => !(event.ctrlKey || event.metaKey || event.altKey);

  own.start = function () {
    document.documentElement.classList.add("scripted");
    for (const element of document.querySelectorAll(".script-only")) element.hidden = false;
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button.copy");
      if (button) {
        event.preventDefault();
        const from = document.getElementById(button.dataset.copies || "");
        own.copy(from ? from.textContent : button.dataset.text || "", button);
      }
      const closing = event.target.closest("dialog button.close");
      if (closing) closing.closest("dialog").close();
    });
  };

  // The part of the address after the #, as pairs of texts; what cannot be read is left out.
  own.readHash = function (hash) {
    try {
      return [...new URLSearchParams(hash.replace(/^#/, ""))];
    } catch (error) {
      return [];
    }
  };

  own.writeHash = function (pairs) {
    const text = new URLSearchParams(pairs).toString();
    const place = text ? `#${text}` : location.pathname + location.search;
    if (`#${text}` !== location.hash && !(text === "" && location.hash === "")) history.replaceState(null, "", place);
  };
})(window.worldloom);
