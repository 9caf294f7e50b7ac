// One chart: uPlot for scales, axes and zoom, and painters of ours on its canvas.
//
// Owns    that a chart has the width of its place, the colours of the theme and a printable form
// Gives   Nightlab.chart(holder, options): { plot, resize, redraw, destroy }
"use strict";
(() => {
  const N = window.Nightlab;
  const open = new Set();
  let colours = null;
  let printing = false;

  N.colours = () => (colours = colours || N.palette());
  N.printing = () => printing;

  // options: x, y (uPlot axes and ranges), height, data, paint(ctx, plot), under(ctx, plot), series, hooks, drag
  N.chart = (holder, options) => {
    const font = `12px ${N.FONT}`;
    const axis = (given) => ({
      font, labelFont: font, labelGap: 2, gap: 6, ticks: { show: false },
      stroke: () => N.colours().soft,
      grid: { stroke: () => N.colours().grid, width: 1 },
      ...given,
    });
    const plot = new window.uPlot(
      {
        width: widthOf(holder),
        height: options.height(),
        padding: options.padding || [12, 14, 0, 0],
        legend: { show: false },
        cursor: {
          show: true, x: false, y: false, points: { show: false },
          drag: { x: Boolean(options.drag), y: false, setScale: Boolean(options.drag), dist: 10 },
        },
        scales: {
          x: { time: false, range: options.x.range },
          y: { range: options.y.range },
        },
        axes: [axis(options.x.axis), axis(options.y.axis)],
        series: options.series || [{}, { paths: () => null, points: { show: false } }],
        hooks: {
          ...options.hooks,
          drawAxes: [(u) => painting(u, options.under)],
          draw: [(u) => painting(u, options.paint)],
        },
      },
      options.data,
      holder,
    );
    const mine = {
      plot,
      redraw: () => plot.redraw(false, true),
      resize: () => plot.setSize({ width: widthOf(holder), height: options.height() }),
      destroy: () => {
        open.delete(mine);
        watcher.disconnect();
        plot.destroy();
      },
    };
    // Its first report comes at once and says what is already so.
    let last = widthOf(holder);
    const watcher = new ResizeObserver(() => {
      if (!printing && widthOf(holder) !== last) {
        last = widthOf(holder);
        mine.resize();
      }
    });
    watcher.observe(holder);
    open.add(mine);
    return mine;
  };

  function widthOf(holder) {
    return Math.max(200, Math.floor(holder.clientWidth));
  }

  // Painters work in CSS pixels, inside the frame of the plot.
  function painting(plot, paint) {
    if (!paint) return;
    const { ctx, bbox } = plot;
    const pxRatio = N.ratio(plot);
    ctx.save();
    ctx.setTransform(pxRatio, 0, 0, pxRatio, 0, 0);
    const box = {
      left: bbox.left / pxRatio, top: bbox.top / pxRatio,
      width: bbox.width / pxRatio, height: bbox.height / pxRatio,
    };
    paint(ctx, plot, box);
    ctx.restore();
  }
  N.ratio = (plot) => plot.ctx.canvas.width / plot.width; // canvas pixels in one CSS pixel
  N.toX = (plot, value) => plot.valToPos(value, "x", true) / N.ratio(plot);
  N.toY = (plot, value) => plot.valToPos(value, "y", true) / N.ratio(plot);

  N.line = (ctx, places, { colour, width = 1.5, dash = [] }) => {
    if (!places.length) return;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.lineJoin = "round";
    ctx.setLineDash(dash);
    ctx.beginPath();
    places.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.stroke();
    ctx.restore();
  };

  N.clip = (ctx, box, slack = 0) => {
    ctx.beginPath();
    ctx.rect(box.left - slack, box.top - slack, box.width + 2 * slack, box.height + 2 * slack);
    ctx.clip();
  };

  N.repaint = () => {
    colours = null;
    for (const chart of open) chart.redraw();
  };

  // Paper is white and has a width of its own.
  let themeBefore;
  N.beforePrint = [];
  N.afterPrint = [];
  N.laidOut = []; // what measures where things stand, after each of the two
  function toPaper() {
    if (printing) return;
    printing = true;
    themeBefore = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    document.documentElement.classList.add("paper");
    for (const act of N.beforePrint) act();
    layOut();
  }
  function toScreen() {
    if (!printing) return;
    printing = false;
    document.documentElement.classList.remove("paper");
    if (themeBefore) document.documentElement.dataset.theme = themeBefore;
    else delete document.documentElement.dataset.theme;
    for (const act of N.afterPrint) act();
    layOut();
  }
  function layOut() {
    for (const chart of open) chart.resize();
    N.repaint();
    for (const act of N.laidOut) act();
  }
  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", toScreen);
  window.matchMedia("print").addEventListener("change", (change) => (change.matches ? toPaper() : toScreen()));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => N.repaint());
})();
