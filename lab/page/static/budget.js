// Where the night's time went, and what it cost.
//
// Gives   Nightlab.budgetView(): { node, show(story) }
"use strict";
(() => {
  const N = window.Nightlab;
  const KNOWN = ["training", "start-up", "evaluation", "audit", "confirmation", "idle", "lost", "controller"];

  N.budgetView = () => {
    const bar = N.el("div", { class: "budget", "aria-hidden": "true" });
    const legend = N.el("ul", { class: "shares", "aria-label": "Time by what it went to" });
    const spent = N.el("p", { class: "spent" });
    const node = N.section("budget", "Where the time went", bar, legend, spent);
    return {
      node,
      show: (story) => {
        const shares = story.budget.filter((share) => share.seconds > 0);
        const whole = shares.reduce((sum, share) => sum + share.seconds, 0);
        node.hidden = whole === 0;
        if (!whole) return;
        N.empty(bar).append(...shares.map((share) => {
          const part = N.el("span", { class: classOf(share), title: `${share.name}: ${N.percent(share.seconds / whole)}` });
          part.style.flexGrow = String(share.seconds / whole);
          return part;
        }));
        N.empty(legend).append(...shares.map((share) =>
          N.el("li", {}, N.el("i", { class: `swatch ${classOf(share)}` }), N.el("span", { text: share.name }),
            N.el("b", { text: N.percent(share.seconds / whole) }), N.el("small", { text: N.duration(share.seconds) }))));
        spent.textContent = spentOf(story.standing, whole);
      },
    };
  };

  const classOf = (share) => `share-${KNOWN.includes(share.name) ? share.name : "other"}`;

  function spentOf(its, whole) {
    const parts = [`${N.duration(whole)} in all`];
    parts.push(N.known(its.energy_j) ? `${N.energy(its.energy_j)} of the trainings` : "energy was not measured");
    parts.push(N.known(its.cost_usd) ? `${N.money(its.cost_usd)} for the agent` : "nothing known to be paid for the agent");
    return `${parts.join(", ")}.`;
  }
})();
