// A training curve, against another where there is one.
//
// Takes   Points { train_s, step, loss }; a loss of null is a gap
// Gives   Nightlab.lossChart(place, curve, other): a function that closes it; it carries `update(curve)`
"use strict";
(() => {
  const N = window.Nightlab;

  N.lossChart = (place, curve, other = []) => {
    let shown = { curve, other };
    const chart = N.chart(place, {
      height: () => 230,
      padding: [10, 14, 0, 0],
      data: joined(curve, other),
      x: {
        range: () => [0, Math.max(1, ...[...shown.curve, ...shown.other].map((point) => point.train_s))],
        axis: { label: "seconds of training", size: 30, labelSize: 18, space: 50, grid: { show: false } },
      },
      y: { range: () => lossRange([...shown.curve, ...shown.other]), axis: { label: "loss, nats a token", size: 46, labelSize: 16, space: 34 } },
      series: [
        {},
        { stroke: () => N.colours().soft, width: 1.5, dash: [5, 4], points: { show: false }, spanGaps: true },
        { stroke: () => N.colours().kept, width: 2, points: { show: false }, spanGaps: true },
      ],
    });
    const close = () => chart.destroy();
    close.update = (next) => {
      shown = { curve: next, other };
      chart.plot.setData(joined(next, other));
    };
    return close;
  };

  // Two curves over the union of their times, as uPlot wants them.
  function joined(curve, other) {
    const mine = new Map(curve.map((point) => [point.train_s, point.loss]));
    const theirs = new Map(other.map((point) => [point.train_s, point.loss]));
    const times = [...new Set([...mine.keys(), ...theirs.keys()])].sort((a, b) => a - b);
    const column = (losses) => times.map((time) => (losses.has(time) && N.known(losses.get(time)) ? losses.get(time) : null));
    return [times, column(theirs), column(mine)];
  }

  // The first steps fall from far above; what is compared is the rest.
  function lossRange(points) {
    const losses = points.map((point) => point.loss).filter(N.known).sort((a, b) => a - b);
    if (!losses.length) return [0, 1];
    const low = losses[0];
    const usual = losses[Math.floor(0.95 * (losses.length - 1))];
    const pad = 0.06 * Math.max(usual - low, 0.02);
    return [low - pad, usual + pad];
  }
})();
