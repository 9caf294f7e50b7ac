// The page as a file: the story stands in it, the details are packed beside it.
//
// Takes   #story (JSON) and #details-N (a gzip of a JSON list each, in base64)
"use strict";
(() => {
  const N = window.Nightlab;
  const story = JSON.parse(document.getElementById("story").textContent);
  const packed = [...document.querySelectorAll("script[data-details]")];
  const opened = new Map();

  // A pack is opened when one of its experiments is, and only then.
  async function detailOf(number) {
    const pack = packed.find((one) => number >= Number(one.dataset.first) && number <= Number(one.dataset.last));
    if (!pack) throw leftOut(number);
    if (!opened.has(pack)) opened.set(pack, unpack(pack.textContent));
    const found = (await opened.get(pack)).find((detail) => detail.number === number);
    if (!found) throw leftOut(number);
    return found;
  }

  function leftOut(number) {
    return new Error(`The details of experiment ${number} had no room in this file; the campaign's folder has them.`);
  }

  async function unpack(text) {
    if (!window.DecompressionStream) {
      throw new Error("This browser cannot unpack the details; one of 2023 or later can.");
    }
    const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  N.page = N.storyView(detailOf);
  document.getElementById("bar").append(N.themeSwitch(false));
  // What stands in the file as plain text gives way to the views that say the same.
  document.getElementById("plain").remove();
  document.getElementById("main").append(N.page.node);
  N.page.show(story);

  function followHash() {
    const asked = /^#experiment-(\d+)$/.exec(window.location.hash);
    if (asked) N.page.open(Number(asked[1]));
  }
  window.addEventListener("hashchange", followHash);
  followHash();
})();
