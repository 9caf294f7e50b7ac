// One story, from its sentences to the commands that check it.
//
// Owns    the order of the views, and that an experiment opens from everywhere
// Takes   a source of Details: (number) => Promise of a Detail
// Gives   Nightlab.storyView(detailOf): { node, show(story, sets), open(number), views }
"use strict";
(() => {
  const N = window.Nightlab;

  N.storyView = (detailOf) => {
    const table = N.tableView(detailOf);
    const api = { opened: null };
    const open = (number, tag) => {
      if (tag && api.elsewhere && api.elsewhere(number, tag)) return;
      table.open(number);
    };
    const views = {
      head: N.headView(),
      progress: N.progressView(open),
      waterfall: N.waterfallView(open),
      table,
      lineage: N.lineageView(open),
      budget: N.budgetView(),
      provenance: N.provenanceView(),
    };
    const middle = N.el("div", { class: "middle" });
    const node = N.el("div", { class: "story" },
      views.head.node, middle,
      N.section("progress", "Progress", views.progress.node),
      views.waterfall.node,
      N.section("experiments", "All experiments", table.node),
      views.lineage.node, views.budget.node, views.provenance.node);
    return Object.assign(api, {
      node, middle, views,
      open,
      // sets: what the progress chart shows beside this story; this story alone without them.
      show: (story, sets) => {
        views.head.show(story);
        views.progress.show(sets || [{ story, name: story.tag, index: 0 }]);
        views.waterfall.show(story);
        table.show(story);
        views.lineage.show(story);
        views.budget.show(story);
        views.provenance.show(story);
      },
    });
  };

  // The switch between light and dark. Where `remember` is false nothing is stored.
  N.themeSwitch = (remember) => {
    const root = document.documentElement;
    const button = N.el("button", { type: "button", class: "quiet theme" });
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches);
    const name = () => (button.textContent = dark() ? "Light" : "Dark");
    if (remember) {
      const kept = window.localStorage.getItem("nightlab-theme");
      if (kept === "dark" || kept === "light") root.dataset.theme = kept;
    }
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      if (remember) window.localStorage.setItem("nightlab-theme", root.dataset.theme);
      name();
      N.repaint();
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
    return button;
  };
})();
