// What a person may do to a campaign from the page: end its night, pin a note, queue a train.py.
//
// Owns    that nothing ends at once without being asked twice, and that every answer is said in words
// Gives   Nightlab.actionsView(): { node, show(story) }
"use strict";
(() => {
  const N = window.Nightlab;

  N.actionsView = () => {
    const said = N.el("p", { class: "said", role: "status" });
    let tag = "";

    async function send(what, body, button, whose = tag) {
      button.disabled = true;
      said.className = "said";
      try {
        said.textContent = (await N.send(whose, what, body)).said;
        return true;
      } catch (problem) {
        said.className = "said problem";
        said.textContent = problem.message;
        return false;
      } finally {
        button.disabled = false;
      }
    }

    const after = N.el("button", { type: "button", text: "Stop after this experiment" });
    after.addEventListener("click", () => send("stop", { when: "after" }, after));
    const now = N.el("button", { type: "button", class: "danger", text: "Stop now …" });
    const question = stopQuestion((whose) => send("stop", { when: "now" }, now, whose));
    now.addEventListener("click", () => question.ask(tag));
    const stops = N.el("div", { class: "stops" }, after, now);
    const node = N.section("actions", "Do something", stops, question.dialog,
      N.el("div", { class: "forms" }, noteForm(send), queueForm(send)), said);
    return {
      node,
      show: (story) => {
        if (tag !== story.tag) said.textContent = "";
        tag = story.tag;
        node.hidden = story.imported;
        stops.hidden = !story.running;
      },
    };
  };

  // Another campaign may be shown by the time of the answer: what was asked about is what is stopped.
  function stopQuestion(yes) {
    const dialog = N.el("dialog", { "aria-labelledby": "stop-title" });
    const title = N.el("h2", { id: "stop-title" });
    let whose = "";
    const stop = N.el("button", { type: "button", class: "danger", text: "Stop now" });
    const keep = N.el("button", { type: "button", text: "Let it run" });
    keep.autofocus = true;
    stop.addEventListener("click", () => {
      dialog.close();
      yes(whose);
    });
    keep.addEventListener("click", () => dialog.close());
    dialog.append(
      title,
      N.el("p", { text: "The running experiment is broken off and has no result. Everything before it is kept, and the same TAG goes on from there." }),
      N.el("div", { class: "stops" }, stop, keep));
    return {
      dialog,
      ask: (tag) => {
        whose = tag;
        title.textContent = `Stop the night of ${tag} now?`;
        dialog.showModal();
      },
    };
  }

  const labelled = (name, field) => N.el("label", { class: "field" }, N.el("span", { text: name }), field);

  function noteForm(send) {
    const text = N.el("textarea", { rows: "3", required: true });
    const button = N.el("button", { type: "submit", text: "Pin" });
    return form("Pin a note for the agent", [labelled("Note", text), button], async () => {
      if (await send("note", { text: text.value }, button)) text.value = "";
    });
  }

  function queueForm(send) {
    const title = N.el("input", { type: "text", required: true, autocomplete: "off" });
    const hypothesis = N.el("textarea", { rows: "2" });
    const code = N.el("textarea", { rows: "8", required: true, spellcheck: "false", class: "code" });
    const file = N.el("input", { type: "file", accept: ".py,text/x-python" });
    file.addEventListener("change", async () => {
      if (file.files.length) code.value = await file.files[0].text();
    });
    const button = N.el("button", { type: "submit", text: "Queue" });
    const fields = [labelled("Title", title), labelled("Hypothesis: why it should help", hypothesis), labelled("train.py from a file", file),
                    labelled("train.py as text", code), button];
    return form("Queue a train.py", fields, async () => {
      const body = { title: title.value, hypothesis: hypothesis.value, train_py: code.value };
      if (await send("queue", body, button)) for (const field of [title, hypothesis, code, file]) field.value = "";
    });
  }

  function form(name, fields, act) {
    const node = N.el("form", {}, ...fields);
    node.addEventListener("submit", (event) => {
      event.preventDefault();
      act();
    });
    return N.el("details", {}, N.el("summary", { text: name }), node);
  }
})();
