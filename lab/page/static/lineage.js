// What came from what: a tree of the experiments that led on, with what led nowhere as marks beside its parent.
//
// Owns    the lanes: the path to the best is the first, every other branch has one to its right
// Gives   Nightlab.lineageView(open): { node, show(story) }
"use strict";
(() => {
  const N = window.Nightlab;
  const LANE_PX = 22;
  const LARGE = 60; // from so many lines on, branches beside the path begin folded

  N.lineageView = (open) => {
    const list = N.el("ol", { class: "tree" });
    const lines = N.svg("svg", { class: "lanes", "aria-hidden": "true", focusable: "false" });
    const place = N.el("div", { class: "lineage" }, lines, list);
    const node = N.section("lineage", "Lineage",
      N.el("p", { class: "hint", text: "Each line is an idea that led on; the strong line is the way to the best. Marks after it are what was tried on it and led nowhere." }), place);
    const changed = N.watcher();
    const state = { tree: null, folded: new Set(), tag: null };

    function render() {
      const rows = walk(state.tree, state.folded);
      N.keepFocus(list, () => N.empty(list).append(...rows.map((row) => {
        row.item = item(row, state, open, render);
        return row.item;
      })));
      connect(lines, rows);
      state.rows = rows;
    }
    const again = () => state.rows && connect(lines, state.rows);
    new ResizeObserver(again).observe(place);
    N.laidOut.push(again);
    return {
      node,
      show: (story) => {
        if (!changed(story.tag, story.lineage)) return;
        const tree = grow(story.lineage);
        node.hidden = !tree.forks;
        if (!tree.forks) return;
        if (state.tag !== story.tag) {
          state.folded = tree.inner > LARGE ? new Set(tree.beside) : new Set();
          state.tag = story.tag;
        }
        state.tree = tree;
        render();
      },
      model: () => state,
    };
  };

  // Children by parent; what has none and is not kept is a leaf, shown as a mark.
  function grow(branches) {
    const nodes = new Map(branches.map((branch) => [branch.number, { branch, children: [], leaves: [] }]));
    const roots = [];
    for (const node of nodes.values()) {
      const parent = node.branch.parent === null ? null : nodes.get(node.branch.parent);
      if (parent && parent !== node && node.branch.parent < node.branch.number) parent.children.push(node);
      else roots.push(node);
    }
    const tree = { roots, forks: false, inner: 0, beside: [] };
    for (const node of nodes.values()) {
      tree.forks = tree.forks || node.children.length > 1;
      node.leaves = node.children.filter((child) => !child.children.length && !child.branch.on_path && child.branch.ending !== "keep");
      node.children = node.children.filter((child) => !node.leaves.includes(child));
    }
    for (const node of nodes.values()) {
      if (!node.children.length && !node.leaves.length) continue;
      tree.inner += 1;
      if (!node.branch.on_path && node.children.length) tree.beside.push(node.branch.number);
    }
    return tree;
  }

  // Every branch beside the line comes first, one lane to the right; then the line goes on in its own lane.
  function walk(tree, folded) {
    const rows = [];
    const visit = (start, startLane, from) => {
      let node = start;
      let parent = from;
      for (;;) {
        const row = { node, lane: startLane, parent };
        rows.push(row);
        if (folded.has(node.branch.number) || !node.children.length) return;
        const onward = node.children.find((child) => child.branch.on_path) || node.children[node.children.length - 1];
        for (const child of node.children) if (child !== onward) visit(child, startLane + 1, row);
        node = onward;
        parent = row;
      }
    };
    for (const root of tree.roots) visit(root, 0, null);
    return rows;
  }

  function item(row, state, open, render) {
    const { branch, children, leaves } = row.node;
    const name = branch.number === 0 ? "the seed" : branch.title;
    const from = row.parent ? ` (from ${row.parent.node.branch.number || "the seed"})` : "";
    const label = branch.number === 0
      ? N.el("span", { class: "name", text: name })
      : N.el("button", { type: "button", class: "link name", "data-key": `open ${branch.number}`, on: { click: () => open(branch.number) } }, N.el("b", { text: String(branch.number) }), ` ${name}`);
    const line = N.el("li", { class: branch.on_path ? "on-path" : "" },
      N.el("span", { class: "dot" }, N.iconOf(branch.number === 0 ? "baseline" : branch.ending)),
      N.el("span", { class: "what" }, label, N.el("span", { class: "score", text: N.bpb(branch.score_bpb) }),
        N.el("span", { class: "unseen", text: from }), fold(branch, children, state, render), marksOf(leaves, open)));
    line.style.paddingInlineStart = `${Math.min(row.lane, 12) * LANE_PX}px`;
    return line;
  }

  function fold(branch, children, state, render) {
    if (!children.length) return null;
    const closed = state.folded.has(branch.number);
    const button = N.el("button", { type: "button", class: "quiet fold", "data-key": `fold ${branch.number}`, "aria-expanded": String(!closed),
                                    "aria-label": `What followed ${branch.number || "the seed"}`, text: closed ? `+ ${below(children)}` : "−" });
    button.addEventListener("click", () => {
      state.folded[closed ? "delete" : "add"](branch.number);
      render();
    });
    return button;
  }
  const below = (children) => children.reduce((sum, child) => sum + 1 + below(child.children), 0);

  function marksOf(leaves, open) {
    if (!leaves.length) return null;
    const counts = new Map();
    for (const { branch } of leaves) counts.set(branch.ending, (counts.get(branch.ending) || 0) + 1);
    const words = [...counts].map(([ending, count]) => `${count} ${N.markOf(ending).words || ending}`).join(", ");
    const icons = leaves.slice(0, 80).map(({ branch }) => {
      const icon = N.iconOf(branch.ending);
      icon.append(N.svg("title", {}, `${branch.number}: ${branch.title}`));
      icon.addEventListener("click", () => open(branch.number));
      return icon;
    });
    return N.el("span", { class: "leaves" }, N.el("span", { class: "dead", "aria-hidden": "true" }, icons), N.el("small", { text: words }));
  }

  // Lines between the dots, measured after the layout.
  function connect(svg, rows) {
    N.empty(svg);
    const frame = svg.parentElement.getBoundingClientRect();
    const place = (row) => {
      const dot = row.item.querySelector(".dot").getBoundingClientRect();
      return [dot.left - frame.left + dot.width / 2, dot.top - frame.top + dot.height / 2];
    };
    for (const row of rows) {
      if (!row.parent) continue;
      const [x, y] = place(row);
      const [px, py] = place(row.parent);
      const bend = Math.min(12, Math.abs(x - px));
      const d = x === px ? `M${px} ${py}V${y}` : `M${px} ${py}V${y - bend}Q${px} ${y} ${px + bend} ${y}H${x}`;
      svg.append(N.svg("path", { d, class: row.node.branch.on_path ? "on-path" : "" }));
    }
  }
})();
