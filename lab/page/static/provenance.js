// Where it ran and of what, what could not be read, and how to check it.
//
// Gives   Nightlab.provenanceView(): { node, show(story) }
"use strict";
(() => {
  const N = window.Nightlab;

  N.provenanceView = () => {
    const commands = N.el("ul", { class: "commands" });
    const check = N.section("check", "Check it yourself", commands);
    const grid = N.el("div", { class: "provenance" });
    const where = N.section("provenance", "Where it ran, and of what", grid);
    const node = N.el("div", {}, check, where);
    const changed = N.watcher();
    return {
      node,
      show: (story) => {
        if (!changed(story.commands, story.facts, story.hardware_class, story.conditions, story.missing)) return;
        check.hidden = story.commands.length === 0;
        N.empty(commands).append(...story.commands.map(({ what, command }) =>
          N.el("li", {}, N.el("span", { text: what }), N.el("code", { text: command }), N.copyButton(command, what))));
        const parts = [
          ["Image, data and rule", story.facts],
          ["Hardware class", story.hardware_class],
          ["Conditions", story.conditions],
          ["What could not be read, and why", story.missing],
        ].filter(([, facts]) => facts.length);
        where.hidden = parts.length === 0;
        N.empty(grid).append(...parts.map(([title, facts]) =>
          N.el("div", {}, N.el("h3", { text: title }), N.facts(facts, title))));
      },
    };
  };
})();
