// The table of all experiments: sorted, filtered, searched, in pages; each row opens to its detail.
//
// Owns    which rows are shown; rows that stay keep their elements, so that focus and open details stay
// Takes   rows, and a source of details
// Gives   Nightlab.tableView(detailOf): { node, show(story), open(number), opened() }
"use strict";
(() => {
  const N = window.Nightlab;
  const PAGE_ROWS = 100;
  const PRINTED_ROWS = 1000;
  const COLUMNS = [
    { id: "number", name: "#", value: (row) => row.number, text: (row) => String(row.number), digits: true },
    { id: "ending", name: "Ending", value: (row) => N.orderOf(row.ending) },
    { id: "title", name: "Experiment", value: (row) => row.title.toLowerCase() },
    { id: "score", name: "val bpb", value: (row) => row.score_bpb, text: (row) => N.bpb(row.score_bpb), digits: true },
    { id: "gain", name: "Gain", value: (row) => row.gain_bpb, text: (row) => N.signed(row.gain_bpb), digits: true },
    { id: "holdout", name: "Holdout", value: (row) => row.holdout_bpb, text: (row) => N.bpb(row.holdout_bpb), digits: true },
    { id: "lines", name: "Lines", value: (row) => row.net_lines, text: (row) => N.signed(row.net_lines, 0), digits: true },
    { id: "time", name: "Time", value: (row) => row.total_s, text: (row) => N.duration(row.total_s), digits: true },
    { id: "energy", name: "Energy", value: (row) => row.energy_j, text: (row) => N.energy(row.energy_j), digits: true },
    { id: "cost", name: "Cost", value: (row) => row.cost_usd, text: (row) => N.money(row.cost_usd), digits: true },
    { id: "agent", name: "Agent", value: (row) => row.agent, text: (row) => row.agent || "–" },
  ];

  N.tableView = (detailOf) => {
    const state = { story: null, rows: [], shown: [], sort: "number", falling: false, endings: new Set(), query: "",
                    page: 0, open: new Map(), lines: new Map(), columns: [] };
    const body = N.el("tbody");
    const head = N.el("tr");
    const scroller = N.el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Table of experiments" },
      N.el("table", { class: "experiments" }, N.el("caption", { class: "unseen", text: "All experiments" }), N.el("thead", {}, head), body));
    const chips = N.el("fieldset", { class: "chips" }, N.el("legend", { class: "unseen", text: "Show only these endings" }));
    const search = N.el("input", { type: "search", placeholder: "Search titles", "aria-label": "Search titles", autocomplete: "off", spellcheck: "false" });
    const pager = N.pager((page) => {
      state.page = page;
      render();
      scroller.scrollIntoView({ block: "start" });
    });
    const unprinted = N.el("p", { class: "hint paper-only" });
    const none = N.el("p", { class: "none", hidden: true, text: "No experiment fits the filter." });
    const node = N.el("div", {}, N.el("div", { class: "controls" }, search, chips), scroller, unprinted, none, pager.node);

    let typed = 0;
    search.addEventListener("input", () => {
      clearTimeout(typed);
      typed = setTimeout(() => {
        state.query = search.value.trim().toLowerCase();
        state.page = 0;
        render();
        N.announce(N.plural(state.shown.length, "experiment fits", "experiments fit"));
      }, 120);
    });

    function chosen() {
      const words = state.query.split(/\s+/).filter(Boolean);
      const fits = (row) => {
        if (state.endings.size && !state.endings.has(row.ending)) return false;
        const text = `${row.number} ${row.title}`.toLowerCase();
        return words.every((word) => text.includes(word));
      };
      const value = COLUMNS.find((column) => column.id === state.sort).value;
      const sign = state.falling ? -1 : 1;
      // What was not measured stands at the end, whichever way the rest is sorted.
      return state.rows.filter(fits).sort((a, b) => {
        const [one, other] = [value(a), value(b)];
        if (one === null || other === null) return (one === null) - (other === null) || a.number - b.number;
        if (one === other) return a.number - b.number;
        return one < other ? -sign : sign;
      });
    }

    function render() {
      state.shown = chosen();
      const rows = N.printing() ? PRINTED_ROWS : PAGE_ROWS;
      state.page = Math.max(0, Math.min(state.page, Math.ceil(state.shown.length / rows) - 1));
      const from = N.printing() ? 0 : state.page * rows;
      const wanted = [];
      for (const row of state.shown.slice(from, from + rows)) {
        wanted.push(lineOf(row));
        if (state.open.has(row.number)) wanted.push(state.open.get(row.number));
      }
      settle(body, wanted);
      none.hidden = state.shown.length > 0;
      pager.show(state.page, rows, state.shown.length);
      unprinted.textContent = leftOnScreen(state);
      for (const cell of head.children) {
        cell.setAttribute("aria-sort", cell.dataset.id !== state.sort ? "none" : state.falling ? "descending" : "ascending");
      }
    }

    function lineOf(row) {
      const known = state.lines.get(row.number);
      if (known && known.row === row && known.columns === state.columns) return known.line;
      const line = drawLine(row, state.columns, () => toggle(row.number));
      if (state.open.has(row.number)) mark(line, true);
      state.lines.set(row.number, { row, line, columns: state.columns });
      return line;
    }

    function mark(line, open) {
      line.classList.toggle("open", open);
      line.querySelector("button").setAttribute("aria-expanded", String(open));
    }

    function toggle(number, open = !state.open.has(number)) {
      const row = state.rows.find((one) => one.number === number);
      if (!row || open === state.open.has(number)) return;
      if (open) {
        const inside = N.el("div", { id: `detail-${number}`, class: "detail" });
        state.open.set(number, N.el("tr", { class: "opened" }, N.el("td", { colspan: state.columns.length }, inside)));
        N.detailView(inside, row, detailOf, api);
      } else {
        close(number);
      }
      mark(lineOf(row), open);
      render();
      if (api.changed) api.changed([...state.open.keys()]);
    }

    // A detail may hold a chart, which looks at its place for as long as nobody ends it.
    function close(number) {
      state.open.get(number).querySelector(".detail").close();
      state.open.delete(number);
    }

    function header() {
      state.columns = COLUMNS.filter((column) =>
        ["number", "ending", "title", "score"].includes(column.id) || varied(column, state.rows));
      state.lines.clear();
      for (const opened of state.open.values()) opened.firstChild.setAttribute("colspan", state.columns.length);
      N.empty(head).append(...state.columns.map((column) => {
        const button = N.el("button", { type: "button" }, column.name, N.el("span", { class: "arrow", "aria-hidden": "true" }));
        button.addEventListener("click", () => {
          state.falling = state.sort === column.id ? !state.falling : false;
          state.sort = column.id;
          state.page = 0;
          render();
        });
        return N.el("th", { scope: "col", class: `col-${column.id}${column.digits ? " digits" : ""}`, "data-id": column.id, "aria-sort": "none" }, button);
      }));
    }

    const api = {
      node,
      show: (story) => {
        const same = state.story && state.story.tag === story.tag && state.story.created_at === story.created_at;
        if (!same) {
          for (const number of [...state.open.keys()]) close(number);
          Object.assign(state, { page: 0, endings: new Set(), lines: new Map() });
        }
        state.story = story;
        state.rows = story.rows;
        const before = state.columns.map((column) => column.id).join();
        const now = COLUMNS.filter((column) => ["number", "ending", "title", "score"].includes(column.id) || varied(column, state.rows)).map((column) => column.id).join();
        if (before !== now || !same) header();
        chipsOf(chips, state, render);
        render();
      },
      // Opens an experiment wherever it is hidden, and brings it into view.
      open: (number) => {
        const row = state.rows.find((one) => one.number === number);
        if (!row) return false;
        if (!chosen().includes(row)) {
          state.endings.clear();
          state.query = search.value = "";
          chipsOf(chips, state, render);
        }
        state.page = Math.floor(chosen().indexOf(row) / PAGE_ROWS);
        render();
        toggle(number, true);
        const button = lineOf(row).querySelector("button");
        button.focus({ preventScroll: true });
        lineOf(row).scrollIntoView({ block: "start", behavior: N.calm() ? "auto" : "smooth" });
        return true;
      },
      opened: () => [...state.open.keys()],
      model: () => state,
    };
    N.beforePrint.push(render);
    N.afterPrint.push(render);
    return api;
  };

  // Paper shows what was open, and says what was not.
  function leftOnScreen(state) {
    const said = [];
    const beyond = state.shown.length - PRINTED_ROWS;
    if (beyond > 0) said.push(`${N.plural(beyond, "more line")} of the table`);
    const hidden = state.rows.length - state.shown.length;
    if (hidden > 0) said.push(`${N.plural(hidden, "experiment")} that the filter hides`);
    const closed = state.rows.length - state.open.size;
    if (closed > 0) said.push(`what ${N.plural(closed, "experiment opens", "experiments open")} to on the page: hypothesis, change, curve, audit, log`);
    return said.length ? `Not printed: ${said.join("; ")}.` : "";
  }

  N.calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  // A column that says nothing, or the same agent everywhere, is not worth its room.
  function varied(column, rows) {
    if (column.id !== "agent") return rows.some((row) => column.value(row) !== null);
    return new Set(rows.map((row) => row.agent)).size > 1;
  }

  // Puts the wanted lines in place and moves none that stands right: a line that is moved loses its focus.
  function settle(body, wanted) {
    const keep = new Set(wanted);
    for (const line of [...body.children]) if (!keep.has(line)) line.remove();
    let here = body.firstChild;
    for (const line of wanted) {
      if (line === here) here = here.nextSibling;
      else body.insertBefore(line, here);
    }
  }

  function drawLine(row, columns, toggle) {
    const line = N.el("tr", { class: `line e-${N.markOf(row.ending).colour}`, "data-number": row.number });
    for (const column of columns) {
      const place = `col-${column.id}${column.digits ? " digits" : ""}`;
      if (column.id === "title") {
        const button = N.el("button", { type: "button", class: "opener", "aria-expanded": "false", "aria-controls": `detail-${row.number}`,
                                        on: { click: toggle } }, row.title || "(no title)");
        line.append(N.el("th", { scope: "row", class: place }, button));
      } else if (column.id === "ending") {
        line.append(N.el("td", { class: place }, N.iconOf(row.ending), N.el("span", { text: row.ending_words }),
          row.audited ? N.el("abbr", { class: "audited", title: "its claim was audited", text: "audited" }) : null));
      } else line.append(N.el("td", { class: place, text: column.text(row) }));
    }
    // The whole line opens for a pointer; the button is there for everybody.
    line.addEventListener("click", (event) => {
      if (!event.target.closest("button, a") && !String(window.getSelection())) toggle();
    });
    return line;
  }

  function chipsOf(chips, state, render) {
    const counts = new Map();
    for (const row of state.rows) {
      const known = counts.get(row.ending) || { words: row.ending_words, count: 0 };
      known.count += 1;
      counts.set(row.ending, known);
    }
    const found = [...counts].sort((a, b) => N.orderOf(a[0]) - N.orderOf(b[0]));
    const present = new Map([...chips.querySelectorAll("label")].map((label) => [label.dataset.ending, label]));
    for (const [ending, label] of present) if (!counts.has(ending)) label.remove();
    for (const [ending, { words, count }] of found) {
      let label = present.get(ending);
      if (!label) {
        const field = N.el("input", { type: "checkbox", "data-ending": ending });
        field.addEventListener("change", () => {
          state.endings[field.checked ? "add" : "delete"](ending);
          state.page = 0;
          render();
          N.announce(N.plural(state.shown.length, "experiment fits", "experiments fit"));
        });
        label = N.el("label", { class: "chip", "data-ending": ending }, field, N.iconOf(ending), N.el("span", { text: words }), N.el("span", { class: "many" }));
        chips.append(label);
      }
      label.querySelector(".many").textContent = N.count(count);
      label.querySelector("input").checked = state.endings.has(ending);
    }
  }
})();
