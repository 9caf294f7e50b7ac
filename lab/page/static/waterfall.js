// What each keep contributed, from the baseline down to the best.
//
// Gives   Nightlab.waterfallView(open): { node, show(story) }
"use strict";
(() => {
  const N = window.Nightlab;

  N.waterfallView = (open) => {
    const list = N.el("ol", { class: "waterfall" });
    const changed = N.watcher();
    const node = N.section("contributions", "What each keep contributed", list);
    return {
      node,
      show: (story) => {
        const steps = story.contributions;
        node.hidden = steps.length === 0;
        if (!steps.length || !changed(story.tag, steps)) return;
        const scores = steps.flatMap((step) => [step.from_bpb, step.to_bpb]);
        const low = Math.min(...scores);
        const span = Math.max(...scores) - low || 1;
        const whole = steps[0].from_bpb - steps[steps.length - 1].to_bpb;
        N.keepFocus(list, () => N.empty(list).append(...steps.map((step) => line(step, low, span, whole, open)), total(steps, whole)));
      },
    };
  };

  function line(step, low, span, whole, open) {
    const gain = step.from_bpb - step.to_bpb;
    const bar = N.el("span", { class: `bar${step.ablation ? " ablation" : ""}${gain < 0 ? " worse" : ""}` });
    bar.style.left = `${(100 * (Math.min(step.from_bpb, step.to_bpb) - low)) / span}%`;
    bar.style.width = `${Math.max(0.4, (100 * Math.abs(gain)) / span)}%`;
    const share = whole > 0 ? N.percent(gain / whole) : "";
    return N.el("li", {},
      N.el("span", { class: "what" },
        N.el("button", { type: "button", class: "link", "data-key": step.number, text: String(step.number), on: { click: () => open(step.number) } }), " ",
        N.el("span", { text: step.title }),
        step.ablation ? N.el("em", { text: "takes something out" }) : null),
      N.el("span", { class: "track", "aria-hidden": "true" }, bar),
      N.el("span", { class: "amount" }, N.el("b", { text: N.signed(gain) }), N.el("small", { text: gain < 0 ? "" : share })));
  }

  function total(steps, whole) {
    return N.el("li", { class: "total" },
      N.el("span", { class: "what", text: "From the baseline to the best" }),
      N.el("span", { class: "track", text: `${N.bpb(steps[0].from_bpb)} → ${N.bpb(steps[steps.length - 1].to_bpb)}` }),
      N.el("span", { class: "amount" }, N.el("b", { text: N.signed(whole) })));
  }
})();
