// How each ending looks: a shape and a colour of its own, on a canvas and in the page alike.
//
// Owns    shapes as paths around (0, 0), so that one definition serves canvas (Path2D) and SVG
// Gives   Nightlab.ENDINGS, markOf(), tracePath(), icon()
"use strict";
(() => {
  const N = window.Nightlab;

  // Lines are stroked, areas filled, rings stroked over the paper.
  const SHAPES = {
    circle: { way: "fill", d: (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z` },
    ring: { way: "ring", d: (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z` },
    diamond: { way: "fill", d: (r) => `M0 ${-1.25 * r}L${1.25 * r} 0L0 ${1.25 * r}L${-1.25 * r} 0Z` },
    hollowdiamond: { way: "ring", d: (r) => `M0 ${-1.2 * r}L${1.2 * r} 0L0 ${1.2 * r}L${-1.2 * r} 0Z` },
    square: { way: "fill", d: (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z` },
    hollowsquare: { way: "ring", d: (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z` },
    up: { way: "fill", d: (r) => `M0 ${-1.2 * r}L${1.15 * r} ${0.9 * r}H${-1.15 * r}Z` },
    hollowup: { way: "ring", d: (r) => `M0 ${-1.2 * r}L${1.15 * r} ${0.9 * r}H${-1.15 * r}Z` },
    down: { way: "fill", d: (r) => `M0 ${1.2 * r}L${1.15 * r} ${-0.9 * r}H${-1.15 * r}Z` },
    hexagon: { way: "fill", d: (r) => `M${-1.15 * r} 0L${-0.6 * r} ${-r}H${0.6 * r}L${1.15 * r} 0L${0.6 * r} ${r}H${-0.6 * r}Z` },
    hourglass: { way: "ring", d: (r) => `M${-r} ${-r}H${r}L${-r} ${r}H${r}Z` },
    cross: { way: "line", d: (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}` },
    plus: { way: "line", d: (r) => `M${-r} 0H${r}M0 ${-r}V${r}` },
    bar: { way: "line", d: (r) => `M0 ${-1.2 * r}V${1.2 * r}` },
    dash: { way: "line", d: (r) => `M${-1.2 * r} 0H${1.2 * r}` },
    fork: { way: "line", d: (r) => `M0 0V${1.2 * r}M0 0L${-r} ${-r}M0 0L${r} ${-r}` },
    rake: { way: "line", d: (r) => `M0 0V${-1.2 * r}M0 0L${-r} ${r}M0 0L${r} ${r}` },
  };

  // In the order of a legend. A word that is not here is a failure that this page does not know yet.
  N.ENDINGS = {
    keep: { shape: "circle", colour: "kept", size: 5.5, words: "kept" },
    baseline: { shape: "diamond", colour: "baseline", size: 5, words: "baseline" },
    confirm: { shape: "ring", colour: "kept", size: 4, words: "to confirm" },
    replay: { shape: "hexagon", colour: "replay", size: 4.5, words: "replayed" },
    audit: { shape: "up", colour: "audit", size: 4, words: "audited" },
    discard: { shape: "square", colour: "discard", size: 2.8, words: "discarded" },
    crashed: { shape: "cross", colour: "failed", size: 4, words: "crashed" },
    out_of_memory: { shape: "hollowsquare", colour: "failed", size: 4, words: "out of memory" },
    timed_out: { shape: "hourglass", colour: "failed", size: 4, words: "timed out" },
    invalid: { shape: "down", colour: "failed", size: 4, words: "invalid" },
    rejected: { shape: "bar", colour: "failed", size: 4.5, words: "rejected" },
    lost: { shape: "plus", colour: "failed", size: 4.5, words: "lost" },
    contended: { shape: "dash", colour: "failed", size: 4.5, words: "contended" },
    conditions: { shape: "fork", colour: "failed", size: 4.5, words: "conditions" },
    throttled: { shape: "rake", colour: "failed", size: 4.5, words: "throttled" },
  };
  const UNKNOWN = { shape: "hollowdiamond", colour: "failed", size: 4, words: "" };
  N.CAMPAIGN_SHAPES = ["circle", "diamond", "up", "square", "down", "hexagon"];
  N.CAMPAIGN_DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 4], [12, 4]];

  N.markOf = (ending) => (Object.hasOwn(N.ENDINGS, ending) ? N.ENDINGS[ending] : UNKNOWN);
  N.orderOf = (ending) => {
    const found = Object.keys(N.ENDINGS).indexOf(ending);
    return found < 0 ? 99 : found;
  };

  const kept = new Map();
  function pathOf(shape, size) {
    const name = `${shape} ${size}`;
    if (!kept.has(name)) kept.set(name, new Path2D(SHAPES[shape].d(size)));
    return kept.get(name);
  }

  // Draw marks of one look at once: ten thousand squares are one path.
  N.drawMarks = (ctx, places, look) => {
    const { shape, size, colour, paper, alpha = 1 } = look;
    const all = new Path2D();
    const one = pathOf(shape, size);
    for (const [x, y] of places) all.addPath(one, { e: x, f: y });
    const way = SHAPES[shape].way;
    ctx.save();
    ctx.globalAlpha = alpha;
    ctx.lineJoin = "round";
    if (way === "fill") {
      ctx.lineWidth = size > 3 ? 2 : 1;
      ctx.strokeStyle = paper;
      ctx.stroke(all);
      ctx.fillStyle = colour;
      ctx.fill(all);
    } else {
      if (way === "ring") {
        ctx.fillStyle = paper;
        ctx.fill(all);
      }
      ctx.lineWidth = 1.8;
      ctx.strokeStyle = colour;
      ctx.stroke(all);
    }
    ctx.restore();
  };

  // The same mark as a picture beside words; a screen reader reads the words.
  N.icon = (shape, colourClass, size = 4.5) =>
    N.svg("svg", { class: `icon ${SHAPES[shape].way} ${colourClass}`, viewBox: "-8 -8 16 16", width: 14, height: 14,
                   "aria-hidden": "true", focusable: "false" },
      N.svg("path", { d: SHAPES[shape].d(size + 0.8) }));
  N.iconOf = (ending) => {
    const mark = N.markOf(ending);
    return N.icon(mark.shape, `c-${mark.colour}`, Math.max(mark.size, 4));
  };
})();
