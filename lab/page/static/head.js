// The top of a story: what it is, its sentences, its figures.
//
// Gives   Nightlab.headView(): { node, show(story) }
"use strict";
(() => {
  const N = window.Nightlab;

  N.headView = () => {
    const status = N.el("p", { class: "status" });
    const title = N.el("h1");
    const sentences = N.el("div", { class: "sentences" });
    const figures = N.el("dl", { class: "figures", "aria-label": "Figures" });
    const node = N.el("header", { class: "head" }, status, title, sentences, figures);
    return {
      node,
      show: (story) => {
        title.textContent = story.tag;
        N.empty(status).append(...statusOf(story));
        N.empty(sentences).append(...story.sentences.map((text) => N.el("p", { text })));
        N.empty(figures).append(...figuresOf(story).map(([name, value, more]) =>
          N.el("div", {}, N.el("dt", { text: name }), N.el("dd", {}, N.el("b", { text: value }), more ? N.el("small", { text: more }) : null))));
      },
    };
  };

  function statusOf(story) {
    const word = story.running ? "running" : story.imported ? "imported" : "ended";
    const said = { running: "Running", ended: "Ended", imported: "Imported from a results.tsv" }[word];
    const parts = [N.el("span", { class: `badge ${word}`, text: said })];
    const more = [story.profile && `profile ${story.profile}`, story.agent && `agent ${story.agent}`, story.hardware,
                  story.created_at && N.date(story.created_at)].filter(Boolean);
    if (more.length) parts.push(N.el("span", { class: "more", text: more.join(" · ") }));
    return parts;
  }

  function figuresOf(story) {
    const its = story.standing;
    const between = N.known(its.gain_low_bpb) ? `95 %: ${N.signed(its.gain_low_bpb)} to ${N.signed(its.gain_high_bpb)}` : "";
    const noise = N.known(its.noise_low_bpb) ? `95 %: ${N.bpb(its.noise_low_bpb)} to ${N.bpb(its.noise_high_bpb)}` : "sd of one run";
    return [
      N.known(its.gain_bpb) && N.known(its.baseline_bpb)
        ? ["Best", N.bpb(its.best_bpb), `from ${N.bpb(its.baseline_bpb)} bits per byte; lower is better`]
        : ["Baseline", N.bpb(its.baseline_bpb), "bits per byte; lower is better"],
      ["Replays", N.bpb(its.replay_bpb), `the mean of ${N.count(its.replays)}; bits per byte, lower is better`],
      ["Gain", N.signed(its.gain_bpb), between],
      ["Gain on holdout", N.signed(its.holdout_gain_bpb), N.known(its.holdout_gain_bpb) ? "text that no decision has seen" : ""],
      ["Noise of one run", N.bpb(its.noise_sd_bpb), noise],
      ["Tried", its.replays ? "–" : N.count(its.tried), `${N.count(its.kept)} kept, ${N.count(its.audited)} audited`],
      ["Time", N.duration(its.took_s), N.known(its.idle_share) ? `${N.percent(its.idle_share)} idle` : ""],
      ["Energy", N.energy(its.energy_j), "of the trainings"],
      ["Cost", N.money(its.cost_usd), N.known(its.agent_tokens) ? `${N.count(its.agent_tokens)} tokens of the agent` : "of the agent"],
    ].filter(([, value]) => value !== "–");
  }
})();
