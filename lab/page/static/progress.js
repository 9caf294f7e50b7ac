// The progress chart: every experiment of one campaign, or of several in one picture.
//
// Owns    the chart's controls, legend, pointer and keyboard
// Takes   sets [{ story, name, index }], and what opens an experiment
// Gives   Nightlab.progressView(open): { node, show(sets), model() }
"use strict";
(() => {
  const N = window.Nightlab;
  const REACH_PX = 26;
  const PRINT_HEIGHT_PX = 330; // with the head of the page on its first sheet
  const NUMBER_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];
  const TIME_STEPS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800];

  N.progressView = (open) => {
    const holder = N.el("div", {
      class: "plot", tabindex: "0", role: "application", "aria-roledescription": "chart",
      "aria-label": "Progress chart. Left and right arrows move through the experiments, Enter opens one.",
    });
    const legend = N.el("ul", { class: "legend", "aria-label": "Legend" });
    const tip = N.el("div", { class: "tip", hidden: true });
    const whole = N.el("button", { type: "button", class: "quiet", hidden: true, text: "Show all" });
    const state = { sets: [], byTime: false, holdout: true, cursor: -1, chart: null, scene: null };
    const axis = choice("Over", ["number", "time"], (word) => {
      state.byTime = word === "time";
      state.cursor = -1;
      rebuild();
    });
    const measure = choice("As", ["score", "difference to own baseline"], (word) => {
      state.ownChosen = true;
      state.own = word !== "score";
      rebuild();
    });
    const holdout = check("Holdout", true, (on) => {
      state.holdout = on;
      rebuild();
    });
    const controls = N.el("div", { class: "controls" }, axis, measure, holdout, whole);
    const frame = N.el("div", { class: "frame" }, holder, tip);
    const node = N.el("div", {}, controls, legend, frame,
      N.el("p", { class: "hint doing", text: "Click a mark to open its experiment; drag across the chart to look closer." }));

    function rebuild() {
      if (state.zoomedByTime !== state.byTime || whole.hidden) {
        state.zoom = null;
        whole.hidden = true;
      }
      if (state.chart) state.chart.destroy();
      state.scene = N.compose(state.sets, state);
      state.chart = draw(holder, state, whole);
      state.zoomedByTime = state.byTime;
      listen(state, tip, open);
      N.empty(legend).append(...legendOf(state.scene));
      tip.hidden = true;
    }
    whole.addEventListener("click", () => {
      whole.hidden = true;
      rebuild();
      holder.focus();
    });
    holder.addEventListener("keydown", (event) => keyed(event, state, tip, open));
    holder.addEventListener("blur", () => {
      tip.hidden = true;
      if (state.scene) state.scene.cursor = null;
      if (state.chart) state.chart.redraw();
    });

    return {
      node,
      show: (sets) => {
        state.sets = sets;
        const timed = sets.length > 0 && sets.every((set) => set.story.rows.some((row) => N.known(row.at_s)));
        axis.hidden = !timed;
        if (!timed) state.byTime = false;
        // Scores of different classes do not compare; what was gained over each one's own baseline does.
        measure.hidden = sets.length < 2;
        if (!state.ownChosen) measure.press(new Set(sets.map(({ story }) => story.class_id || story.tag)).size > 1);
        if (!state.ownChosen) state.own = measure.pressed() > 0;
        holdout.hidden = sets.length !== 1 || !sets[0].story.rows.some((row) => N.known(row.holdout_bpb));
        rebuild();
      },
      model: () => state.scene,
      plot: () => state.chart.plot,
    };
  };

  function draw(holder, state, whole) {
    const scene = state.scene;
    const height = () => (N.printing() ? PRINT_HEIGHT_PX : holder.clientWidth < 560 ? 320 : Math.min(560, Math.max(400, Math.round(holder.clientWidth * 0.38))));
    const slack = Math.max(scene.byTime ? 1 : 0.6, 0.015 * (scene.last - scene.first));
    const bottom = () => {
      const inner = height() - 62;
      return scene.failures ? scene.low - (N.STRIP_PX / (inner - N.STRIP_PX)) * (scene.high - scene.low) : scene.low;
    };
    const steps = scene.byTime ? TIME_STEPS : NUMBER_STEPS;
    const inScale = (u, splits) => splits.map((split) => (!scene.scored || split < scene.low ? null : split));
    return N.chart(holder, {
      height, drag: true,
      data: [scene.points.map((point) => point.x), scene.points.map((point) => point.y)],
      x: {
        range: () => state.zoom || [scene.first - slack, scene.last + slack],
        axis: { label: scene.byTime ? "time since the first experiment began" : "experiment", size: 32, labelSize: 20,
                incrs: steps, space: 60, grid: { show: false },
                values: (u, splits) => splits.map((split) => (scene.byTime ? clock(split) : whole_(split))) },
      },
      y: {
        range: () => [bottom(), scene.high],
        axis: { label: scene.own ? "bits per byte against its own baseline, lower is better" : "bits per byte, lower is better", size: 58, labelSize: 18, filter: inScale,
                grid: { stroke: () => N.colours().grid, width: 1, filter: inScale },
                values: (u, splits, axisIndex, space, step) => splits.map((split) => (split === null ? "" : scene.own ? N.signed(split, decimals(step)) : split.toFixed(decimals(step)))) },
      },
      under: (ctx, plot, box) => N.paintUnder(scene, ctx, plot, box),
      paint: (ctx, plot, box) => {
        N.paintOver(scene, ctx, plot, box);
        if (!scene.scored) empty(ctx, box, scene.points.length ? "no experiment has a score" : "no experiment yet");
      },
      hooks: {
        setSelect: [(u) => {
          if (!u.select.width) return;
          state.zoom = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
          whole.hidden = false;
        }],
      },
    });
  }

  const whole_ = (split) => (Number.isInteger(split) && split > 0 ? String(split) : "");
  // As many digits as the step between two lines has: 0.025 has three.
  function decimals(step) {
    for (let digits = 2; digits < 6; digits += 1) {
      if (Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) < 1e-6) return digits;
    }
    return 6;
  }
  function clock(seconds) {
    if (seconds < 0) return "";
    if (seconds < 120 && seconds % 60) return `${seconds} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
  }
  function empty(ctx, box, words) {
    ctx.fillStyle = N.colours().soft;
    ctx.font = `16px ${N.FONT}`;
    ctx.textAlign = "center";
    ctx.fillText(words, box.left + box.width / 2, box.top + box.height / 2);
  }

  // The pointer: what is nearest tells itself; a click that is no drag opens it.
  function listen(state, tip, open) {
    const over = state.chart.plot.over;
    let pressed = null;
    const nearest = (event) => {
      const rect = over.getBoundingClientRect();
      const { bbox } = state.chart.plot;
      const ratio = N.ratio(state.chart.plot);
      const x = event.clientX - rect.left + bbox.left / ratio;
      const y = event.clientY - rect.top + bbox.top / ratio;
      let best = null;
      let least = REACH_PX ** 2;
      for (const drawn of state.scene.drawn) {
        const far = (drawn.px - x) ** 2 + (drawn.py - y) ** 2;
        if (far < least) [best, least] = [drawn, far];
      }
      return best;
    };
    over.addEventListener("mousemove", (event) => {
      const found = nearest(event);
      over.classList.toggle("over-mark", Boolean(found));
      tell(state, tip, found);
    });
    over.addEventListener("mouseleave", () => tell(state, tip, null));
    over.addEventListener("mousedown", (event) => (pressed = [event.clientX, event.clientY]));
    over.addEventListener("click", (event) => {
      if (pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 5) return;
      const found = nearest(event);
      if (found) open(found.point.row.number, found.point.set.story.tag);
    });
  }

  function keyed(event, state, tip, open) {
    const points = state.scene ? state.scene.drawn || [] : [];
    if (!points.length || event.ctrlKey || event.altKey || event.metaKey) return;
    const last = points.length - 1;
    const here = Math.min(state.cursor, last);
    const moves = { ArrowLeft: here < 0 ? last : Math.max(0, here - 1), ArrowRight: here < 0 ? 0 : Math.min(last, here + 1),
                    Home: 0, End: last, PageUp: Math.max(0, here - 10), PageDown: Math.min(last, here + 10) };
    if (event.key === "Enter" && here >= 0) open(points[here].point.row.number, points[here].point.set.story.tag);
    else if (event.key === "Escape") tip.hidden = true;
    else if (event.key in moves) {
      state.cursor = moves[event.key];
      state.scene.cursor = points[state.cursor];
      state.chart.redraw();
      tell(state, tip, points[state.cursor]);
      N.announce(sentenceOf(points[state.cursor].point, state.scene.several));
    } else return;
    event.preventDefault();
  }

  function sentenceOf({ row, set }, several) {
    const score = N.known(row.score_bpb) ? `, ${N.bpb(row.score_bpb)} bits per byte` : ", no score";
    const gain = N.known(row.gain_bpb) ? `, gain ${N.signed(row.gain_bpb)}` : "";
    return `${several ? `${set.name}, ` : ""}Experiment ${row.number}, ${row.ending_words}${score}${gain}: ${row.title}`;
  }

  function tell(state, tip, drawn) {
    tip.hidden = !drawn;
    if (!drawn) return;
    const { row, set } = drawn.point;
    const line = (name, value) => (value === null ? null : N.el("div", {}, N.el("span", { text: name }), N.el("b", { text: value })));
    N.empty(tip).append(
      N.el("strong", {}, N.iconOf(row.ending), ` ${state.scene.several ? `${set.name} · ` : ""}${row.number} · ${row.ending_words}`),
      N.el("p", { text: row.title }),
      ...[
        line("val", N.known(row.score_bpb) ? N.bpb(row.score_bpb) : "no score"),
        line("holdout", N.known(row.holdout_bpb) ? N.bpb(row.holdout_bpb) : null),
        line("gain over the best then", N.known(row.gain_bpb) ? N.signed(row.gain_bpb) : null),
      ].filter(Boolean),
    );
    const room = tip.parentElement.clientWidth;
    const width = tip.offsetWidth;
    const left = drawn.px + 14 + width > room ? Math.max(0, drawn.px - width - 14) : drawn.px + 14;
    tip.style.left = `${Math.min(left, Math.max(0, room - width))}px`;
    tip.style.top = `${Math.max(0, drawn.py - tip.offsetHeight / 2)}px`;
  }

  function legendOf(scene) {
    const item = (icon, text) => N.el("li", {}, icon, N.el("span", { text }));
    if (scene.several) {
      const items = scene.lines.map(({ set }) =>
        item(N.icon(N.CAMPAIGN_SHAPES[set.index % 6], `c-campaign-${(set.index % 6) + 1}`),
          `${set.name} (${N.count(set.story.rows.length)})`));
      if (scene.off) items.push(item(N.icon("hollowup", "c-discard"), `off the chart ${N.count(scene.off)}`));
      return items;
    }
    const counts = new Map();
    for (const { row } of scene.points) {
      const known = counts.get(row.ending);
      counts.set(row.ending, { words: row.ending_words, count: (known ? known.count : 0) + 1 });
    }
    const found = [...counts].sort((a, b) => N.orderOf(a[0]) - N.orderOf(b[0]));
    const items = found.map(([ending, { words, count }]) => item(N.iconOf(ending), `${words} ${N.count(count)}`));
    if (scene.off) items.push(item(N.icon("hollowup", "c-discard"), `off the chart ${N.count(scene.off)}, worst ${N.bpb(scene.worst, 3)}`));
    if (scene.holdout && scene.points.some((point) => point.holdout !== null)) items.push(item(N.icon("hollowdiamond", "c-holdout"), "on holdout text"));
    if (scene.lines.some(({ steps }) => steps.length)) items.push(item(N.el("i", { class: "swatch line" }), "best so far"));
    if (N.known(scene.baseline)) items.push(item(N.el("i", { class: "swatch dashed c-baseline" }), `baseline ${N.bpb(scene.baseline)}`));
    if (N.known(scene.noise)) items.push(item(N.el("i", { class: "swatch band" }), `best ± 2 sd of one run (${N.bpb(2 * scene.noise)})`));
    return items;
  }

  function choice(name, words, act) {
    const box = N.el("div", { class: "choice", role: "group", "aria-label": `${name} ${words.join(" or ")}` });
    const buttons = words.map((word, index) => {
      const button = N.el("button", { type: "button", "aria-pressed": String(index === 0), text: `${name.toLowerCase()} ${word}` });
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        act(word);
      });
      return button;
    });
    box.append(...buttons);
    box.pressed = () => buttons.findIndex((button) => button.getAttribute("aria-pressed") === "true");
    box.press = (index) => buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === Number(index))));
    return box;
  }

  function check(name, on, act) {
    const field = N.el("input", { type: "checkbox" });
    field.checked = on;
    field.addEventListener("change", () => act(field.checked));
    return N.el("label", { class: "check" }, field, name);
  }
})();
