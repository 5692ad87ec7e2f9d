// One or two videos under one set of controls, kept in sync: same position, playing or waiting together.

const TOLERANCE = 0.1;    // seconds, two frames at 20 Hz: closer than this counts as in sync
const CHECK_EVERY = 100;  // milliseconds
const FRAME = 1 / 20;     // seconds
const MOST_EVENTS = 400;  // kept per pair
const LOAD_AGAIN = [1_000, 2_000, 4_000, 10_000]; // milliseconds until a failed video loads again; from then on the last
const STALLED = 15_000;   // milliseconds without data after which a video loads again

// Which parts of a video were played in a visible tab, in slices of a quarter of a second.
class Seen {
  constructor() { this.slices = new Set(); this.last = null; }

  watch(video, rate) {
    const now = performance.now();
    const at = video.currentTime;
    const before = this.last;
    const still = video.paused && !video.ended;
    this.last = video.seeking || document.hidden ? null : { at, now, still };
    // From a pause to the first tick after it the video has played; from one pause to the next it was moved by hand.
    if (!before || (still && before.still)) return;
    // A jump does not count as watched; a late tick does.
    const most = ((now - before.now) / 1000) * rate * 1.3 + 0.3;
    if (at < before.at || at - before.at > most) return;
    for (let slice = Math.floor(before.at * 4); slice <= Math.floor(at * 4); slice += 1) this.slices.add(slice);
  }

  share(length) {
    const whole = Math.max(1, Math.floor(length * 4 + 0.001));
    let seen = 0;
    for (const slice of this.slices) if (slice < whole) seen += 1;
    return length ? seen / whole : 0;
  }
}

class Player {
  // names: captions of the videos; urls: their addresses; announce(player) is called at each change; memory: what was
  // watched before, and where; loop: begin again, both together, when both have ended; revive() is called before a failed
  // video loads again
  constructor(root, { names, urls, announce = () => {}, memory = null, loop = false, revive = async () => {} }) {
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.box = find(".player");
    this.sides = [find("video.left"), find("video.right")].slice(0, urls.length);
    this.names = names;
    this.urls = urls;
    this.revive = revive;
    this.loads = this.sides.map(() => ({
      failures: 0, timer: null, loaded: false, at: memory?.position ?? 0, waiting: null,
    }));
    this.seenLabels = [...root.querySelectorAll(".seen")];
    this.seenBars = [...root.querySelectorAll(".watched")];
    this.playButton = find(".play");
    this.scrub = find(".scrub");
    this.time = find(".time");
    this.speed = find(".speed");
    this.trouble = find(".trouble");
    this.trouble.hidden = true; // of the videos that were here before
    this.announce = announce;
    this.events = memory?.events ?? [];
    this.seen = this.sides.map(() => new Seen());
    memory?.slices?.forEach((slices, index) => slices.forEach((slice) => this.seen[index]?.slices.add(slice)));
    this.reached = 0;
    this.playing = false;
    this.loop = loop;
    this.idle = false; // an idle player takes no keys
    this.required = 0; // required share of each video; 0 for no requirement
    this.listeners = new AbortController();
    this.box.classList.toggle("single", urls.length === 1);
    // An element with keys of its own lists them below the player's; they are moved, so only once.
    find("dialog.help dl").append(...(find("template.more-keys")?.content.children ?? []));
    [...root.querySelectorAll("figure")].forEach((figure, index) => {
      figure.hidden = index >= urls.length;
      figure.style.display = figure.hidden ? "none" : "";
      figure.querySelector(".name").textContent = names[index] ?? "";
    });

    const on = this.on = (target, type, action) =>
      target?.addEventListener(type, action, { signal: this.listeners.signal });
    on(this.playButton, "click", () => this.toggle());
    on(find(".restart"), "click", () => this.seek(0, "restart"));
    on(find(".back"), "click", () => this.step(-1));
    on(find(".on"), "click", () => this.step(1));
    on(this.scrub, "input", () => this.seek(Number(this.scrub.value)));
    on(this.scrub, "change", () => this.note("seek"));
    on(this.speed, "change", () => this.setRates());
    on(find(".full"), "click", () => this.fullScreen());
    on(find(".keys"), "click", () => this.showKeys());
    on(document, "keydown", (event) => this.onKey(event));
    on(document, "visibilitychange", () => { if (document.hidden && this.playing) this.toggle(); });
    this.sides.forEach((video, index) => {
      video.setAttribute("aria-label", say("player.video", { name: names[index] }));
      on(video, "loadedmetadata", () => this.loaded(index));
      on(video, "error", () => this.fail(index));
      on(video, "progress", () => { this.loads[index].waiting = null; });
      on(video, "click", () => this.toggle());
      video.src = urls[index];
    });
    this.timer = setInterval(() => this.keepInStep(), CHECK_EVERY);
    if (memory?.speed) this.speed.value = memory.speed;
    this.setRates();
    this.show();
  }

  destroy() {
    clearInterval(this.timer);
    for (const load of this.loads) clearTimeout(load.timer);
    this.listeners.abort();
    for (const video of this.sides) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
  }

  lengthOf(video) { return Number.isFinite(video.duration) ? video.duration : 0; }
  get length() { return Math.max(...this.sides.map((video) => this.lengthOf(video))); }
  // The longer video gives the time, since the other may have ended.
  get leader() {
    return this.sides.reduce((longest, video) => this.lengthOf(video) > this.lengthOf(longest) ? video : longest);
  }
  get position() { return this.leader.currentTime; }
  get shares() { return this.sides.map((video, index) => this.seen[index].share(this.lengthOf(video))); }
  get memory() {
    return {
      events: this.events,
      slices: this.seen.map((seen) => [...seen.slices]),
      position: this.position,
      speed: this.speed.value,
    };
  }
  // A video that has not loaded is nowhere: the other waits for it.
  atEnd(video) { return this.lengthOf(video) > 0 && (video.ended || video.currentTime >= this.lengthOf(video) - 0.001); }
  // Whether a video could not be loaded several times.
  get failed() { return this.loads.some((load) => load.failures >= LOAD_AGAIN.length); }

  toggle() {
    if (!this.playing && this.atEnd(this.leader)) this.seek(0);
    this.playing = !this.playing;
    this.note(this.playing ? "play" : "pause");
    this.keepInStep();
  }

  seek(position, event) {
    for (const video of this.sides) {
      video.currentTime = Math.max(0, Math.min(position, this.lengthOf(video)));
    }
    if (event) this.note(event);
    this.show();
  }

  // Seek to the middle of a frame, so that rounding never shows a neighbour.
  step(frames) {
    if (this.playing) this.toggle();
    const frame = Math.floor(this.position / FRAME + 1e-6) + frames;
    this.seek((Math.max(0, frame) + 0.5) * FRAME);
  }

  setRates() {
    for (const video of this.sides) video.playbackRate = Number(this.speed.value);
    this.note(`speed-${this.speed.value}`);
  }

  changeSpeed(by) {
    const next = this.speed.selectedIndex + by;
    if (next < 0 || next >= this.speed.options.length) return;
    this.speed.selectedIndex = next;
    this.setRates();
  }

  // Both play or both wait: a video that is loading or seeking holds the other.
  keepInStep() {
    const running = this.sides.filter((video) => !this.atEnd(video));
    const ready = this.sides.every((video) => video.readyState >= 3 && !video.seeking || this.atEnd(video));
    this.sides.forEach((video, index) => {
      this.seen[index].watch(video, Number(this.speed.value));
      this.noticeStall(video, index);
    });
    if (this.playing && running.length === 0 && this.loop) this.seek(0);
    else if (this.playing && running.length === 0) {
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

  // The video that is behind plays slightly faster; after a long gap it jumps.
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
    const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
    const hundredths = String(Math.floor((this.position % 1) * 100 + 1e-6)).padStart(2, "0");
    this.scrub.max = String(this.length || 1);
    this.scrub.value = String(this.position);
    const at = { at: minutes(this.position), length: minutes(this.length) };
    this.scrub.setAttribute("aria-valuetext", say("player.position_of", at));
    this.time.textContent = `${minutes(this.position)}.${hundredths} / ${minutes(this.length)}`;
    this.playButton.textContent = say(this.playing ? "player.pause" : "player.play");
    this.sides.forEach((video, index) => this.showSeen(video, index));
    this.noteQuarters();
    this.announce(this);
  }

  showSeen(video, index) {
    const label = this.seenLabels[index];
    const length = this.lengthOf(video);
    const parts = [];
    const share = this.seen[index].share(length);
    this.seenBars[index].hidden = !this.required;
    this.seenBars[index].firstElementChild.style.width = `${this.required ? 100 * Math.min(1, share / this.required) : 0}%`;
    if (length && this.atEnd(video) && !this.loop) parts.push(say("player.ended"));
    if (this.required && length) {
      const done = share >= this.required;
      label.classList.toggle("done", done);
      parts.push(done ? say("player.seen_enough") : say("player.seen", { percent: Math.floor(share * 100) }));
    }
    label.textContent = parts.join(" · ");
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
    if (this.events.length >= MOST_EVENTS) return;
    this.events.push({ type, at: Math.round(this.position * 1000) / 1000, clock: Date.now() });
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else (this.root.querySelector(".stage") ?? this.root.closest(".stage") ?? this.box).requestFullscreen?.().then(
      () => this.note("full-screen"), () => {});
  }

  showKeys() { this.root.querySelector("dialog.help")?.showModal(); }

  // Keys of the player; fields and buttons keep their own keys.
  onKey(event) {
    if (this.idle || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const field = event.composedPath()[0];
    const is = (selector) => field instanceof Element && field.matches(selector);
    if (is("input:not([type=range]), textarea, select, [contenteditable]") || field.closest?.("dialog")) return;
    if (is("button, a, summary, [role=button]") && [" ", "Enter"].includes(event.key)) return;
    if (is("input[type=range]") && event.key.startsWith("Arrow")) return;
    const action = this.keys()[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  keys() {
    return {
      " ": () => this.toggle(),
      k: () => this.toggle(),
      ArrowLeft: () => this.seek(this.position - 1, "seek"),
      ArrowRight: () => this.seek(this.position + 1, "seek"),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      Home: () => this.seek(0, "restart"),
      End: () => this.seek(this.length, "seek"),
      "-": () => this.changeSpeed(-1),
      "+": () => this.changeSpeed(1),
      "=": () => this.changeSpeed(1),
      f: () => this.fullScreen(),
      "?": () => this.showKeys(),
    };
  }

  loaded(index) {
    const video = this.sides[index];
    const load = this.loads[index];
    if (load.at) video.currentTime = Math.min(load.at, this.lengthOf(video));
    video.playbackRate = Number(this.speed.value);
    load.loaded = true;
    load.failures = 0;
    this.showTrouble();
    this.show();
  }

  // A lost connection does not always end in an error.
  noticeStall(video, index) {
    const load = this.loads[index];
    if (load.loaded) load.at = video.currentTime;
    const waits = this.playing && video.readyState < 3 && !this.atEnd(video) && load.timer === null;
    if (!waits) load.waiting = null;
    else if (load.waiting === null) load.waiting = performance.now();
    else if (performance.now() - load.waiting > STALLED) this.fail(index);
  }

  // Load a video again after a while, from where it was.
  fail(index) {
    const load = this.loads[index];
    if (load.timer !== null) return;
    const wait = LOAD_AGAIN[Math.min(load.failures, LOAD_AGAIN.length - 1)];
    load.loaded = false;
    load.failures += 1;
    load.waiting = null;
    load.timer = setTimeout(async () => {
      await this.revive();
      load.timer = null;
      if (this.listeners.signal.aborted) return;
      this.sides[index].src = this.urls[index];
    }, wait);
    this.showTrouble();
  }

  showTrouble() {
    const failing = this.loads.findIndex((load) => load.failures > 0);
    this.trouble.hidden = failing < 0;
    if (failing < 0) return;
    const name = this.names[failing];
    this.trouble.textContent = say(this.failed ? "player.cannot_play" : "player.loading_again", { name });
  }
}
