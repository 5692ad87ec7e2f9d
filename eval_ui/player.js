// Two videos under one set of controls, kept in step: same position, together playing or waiting.

const TOLERANCE = 0.1;   // seconds, two frames at 20 Hz: closer than this counts as in step
const CHECK_EVERY = 100; // milliseconds

class PairPlayer {
  constructor(root, report) {
    const find = (selector) => root.querySelector(selector);
    this.sides = [find("video.left"), find("video.right")];
    this.badges = [...root.querySelectorAll(".ended")];
    this.playButton = find(".play");
    this.scrub = find(".scrub");
    this.time = find(".time");
    this.speed = find(".speed");
    this.trouble = find(".trouble");
    this.report = report;
    this.events = [];
    this.reached = 0;
    this.playing = false;
    this.listeners = new AbortController();
    const on = (target, type, action) =>
      target.addEventListener(type, action, { signal: this.listeners.signal });

    on(this.playButton, "click", () => this.toggle());
    on(find(".restart"), "click", () => this.seek(0));
    on(this.scrub, "input", () => this.seek(Number(this.scrub.value)));
    on(this.speed, "change", () => this.setRates());
    on(document, "keydown", (event) => this.onKey(event));
    this.sides.forEach((video, index) => {
      on(video, "loadedmetadata", () => this.show());
      on(video, "error", () => this.fail(index));
    });
    this.timer = setInterval(() => this.keepInStep(), CHECK_EVERY);
  }

  load(urls) {
    this.trouble.hidden = true;
    this.setRates();
    this.sides.forEach((video, index) => { video.src = urls[index]; });
  }

  destroy() {
    clearInterval(this.timer);
    this.listeners.abort();
    for (const video of this.sides) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
  }

  lengthOf(video) { return Number.isFinite(video.duration) ? video.duration : 0; }
  get length() { return Math.max(...this.sides.map((video) => this.lengthOf(video))); }
  // The longer video keeps the time: the other may have ended.
  get leader() {
    const [left, right] = this.sides;
    return this.lengthOf(right) > this.lengthOf(left) ? right : left;
  }
  get position() { return this.leader.currentTime; }
  atEnd(video) { return video.ended || video.currentTime >= this.lengthOf(video) - 0.001; }

  toggle() {
    if (!this.playing && this.atEnd(this.leader)) this.seek(0);
    this.playing = !this.playing;
    this.note(this.playing ? "play" : "pause");
    this.keepInStep();
  }

  seek(position) {
    for (const video of this.sides) {
      video.currentTime = Math.min(position, this.lengthOf(video));
    }
    this.show();
  }

  setRates() {
    for (const video of this.sides) video.playbackRate = Number(this.speed.value);
  }

  // Both run, or both wait: one that is still loading or seeking holds the other.
  keepInStep() {
    const running = this.sides.filter((video) => !this.atEnd(video));
    const ready = this.sides.every((video) => video.readyState >= 3 && !video.seeking || this.atEnd(video));
    if (this.playing && running.length === 0) {
      this.playing = false;
      this.note("ended");
    }
    for (const video of this.sides) {
      const shouldRun = this.playing && ready && running.includes(video);
      if (shouldRun && video.paused) {
        video.play().catch((error) => { if (error.name !== "AbortError") this.fail(this.sides.indexOf(video)); });
      }
      if (!shouldRun && !video.paused) video.pause();
    }
    if (running.length === 2 && ready) this.correct();
    this.show();
  }

  // The one behind catches up a little faster; after a long gap it jumps.
  correct() {
    const rate = Number(this.speed.value);
    const [left, right] = this.sides;
    const gap = left.currentTime - right.currentTime;
    const behind = gap > 0 ? right : left;
    if (Math.abs(gap) > Math.max(0.5, rate * 0.3)) {
      behind.currentTime = Math.max(left.currentTime, right.currentTime);
    }
    const hurry = Math.abs(gap) > TOLERANCE / 2 ? 1.1 : 1;
    for (const video of this.sides) {
      const wanted = video === behind ? rate * hurry : rate;
      if (video.playbackRate !== wanted) video.playbackRate = wanted;
    }
  }

  show() {
    const text = (seconds) =>
      `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
    this.scrub.max = String(this.length || 1);
    this.scrub.value = String(this.position);
    this.time.textContent = `${text(this.position)} / ${text(this.length)}`;
    this.playButton.textContent = this.playing ? "Pause" : "Play";
    this.sides.forEach((video, index) => {
      this.badges[index].hidden = !(this.lengthOf(video) && this.atEnd(video));
    });
    this.noteQuarters();
  }

  noteQuarters() {
    if (!this.playing || !this.length) return;
    const quarter = Math.floor((4 * this.position) / this.length + 0.02);
    while (this.reached < Math.min(quarter, 4)) {
      this.reached += 1;
      this.note(`quarter-${this.reached}`);
    }
  }

  note(type) {
    this.events.push({ type, at: Math.round(this.position * 1000) / 1000, clock: Date.now() });
    this.report(this.events.slice());
  }

  onKey(event) {
    const field = event.composedPath()[0];
    if (event.key !== " " || event.ctrlKey || event.metaKey || event.altKey) return;
    if (field instanceof Element && field.matches("input:not([type=range]), textarea, button, select, a, [contenteditable]")) return;
    event.preventDefault();
    this.toggle();
  }

  fail(index) {
    this.playing = false;
    this.trouble.hidden = false;
    this.trouble.textContent =
      `The ${index ? "right" : "left"} video cannot be played. Load the page again; if it stays, skip the pair.`;
  }
}

// Streamlit calls this at every rerun of the page: the player is made once a pair and then left alone.
export default function ({ parentElement, data, setStateValue }) {
  const present = parentElement.pairPlayer;
  if (present?.pair !== data.pair) {
    present?.player.destroy();
    const pair = data.pair;
    const player = new PairPlayer(parentElement, (events) => setStateValue("watched", { pair, events }));
    parentElement.pairPlayer = { pair, player };
    player.load([data.left, data.right]);
  }
  return () => {
    parentElement.pairPlayer?.player.destroy();
    delete parentElement.pairPlayer;
  };
}
