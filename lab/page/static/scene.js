// What the progress chart shows, as numbers: points, lines, band and a range of scores that shows what matters.
//
// Owns    the choice of the range, the running best, the noise band
// Takes   stories and which x they stand over
// Gives   Nightlab.compose(sets, byTime): the scene
"use strict";
(() => {
  const N = window.Nightlab;
  const IMPORTANT = new Set(["baseline", "keep"]); // the rest is shown where it is near, else marked at the edge

  // sets: [{ story, name, index }]; the scene's points are ordered by x.
  N.compose = (sets, { byTime, holdout, own }) => {
    const points = [];
    const lines = [];
    for (const set of sets) {
      const zero = own && sets.length > 1 ? set.story.standing.baseline_bpb : 0;
      const mine = set.story.rows.map((row) => pointOf(row, set, byTime, zero)).filter((point) => point.x !== null);
      points.push(...mine);
      lines.push({ set, steps: runningBest(mine, zero) });
    }
    points.sort((a, b) => a.x - b.x);
    const noise = sets.length === 1 ? sets[0].story.standing.noise_sd_bpb : null;
    const scores = points.filter((point) => point.y !== null);
    const important = scores.filter((point) => IMPORTANT.has(point.row.ending)).map((point) => point.y);
    if (holdout && sets.length === 1) {
      important.push(...points.filter((point) => point.holdout !== null).map((point) => point.holdout));
    }
    const [low, high] = N.rangeOf(scores.map((point) => point.y), important, 2 * (noise || 0));
    return {
      points, lines, low, high, noise, byTime, holdout,
      failures: points.some((point) => point.y === null),
      several: sets.length > 1,
      scored: scores.length > 0,
      own: Boolean(own) && sets.length > 1,
      baseline: sets.length === 1 ? sets[0].story.standing.baseline_bpb : null,
      worst: scores.reduce((worst, point) => Math.max(worst, point.y), -Infinity),
      off: scores.filter((point) => point.y > high).length,
      first: points.length ? points[0].x : 0,
      last: points.length ? points[points.length - 1].x : 1,
    };
  };

  function pointOf(row, set, byTime, zero) {
    const x = byTime ? row.at_s : row.number;
    const shown = row.ending === "keep" || row.ending === "baseline";
    return {
      row, set,
      x: N.known(x) ? x : null,
      y: N.known(row.score_bpb) && zero !== null ? row.score_bpb - zero : null,
      holdout: shown && N.known(row.holdout_bpb) ? row.holdout_bpb : null,
    };
  }

  // Where the score to beat stood after each experiment; only where it changes, and at the end.
  function runningBest(points, zero) {
    const steps = [];
    for (const point of points) {
      if (!N.known(point.row.best_bpb) || zero === null) continue;
      const best = point.row.best_bpb - zero;
      if (!steps.length || steps[steps.length - 1].y !== best) steps.push({ x: point.x, y: best });
    }
    const last = points[points.length - 1];
    if (steps.length && last.x > steps[steps.length - 1].x) steps.push({ x: last.x, y: steps[steps.length - 1].y });
    return steps;
  }

  // Room for what is important and for most others; one diverged run must not flatten it.
  N.rangeOf = (scores, important, margin) => {
    if (!scores.length) return [0, 1];
    const wanted = important.length ? important : scores;
    let low = wanted.reduce((least, score) => Math.min(least, score), Infinity) - margin;
    let high = wanted.reduce((most, score) => Math.max(most, score), -Infinity) + margin;
    const span = Math.max(high - low, 6 * margin, 0.005 * Math.abs(high));
    const lack = (span - (high - low)) / 2;
    low -= lack;
    high += lack;
    const ordered = [...scores].sort((a, b) => a - b);
    const most = ordered[Math.floor(0.9 * (ordered.length - 1))];
    const reach = Math.max(low + 1.5 * span, ordered[0]);
    let near = ordered[0];
    for (const score of ordered) if (score <= reach) near = score;
    high = Math.max(high, near, Math.min(most, low + 2.5 * span));
    low = Math.max(Math.min(low, ordered[0]), low - span);
    const pad = 0.06 * Math.max(high - low, span);
    return [low - pad, high + pad];
  };
})();
