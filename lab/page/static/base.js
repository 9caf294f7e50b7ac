// What every view needs: elements made from text, numbers for people, colours of the theme.
//
// Owns    how a text becomes a part of the page: by textContent, and in no other way
// Gives   Nightlab.el, svg, words for numbers, palette(), announce(), copyButton()
"use strict";
(() => {
  const N = (window.Nightlab = window.Nightlab || {});
  const SVG = "http://www.w3.org/2000/svg";

  // Children are nodes, texts or null; `on` holds listeners, `class`, `text` and every other name are attributes.
  N.el = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);
  N.svg = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);

  function fill(node, props, children) {
    for (const [name, value] of Object.entries(props)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "text") node.textContent = value;
      else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined && child !== false) node.append(child);
    }
    return node;
  }

  N.empty = (node) => {
    while (node.firstChild) node.firstChild.remove();
    return node;
  };

  // Numbers for people. What was not measured is a dash, never a zero.
  const NONE = "–";
  const known = (value) => typeof value === "number" && Number.isFinite(value);
  N.known = known;
  N.bpb = (value, digits = 4) => (known(value) ? value.toFixed(digits) : NONE);
  N.signed = (value, digits = 4) => {
    if (!known(value)) return NONE;
    if (value === 0) return (0).toFixed(digits);
    return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
  };
  N.count = (value) => (known(value) ? value.toLocaleString("en") : NONE);
  N.percent = (share) => {
    if (!known(share)) return NONE;
    const percent = 100 * share;
    return percent > 0 && percent < 0.1 ? "under 0.1 %" : `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
  };
  N.money = (usd) => {
    if (!known(usd)) return NONE;
    return `$${usd.toFixed(usd !== 0 && Math.abs(usd) < 0.1 ? 4 : 2)}`;
  };
  N.energy = (joule) => {
    if (!known(joule)) return NONE;
    if (joule < 3600) return `${Math.round(joule)} J`;
    const hours = joule / 3600;
    return hours < 1000 ? `${hours.toFixed(hours < 10 ? 1 : 0)} Wh` : `${(hours / 1000).toFixed(2)} kWh`;
  };
  N.duration = (seconds) => {
    if (!known(seconds)) return NONE;
    if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.max(60, Math.floor(seconds));
    const minutes = Math.floor(whole / 60);
    if (minutes < 60) return `${minutes} min ${whole % 60} s`;
    // As the sentences say it, which Python writes: "7 h 05 min".
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  };
  N.plural = (count, one, many) => `${N.count(count)} ${count === 1 ? one : many || `${one}s`}`;
  N.date = (iso) => {
    const at = new Date(iso || "");
    return Number.isNaN(at.getTime()) ? NONE : `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  };

  // The colours that a canvas needs are those of the style sheet.
  N.palette = () => {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    return {
      ink: read("ink"), soft: read("soft"), grid: read("grid"), paper: read("paper"),
      kept: read("kept"), baseline: read("baseline"), discard: read("discard"), failed: read("failed"),
      audit: read("audit"), replay: read("replay"), holdout: read("holdout"),
      campaigns: [1, 2, 3, 4, 5, 6].map((number) => read(`campaign-${number}`)),
    };
  };
  N.FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

  // One polite voice for the page: what the eye sees move, a screen reader hears.
  let voice = null;
  N.announce = (text) => {
    if (!voice) {
      voice = N.el("div", { class: "unseen", "aria-live": "polite", id: "voice" });
      document.body.append(voice);
    }
    voice.textContent = text;
  };

  N.copyButton = (text, what) => {
    const button = N.el("button", { type: "button", class: "copy", "aria-label": `Copy: ${what}`, text: "Copy" });
    button.addEventListener("click", async () => {
      const done = await copy(text);
      button.textContent = done ? "Copied" : "Not copied";
      N.announce(done ? `Copied: ${what}` : "The browser did not allow copying; select the text instead.");
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    return button;
  };

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // A file from a mail attachment has no clipboard interface; the old way needs a selection.
      const field = N.el("textarea", { class: "unseen", "aria-hidden": "true" });
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  // Facts as a list of terms; every value is text.
  N.facts = (facts, label) =>
    N.el("dl", { class: "facts", "aria-label": label },
      facts.map((fact) => N.el("div", {}, N.el("dt", { text: fact.name }), N.el("dd", { text: fact.value }))));

  // Draws a list anew without taking the keyboard away from who stands in it.
  N.keepFocus = (place, act) => {
    const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    act();
    if (key) for (const node of place.querySelectorAll("[data-key]")) if (node.dataset.key === key) node.focus({ preventScroll: true });
  };

  // Whether a value is another than the last time; what stays as it was need not be drawn again.
  N.watcher = () => {
    let last = null;
    return (...values) => {
      const text = JSON.stringify(values);
      const changed = text !== last;
      last = text;
      return changed;
    };
  };

  N.section = (id, title, ...children) =>
    N.el("section", { id, "aria-labelledby": `${id}-title` },
      N.el("h2", { id: `${id}-title`, text: title }), ...children);
})();
