// What the night does at this moment: the experiment, its phase, its loss so far, the end of its log.
//
// Gives   Nightlab.nowView(): { node, show(now) }
"use strict";
(() => {
  const N = window.Nightlab;

  N.nowView = () => {
    const title = N.el("h3");
    const hypothesis = N.el("p", { class: "text" });
    const phase = N.el("p", { class: "phase", role: "status" });
    const clock = N.el("span", { class: "clock" });
    const bar = N.el("progress", { max: "1", "aria-label": "Progress of this phase" });
    const facts = N.el("div");
    const plot = N.el("div", { class: "plot small" });
    const log = N.el("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "End of the log" });
    const curve = N.el("div", { class: "curve" }, N.el("h4", { text: "Training loss so far" }), plot);
    const tail = N.el("div", {}, N.el("h4", { text: "End of the log" }), log);
    const node = N.section("now", "Now",
      N.el("div", { class: "columns" },
        N.el("div", {}, title, hypothesis, N.el("div", { class: "phases" }, phase, clock), bar, facts), curve), tail);
    node.hidden = true;
    const state = { experiment: null, chart: null };

    function draw(now) {
      curve.hidden = now.curve.length < 2;
      if (curve.hidden) return close();
      if (state.chart) state.chart.update(now.curve);
      else state.chart = N.lossChart(plot, now.curve);
    }
    function close() {
      if (state.chart) state.chart();
      state.chart = null;
    }
    return {
      node,
      show: (now) => {
        node.hidden = now === null;
        if (now === null) return close();
        if (state.experiment !== now.experiment) close();
        state.experiment = now.experiment;
        title.textContent = now.experiment === null ? "Between two experiments" : `Experiment ${now.experiment}: ${now.title || "the agent is thinking"}`;
        hypothesis.textContent = now.hypothesis;
        const words = N.known(now.old_s) ? `${now.phase}, as of ${N.duration(now.old_s)} ago; nothing was written since` : now.phase;
        if (phase.textContent !== words) phase.textContent = words;
        clock.textContent = N.known(now.cap_s) ? `${N.duration(now.elapsed_s)} of ${N.duration(now.cap_s)}` : N.duration(now.elapsed_s);
        if (N.known(now.fraction)) bar.value = Math.min(1, Math.max(0, now.fraction));
        else bar.removeAttribute("value");
        N.empty(facts).append(N.facts(factsOf(now), "This moment"));
        draw(now);
        follow(log, now.log_tail);
        tail.hidden = !now.log_tail;
      },
    };
  };

  // A log is read at its end, unless its reader went up in it.
  function follow(log, text) {
    if (log.textContent === text) return;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    log.textContent = text;
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  const UNITS = { _w: "W", _mhz: "MHz", _c: "°C", _j: "J", _percent: "%" };
  function factsOf(now) {
    const found = [];
    const add = (name, value) => value !== null && found.push({ name, value });
    add("agent", now.agent || null);
    add("loss", N.known(now.loss) ? `${now.loss.toFixed(4)} nats a token` : null);
    add("speed", N.known(now.tokens_per_s) ? `${N.count(Math.round(now.tokens_per_s))} tokens a second` : null);
    add("night ends", N.known(now.seconds_left) ? `in ${N.duration(now.seconds_left)}` : null);
    add("experiments at most", N.known(now.experiments_limit) ? N.count(now.experiments_limit) : null);
    for (const [name, value] of Object.entries(now.telemetry)) {
      if (name !== "at_s" && N.known(value)) add(...reading(name, value));
    }
    return found;
  }
  function reading(name, value) {
    if (name.endsWith("_bytes")) return [name.slice(0, -6).replaceAll("_", " "), `${(value / 2 ** 30).toFixed(2)} GiB`];
    if (name.endsWith("_share")) return [name.slice(0, -6).replaceAll("_", " "), N.percent(value)];
    for (const [tail, unit] of Object.entries(UNITS)) {
      if (name.endsWith(tail)) return [name.slice(0, -tail.length).replaceAll("_", " "), `${value.toFixed(value < 100 ? 1 : 0)} ${unit}`];
    }
    return [name.replaceAll("_", " "), value.toFixed(value < 100 ? 2 : 0)];
  }
})();
