// The progress chart's picture: band, lines, marks, holdout, failures below, labels of what was kept.
//
// Takes   a scene and the plot it stands in
// Gives   Nightlab.paintUnder, paintOver; what was drawn where stands in scene.drawn, for the pointer and for tests
"use strict";
(() => {
  const N = window.Nightlab;
  const DENSE = 1500; // from so many experiments on, marks are smaller
  const MOST_LABELS = 24;
  const STRIP_PX = 30;
  const SOLID = new Set(["keep", "confirm", "baseline"]); // what no label may cover
  N.STRIP_PX = STRIP_PX;

  N.paintUnder = (scene, ctx, plot, box) => {
    const colours = N.colours();
    if (scene.failures) {
      ctx.save();
      ctx.fillStyle = colours.failed;
      ctx.globalAlpha = 0.07;
      ctx.fillRect(box.left, box.top + box.height - STRIP_PX, box.width, STRIP_PX);
      ctx.restore();
      words(ctx, "no score", box.left + 6, box.top + box.height - STRIP_PX - 4, colours.soft);
    }
    ctx.save();
    N.clip(ctx, { ...box, height: box.height - (scene.failures ? STRIP_PX : 0) });
    if (N.known(scene.noise) && scene.lines.length && scene.lines[0].steps.length) band(scene, ctx, plot);
    if (N.known(scene.baseline)) {
      const y = N.toY(plot, scene.baseline);
      N.line(ctx, [[box.left, y], [box.left + box.width, y]], { colour: colours.baseline, width: 1.2, dash: [6, 5] });
    }
    ctx.restore();
  };

  // Two sd of one run on both sides of the best of that time: what one lucky run may look like.
  function band(scene, ctx, plot) {
    const half = 2 * scene.noise;
    const upper = stairs(scene.lines[0].steps.map((step) => ({ x: step.x, y: step.y + half })), plot);
    const lower = stairs(scene.lines[0].steps.map((step) => ({ x: step.x, y: step.y - half })), plot);
    if (upper.length < 2) return;
    ctx.save();
    ctx.globalAlpha = 0.14;
    ctx.fillStyle = N.colours().kept;
    ctx.beginPath();
    upper.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    lower.reverse().forEach(([x, y]) => ctx.lineTo(x, y));
    ctx.fill();
    ctx.restore();
  }

  function stairs(steps, plot) {
    const places = [];
    for (const step of steps) {
      const x = N.toX(plot, step.x);
      const y = N.toY(plot, step.y);
      if (places.length) places.push([x, places[places.length - 1][1]]);
      places.push([x, y]);
    }
    return places;
  }

  N.paintOver = (scene, ctx, plot, box) => {
    locate(scene, plot, box);
    const colours = N.colours();
    ctx.save();
    N.clip(ctx, box, 7);
    for (const { set, steps } of scene.lines) {
      N.line(ctx, stairs(steps, plot), {
        colour: scene.several ? colourOf(set) : colours.kept, width: 2,
        dash: scene.several ? N.CAMPAIGN_DASHES[set.index % 6] : [],
      });
    }
    if (scene.holdout && !scene.several) holdouts(scene, ctx, plot, colours);
    marks(scene, ctx, colours);
    ctx.restore();
    labels(scene, ctx, box, colours);
    if (scene.cursor) ringAround(ctx, scene.cursor, colours);
  };

  const colourOf = (set) => N.colours().campaigns[set.index % 6];

  // Where each point stands now, in CSS pixels; beyond the frame it is not drawn.
  function locate(scene, plot, box) {
    const right = box.left + box.width;
    scene.drawn = [];
    for (const point of scene.points) {
      const px = N.toX(plot, point.x);
      if (px < box.left - 1 || px > right + 1) continue;
      const failed = point.y === null;
      const off = !failed && point.y > scene.high;
      let py = box.top + box.height - STRIP_PX / 2;
      if (off) py = box.top + 7;
      else if (!failed) py = N.toY(plot, point.y);
      scene.drawn.push({ point, px, py, off });
    }
  }

  function lookOf(scene, drawn) {
    const mark = N.markOf(drawn.point.row.ending);
    const colours = N.colours();
    if (scene.several) {
      const set = drawn.point.set;
      const kept = drawn.point.row.ending === "keep" || drawn.point.row.ending === "baseline";
      if (drawn.point.y === null) return { shape: mark.shape, size: mark.size, colour: colourOf(set), order: 99 };
      return { shape: drawn.off ? "hollowup" : N.CAMPAIGN_SHAPES[set.index % 6], size: kept ? 5.5 : 2.6,
               colour: colourOf(set), order: kept ? 0 : 50, alpha: kept ? 1 : 0.55 };
    }
    if (drawn.off) return { shape: "hollowup", size: 4, colour: colours[mark.colour], order: 20 };
    const size = scene.points.length > DENSE ? Math.max(1.6, mark.size * 0.7) : mark.size;
    return { shape: mark.shape, size, colour: colours[mark.colour], order: N.orderOf(drawn.point.row.ending) };
  }

  function marks(scene, ctx, colours) {
    const groups = new Map();
    for (const drawn of scene.drawn) {
      const look = lookOf(scene, drawn);
      const name = `${look.shape} ${look.size} ${look.colour} ${look.alpha}`;
      if (!groups.has(name)) groups.set(name, { look, places: [] });
      groups.get(name).places.push([drawn.px, drawn.py]);
    }
    // What matters most is drawn last, over the others.
    const ordered = [...groups.values()].sort((a, b) => b.look.order - a.look.order);
    for (const { look, places } of ordered) N.drawMarks(ctx, places, { ...look, paper: colours.paper });
  }

  function holdouts(scene, ctx, plot, colours) {
    const places = [];
    for (const { point, px, py } of scene.drawn) {
      if (point.holdout === null || point.y === null) continue;
      const y = N.toY(plot, point.holdout);
      N.line(ctx, [[px, py], [px, y]], { colour: colours.holdout, width: 1, dash: [2, 2] });
      places.push([px, y]);
    }
    N.drawMarks(ctx, places, { shape: "hollowdiamond", size: 3.4, colour: colours.holdout, paper: colours.paper });
  }

  function labels(scene, ctx, box, colours) {
    const kept = scene.drawn.filter((drawn) => drawn.point.row.ending === "keep");
    kept.sort((a, b) => (b.point.row.gain_bpb || 0) - (a.point.row.gain_bpb || 0));
    const chosen = kept.slice(0, scene.several ? 12 : MOST_LABELS);
    const most = box.width < 520 ? 0 : box.width < 900 ? 26 : 40;
    ctx.save();
    ctx.font = `11.5px ${N.FONT}`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left"; // uPlot leaves that of its last axis
    const texts = chosen.map((drawn) => labelOf(drawn.point.row, most));
    const wishes = chosen.map((drawn, index) => ({
      x: drawn.px, y: drawn.py, width: ctx.measureText(texts[index]).width, height: 14,
    }));
    const bottom = box.top + box.height - (scene.failures ? STRIP_PX + 16 : 2);
    const frame = { x0: box.left + 2, y0: box.top + 2, x1: box.left + box.width - 2, y1: bottom };
    const solid = [];
    for (const { point, px, py } of scene.drawn) {
      if (SOLID.has(point.row.ending)) solid.push({ x0: px - 7, y0: py - 7, x1: px + 7, y1: py + 7 });
    }
    if (!scene.several) solid.push(...treads(scene));
    const boxes = N.place(wishes, frame, solid);
    scene.labels = [];
    boxes.forEach((place, index) => {
      if (!place) return;
      scene.labels.push({ number: chosen[index].point.row.number, text: texts[index], ...place });
      leader(ctx, chosen[index], place, colours);
      ctx.lineWidth = 3;
      ctx.lineJoin = "round";
      ctx.strokeStyle = colours.paper;
      ctx.strokeText(texts[index], place.x0, place.y0 + 1);
      ctx.fillStyle = colours.ink;
      ctx.fillText(texts[index], place.x0, place.y0 + 1);
    });
    ctx.restore();
  }

  // The flat parts of the running best, which no label may lie on.
  function treads(scene) {
    const found = [];
    const kept = scene.drawn.filter((drawn) => drawn.point.row.ending === "keep");
    kept.forEach((drawn, index) => {
      const next = kept[index + 1];
      found.push({ x0: drawn.px, x1: next ? next.px : 1e5, y0: drawn.py - 2, y1: drawn.py + 2 });
    });
    return found;
  }

  function labelOf(row, most) {
    const title = row.title.length > most ? `${row.title.slice(0, Math.max(0, most - 1)).trimEnd()}…` : row.title;
    return most ? `${row.original || row.number}  ${title}` : `${row.original || row.number}`;
  }

  function leader(ctx, drawn, place, colours) {
    const x = Math.min(Math.max(drawn.px, place.x0), place.x1);
    const y = Math.min(Math.max(drawn.py, place.y0), place.y1);
    if (Math.hypot(x - drawn.px, y - drawn.py) < 14) return;
    ctx.save();
    ctx.globalAlpha = 0.6;
    N.line(ctx, [[drawn.px, drawn.py], [x, y]], { colour: colours.kept, width: 0.8 });
    ctx.restore();
  }

  function ringAround(ctx, drawn, colours) {
    ctx.save();
    ctx.strokeStyle = colours.ink;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(drawn.px, drawn.py, 10, 0, 2 * Math.PI);
    ctx.stroke();
    ctx.restore();
  }

  function words(ctx, text, x, y, colour) {
    ctx.save();
    ctx.font = `11px ${N.FONT}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.fillStyle = colour;
    ctx.fillText(text, x, y);
    ctx.restore();
  }
})();
