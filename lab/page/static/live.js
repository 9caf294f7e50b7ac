// The live page: which campaigns are shown, and that what happens to them is seen.
//
// Owns    the choice (the first of it is read, all of it is drawn), the address that names it, the connection.
//         What is chosen is not what is shown while it loads, and neither need be what is followed
// Takes   the server's list, stories and events
"use strict";
(() => {
  const N = window.Nightlab;
  const state = { briefs: null, chosen: [], shown: null, followed: null, stories: new Map(), problems: new Map(), loading: new Map(),
                  actions: document.body.dataset.actions === "yes", close: null, lines: { list: false, story: true }, refused: "" };
  const view = N.storyView((number) => N.ask(N.pathOf(state.shown, "experiments", number)));
  const campaigns = N.campaignsView(choose, drawBeside);
  const now = N.nowView();
  const actions = N.actionsView();
  const connection = N.el("p", { class: "connection", role: "status" });
  const problem = N.el("p", { class: "problem", role: "alert", hidden: true });

  document.getElementById("bar").append(connection, N.themeSwitch(true));
  document.getElementById("main").append(problem, campaigns.node, view.node);
  view.node.hidden = true;
  view.middle.append(now.node, ...(state.actions ? [actions.node] : []));
  N.page = view;
  N.live = state;

  // #c=TAG&c=TAG&x=NUMBER: what is shown can be sent to somebody.
  function readHash() {
    const asked = new URLSearchParams(window.location.hash.slice(1));
    const number = Number(asked.get("x"));
    return { tags: asked.getAll("c"), number: Number.isInteger(number) && number > 0 ? number : null };
  }
  function writeHash(number) {
    const parts = new URLSearchParams(state.chosen.map((tag) => ["c", tag]));
    if (number) parts.set("x", String(number));
    const hash = `#${parts}`;
    if (window.location.hash !== hash) window.history.replaceState(null, "", hash);
  }
  view.views.table.changed = (open) => writeHash(open[open.length - 1]);
  view.elsewhere = (number, tag) => {
    if (tag === state.chosen[0]) return false;
    choose(tag, number);
    return true;
  };

  function choose(tag, number = null) {
    // What is drawn beside stays drawn; only what is read changes, unless nothing was drawn beside it.
    const others = state.chosen.length > 1 ? state.chosen.filter((one) => one !== tag) : [];
    select([tag, ...others], number);
  }
  function drawBeside(tag, on) {
    const others = state.chosen.filter((one) => one !== tag);
    select(on ? [...others, tag] : others, null);
  }

  async function select(tags, number) {
    state.chosen = tags;
    if (state.briefs) campaigns.show(state.briefs, state.chosen);
    tell(null, "");
    await Promise.all(tags.map((tag) => load(tag)));
    if (state.chosen !== tags) return;
    show();
    follow(tags[0]);
    if (number) view.open(number);
    writeHash(number || view.views.table.opened().at(-1));
  }

  // Whoever wants what is being loaded waits for it, too.
  function load(tag, anew = false) {
    if (state.stories.has(tag) && !anew) return null;
    if (!state.loading.has(tag)) state.loading.set(tag, read(tag));
    return state.loading.get(tag);
  }
  async function read(tag) {
    try {
      state.stories.set(tag, await N.ask(N.pathOf(tag)));
      tell(tag, "");
    } catch (error) {
      tell(tag, error.message);
    } finally {
      state.loading.delete(tag);
    }
  }

  // What is wrong with a campaign stays said until it is mended, and only while it is shown.
  function tell(tag, text) {
    if (text) state.problems.set(tag, text);
    else state.problems.delete(tag);
    const wrong = state.chosen.filter((one) => state.problems.has(one) && state.problems.get(one) !== state.refused);
    const said = wrong.map((one) => `${one}: ${state.problems.get(one)}${state.stories.has(one) ? " What is shown of it is what was known before." : ""}`);
    const words = [state.refused, ...said].filter(Boolean).join(" ");
    problem.hidden = !words;
    if (problem.textContent !== words) problem.textContent = words;
  }

  function show() {
    const story = state.stories.get(state.chosen[0]);
    view.node.hidden = !story;
    if (!story) return;
    state.shown = story.tag;
    const sets = state.chosen.map((tag, index) => ({ story: state.stories.get(tag), name: tag, index })).filter((set) => set.story);
    view.show(story, sets);
    actions.show(story);
    document.title = `${story.tag}${story.running ? " (running)" : ""} · Nightlab`;
  }

  // One campaign's events are followed: the one that is read. The others are read again when the list says they grew.
  function follow(tag) {
    if (state.followed === tag) return;
    if (state.close) state.close();
    state.followed = tag;
    now.show(null);
    const known = () => {
      const story = state.stories.get(tag);
      // What the page has already is not sent again; after a problem, whatever comes says that it is over.
      return new URLSearchParams({ after: story ? story.rows.length : 0, has: (!state.problems.has(tag) && story && story.state) || "" });
    };
    state.close = N.listen(
      () => `${N.pathOf(tag, "events")}?${known()}`,
      { story: (news) => take(tag, news), problem: ({ error }) => tell(tag, error),
        now: (moment) => now.show(moment) },
      (on, refusal) => {
        if (refusal) tell(tag, refusal);
        connected("story", on, refusal);
      },
    );
  }

  async function take(tag, news) {
    const { new_rows: fresh, first, ...rest } = news;
    const known = state.stories.get(tag);
    tell(tag, "");
    if (first > (known ? known.rows.length : 0)) {
      await load(tag, true); // something between was missed
    } else if (!known) {
      state.stories.set(tag, { ...rest, rows: fresh });
    } else {
      // Rows that are known keep their identity, and so their lines in the table.
      state.stories.set(tag, { ...rest, rows: first === known.rows.length && !fresh.length ? known.rows : [...known.rows.slice(0, first), ...fresh] });
    }
    if (fresh.length && known && first === known.rows.length) sayNew(fresh);
    if (tag === state.chosen[0]) show();
  }

  function sayNew(rows) {
    const row = rows[rows.length - 1];
    N.announce(`Experiment ${row.number}: ${row.ending_words}${N.known(row.score_bpb) ? `, ${N.bpb(row.score_bpb)} bits per byte` : ""}`);
  }

  async function takeList({ campaigns: briefs }) {
    const first = state.briefs === null;
    const before = new Map((state.briefs || briefs).map((brief) => [brief.tag, JSON.stringify(brief)]));
    state.briefs = briefs;
    campaigns.show(briefs, state.chosen);
    if (!state.chosen.length || (first && state.chosen.some((tag) => !briefs.some((brief) => brief.tag === tag)))) return start();
    const grown = briefs.filter((brief) => state.chosen.indexOf(brief.tag) > 0 && !brief.problem &&
      (state.problems.has(brief.tag) || before.get(brief.tag) !== JSON.stringify(brief)));
    for (const brief of briefs) if (brief.problem && state.chosen.indexOf(brief.tag) > 0) tell(brief.tag, brief.problem);
    await Promise.all(grown.map((brief) => load(brief.tag, true)));
    if (grown.length) show();
  }

  // What the address names, else the campaign that runs, else the newest. What it names need not wait for the list.
  function start() {
    const { tags, number } = readHash();
    if (!state.briefs) return tags.length ? select([...new Set(tags)], number) : null;
    const readable = state.briefs.filter((brief) => !brief.problem);
    const known = [...new Set(tags)].filter((tag) => state.briefs.some((brief) => brief.tag === tag));
    if (known.length) return select(known, number);
    const newest = [...readable].sort((a, b) => b.running - a.running || ((a.created_at || "") < (b.created_at || "") ? 1 : -1));
    return newest.length ? select([newest[0].tag], null) : null;
  }

  // A server that answers, and refuses, is no lost connection: what it says stands below.
  function connected(line, on, refusal = "") {
    state.lines[line] = on || (refusal ? "refused" : false);
    const lines = Object.values(state.lines);
    const whole = lines.every((one) => one === true);
    connection.className = `connection ${whole ? "on" : "off"}`;
    const text = whole ? "Live" : lines.includes(false) ? "No connection; trying again" : "Not live; trying again";
    if (connection.textContent !== text) connection.textContent = text;
  }

  window.addEventListener("hashchange", () => {
    const { tags, number } = readHash();
    if (tags.length && tags.join("\n") !== state.chosen.join("\n")) start();
    else if (number && !view.views.table.opened().includes(number)) view.open(number);
  });
  N.listen("/api/events", { campaigns: takeList }, (on, refusal) => {
    state.refused = refusal || "";
    tell(null, "");
    connected("list", on, refusal);
  });
  start();
})();
