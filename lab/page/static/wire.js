// The live page's line to its server: JSON in, JSON out, and events.
//
// Owns    that an answer which is no answer becomes a sentence
// Gives   Nightlab.ask(path), send(tag, what, body), listen(path, handlers, connected)
"use strict";
(() => {
  const N = window.Nightlab;
  N.pathOf = (tag, ...rest) => ["/api/campaigns", tag, ...rest].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");

  N.ask = async (path) => answerOf(() => fetch(path, { headers: { Accept: "application/json" } }));

  // The header cannot be set by another site's form, and a script of another site may not send it.
  N.send = async (tag, what, body) =>
    answerOf(() => fetch(N.pathOf(tag, what), {
      method: "POST", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Nightlab": "1" },
    }));

  async function answerOf(request) {
    let response;
    try {
      response = await request();
    } catch {
      throw new Error("The server of this page does not answer. Start `make dashboard` again; nothing was changed.");
    }
    const said = await response.json().catch(() => null);
    if (!response.ok) throw new Error((said && said.error) || BARE[response.status] || `The server answered ${response.status} and gave no reason.`);
    if (said === null) throw new Error("The server's answer could not be read.");
    return said;
  }

  const BARE = { 503: "The server has as many readers as it takes." };

  // Why a stream is refused; empty where it is not, or where nobody answers. A browser does not tell.
  async function refusalOf(path) {
    const asked = new AbortController();
    setTimeout(() => asked.abort(), LONGEST_WAIT_MS);
    try {
      const response = await fetch(path, { headers: { Accept: "application/json" }, signal: asked.signal });
      if (response.ok) return "";
      return await answerOf(() => response).then(() => "", (error) => error.message);
    } catch {
      return "";
    } finally {
      asked.abort();
    }
  }

  const FIRST_WAIT_MS = 1000;
  const LONGEST_WAIT_MS = 15000;

  // A browser has six connections to a server, for all its pages together: one that nobody sees holds none, and what
  // it missed comes when it is seen again. A page that was left and is come back to is as it was, without its lines.
  const lines = new Set();
  let left = false;
  const seen = () => !left && !document.hidden;
  const turn = () => lines.forEach((line) => line());
  document.addEventListener("visibilitychange", turn);
  window.addEventListener("pagehide", () => {
    left = true;
    turn();
  });
  window.addEventListener("pageshow", () => {
    left = false;
    turn();
  });

  // Events until closed, while the page is seen. A browser gives up where a server refuses; this does not. `path` may be
  // a function: what is asked for after a break starts where the page stands. connected(on, refusal): what the server says.
  N.listen = (path, handlers, connected) => {
    let source = null;
    let timer = 0;
    let wait = FIRST_WAIT_MS;
    let turns = 0;
    const place = () => (typeof path === "function" ? path() : path);
    const rest = () => {
      turns += 1;
      clearTimeout(timer);
      if (source) source.close();
      source = null;
    };
    const open = () => {
      rest();
      source = new EventSource(place());
      source.addEventListener("open", () => {
        wait = FIRST_WAIT_MS;
        connected(true);
      });
      for (const [name, act] of Object.entries(handlers)) {
        source.addEventListener(name, (event) => act(JSON.parse(event.data)));
      }
      source.addEventListener("error", async () => {
        rest();
        const turn = turns;
        const refusal = await refusalOf(place());
        if (turn !== turns) return; // closed meanwhile
        connected(false, refusal);
        timer = setTimeout(open, wait);
        wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      });
    };
    const line = () => {
      if (!seen()) rest();
      else if (!source) open();
    };
    lines.add(line);
    line();
    return () => {
      lines.delete(line);
      rest();
    };
  };
})();
