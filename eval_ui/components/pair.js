// Judging a pair: the player, the task's questions one at a time, and the answer as a whole.
//
// data: the fields of `PairView` (pair_view.py). Answers and undo go out by the outbox, whose reply brings the next pair; the
// trigger "next" asks Streamlit to draw the page again where it does not.

// Values of answers, with the texts of their labels and explanations.
const SIDES = [["left", "pair.left"], ["draw", "pair.draw"], ["right", "pair.right"], ["na", "pair.not_applicable"]];
const PLAYERS = [
  ["left", "pair.left_only"], ["both", "pair.both"], ["right", "pair.right_only"], ["neither", "pair.neither"],
];
const BETTER = [["left", "pair.left_better"], ["draw", "pair.draw"], ["right", "pair.right_better"]];
const MUCH_BETTER = [ // the winner, and how much better it is, in one value
  ["left-much", "pair.left_much"], ["left-slightly", "pair.left_slightly"], ["draw", "pair.draw"],
  ["right-slightly", "pair.right_slightly"], ["right-much", "pair.right_much"],
];
const NEITHER = [
  ["both_bad", "pair.both_bad", "pair.both_bad_hint"],
  ["no_opinion", "pair.no_opinion", "pair.no_opinion_hint"],
  ["broken", "pair.broken", "pair.broken_hint"],
];

const [HAVE_FUTURE_DATA, HAVE_ENOUGH_DATA] = [3, 4]; // states of a video, of the HTML standard
const HAS_KEYS = !matchMedia("(hover: none)").matches; // touch screens have none
const SKIPS = ["no_opinion", "broken"];
const DRAFT = "basalt-draft";       // of the pair on screen, in the browser's storage
const ANSWERED = "basalt-answered"; // of the last pair, for when its answer is withdrawn
const VERDICT = "basalt-verdict";   // about a practice pair, in the tab's storage until the rater has continued

// All pairs of a visit: what is on its way to the server, and which pair is on screen.
class Visit {
  constructor(root) {
    this.root = root;
    this.reply = null; // to the last act; shown until the rater starts the next pair
    this.redraw = new Redraw();
    this.presence = new Presence();
    this.outbox = new Outbox({
      reply: (act, reply) => this.replied(act, reply),
      slow: (text) => this.judging?.wait(text),
    });
    this.renewal = setInterval(() => this.renew(), RENEW_EVERY);
    this.answered = new Set(); // ids of pairs, none of which is shown again
    this.submitted = null; // when the last answer was, for the time until the next pair can be played
    this.loading = new AbortController(); // of the next pair's videos
  }

  destroy() {
    clearInterval(this.renewal);
    this.loading.abort();
    this.redraw.end();
    this.presence.destroy();
    this.outbox.destroy();
    this.judging?.destroy();
  }

  // Streamlit drew the page, or a reply brought the pair.
  show(data) {
    if (this.answered.has(data.pair)) return; // drawn before the answer was stored
    const same = this.judging?.pair === data.pair;
    this.ticket = data.ticket;
    this.latest = data;
    const verdict = this.judging ? null : Visit.verdict();
    if (verdict && verdict.data.pair !== data.pair) {
      this.judging = new PairJudging(this.root, verdict.data, this);
      this.judging.hold(verdict.reply, verdict.given);
    } else if (same) {
      this.judging.update(data);
    } else if (!this.judging?.held) {
      this.redraw.end();
      this.loading.abort();
      this.judging?.destroy();
      this.judging = new PairJudging(this.root, data, this);
    }
  }

  // The pair on screen has loaded: load the next one's videos into the browser's cache, in which the player finds them.
  async loadAhead() {
    const { signal } = this.loading = new AbortController();
    try {
      const response = await post({ kind: "ahead", pair: this.judging.pair, ticket: this.ticket });
      const { load = [] } = response.ok ? await response.json() : {};
      await Promise.all(load.map(async (url) => (await fetch(url, { signal, priority: "low" })).blob()));
      if (load.length && !signal.aborted) this.root.querySelector(".stage").dataset.ahead = this.judging.pair;
    } catch { /* the next pair's videos load when it is shown */ }
  }

  // Both videos of the pair on screen can be played.
  playable() {
    const stage = this.root.querySelector(".stage");
    stage.dataset.pair = this.judging.pair;
    if (this.submitted !== null) stage.dataset.wait = String(Math.round(performance.now() - this.submitted));
    this.submitted = null;
  }

  // The verdict on a practice pair survives a reload: its pair is shown again with it.
  static verdict() {
    try { return JSON.parse(sessionStorage.getItem(VERDICT)); } catch { return null; }
  }

  static keepVerdict(verdict) {
    try {
      if (verdict) sessionStorage.setItem(VERDICT, JSON.stringify(verdict));
      else sessionStorage.removeItem(VERDICT);
    } catch { /* storage is full or blocked */ }
  }

  send(act) { this.outbox.add({ ...act, ticket: this.ticket }); }

  replied(act, reply) {
    const own = act.kind === "undo" || act.pair === this.judging?.pair;
    this.reply = own ? reply : { ...reply, text: say("sending.earlier", { reply: reply.text }) };
    if (reply.stored && act.kind === "answer") {
      PairJudging.keepAnswered(act.pair);
      if (!reply.hold) this.answered.add(act.pair);
    }
    if (reply.hold && own) {
      const given = this.judging.given;
      Visit.keepVerdict({ data: this.judging.data, reply, given });
      this.judging.hold(reply, given);
    } else if (reply.stored && own && reply.next) this.show(reply.next);
    else if (reply.stored && own) this.redraw.begin();
    else this.redraw.ask();
    if (!(own && reply.stored) && !this.outbox.has(this.judging?.pair)) this.judging?.release();
  }

  // The rater has read the verdict: on to the pair that came meanwhile, or comes now.
  proceed() {
    this.judging.held = false;
    Visit.keepVerdict(null);
    this.reply = null;
    this.judging.wait(say("pair.loading_next"));
    if (this.latest.pair === this.judging.pair) this.redraw.begin();
    else this.show(this.latest);
  }

  // The pair stays reserved, and its videos can be loaded, while the page is open.
  async renew() {
    const pair = this.judging?.pair;
    if (!pair || this.judging.pending) return;
    const idle = this.presence.idle && !this.judging.player.playing;
    await post({ kind: "renew", pair, idle, ticket: this.ticket }).catch(() => null);
  }
}

class PairJudging {
  constructor(root, data, visit) {
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.visit = visit;
    this.question = find(".question");
    this.options = find(".options");
    this.dots = find(".dots");
    this.reason = find(".reason");
    this.previousButton = find(".previous");
    this.nextButton = find(".next");
    this.submitButton = find(".last .submit");
    this.hint = find(".hint");
    this.undoButton = find(".undo");
    this.card = find(".answers");
    this.verdict = find(".verdict");
    this.steps = [
      ...data.questions.direct.map((text) => ({ kind: "direct", text: say("pair.for_each", { question: text }), options: PLAYERS })),
      ...data.questions.comparative.map((text) => ({ kind: "comparative", text, options: SIDES })),
      {
        kind: "overall", text: say("pair.overall"),
        options: [...(data.scale === "strength" ? MUCH_BETTER : BETTER), ...NEITHER],
      },
    ];
    this.pair = data.pair;
    const draft = PairJudging.draft(DRAFT, [data.pair]) ?? PairJudging.draft(ANSWERED, data.earlier);
    // A study may have changed its scale meanwhile.
    this.answers = this.steps.map(({ options }, number) => {
      const drafted = draft?.answers[number];
      return options.some(([value]) => value === drafted) ? drafted : null;
    });
    this.reason.value = draft?.reason ?? "";
    this.current = draft?.current ?? 0;
    this.pending = visit.outbox.has(data.pair) ? say("pair.saving") : null;
    this.held = false;
    this.playable = this.enough = false;
    this.card.hidden = false;
    this.verdict.hidden = true;
    this.player = new Player(root, {
      names: [say("player.left"), say("player.right")],
      urls: [data.left, data.right],
      memory: draft?.memory,
      announce: () => { this.showGate(); this.noticeLoading(); },
      revive: () => visit.renew(),
    });
    const on = this.player.on;
    on(this.previousButton, "click", () => this.go(this.current - 1));
    on(this.nextButton, "click", () => this.go(this.current + 1));
    on(this.submitButton, "click", () => this.submit());
    on(this.undoButton, "click", () => this.undo());
    on(find(".continue"), "click", () => this.visit.proceed());
    on(this.reason, "keydown", (event) => this.onReasonKey(event));
    on(this.reason, "input", () => { this.complaint = null; this.keep(); });
    on(document, "keydown", (event) => this.onKey(event));
    on(window, "pagehide", () => this.keep());
    this.clock = setInterval(() => { this.showUndo(); this.keep(); }, 1000);
    this.update(data);
    this.go(this.current);
  }

  destroy() {
    clearInterval(this.clock);
    this.player.destroy();
  }

  // Once when the pair can be played, and once when no more of it has to load for that.
  noticeLoading() {
    if (!this.player) return;
    const loaded = Math.min(...this.player.sides.map((video) => video.readyState));
    if (loaded >= HAVE_FUTURE_DATA && !this.playable) {
      this.playable = true;
      this.visit.playable();
    }
    if (loaded >= HAVE_ENOUGH_DATA && !this.enough) {
      this.enough = true;
      this.visit.loadAhead();
    }
  }

  // What was watched, answered and typed survives a reload, and comes back with a pair whose answer was withdrawn.
  static draft(key, pairs) {
    try {
      const kept = JSON.parse(localStorage.getItem(key));
      return pairs.includes(kept?.pair) ? kept : null;
    } catch { return null; }
  }

  static keepAnswered(pair) {
    const kept = PairJudging.draft(DRAFT, [pair]);
    try { if (kept) localStorage.setItem(ANSWERED, JSON.stringify(kept)); } catch { /* storage is full or blocked */ }
  }

  keep() {
    const { pair, answers, current } = this;
    const kept = { pair, answers, current, reason: this.reason.value, memory: this.player.memory };
    try { localStorage.setItem(DRAFT, JSON.stringify(kept)); } catch { /* storage is full or blocked */ }
  }

  // Streamlit drew the page again.
  update(data) {
    const find = (selector) => this.root.querySelector(selector);
    this.data = data;
    this.player.required = data.required;
    find(".title").textContent = data.title;
    find(".instruction").textContent = data.instruction;
    find(".badge").textContent = data.badge ?? "";
    find(".badge").hidden = !data.badge;
    find(".count").textContent = data.standing;
    find("progress").value = data.share;
    this.reason.placeholder = `${say(data.least ? "pair.reason" : "pair.reason_optional")}${HAS_KEYS ? " (W)" : ""}`;
    this.complaint = null;
    this.showUndo();
    this.showGate();
  }

  get step() { return this.steps[this.current]; }
  get winner() { return this.answers[this.steps.length - 1]; }
  get given() { return say(this.steps.at(-1).options.find(([value]) => value === this.winner)[1]); }

  go(number) {
    this.current = Math.max(0, Math.min(this.steps.length - 1, number));
    const last = this.current === this.steps.length - 1;
    this.complaint = null;
    this.question.textContent = this.step.text;
    this.dots.hidden = this.steps.length === 1;
    this.previousButton.hidden = this.steps.length === 1;
    this.previousButton.disabled = this.current === 0;
    this.nextButton.hidden = last;
    this.submitButton.hidden = !last;
    this.reason.hidden = !last; // it is about the whole answer
    this.drawDots();
    this.drawOptions();
    this.showGate();
  }

  drawDots() {
    this.dots.replaceChildren(...this.steps.map((step, number) => {
      const dot = document.createElement("button");
      dot.type = "button";
      dot.textContent = step.kind === "overall" ? "★" : String(number + 1);
      dot.title = step.text;
      dot.setAttribute("aria-label", say("pair.question_number", {
        number: number + 1, total: this.steps.length, question: step.text,
      }));
      dot.classList.toggle("answered", this.answers[number] !== null);
      if (number === this.current) dot.setAttribute("aria-current", "step");
      dot.addEventListener("click", () => this.go(number));
      return dot;
    }));
  }

  drawOptions() {
    this.options.replaceChildren(...this.step.options.map(([value, label, explanation], index) => {
      const option = document.createElement("button");
      const key = document.createElement("kbd");
      option.type = "button";
      key.textContent = String(index + 1);
      key.setAttribute("aria-hidden", "true");
      option.append(say(label), key);
      option.title = explanation ? say(explanation) : "";
      option.dataset.value = value;
      option.classList.toggle("minor", value === "na" || NEITHER.some(([one]) => one === value) || value === "neither");
      option.setAttribute("aria-pressed", String(this.answers[this.current] === value));
      option.setAttribute("aria-keyshortcuts", String(index + 1));
      option.addEventListener("click", () => this.choose(index));
      return option;
    }));
  }

  // Choosing an answer again clears it; answering a sub-question moves to the next one.
  choose(index) {
    const option = this.step.options[index];
    if (!option || this.pending !== null) return;
    const again = this.answers[this.current] === option[0];
    this.answers[this.current] = again ? null : option[0];
    this.complaint = null;
    this.visit.reply = null;
    if (!again && this.step.kind !== "overall") this.go(this.current + 1);
    else this.go(this.current);
    this.keep();
  }

  // What is missing before the answer can be submitted; null when nothing is.
  missing() {
    if (SKIPS.includes(this.winner)) return null;
    const least = this.data.least;
    if (this.player.shares.some((share) => share < this.data.required)) {
      return this.data.required >= 0.995
        ? say("pair.watch_to_end")
        : say("pair.watch_share", { percent: Math.round(this.data.required * 100) });
    }
    if (this.winner === null) {
      return say(this.step.kind === "overall" ? "pair.choose" : "pair.choose_overall");
    }
    const written = this.reason.value.trim().length;
    if (written < least) return say("pair.reason_short", { least, more: least - written });
    return null;
  }

  showGate() {
    if (!this.player) return;
    const missing = this.missing();
    const open = missing === null && this.pending === null;
    // The complaint goes away as soon as it is resolved.
    if (this.complaint !== missing) this.complaint = null;
    this.submitButton.classList.toggle("open", open);
    this.submitButton.setAttribute("aria-disabled", String(!open));
    let text = missing ?? say("pair.ready");
    let mood = "";
    const reply = this.visit.reply;
    if (this.pending !== null) text = this.pending;
    else if (this.complaint) [text, mood] = [this.complaint, "wrong"];
    else if (reply?.text) [text, mood] = [reply.text, reply.ok ? "right" : "wrong"];
    if (this.hint.textContent !== text) this.hint.textContent = text;
    this.hint.className = `hint ${mood}`;
    // The reply to the last answer stays until the rater starts this pair.
    if (reply && this.player.playing) this.visit.reply = null;
  }

  submit() {
    if (this.pending !== null) return;
    const missing = this.missing();
    if (missing) {
      this.complaint = missing;
      this.showGate();
      return;
    }
    this.visit.submitted = performance.now();
    const questions = this.steps.map((step, number) => [step, this.answers[number]]);
    const [winner, strength] = this.winner.split("-");
    this.act({
      kind: "answer",
      pair: this.pair,
      winner: SKIPS.includes(winner) ? "skip" : winner,
      skip_reason: SKIPS.includes(winner) ? winner : null,
      strength: strength ?? null,
      justification: this.reason.value,
      direct: questions.filter(([step]) => step.kind === "direct").map(([, answer]) => answer),
      comparative: questions.filter(([step]) => step.kind === "comparative").map(([, answer]) => answer),
      seen: this.player.shares.map((share) => Math.round(share * 1000) / 1000),
      events: this.player.events,
    });
  }

  undo() {
    if (this.pending === null && this.undoSeconds() > 0) this.act({ kind: "undo", answer: this.data.undo });
  }

  act(what) {
    this.keep();
    this.visit.reply = null;
    // Move the focus away from fields and buttons, so that keys act on the next pair.
    this.root.querySelector(".stage").focus({ preventScroll: true });
    this.wait(say("pair.saving"));
    this.visit.send(what);
  }

  // Nothing can be submitted meanwhile.
  wait(text) {
    this.pending = text;
    this.showGate();
  }

  release() {
    this.pending = null;
    this.showGate();
  }

  // Practice: the pair stays on screen with the verdict until the rater continues.
  hold(reply, given) {
    this.held = true;
    this.pending = null;
    this.verdict.querySelector(".said").textContent = say("pair.you_answered", { answer: given, verdict: reply.text });
    this.verdict.classList.toggle("wrong", !reply.ok);
    this.card.hidden = true;
    this.verdict.hidden = false;
    this.undoButton.hidden = true;
    this.verdict.querySelector(".continue").focus({ preventScroll: true });
  }

  undoSeconds() {
    return this.data.undo_until ? Math.ceil((this.data.undo_until - Date.now()) / 1000) : 0;
  }

  showUndo() {
    const seconds = this.undoSeconds();
    this.undoButton.hidden = seconds <= 0 || this.held;
    this.undoButton.textContent = say("pair.undo", { seconds });
  }

  onReasonKey(event) {
    if (event.key === "Escape") this.reason.blur();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.submit();
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const field = event.composedPath()[0];
    if (field instanceof Element && (field.matches("input:not([type=range]), textarea, select") || field.closest("dialog"))) return;
    if (field instanceof Element && field.matches("button, a, summary") && event.key === "Enter") return;
    if (this.held) {
      if (event.key === "Enter") this.visit.proceed();
      return;
    }
    const last = this.current === this.steps.length - 1;
    const actions = {
      Enter: () => last ? this.submit() : this.go(this.current + 1),
      Backspace: () => this.go(this.current - 1),
      0: () => this.go(this.steps.length - 1),
      w: () => { this.go(this.steps.length - 1); this.reason.focus(); },
      u: () => this.undo(),
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = /^[1-9]$/.test(key) ? () => this.choose(Number(key) - 1) : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

// Streamlit calls this each time it draws the page.
export default function ({ parentElement, data, setTriggerValue }) {
  if (!parentElement.visit) {
    speak(data.language);
    fill(parentElement);
    parentElement.visit = new Visit(parentElement);
  }
  parentElement.visit.redraw.ask = () => setTriggerValue("next", Date.now());
  parentElement.visit.show(data);
  return () => {
    parentElement.visit?.destroy();
    delete parentElement.visit;
  };
}
