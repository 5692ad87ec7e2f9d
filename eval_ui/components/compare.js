// Comparing clips: one key answers, and the next pair, which loaded meanwhile, is on screen at once.
//
// data: the fields of `ClipsView` (clip_comparing.py). Answers and undo go out by the outbox, so that none is lost however fast
// the keys are; the trigger "next" asks Streamlit to draw the page again.

// Values of answers, with the texts of their labels and explanations.
const ANSWERS = [
  ["left", "pair.left"], ["draw", "pair.draw", "clips.draw_hint"], ["right", "pair.right"],
  ["both_bad", "pair.both_bad", "pair.both_bad_hint"],
  ["no_opinion", "pair.no_opinion", "clips.no_opinion_hint"],
  ["broken", "pair.broken", "clips.broken_hint"],
];
const SKIPS = ["no_opinion", "broken"];

// A pair of clips in one of the two places.
class Slot {
  constructor(place, pair) {
    this.place = place;
    this.pair = pair;
    this.since = null; // when it was both on screen and ready to play
    this.shown = false;
    this.player = new Player(place, { names: [say("player.left"), say("player.right")], urls: [pair.left, pair.right], loop: true });
  }

  get ready() { return this.player.failed || this.player.sides.every((video) => video.readyState >= 3); }

  show(speed) {
    this.place.classList.remove("behind");
    this.player.idle = false;
    if (this.shown) return;
    this.shown = true;
    this.player.speed.value = speed;
    this.player.setRates();
    this.player.toggle();
  }

  hide() {
    this.place.classList.add("behind");
    this.player.idle = true;
  }

  destroy() {
    this.player.destroy();
    this.place.classList.add("behind");
  }
}

class Comparing {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.stage = find(".stage");
    this.places = [...root.querySelectorAll(".slot")];
    this.hint = find(".hint");
    this.undoButton = find(".undo");
    this.waiting = find(".waiting");
    this.slots = []; // the first one is on screen
    this.undoWanted = false; // the page does not know the last answer yet
    this.undone = null; // the reply to an undo whose pair the page does not show yet
    this.stored = new Set(); // pairs whose answers the server has; the page may not know yet
    this.redraw = new Redraw();
    this.presence = new Presence();
    this.outbox = new Outbox({
      reply: (act, reply) => this.replied(act, reply),
      slow: (text) => this.say(text, ""),
    });
    this.speed = "1";
    this.answered = null; // when the last answer was given
    this.listeners = new AbortController();
    const on = (target, type, action) => target.addEventListener(type, action, { signal: this.listeners.signal });
    on(this.undoButton, "click", () => this.undo());
    on(document, "keydown", (event) => this.onKey(event));
    for (const place of this.places) {
      place.querySelector("dialog.help dl").append(find("template.more-keys").content.cloneNode(true));
    }
    this.drawOptions();
    this.clock = setInterval(() => { this.showUndo(); this.watch(); }, 100);
    // The pairs stay reserved, and their clips can be loaded, while somebody is at the page.
    this.renewal = setInterval(() => this.renew(), RENEW_EVERY);
  }

  async renew() {
    const pair = this.slots[0]?.pair.pair;
    if (pair && !this.presence.idle) await post({ kind: "renew", pair, ticket: this.data.ticket }).catch(() => null);
  }

  destroy() {
    clearInterval(this.clock);
    clearInterval(this.renewal);
    this.redraw.end();
    this.presence.destroy();
    this.outbox.destroy();
    this.listeners.abort();
    for (const slot of this.slots) slot.destroy();
  }

  // Streamlit drew the page again.
  update(data) {
    const find = (selector) => this.root.querySelector(selector);
    this.data = data;
    find(".title").textContent = data.title;
    find(".instruction").textContent = data.instruction;
    find(".count").textContent = data.standing;
    if (!this.outbox.queue.length && !data.pairs.some((pair) => this.stored.has(pair.pair))) this.redraw.end();
    if (this.undone) this.say(this.undone.text, "right");
    this.undone = null;
    this.settle();
    this.showUndo();
    if (this.undoWanted && !this.redraw.timer) {
      this.undoWanted = false;
      this.undo();
    }
  }

  replied(act, reply) {
    if (reply.stored && act.pair) this.stored.add(act.pair);
    this.undone = act.kind === "undo" && reply.stored ? reply : null;
    if (!this.undone) this.say(reply.text, reply.ok ? "right" : "wrong");
    if (reply.stored) this.redraw.begin();
    else this.redraw.ask();
  }

  // An undo waits or is on its way, or the page does not show its pair yet.
  get undoing() { return this.undoWanted || this.undone !== null || this.outbox.queue.some((act) => act.kind === "undo"); }

  // Show the server's pairs without those whose answers are on their way; load what is new.
  settle() {
    if (this.undoing) return;
    const isOpen = (pair) => !this.stored.has(pair.pair) && !this.outbox.has(pair.pair);
    const wanted = this.data.pairs.filter(isOpen).slice(0, this.places.length);
    const kept = this.slots.filter((slot) => wanted.some((pair) => pair.pair === slot.pair.pair));
    for (const slot of this.slots) if (!kept.includes(slot)) slot.destroy();
    const free = this.places.filter((place) => !kept.some((slot) => slot.place === place));
    this.slots = wanted.map((pair) =>
      kept.find((slot) => slot.pair.pair === pair.pair) ?? new Slot(free.shift(), pair));
    this.slots.forEach((slot, index) => index ? slot.hide() : slot.show(this.speed));
    this.watch();
  }

  // Note when the pair on screen can be played: the time of an answer counts from then.
  watch() {
    const slot = this.slots[0];
    if (slot && slot.since === null && slot.ready) {
      slot.since = performance.now();
      if (this.answered !== null) this.stage.dataset.wait = String(Math.round(slot.since - this.answered));
    }
    const open = slot !== undefined && slot.since !== null;
    this.stage.dataset.pair = open ? slot.pair.pair : "";
    this.waiting.hidden = open;
  }

  drawOptions() {
    this.root.querySelector(".options").replaceChildren(...ANSWERS.map(([value, label, explanation], index) => {
      const option = document.createElement("button");
      const key = document.createElement("kbd");
      option.type = "button";
      key.textContent = String(index + 1);
      key.setAttribute("aria-hidden", "true");
      option.append(say(label), key);
      option.title = explanation ? say(explanation) : "";
      option.classList.toggle("minor", index > 2);
      option.setAttribute("aria-keyshortcuts", String(index + 1));
      option.addEventListener("click", () => this.answer(index));
      return option;
    }));
  }

  answer(index) {
    const slot = this.slots[0];
    if (!slot || slot.since === null || this.undoing) return;
    this.answered = performance.now();
    this.speed = slot.player.speed.value;
    this.flash(index);
    this.act({
      kind: "clip_answer",
      pair: slot.pair.pair,
      winner: SKIPS.includes(ANSWERS[index][0]) ? "skip" : ANSWERS[index][0],
      skip_reason: SKIPS.includes(ANSWERS[index][0]) ? ANSWERS[index][0] : null,
      seconds: Math.round(this.answered - slot.since) / 1000,
      speed: Number(this.speed),
    });
    this.settle();
  }

  undo() {
    if (this.undoing) return;
    if (this.outbox.queue.length || this.redraw.timer) this.undoWanted = true;
    else if (this.undoSeconds() > 0) this.act({ kind: "undo", answer: this.data.undo });
  }

  act(what) {
    // Move the focus away from buttons, so that keys act on the next pair.
    this.stage.focus({ preventScroll: true });
    this.say(say("pair.saving"), "");
    this.outbox.add({ ...what, ticket: this.data.ticket });
  }

  say(text, mood) {
    this.hint.textContent = text;
    this.hint.className = `hint ${mood}`;
  }

  flash(index) {
    const option = this.root.querySelectorAll(".options button")[index];
    option.classList.add("given");
    setTimeout(() => option.classList.remove("given"), 250);
  }

  undoSeconds() {
    return this.data?.undo_until ? Math.ceil((this.data.undo_until - Date.now()) / 1000) : 0;
  }

  showUndo() {
    const seconds = this.undoSeconds();
    this.undoButton.hidden = seconds <= 0;
    this.undoButton.textContent = say("pair.undo", { seconds });
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    const field = event.composedPath()[0];
    if (field instanceof Element && (field.matches("input:not([type=range]), textarea, select") || field.closest("dialog"))) return;
    if (/^[1-6]$/.test(event.key)) this.answer(Number(event.key) - 1);
    else if (event.key.toLowerCase() === "u") this.undo();
    else return;
    event.preventDefault();
  }
}

// Streamlit calls this each time it draws the page; the element stays the same for all pairs.
export default function ({ parentElement, data, setTriggerValue }) {
  if (!parentElement.comparing) {
    speak(data.language);
    fill(parentElement);
    parentElement.comparing = new Comparing(parentElement);
  }
  parentElement.comparing.redraw.ask = () => setTriggerValue("next", Date.now());
  parentElement.comparing.update(data);
  return () => {
    parentElement.comparing?.destroy();
    delete parentElement.comparing;
  };
}
