// What an experiment opens to: what was thought, what was changed, what came of it.
//
// Takes   a place, the Row, a source of Details (asked once, when opened)
// Gives   Nightlab.detailView(place, row, detailOf, table); place.close() ends what it holds
"use strict";
(() => {
  const N = window.Nightlab;

  N.detailView = async (place, row, detailOf, table) => {
    place.append(N.el("p", { class: "wait", text: "Reading …" }));
    let closed = false;
    place.close = () => (closed = true);
    let detail;
    try {
      detail = await detailOf(row.number);
    } catch (problem) {
      N.empty(place).append(N.el("p", { class: "problem", role: "alert", text: problem.message || String(problem) }));
      return;
    }
    if (closed) return; // a line that a filter or another page of the table hides meanwhile is open all the same
    const curve = N.el("div", { class: "plot small" });
    const curves = detail.curve.length || detail.parent_curve.length;
    N.empty(place).append(
      N.el("h3", { text: `Experiment ${row.number}: ${row.title}` }),
      N.el("div", { class: "columns" },
        N.el("div", { class: "told" }, story(row, detail, table)),
        curves ? N.el("div", { class: "curve" }, N.el("h4", { text: "Training loss" }), curve, curveLegend(detail),
          N.el("p", { class: "hint", text: "As train.py told it; the score is measured elsewhere." })) : null),
      ...change(row, detail, table),
      ...block("Audit", detail.audit),
      ...block("Telemetry", detail.telemetry),
      ...block("Conditions that changed during the run", detail.conditions),
      ...log(detail),
    );
    if (curves) place.close = N.lossChart(curve, detail.curve, detail.parent_curve);
  };

  function story(row, detail, table) {
    const parts = [];
    const say = (name, text) => {
      if (text) parts.push(N.el("h4", { text: name }), N.el("p", { class: "text", text }));
    };
    say("Hypothesis", detail.hypothesis);
    say("Verdict", detail.verdict);
    say("Why it has no score", detail.reason);
    if (row.original !== null) {
      parts.push(N.el("p", {}, "It runs the code of experiment ", N.opener(row.original, table), " again."));
    }
    const numbers = [
      ["val", N.known(row.val_bpb) ? `${N.bpb(row.val_bpb, 6)} bits per byte` : null],
      ["holdout", N.known(row.holdout_bpb) ? `${N.bpb(row.holdout_bpb, 6)} bits per byte` : null],
      ["trained", N.known(row.train_s) ? N.duration(row.train_s) : null],
      ["took", N.known(row.total_s) ? N.duration(row.total_s) : null],
      ["agent", row.agent],
      ["commit", row.commit],
    ].filter(([, value]) => value).map(([name, value]) => ({ name, value }));
    parts.push(N.el("h4", { text: "In numbers" }), N.facts([...numbers, ...detail.notes], "In numbers"));
    return parts;
  }

  N.opener = (number, table) =>
    N.el("button", { type: "button", class: "link", text: String(number), on: { click: () => table.open(number) } });

  function change(row, detail, table) {
    if (!detail.diff.length) return [];
    const against = detail.parent === null ? "its parent" : `experiment ${detail.parent}`;
    const lines = detail.diff.map((line) =>
      N.el("span", { class: `line ${{ "+": "added", "-": "removed", "@": "hunk" }[line.kind] || "same"}` },
        line.kind === "@" ? "" : line.kind,
        line.spans.map(([kind, text]) => (TOKENS.has(kind) ? N.el("span", { class: `t-${kind}`, text }) : text)), "\n"));
    const lengths = `${N.count(detail.lines_added)} added, ${N.count(detail.lines_removed)} removed`;
    return [
      N.el("h4", { text: `Change against ${against}: ${lengths}` }),
      N.el("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": `Diff of experiment ${row.number}` }, N.el("code", {}, lines)),
      detail.diff_cut ? N.el("p", { class: "hint", text: `${N.plural(detail.diff_cut, "more line is", "more lines are")} left out here.` }) : null,
    ].filter(Boolean);
  }
  const TOKENS = new Set(["keyword", "name", "string", "number", "comment", "operator"]);

  function block(title, facts) {
    return facts.length ? [N.el("h4", { text: title }), N.facts(facts, title)] : [];
  }

  function log(detail) {
    if (!detail.log_tail) return [];
    return [
      N.el("h4", { text: "End of its log" }),
      N.el("pre", { class: "log", tabindex: "0", role: "region", "aria-label": `Log of experiment ${detail.number}`, text: detail.log_tail }),
    ];
  }

  function curveLegend(detail) {
    return N.el("ul", { class: "legend", "aria-label": "Legend of the curve" },
      N.el("li", {}, N.el("i", { class: "swatch line" }), N.el("span", { text: `experiment ${detail.number}` })),
      detail.parent_curve.length ? N.el("li", {}, N.el("i", { class: "swatch dashed" }), N.el("span", { text: `its parent, ${detail.parent}` })) : null);
  }
})();
