// The list of campaigns: one is read, several can be drawn in one chart.
//
// Owns    the order (running first, then newest) and the warning that scores do not compare
// Gives   Nightlab.campaignsView(choose, draw): { node, show(briefs, chosen), warning }
"use strict";
(() => {
  const N = window.Nightlab;

  // choose(tag): read this one; draw(tag, on): in the chart beside it or not.
  N.campaignsView = (choose, draw) => {
    const list = N.el("ul", { class: "campaigns" });
    const warning = N.el("p", { class: "warning", role: "status", hidden: true });
    const none = N.el("p", { class: "none", hidden: true, text: "There is no campaign yet. `make smoke` or `make overnight` starts one, and it appears here by itself." });
    const node = N.el("nav", { class: "choose", "aria-labelledby": "choose-title" },
      N.el("p", { id: "choose-title", class: "name", text: "Campaigns" }), list, none, warning);
    let told = "";
    return {
      node,
      show: (briefs, chosen) => {
        const now = JSON.stringify([briefs, chosen]);
        if (now === told) return;
        told = now;
        none.hidden = briefs.length > 0;
        N.keepFocus(list, () => N.empty(list).append(...ordered(briefs).map((brief) => line(brief, chosen, choose, draw))));
        warning.textContent = warningOf(briefs.filter((brief) => chosen.includes(brief.tag)));
        warning.hidden = !warning.textContent;
      },
    };
  };

  function warningOf(shown) {
    const classes = new Set(shown.map((brief) => brief.class_id || null));
    if (classes.size < 2) return "";
    const silent = shown.filter((brief) => !brief.class_id).map((brief) => brief.tag);
    const known = classes.size - (silent.length ? 1 : 0);
    const why = known > 1 ? `These campaigns ran on ${known} different hardware classes` : `${silent.join(" and ")} ${silent.length > 1 ? "do" : "does"} not say on what hardware ${silent.length > 1 ? "they" : "it"} ran`;
    return `${why}: scores compare inside each campaign, not between them.`;
  }

  function ordered(briefs) {
    const when = (brief) => brief.created_at || "";
    return [...briefs].sort((a, b) => b.running - a.running || (when(a) < when(b) ? 1 : when(a) > when(b) ? -1 : 0) || (a.tag < b.tag ? -1 : 1));
  }

  function line(brief, chosen, choose, draw) {
    const place = chosen.indexOf(brief.tag);
    const main = place === 0;
    const field = N.el("input", { type: "checkbox", "data-key": `draw ${brief.tag}`, "aria-label": `Draw ${brief.tag} in the chart` });
    field.checked = place >= 0;
    field.disabled = Boolean(brief.problem) || main;
    field.addEventListener("change", () => draw(brief.tag, field.checked));
    const drawn = place >= 0 ? N.icon(N.CAMPAIGN_SHAPES[place % 6], `c-campaign-${(place % 6) + 1}`) : null;
    const icon = chosen.length > 1 ? N.el("span", { class: "drawn" }, drawn) : null;
    const button = N.el("button", { type: "button", class: "link", "data-key": `read ${brief.tag}`, "aria-current": main ? "true" : null,
                                    disabled: Boolean(brief.problem), on: { click: () => choose(brief.tag) } }, brief.tag);
    return N.el("li", { class: main ? "main" : "" }, field,
      N.el("span", { class: "tag" }, icon, button, badge(brief)),
      N.el("span", { class: "about", text: brief.problem ? `cannot be read: ${brief.problem}` : about(brief) }));
  }

  function badge(brief) {
    if (brief.running) return N.el("span", { class: "badge running", text: "running" });
    return brief.imported ? N.el("span", { class: "badge imported", text: "imported" }) : null;
  }

  function about(brief) {
    const parts = [`${N.count(brief.tried)} tried, ${N.count(brief.kept)} kept`];
    if (N.known(brief.best_bpb)) parts.push(brief.kept && N.known(brief.baseline_bpb) ? `${N.bpb(brief.baseline_bpb)} → ${N.bpb(brief.best_bpb)}` : N.bpb(brief.best_bpb));
    for (const word of [brief.profile, brief.hardware]) if (word) parts.push(word);
    if (brief.created_at) parts.push(N.date(brief.created_at));
    return parts.join(" · ");
  }
})();
