// Pages of a long table.
//
// Gives   Nightlab.pager(go): { node, show(page, rows, total) }
"use strict";
(() => {
  const N = window.Nightlab;

  N.pager = (go) => {
    let here = 0;
    let pages = 1;
    const said = N.el("span");
    const step = (text, name, by) => N.el("button", { type: "button", class: "quiet", "aria-label": name, on: { click: () => go(by()) } }, text);
    const first = step("«", "First page", () => 0);
    const back = step("‹", "Page before", () => here - 1);
    const next = step("›", "Next page", () => here + 1);
    const last = step("»", "Last page", () => pages - 1);
    const node = N.el("nav", { class: "pager", "aria-label": "Pages of the table" }, first, back, said, next, last);
    return {
      node,
      show: (page, rows, total) => {
        here = page;
        pages = Math.max(1, Math.ceil(total / rows));
        node.hidden = pages < 2;
        said.textContent = `${N.count(page * rows + 1)}–${N.count(Math.min(total, (page + 1) * rows))} of ${N.count(total)}`;
        first.disabled = back.disabled = page === 0;
        next.disabled = last.disabled = page >= pages - 1;
      },
    };
  };
})();
